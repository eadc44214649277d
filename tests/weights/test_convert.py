"""A checkpoint that somebody has becomes weights with a name."""

import hashlib
from pathlib import Path

import pytest
import torch
from animation_tools import FRAMING, tiny_config, write_tiny

from mcnet_cli.checkpoint import read_weights, write_weights
from mcnet_cli.errors import McnetError, UsageError, WeightsError
from mcnet_cli.model import MCNet, ModelConfig
from mcnet_cli.weights import Cache, convert_file, fetch, resolve_weights


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_converted_weights_equal_the_file_tensor_by_tensor(cache: Cache, tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "some net.safetensors")
    report = convert_file(source, "mine", cache, force=False)
    path = resolve_weights("mine", cache=cache)
    before, after = read_weights(source), read_weights(path)
    assert after.state.keys() == before.state.keys()
    assert all(torch.equal(after.state[name], tensor) for name, tensor in before.state.items())
    assert (after.config, after.framing, after.smooth) == (before.config, FRAMING, None)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert after.card["converted_from"] == {"file": "some net.safetensors", "sha256": digest}
    assert path.parent == cache.root / "mine"
    assert files_in(cache.root) == {path.name, "record.json", ".lock"}
    assert report.as_json()["inferred"] == {
        "architecture": "custom (size 64, 1 memory experts, condition both)",
        "keypoints": 6,
        "jacobians": True,
        "epoch": None,
    }


def test_a_conversion_keeps_smoothing_and_landmarks(cache: Cache, tmp_path: Path) -> None:
    landmarks = (10, 152, 234, 454, 61, 291)
    source = write_tiny(tmp_path / "w.safetensors", smooth=0.7, landmarks=landmarks, jacobians=False)
    convert_file(source, "mine", cache, force=False)
    after = read_weights(resolve_weights("mine", cache=cache))
    assert (after.smooth, after.landmarks) == (0.7, landmarks)


def test_the_licence_in_a_card_is_kept(cache: Cache, tmp_path: Path) -> None:
    model = MCNet(tiny_config())
    card = {"licence": "CC-BY-4.0", "author": "somebody"}
    source = tmp_path / "theirs.safetensors"
    write_weights(source, model.state_dict(), model.config, framing=None, smooth=None, card=card)
    report = convert_file(source, None, cache, force=False)
    assert report.weights[0].name == "theirs"
    assert report.weights[0].licence == "CC-BY-4.0"
    assert read_weights(resolve_weights("theirs", cache=cache)).card.items() > card.items()


@pytest.mark.parametrize(("licence", "shown_as"), [(5, "5"), ({"a": 1}, "{'a': 1}"), ("\x1b[2J", "\\x1b[2J")])
def test_an_odd_licence_is_shown_as_plain_text(
    cache: Cache, tmp_path: Path, licence: object, shown_as: str
) -> None:
    model = MCNet(tiny_config())
    source = tmp_path / "theirs.safetensors"
    write_weights(
        source, model.state_dict(), model.config, framing=None, smooth=None, card={"licence": licence}
    )
    report = convert_file(source, None, cache, force=False)
    assert report.weights[0].licence == shown_as
    assert shown_as in report.as_text()


def test_a_taken_name_is_replaced_only_by_force(cache: Cache, tmp_path: Path) -> None:
    one, other = (write_tiny(tmp_path / f"{seed}.safetensors", seed=seed) for seed in (1, 2))
    convert_file(one, "mine", cache, force=False)
    first = resolve_weights("mine", cache=cache)
    with pytest.raises(UsageError, match="called mine already"):
        convert_file(other, "mine", cache, force=False)
    assert resolve_weights("mine", cache=cache) == first
    convert_file(other, "mine", cache, force=True)
    assert resolve_weights("mine", cache=cache) != first
    assert files_in(cache.root) == {resolve_weights("mine", cache=cache).name, "record.json", ".lock"}


@pytest.mark.parametrize("name", ["../mine", "lite", "vgg19", "hub", "hf--a", ".mine", "a/b"])
def test_names_that_lead_elsewhere_or_mean_something_are_refused(
    cache: Cache, tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError, match="--name"):
        convert_file(write_tiny(tmp_path / "a.safetensors"), name, cache, force=False)
    assert not cache.root.exists()


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x80\x04.", b"PK\x03\x04" + bytes(100), bytes(1000)])
def test_a_file_that_is_no_network_leaves_nothing(cache: Cache, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"bad\.pth"):
        convert_file(tmp_path / "bad.pth", "mine", cache, force=False)
    assert files_in(cache.root) == set()


class Trap:
    """A pickle that would create a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_never_runs(cache: Cache, tmp_path: Path, zipped: bool) -> None:
    path, marker = tmp_path / "trap.pth.tar", tmp_path / "it ran"
    torch.save({"generator": Trap(marker)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="unsafe"):
        convert_file(path, "mine", cache, force=False)
    assert not marker.exists()
    torch.load(path, weights_only=False)  # the trap is a real one
    assert marker.exists()


@pytest.mark.slow
def test_an_official_checkpoint_keeps_its_tensors_and_says_what_it_is(cache: Cache, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = MCNet(ModelConfig()).state_dict()
    parts: dict[str, dict[str, torch.Tensor]] = {"generator": {}, "kp_detector": {}}
    for name, tensor in state.items():
        part, _, rest = name.partition(".")
        parts[part][f"module.{rest}"] = tensor
    path = tmp_path / "00000099-checkpoint.pth.tar"
    torch.save({**parts, "optimizer_generator": {"state": {}}, "epoch": 99}, path)
    with pytest.raises(McnetError, match="can't download it"):
        fetch("mcnet-official", cache, sha256=None, force=False, on_progress=None)
    report = convert_file(path, "mcnet-official", cache, force=False)
    assert "mcnet, 15 keypoints with jacobians, epoch 99" in report.done
    assert "none stated by its authors" in report.done
    path.unlink()
    converted = read_weights(resolve_weights("mcnet-official", cache=cache)).state
    assert all(torch.equal(tensor, state[name]) for name, tensor in converted.items())
    assert converted.keys() == {name for name in state if not name.endswith("num_batches_tracked")}

"""Metrics against values worked out by hand, and against slow plain versions of themselves."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from mcnet_cli.assets import asset
from mcnet_cli.errors import WeightsError
from mcnet_cli.face import MOUTH, opening
from mcnet_cli.metrics import (
    LPIPS,
    correlation,
    l1,
    landmark_distance,
    load_lpips,
    psnr,
    ssim,
)

RANDOM = np.random.default_rng(3)
SIDE = 24


def noise(side: int = SIDE) -> np.ndarray:
    return RANDOM.integers(0, 256, (side, side, 3), np.uint8)


def flat(level: int, side: int = SIDE) -> np.ndarray:
    return np.full((side, side, 3), level, np.uint8)


def test_equal_pictures_have_no_error() -> None:
    picture = noise()
    assert l1(picture, picture) == 0
    assert psnr(picture, picture) == math.inf
    assert ssim(picture, picture) == pytest.approx(1, abs=1e-12)


def test_a_uniform_error_has_the_figures_of_its_size() -> None:
    assert l1(flat(151), flat(100)) == pytest.approx(0.2)
    assert psnr(flat(151), flat(100)) == pytest.approx(-20 * math.log10(0.2))
    assert psnr(flat(0), flat(255)) == 0  # in uint8 the difference would wrap to 1


def test_ssim_of_flat_pictures_compares_their_levels_alone() -> None:
    a, b = 0.4, 0.8
    assert ssim(flat(102), flat(204)) == pytest.approx((2 * a * b + 1e-4) / (a * a + b * b + 1e-4))


def test_ssim_is_symmetric_and_falls_with_noise() -> None:
    picture = np.clip(flat(128) + RANDOM.normal(0, 30, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    mild, strong = (
        np.clip(picture + RANDOM.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)
        for sigma in (5, 40)
    )
    assert ssim(mild, picture) == pytest.approx(ssim(picture, mild), abs=1e-12)
    assert 0.9 < ssim(mild, picture) < 1
    assert ssim(strong, picture) < ssim(mild, picture) - 0.2


def plain_ssim(made: np.ndarray, real: np.ndarray) -> float:
    """Window by window, colour by colour, as the paper writes it."""
    steps = np.arange(-5, 6)
    window = np.exp(-(steps[:, None] ** 2 + steps[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for colour in range(3):
        a, b = made[..., colour] / 255, real[..., colour] / 255
        for y in range(made.shape[0] - 10):
            for x in range(made.shape[1] - 10):
                p, q = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
                mean_p, mean_q = (window * p).sum(), (window * q).sum()
                var_p, var_q = (window * (p - mean_p) ** 2).sum(), (window * (q - mean_q) ** 2).sum()
                both = (window * (p - mean_p) * (q - mean_q)).sum()
                values.append(
                    (2 * mean_p * mean_q + 0.01**2)
                    * (2 * both + 0.03**2)
                    / ((mean_p**2 + mean_q**2 + 0.01**2) * (var_p + var_q + 0.03**2))
                )
    return float(np.mean(values))


def test_ssim_equals_its_plain_version() -> None:
    real = noise()
    made = (real * 0.7 + noise() * 0.3).astype(np.uint8)
    assert ssim(made, real) == pytest.approx(plain_ssim(made, real), abs=1e-10)


def test_ssim_refuses_pictures_smaller_than_its_window() -> None:
    with pytest.raises(ValueError, match="at least 11"):
        ssim(flat(0, 10), flat(0, 10))


def test_the_landmark_distance_takes_each_coordinate_by_itself() -> None:
    real = np.array([[10.0, 20.0], [30.0, 40.0]])
    assert landmark_distance(real + np.array([3, -4]), real) == 3.5  # not 5, the length


def test_an_opening_is_measured_in_eye_distances() -> None:
    points = np.zeros((468, 2), np.float32)
    points[33], points[263] = (10, 0), (50, 0)
    points[13], points[14] = (30, 20), (30, 30)
    assert opening(points, MOUTH) == pytest.approx(0.25)


def test_correlation_is_unknown_where_nothing_moves() -> None:
    assert correlation([1, 2, 3], [2, 4, 6.5]) > 0.99
    assert correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert math.isnan(correlation([1, 1, 1], [1, 2, 3]))
    assert math.isnan(correlation([1, 2], [1, 2]))


@pytest.fixture
def alexnet(tmp_path: Path) -> Path:
    """A random AlexNet in a file like the real one."""
    torch.manual_seed(0)
    state = {
        f"features.{number}.{part}": torch.randn_like(getattr(convolution, part)) * 0.05
        for number, convolution in LPIPS().features.items()
        for part in ("weight", "bias")
    }
    torch.save({**state, "classifier.1.weight": torch.zeros(2, 2)}, tmp_path / "alexnet.pth")
    return tmp_path / "alexnet.pth"


def plain_lpips(alexnet: Path, first: np.ndarray, second: np.ndarray) -> float:
    """Layer by layer, as the paper writes it."""
    net, heads = torch.load(alexnet, weights_only=True), load_file(asset("metrics/lpips-alex.safetensors"))

    def layers(picture: np.ndarray) -> list[torch.Tensor]:
        x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255 * 2 - 1
        x = (x - torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)) / torch.tensor(
            [0.458, 0.448, 0.450]
        ).view(1, 3, 1, 1)

        def conv(x: torch.Tensor, n: int, stride: int, padding: int) -> torch.Tensor:
            w, b = net[f"features.{n}.weight"], net[f"features.{n}.bias"]
            return F.conv2d(x, w, b, stride, padding).clamp(min=0)

        one = conv(x, 0, 4, 2)
        two = conv(F.max_pool2d(one, 3, 2), 3, 1, 2)
        three = conv(F.max_pool2d(two, 3, 2), 6, 1, 1)
        four = conv(three, 8, 1, 1)
        return [one, two, three, four, conv(four, 10, 1, 1)]

    total = 0.0
    for n, (a, b) in enumerate(zip(layers(first), layers(second), strict=True)):
        a, b = (f / (f.pow(2).sum(1, keepdim=True).sqrt() + 1e-10) for f in (a, b))
        total += float(F.conv2d((a - b) ** 2, heads[f"lin{n}"][None, :, None, None]).mean())
    return total


def test_lpips_equals_its_plain_version(alexnet: Path) -> None:
    first, second = noise(64), noise(64)
    same, other = load_lpips(alexnet).compare(np.stack([first, first]), np.stack([first, second]))
    assert same == 0
    assert other == pytest.approx(plain_lpips(alexnet, first, second), rel=1e-5)
    assert other > 0.01


def test_a_file_that_is_not_alexnet_is_named(alexnet: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="can't open"):
        load_lpips(tmp_path / "missing.pth")
    (tmp_path / "page.pth").write_text("<html>")
    with pytest.raises(WeightsError, match=r"page\.pth is no torch checkpoint"):
        load_lpips(tmp_path / "page.pth")
    state = torch.load(alexnet, weights_only=True)
    for name, change in (("missing", {}), ("shape", {"features.0.bias": torch.zeros(3)})):
        torch.save({n: t for n, t in state.items() if n != "features.0.bias"} | change, alexnet)
        with pytest.raises(WeightsError, match=name):
            load_lpips(alexnet)

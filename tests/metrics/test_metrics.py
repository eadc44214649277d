"""Metrics against values worked out by hand, and against slow plain versions of themselves."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx_tools import write_recognizer
from safetensors.torch import load_file

from mcnet_cli.errors import WeightsError
from mcnet_cli.face import MOUTH, opening
from mcnet_cli.files import asset
from mcnet_cli.metrics import (
    LPIPS,
    TEMPLATE,
    Recognizer,
    correlation,
    embedding_cosine,
    embedding_distance,
    error_within,
    five_points,
    flow_agreement,
    gain,
    head_flow,
    inner_mouth_mask,
    jitter,
    l1,
    landmark_distance,
    load_lpips,
    load_perceptual,
    mouth_mask,
    psnr,
    reach,
    relative_distance,
    sharpness,
    ssim,
    unlikeness,
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


def test_the_gain_is_unknown_where_the_driving_does_not_move() -> None:
    assert gain([0, 1, 0, 1], [5, 9, 5, 9]) == pytest.approx(0.25)
    assert gain([1, 1, 1], [1, 2, 3]) == 0
    assert math.isnan(gain([1, 2, 3], [1, 1, 1]))
    assert math.isnan(gain([1, 2], [1, 2]))


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


def test_an_error_within_a_mask_counts_its_pixels_alone() -> None:
    made, mask = flat(100), np.zeros((SIDE, SIDE), np.bool_)
    mask[2:6, 3:8] = True
    made[mask] = 151
    made[0, 0] = 255
    assert error_within(made, flat(100), mask) == pytest.approx(20 * 0.2)
    assert error_within(made, flat(100), ~mask) == pytest.approx(155 / 255)


def test_sharpness_is_the_mean_laplacian_and_falls_with_blur() -> None:
    dot = np.zeros((16, 16, 3), np.uint8)
    dot[8, 8] = 100
    assert sharpness(dot) == pytest.approx(100 * (4 + 1 + 1 + 1 + 1) / 256)
    assert sharpness(flat(90)) == 0
    picture = noise()
    assert sharpness(cv2.GaussianBlur(picture, (5, 5), 1)) < 0.5 * sharpness(picture)


def test_the_flow_of_a_shifted_picture_is_its_shift() -> None:
    coarse = RANDOM.integers(0, 256, (20, 20, 3), np.uint8)
    texture = cv2.resize(coarse, (160, 160), interpolation=cv2.INTER_CUBIC)
    first, right, left = (texture[16:144, x : x + 128] for x in (16, 14, 18))
    flow = head_flow(first, right)
    assert flow.shape == (86, 88, 2)
    np.testing.assert_allclose(np.median(flow, axis=(0, 1)), (2, 0), atol=0.1)
    assert flow_agreement(flow, flow) == pytest.approx(1)
    assert flow_agreement(head_flow(first, left), flow) < -0.9
    assert flow_agreement(head_flow(first, first), flow) == 0, "a still picture"


def test_the_distance_of_meshes_is_told_in_eye_distances() -> None:
    real = face_points()
    assert relative_distance(real + np.array([3, 4]), real) == pytest.approx(100 * 5 / 40)


def test_reach_is_the_mean_distance_from_the_mean_place() -> None:
    points = np.zeros((2, 3, 2))
    points[0, :, 0], points[1, :, 0] = -3, 3
    assert reach(points) == 3
    assert reach(points + 7) == 3, "where it is doesn't matter"
    assert reach(points[:1]) == 0


def test_even_motion_has_no_jitter_and_trembling_has() -> None:
    even = np.arange(5)[:, None, None] * np.full((5, 4, 2), 2.0)
    assert jitter(even) == 0
    trembling = np.zeros((5, 4, 2))
    trembling[1::2, :, 1] = 1
    assert jitter(trembling) == 2, "down and up again"


def face_points() -> np.ndarray:
    """A face whose eyes are 40 px apart, with a mouth around (50, 70)."""
    points = np.full((468, 2), 50.0)
    points[33], points[263] = (30, 40), (70, 40)
    points[61], points[291], points[13], points[14] = (40, 70), (60, 70), (50, 68), (50, 72)
    return points


def test_the_mouths_box_has_a_sixteenth_of_the_picture_around_it() -> None:
    rows, columns = np.nonzero(mouth_mask(face_points(), (128, 128)))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (32, 67, 60, 79)
    beyond = face_points() - 60
    assert mouth_mask(beyond, (128, 128)).sum() == 8 * 20, "cut off at the picture's edge"


def test_the_inside_of_a_mouth_counts_only_where_it_is_open() -> None:
    points = face_points()
    points[[78, 191, 80, 81, 82]] = [(40, 70), (42, 66), (44, 65), (46, 65), (48, 65)]
    points[[13, 312, 311, 310, 415]] = [(50, 65), (52, 65), (54, 65), (56, 65), (58, 66)]
    points[[308, 324, 318, 402, 317]] = [(60, 70), (58, 74), (56, 75), (54, 75), (52, 75)]
    points[[14, 87, 178, 88, 95]] = [(50, 75), (48, 75), (46, 75), (44, 75), (42, 74)]
    mask = inner_mouth_mask(points, (128, 128))
    assert mask[66:75, 46:55].all()
    assert not mask[:, :40].any() and not mask[:65].any()
    points[[13, 14], 1] = 69, 71  # 0.05 eye distances
    assert not inner_mouth_mask(points, (128, 128)).any()


def test_unlikeness_tells_a_face_from_another() -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra [train] is not installed")
    network = load_perceptual()
    assert network is not None
    own, other = noise(64), cv2.GaussianBlur(noise(64), (7, 7), 2)
    assert unlikeness(network, np.stack([own, own]), own) == pytest.approx(0, abs=1e-5)
    apart = unlikeness(network, np.stack([other]), own)
    assert unlikeness(network, np.stack([own, other]), own) == pytest.approx(apart / 2, rel=1e-4)
    assert apart > 0.1


def test_a_recognizer_gives_equal_faces_equal_embeddings_of_length_1(tmp_path: Path) -> None:
    recognizer = Recognizer(write_recognizer(tmp_path / "r.onnx"))
    face, other = noise(112), noise(112)
    embedding = recognizer(face)
    assert embedding.shape == (16,)
    assert np.linalg.norm(embedding) == pytest.approx(1)
    assert embedding_cosine(embedding, recognizer(face)) == pytest.approx(1)
    assert embedding_distance(embedding, recognizer(face)) == pytest.approx(0, abs=1e-3)
    cosine = embedding_cosine(embedding, recognizer(other))
    assert cosine < 0.9
    assert embedding_distance(embedding, recognizer(other)) == pytest.approx(
        math.sqrt(2 - 2 * cosine), abs=1e-5
    )


def test_a_recognizer_sees_red_first_and_is_given_the_numbers_that_it_wants(tmp_path: Path) -> None:
    plain = Recognizer(write_recognizer(tmp_path / "arcface.onnx"))
    own = Recognizer(write_recognizer(tmp_path / "sface.onnx", scales_itself=True))
    assert (plain.scaling, own.scaling) == ("unit", "levels")
    face = noise(112)
    np.testing.assert_allclose(plain(face), own(face), atol=1e-5)
    weights = np.random.default_rng(0).normal(0, 588**-0.5, (588, 16))
    blocks = (face.astype(float) / 127.5 - 1).reshape(14, 8, 14, 8, 3).mean((1, 3)).transpose(2, 0, 1).ravel()
    expected = blocks @ weights
    np.testing.assert_allclose(plain(face), expected / np.linalg.norm(expected), atol=1e-3)


def test_a_file_that_is_no_recognizer_is_named(tmp_path: Path) -> None:
    page, damaged = tmp_path / "page.onnx", tmp_path / "cut.onnx"
    page.write_text("<html>")
    damaged.write_bytes(write_recognizer(tmp_path / "r.onnx").read_bytes()[:-9000])
    for path in (page, damaged):
        with pytest.raises(WeightsError, match=rf"{path.name} is no ONNX network"):
            Recognizer(path)
    with pytest.raises(WeightsError, match=r"small\.onnx takes no face of 3 x 112 x 112"):
        Recognizer(write_recognizer(tmp_path / "small.onnx", side=96))
    with pytest.raises(WeightsError, match="gives 1x3x14x14 numbers, no embedding"):
        Recognizer(write_recognizer(tmp_path / "map.onnx", embeds=False))
    with pytest.raises(WeightsError, match="can't open"):
        Recognizer(tmp_path / "missing.onnx")


def test_the_five_points_are_eyes_nose_and_mouth() -> None:
    points = np.zeros((468, 2))
    points[[33, 133, 159, 145]] = [(30, 40), (40, 40), (35, 38), (35, 42)]
    points[[263, 362, 386, 374]] = [(80, 40), (70, 40), (75, 38), (75, 42)]
    points[4], points[61], points[291] = (55, 60), (40, 80), (70, 80)
    assert five_points(points).tolist() == [[35, 40], [75, 40], [55, 60], [40, 80], [70, 80]]
    assert (TEMPLATE[:2, 1] < TEMPLATE[2, 1]).all() and (TEMPLATE[3:, 1] > TEMPLATE[2, 1]).all()

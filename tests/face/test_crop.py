import itertools

import cv2
import numpy as np
import pytest
from face_tools import ODD_BOXES, portrait

from mcnet_cli.errors import UsageError
from mcnet_cli.face import CropBox, Framing, clip_box, crop, crop_box, extents_box, parse_crop


def oval(x: float, y: float, width: float = 80.0, height: float = 100.0) -> np.ndarray:
    """468 points on an ellipse with this middle."""
    angle = np.linspace(0, 2 * np.pi, 468, endpoint=False) + np.pi / 468
    angle[:4] = (0, np.pi / 2, np.pi, 3 * np.pi / 2)
    return np.stack([x + width / 2 * np.cos(angle), y + height / 2 * np.sin(angle)], 1).astype(np.float32)


def test_a_crop_is_framed_as_the_weights_were_trained() -> None:
    box = crop_box(oval(300, 200), Framing(face_height=0.5, center_x=0.5, center_y=0.55))
    assert (box.width, box.height) == pytest.approx((200, 200), rel=1e-4)
    assert (box.x, box.y) == pytest.approx((200, 90), abs=0.1)


def test_the_papers_rule_takes_the_tubes_box_and_a_fifth_more() -> None:
    box = clip_box([oval(300, 200), oval(340, 210)], Framing.PAPER)
    assert (box.width, box.height) == pytest.approx((144, 144), rel=1e-3)  # 1.2 times the width of 120
    assert (box.x + 72, box.y + 72) == pytest.approx((320, 205), abs=0.2)


def test_a_still_heads_clip_has_the_median_frames_box_whatever_single_frames_say() -> None:
    framing = Framing()
    still = [oval(300 + dx, 200, height=100 + dh) for dx, dh in itertools.product((-1, 0, 1), (-1, 0, 1))]
    median, single = clip_box(still, framing), crop_box(oval(300, 200), framing)
    assert (median.x, median.y, median.width) == pytest.approx((single.x, single.y, single.width), abs=0.5)


def test_a_clips_box_is_large_enough_for_the_head_throughout() -> None:
    samples = [oval(200 + 30 * step, 200 + 5 * step) for step in range(9)]
    box = clip_box(samples, Framing())
    assert box.width == box.height
    for points in samples:
        left, top = points.min(0)
        right, bottom = points.max(0)
        assert left - 10 >= box.x - 1e-3
        assert top - 28 >= box.y - 1e-3
        assert right + 10 <= box.x + box.width + 1e-3
        assert bottom + 7 <= box.y + box.height + 1e-3
    assert box.width < 400, "no larger than that takes"


@pytest.mark.parametrize("framing", [Framing(), Framing.PAPER])
def test_the_meshes_extents_are_enough_for_a_clips_box(framing: Framing) -> None:
    samples = [oval(200 + 9 * step, 200) for step in range(5)]
    extents = np.array([[*points.min(0), *points.max(0)] for points in samples], np.float32)
    assert extents_box(extents, framing) == clip_box(samples, framing)


def test_a_point_for_a_face_still_makes_a_box() -> None:
    for framing in (Framing(), Framing.PAPER):
        assert crop_box(np.zeros((468, 2), np.float32), framing).width >= 1


@pytest.mark.parametrize(
    "numbers",
    [
        {"face_height": 0.0},
        {"face_height": float("nan")},
        {"center_x": 1.5},
        {"center_y": -1},
        {"tube_factor": 0.5},
    ],
)
def test_a_senseless_framing_is_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Framing(**numbers)


def test_a_crop_of_the_same_size_is_the_pictures_own_pixels() -> None:
    np.testing.assert_array_equal(
        crop(portrait(), CropBox(40, 30, 256, 256), 256), portrait()[30:286, 40:296]
    )


def test_a_margin_shows_what_is_around_the_box() -> None:
    box = CropBox(40.5, 30.25, 120, 100)
    wide = crop(portrait(), box, 64, margin=16)
    assert wide.shape == (96, 96, 3)
    assert np.abs(wide[16:-16, 16:-16].astype(int) - crop(portrait(), box, 64)).mean() < 1
    around = CropBox(box.x - 30, box.y - 25, 180, 150)
    assert np.abs(wide.astype(int) - crop(portrait(), around, 96)).mean() < 1


def test_beyond_the_picture_a_crop_repeats_the_border() -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 255, (60, 80, 3), np.uint8)
    result = crop(photo, CropBox(-10, 20, 64, 64), 64)
    expected = np.pad(photo, ((0, 24), (10, 0), (0, 0)), mode="edge")[20:84, :64]
    np.testing.assert_array_equal(result, expected)


def test_shrinking_averages_instead_of_picking_pixels() -> None:
    fine = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (512, 512))[..., None].repeat(3, -1)
    result = crop(fine, CropBox(0, 0, 1024, 1024), 64)
    assert np.abs(result.astype(int) - 127).max() <= 2


@pytest.mark.parametrize("side", [150, 199, 200, 333, 601])
def test_a_pixel_of_a_smaller_picture_is_about_the_mean_of_what_it_covers(side: int) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (side, side, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), side / 200)
    photo = np.clip(128 + 4 * (smooth - smooth.mean()), 0, 255).astype(np.uint8)
    means = cv2.resize(photo.astype(np.float32), (100, 100), interpolation=cv2.INTER_AREA)
    error = crop(photo, CropBox(0, 0, side, side), 100) - means
    assert np.abs(error).mean() < 0.25 * np.abs(means - means.mean()).mean()
    assert np.abs(error[-1]).mean() < 0.25 * np.abs(means - means.mean()).mean()  # the edge is no other place


@pytest.mark.parametrize("box", ODD_BOXES)
def test_boxes_of_any_place_and_size_can_be_cut_out(box: CropBox) -> None:
    face = crop(portrait(), box, 64)
    assert face.shape == (64, 64, 3)
    assert face.dtype == np.uint8


@pytest.mark.parametrize("shape", [(1, 1), (1, 40000), (40000, 1)])
def test_pictures_of_odd_shapes_can_be_cropped(shape: tuple[int, int]) -> None:
    assert (crop(np.full((*shape, 3), 77, np.uint8), CropBox(-3, -3, 64, 64), 32) == 77).all()


def test_crop_options_are_read() -> None:
    assert parse_crop("--source-crop", "auto") == "auto"
    assert parse_crop("--source-crop", "none") == "none"
    assert parse_crop("--source-crop", "-10,20.5,300,310") == CropBox(-10, 20.5, 300, 310)


@pytest.mark.parametrize(
    "text", ["", "face", "1,2,3", "1,2,3,4,5", "0,0,0,10", "0,0,10,-1", "nan,0,9,9", "0,0,inf,9"]
)
def test_a_crop_that_is_none_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="is no crop"):
        parse_crop("--source-crop", text)


def test_the_enlarged_crop_is_smooth() -> None:
    small = cv2.resize(portrait(), (64, 64), interpolation=cv2.INTER_AREA)
    large = crop(small, CropBox(0, 0, 64, 64), 256)
    assert np.abs(np.diff(large.astype(int), axis=1)).max() < 120

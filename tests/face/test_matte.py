"""The person's share of each pixel."""

import cv2
import numpy as np
import pytest
from face_tools import portrait, portrait_face

from mcnet_cli.face import Framing, crop_box, person_matte
from mcnet_cli.face.matte import _look, with_ears


def matte_of(photo: np.ndarray, scale: float = 1.0, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    box = crop_box(portrait_face().points, Framing())
    centre = (box.x + box.width / 2) * scale + shift[0], (box.y + box.height / 2) * scale + shift[1]
    return person_matte(photo, centre, box.width * scale)


def test_a_face_is_the_persons_and_the_corners_beside_it_are_not() -> None:
    matte = matte_of(portrait())
    assert matte.shape == portrait().shape[:2]
    assert matte.min() >= 0 and matte.max() <= 1
    (left, top), (right, bottom) = portrait_face().points.min(0), portrait_face().points.max(0)
    assert matte[int(top) : int(bottom), int(left) : int(right)].mean() > 0.95
    assert matte[:60, :60].mean() < 0.05 and matte[:60, -60:].mean() < 0.05


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_size_of_a_photo_hardly_shows(scale: float) -> None:
    side = round(portrait().shape[0] * scale)
    photo = cv2.resize(portrait(), (side, side), interpolation=cv2.INTER_AREA)
    small = cv2.resize(matte_of(photo, scale), (512, 512), interpolation=cv2.INTER_AREA)
    assert np.abs(small - matte_of(portrait())).mean() < 0.03


def test_a_small_person_in_a_large_photo_is_seen_by_a_second_look() -> None:
    wide = np.pad(portrait(), ((700, 0), (900, 900), (0, 0)), constant_values=120)
    part = matte_of(wide, shift=(900, 700))[700:, 900:-900]
    box = crop_box(portrait_face().points, Framing())
    near = slice(0, int(box.y + 1.3 * box.height)), slice(int(box.x), int(box.x + box.width))
    assert np.abs(part - matte_of(portrait()))[near].mean() < 0.08


def test_a_photo_of_nobody_has_nobody() -> None:
    y, x = np.mgrid[0:300, 0:400]
    sky = np.stack([90 + x / 8, 120 + y / 6, np.full_like(x, 200)], -1).astype(np.uint8)
    assert person_matte(sky, (200, 150), 200).mean() < 0.05


def face_of_ears() -> tuple[np.ndarray, np.ndarray]:
    """A matte of a square head, and points of a mesh whose ears are at 60 and 140."""
    points = np.full((468, 2), 100.0)
    points[234], points[454] = (60, 100), (140, 100)
    matte = np.zeros((200, 200), np.float32)
    matte[60:140, 50:150] = 1
    return matte, points


def test_notches_are_closed_at_the_ears_alone() -> None:
    matte, points = face_of_ears()
    matte[96:104, 140:150] = 0  # in an ear
    matte[60:70, 96:104] = 0  # in the hair
    mended = with_ears(matte, points, matte.__getitem__)
    assert mended[97:103, 140:146].min() > 0.9
    assert mended[60:69, 97:103].max() == 0
    assert np.array_equal(mended[matte == 1], matte[matte == 1])
    assert mended[:, 160:].max() == 0 and mended[:, :40].max() == 0


def test_ears_that_another_look_shows_are_there_and_nothing_else_of_it() -> None:
    whole, points = face_of_ears()
    matte = whole.copy()
    matte[:, 140:] = 0  # the ear is overlooked
    whole[:, 30:] = 1
    mended = with_ears(matte, points, whole.__getitem__)
    assert mended[90:110, 140:150].min() > 0.9
    assert np.array_equal(mended[:50], matte[:50])
    assert mended[:, 170:].max() == 0


def test_a_mirrored_look_says_what_is_said_of_the_mirror_image() -> None:
    photo = portrait()
    side, width = 300.0, photo.shape[1]
    mirrored, plain = (_look(photo, (80.0, 60.0), side, mirrored=which) for which in (True, False))
    of_mirror = _look(np.ascontiguousarray(photo[:, ::-1]), (width - 80.0 - side, 60.0), side)[:, ::-1]
    seen = slice(60, 360), slice(80, 380)
    assert np.abs(mirrored - of_mirror)[seen].mean() < 0.25 * np.abs(mirrored - plain)[seen].mean()

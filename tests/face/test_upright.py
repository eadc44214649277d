"""Faces that lie on their side or stand on their heads: how far they are turned, and turning them upright."""

import numpy as np
import pytest
from face_tools import detector, mesh, portrait, portrait_face, scene
from face_tools import turned as rotated

from mcnet_cli.face import (
    ROLL_POINTS,
    CropBox,
    crop,
    faces_in,
    remaining_roll_deg,
    roll_deg,
    rolled_box,
    rolled_points,
    turned,
    turned_box,
    turned_points,
    turned_size,
    upright_turns,
)


@pytest.mark.parametrize("turns", [-1, 0, 1, 2, 3])
def test_points_and_boxes_turn_as_pictures_do(turns: int) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (30, 50, 3), np.uint8)
    after = turned(picture, turns)
    assert turned_size((50, 30), turns) == after.shape[1::-1]
    moved = turned_points(np.array([[7.5, 12.5]], np.float32), turns, (50, 30))
    x, y = np.floor(moved[0]).astype(int)
    assert (after[y, x] == picture[12, 7]).all()
    box = CropBox(5, 10, 20, 8)
    around = turned_box(box, turns, (50, 30))
    seen = after[int(around.y) : int(around.y + around.height), int(around.x) : int(around.x + around.width)]
    assert np.array_equal(seen, turned(picture[10:18, 5:25], turns))
    assert turned_box(around, -turns, turned_size((50, 30), turns)) == box


def test_a_square_looks_upright_in_a_turned_picture() -> None:
    box = CropBox(140, 30, 180, 180)
    lying = turned(portrait(), 1)
    upright = turned(crop(lying, turned_box(box, 1, (512, 512)), 64), -1)
    assert np.abs(upright.astype(int) - crop(portrait(), box, 64)).mean() < 1


def test_a_square_is_turned_upright_with_what_a_rolled_picture_shows() -> None:
    box, rolled = CropBox(140, 30, 180, 180), rotated(portrait(), -25)  # about (225, 122)
    aside, below = np.array([[235.0, 122.0]]), np.array([[225.0, 132.0]])
    assert rolled_points(aside, 90, (450, 244)) == pytest.approx(below)
    around = rolled_box(box, 25, (450, 244))
    upright = crop(rolled, around, 64, roll_deg=25)
    assert np.abs(upright.astype(int) - crop(portrait(), box, 64)).mean() < 3


@pytest.mark.parametrize(
    "mean, turns, remains",
    [(20, 0, 0), (-28, 0, 0), (40, 0, 40), (-15, 1, -15), (4, 1, 0), (-4, 2, 0), (-44, 2, -44), (12, 3, 12)],
)
def test_the_cameras_roll_is_what_no_head_is_tilted_by(mean: float, turns: int, remains: float) -> None:
    assert remaining_roll_deg(mean, turns) == pytest.approx(remains)


@pytest.mark.parametrize("degrees", [-170, -90, -30, 0, 44, 100, 180])
def test_the_roll_of_a_face_is_how_far_it_was_turned(degrees: float) -> None:
    radians = np.radians(degrees)
    turn = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
    before = portrait_face().points
    points = before @ turn
    measured = roll_deg(points[list(ROLL_POINTS)]) - roll_deg(before[list(ROLL_POINTS)])
    assert (measured - degrees + 180) % 360 - 180 == pytest.approx(0, abs=0.01)
    left = (degrees - 90 * upright_turns(points) + 180) % 360 - 180
    assert abs(left) <= 46, "half a quarter turn, and the portrait's own roll"


@pytest.mark.parametrize("degrees", [60, 90, 135, 180, -120])
def test_a_face_is_found_the_right_way_round_at_every_angle(degrees: float) -> None:
    (found,) = faces_in(rotated(portrait(), degrees), detector(), mesh())
    radians = np.radians(degrees)
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    expected = (portrait_face().points - (225.5, 122.5)) @ turn + (225.5, 122.5)
    assert np.abs(found.points - expected).mean() < 0.02 * np.ptp(portrait_face().points[:, 1])


def test_a_face_is_found_where_pixels_are_twice_as_wide_as_high() -> None:
    stored = scene(160, 320, [(40, 106, 40)])  # its face is 18 by 20 pixels
    (found,) = faces_in(np.repeat(stored, 2, axis=1), detector(), mesh())
    assert np.abs(found.points.mean(0) - (2 * 60, 127)).max() < 8

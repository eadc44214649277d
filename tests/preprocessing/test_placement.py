"""Where a clip's square lies, and what is kept on disk around it."""

import os
from pathlib import Path

import numpy as np
import pytest
from face_tools import portrait_face, scene

from mcnet_cli.face import Framing, resample
from mcnet_cli.preprocessing.crop_buffer import CropBuffer
from mcnet_cli.preprocessing.placement import (
    corners,
    fixed_placement,
    following_placements,
    inverse,
    level_placement,
    share_outside,
    side_px,
)
from mcnet_cli.preprocessing.request import Settings

POINTS = portrait_face().points.astype(np.float64)


def extents(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points.min(-2), points.max(-2)], -1)


def moved(square: np.ndarray, dx: float) -> np.ndarray:
    return np.array([[*square[0, :2], square[0, 2] + dx], square[1]])


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (points - points.mean(-2, keepdims=True)) @ np.array([[cos, sin], [-sin, cos]]) + points.mean(
        -2, keepdims=True
    )


def test_a_level_square_is_the_plain_one_where_the_eyes_are_level() -> None:
    eyes = POINTS[263] - POINTS[33]
    level = turned(POINTS, -float(np.degrees(np.arctan2(eyes[1], eyes[0]))))[None]
    plain = fixed_placement(extents(level), Framing(), 256)
    assert np.allclose(level_placement(level, Framing(), 256), plain, atol=0.5), "which is of whole pixels"


@pytest.mark.parametrize("degrees", [-170, -40, 10, 90])
def test_a_level_square_turns_with_the_face(degrees: float) -> None:
    points = turned(POINTS, degrees)[None]
    back = inverse(level_placement(points, Framing(), 256))
    seen = points[0] @ back[:, :2].T + back[:, 2]
    assert abs(seen[263, 1] - seen[33, 1]) < 1e-6
    assert seen[263, 0] > seen[33, 0]
    assert np.ptp(seen[:, 1]) == pytest.approx(0.53 * 256)


def test_a_followed_face_keeps_its_place_and_size_and_frames_without_it_lie_between() -> None:
    step = np.array([3.0, -1.0])
    track = np.stack([POINTS * (1 + 0.01 * t) + step * t for t in range(40)])
    track[20:23] = np.nan
    placements = following_placements(track, Framing(), 256)
    seen = []
    for points, placement in zip(track, placements, strict=True):
        back = inverse(placement)
        seen.append(points @ back[:, :2].T + back[:, 2])
    middle = np.stack(seen)[10:20]
    assert np.ptp(middle[:, 1], axis=0).max() < 1
    steps = np.diff(placements[:, :, 2], axis=0)[12:30]
    assert np.abs(steps - steps.mean(0)).max() < 0.2


def test_an_opening_mouth_does_not_move_a_followed_face() -> None:
    talking = np.stack([POINTS] * 2)
    chin = POINTS[:, 1] > POINTS[13, 1]
    talking[1, chin, 1] += 15
    before, after = (following_placements(points[None], Framing(), 256) for points in talking)
    assert np.allclose(before, after)


def test_the_share_outside_is_an_areas() -> None:
    square = np.array([[1.0, 0, -64], [0, 1.0, 0]])
    assert share_outside(square, 256, (1000, 1000)) == pytest.approx(0.25, abs=0.02)
    assert share_outside(square, 256, (128, 1000)) == pytest.approx(0.5, abs=0.02)
    assert share_outside(moved(square, 64), 256, (1000, 1000)) == 0


def test_what_is_kept_of_a_face_is_exact_and_has_no_name(tmp_path: Path) -> None:
    square = np.array([[0.5, 0, 100], [0, 0.5, 60]])
    frames = [scene(320, 240, [(60 + t, 40, 150)]) for t in range(3)]
    buffer = CropBuffer(square, Settings(size=256), (320, 240), tmp_path)
    for picture in frames:
        buffer.add(picture)
    assert os.listdir(tmp_path) == []
    offset = -buffer.transform(0)[:, 2].astype(int)
    for (kept,), picture in zip(buffer.pictures(3), frames, strict=True):
        height, width = kept.shape[:2]
        assert (kept == picture[offset[1] : offset[1] + height, offset[0] : offset[0] + width]).all()
    buffer.close()


def test_a_large_face_is_kept_at_twice_the_clips_resolution(tmp_path: Path) -> None:
    square = np.array([[8.0, 0, 500], [0, 8.0, 200]])
    buffer = CropBuffer(square, Settings(size=64), (1920, 1080), tmp_path)
    buffer.add(scene(1920, 1080, []))
    ((kept,),) = buffer.pictures(1)
    assert kept.shape[0] < 1080 / 3
    combined = buffer.to_clip(square, 0)
    shown = np.vstack([np.column_stack([combined]), [0, 0, 1]]) @ np.vstack([buffer.transform(0), [0, 0, 1]])
    assert np.allclose(shown[:2], inverse(square))
    buffer.close()


def test_a_square_is_held_if_all_that_it_shows_of_the_frame_is_kept(tmp_path: Path) -> None:
    square = np.array([[0.5, 0, 20], [0, 0.5, 60]])
    buffer = CropBuffer(square, Settings(size=256), (640, 480), tmp_path)
    assert buffer.holds(square)
    assert buffer.holds(moved(square, -100)), "beyond the frame there is nothing to keep"
    assert not buffer.holds(moved(square, 100))
    assert not buffer.holds(square * 2)
    assert corners(square, 256).tolist() == [[20, 60], [148, 60], [148, 188], [20, 188]]
    assert side_px(square, 256) == 128
    buffer.close()


@pytest.mark.parametrize("pixel", [0.5, 1.0, 1.375])
@pytest.mark.parametrize("corner", [(100, 60), (-40, -30), (250, 180), (100.5, 60), (-200, 60)])
def test_a_square_of_whole_pixels_looks_as_if_it_were_warped(
    corner: tuple[float, float], pixel: float, tmp_path: Path
) -> None:
    square = np.array([[pixel, 0, corner[0]], [0, pixel, corner[1]]])
    picture = scene(320, 240, [(60, 40, 150)])
    buffer = CropBuffer(square, Settings(size=256), (320, 240), tmp_path)
    buffer.add(picture)
    (kept,) = buffer.pictures(1)
    cropped = buffer.cropped(kept, 0, square).astype(int)
    warped = resample(picture, inverse(square), (256, 256))
    assert np.abs(cropped - warped).mean() < 1
    assert np.abs(cropped - warped)[4:-4, 4:-4].max() < 16
    buffer.close()

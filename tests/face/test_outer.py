"""Points beyond the face mesh: placed by the head's pose in one picture, by optical flow through a clip."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mcnet_cli.face import OUTER, OuterTracker, numbered, with_outer
from mcnet_cli.face.outer import ARC_DEG, BODY, CENTRE, RADII, average_face, near_segment, together

Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]
CHIN, CROWN = 152, OUTER[2]
HEIGHT = 130.0  # of the face in pixels
CHIN_ROW = 205
SHOULDERS, SKULL = list(OUTER[-2:]), list(OUTER[:5])
FACE = (average_face()[:, :2] * HEIGHT + (128, 135)).astype(np.float32)
TWINS = (4, 3, 2, 1, 0, 6, 5, 7, 9, 8)


def seen(points: Floats, turn_deg: tuple[float, float, float], scale: float, shift: Floats) -> Floats:
    """(N, 3) points, turned, in the picture."""
    rotation, _ = cv2.Rodrigues(np.radians(np.array(turn_deg)))
    return scale * (points @ rotation.T)[:, :2] + shift


@pytest.mark.parametrize("turn_deg", [(0, 0, 0), (20, 0, 0), (0, 35, 0), (-10, 15, 30)])
def test_the_skull_turns_with_the_face(turn_deg: tuple[float, float, float]) -> None:
    angle = np.radians(ARC_DEG)
    arc = np.stack([RADII[0] * np.sin(angle), -RADII[1] * np.cos(angle), np.zeros(len(angle))], axis=-1)
    view = turn_deg, 150.0, np.array([128.0, 140.0])
    found = with_outer(seen(average_face(), *view))
    np.testing.assert_allclose(
        found[list(OUTER)], seen(np.concatenate([CENTRE + arc, BODY]), *view), atol=1e-6
    )


def test_landmarks_stay_what_they_are() -> None:
    points = average_face()[:, :2].astype(np.float32)
    found = with_outer(points)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:468], points)


def test_an_open_mouth_leaves_the_skull_where_it_is() -> None:
    closed = average_face()[:, :2]
    opened = closed.copy()
    opened[closed[:, 1] > 0.25, 1] += 0.1
    np.testing.assert_array_equal(with_outer(opened)[list(OUTER)], with_outer(closed)[list(OUTER)])
    assert with_outer(opened)[CHIN, 1] > closed[CHIN, 1]


def test_in_a_nod_the_crown_moves_otherwise_than_the_forehead() -> None:
    """What landmarks on the face alone can't tell."""
    neck = np.array([0.0, 0.6, 0.7])
    before, after = (
        with_outer(seen(average_face() - neck, (turn, 0, 0), 1.0, np.zeros(2))) for turn in (0, 20)
    )
    forehead, crown = after[10] - before[10], after[CROWN] - before[CROWN]
    assert np.linalg.norm(forehead - crown) > 0.05


def test_a_mirrored_face_has_a_mirrored_skull() -> None:
    points = seen(average_face(), (5, 25, 10), 1.0, np.zeros(2))
    twins = average_face() * (-1, 1, 1)
    order = np.linalg.norm(average_face()[:, None] - twins, axis=-1).argmin(1)
    mirrored = with_outer(points[order] * (-1, 1))
    np.testing.assert_allclose(
        mirrored[list(OUTER)] * (-1, 1), with_outer(points)[[OUTER[twin] for twin in TWINS]], atol=2e-3
    )


def test_many_frames_are_as_one_by_one() -> None:
    frames = np.stack([seen(average_face(), (0, turn, 0), 99.0, np.zeros(2)) for turn in (0, 10, 20)])
    np.testing.assert_allclose(with_outer(frames), np.stack([*map(with_outer, frames)]))
    np.testing.assert_array_equal(numbered(frames, (1, CROWN)), with_outer(frames)[:, [1, CROWN]])


def texture(seed: int) -> Picture:
    """Soft blotches, as flow likes them."""
    noise = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), np.uint8)
    return cv2.resize(noise, (256, 256), interpolation=cv2.INTER_CUBIC)


def moved(picture: Picture, head: tuple[float, float], body: tuple[float, float]) -> Picture:
    """What is above the chin goes one way, what is below another."""
    parts = [
        cv2.warpAffine(
            picture, np.array([[1, 0, x], [0, 1, y]], float), (256, 256), borderMode=cv2.BORDER_REFLECT
        )
        for x, y in (head, body)
    ]
    parts[0][CHIN_ROW:] = parts[1][CHIN_ROW:]
    return parts[0]


def test_shoulders_stay_behind_when_the_head_moves() -> None:
    track, picture = OuterTracker(), texture(0)
    start = track(picture, FACE)
    end = track(moved(picture, (6, 2), (-4, 1)), FACE + np.float32([6, 2]))
    assert end.dtype == FACE.dtype
    np.testing.assert_array_equal(start, with_outer(FACE))
    np.testing.assert_array_equal(end[:468], FACE + np.float32([6, 2]))
    np.testing.assert_allclose(end[SHOULDERS] - start[SHOULDERS], [[-4, 1]] * 2, atol=0.5)
    np.testing.assert_allclose(end[SKULL] - start[SKULL], [[6, 2]] * 5, atol=0.5)


def test_a_head_that_turns_and_comes_nearer_takes_all_along() -> None:
    track, picture = OuterTracker(), texture(0)
    turn = cv2.getRotationMatrix2D((128, 128), 15, 1.2)
    start = track(picture, FACE)
    end = track(
        cv2.warpAffine(picture, turn, (256, 256)), (FACE @ turn[:, :2].T + turn[:, 2]).astype(np.float32)
    )
    np.testing.assert_allclose(end[SKULL], start[SKULL] @ turn[:, :2].T + turn[:, 2], atol=0.7)


def test_nothing_drifts_in_a_long_shot() -> None:
    track, picture = OuterTracker(), texture(0)
    start = track(picture, FACE)
    for step in range(40):
        shift = 6 * np.sin(step / 3)
        track(moved(picture, (shift, 0), (-shift, 0)), FACE + np.float32([shift, 0]))
    np.testing.assert_allclose(track(picture, FACE), start, atol=0.2)


def test_another_shot_starts_anew() -> None:
    track = OuterTracker()
    track(texture(0), FACE)
    track(moved(texture(0), (0, 0), (8, 0)), FACE)
    other = FACE + np.float32([10, -5])
    np.testing.assert_array_equal(track(texture(1), other), with_outer(other))
    after = track(moved(texture(1), (0, 0), (5, 0)), other)
    np.testing.assert_allclose((after - with_outer(other))[SHOULDERS], [[5, 0]] * 2, atol=0.5)


def test_what_changes_slowly_is_followed_all_the_way() -> None:
    """In the end nothing is left of the first frame; that the shoulders have moved isn't forgotten."""
    track = OuterTracker()
    start = track(texture(0), FACE)
    old, new = (moved(texture(seed), (0, 0), (7, 0)) for seed in (0, 1))
    for share in np.linspace(0, 1, 16):
        end = track(cv2.addWeighted(old, 1 - share, new, share, 0), FACE)
    np.testing.assert_allclose((end - start)[SHOULDERS], [[7, 0]] * 2, atol=2.5)


def test_a_flat_picture_is_no_error() -> None:
    track, flat = OuterTracker(), np.full((256, 256, 3), 90, np.uint8)
    track(flat, FACE)
    assert np.isfinite(track(flat, FACE + np.float32([3, 0]))).all()
    point = np.zeros_like(FACE)
    assert np.isfinite(track(flat, point)).all()


def test_what_flow_makes_of_nothing_leads_no_point_astray() -> None:
    """Shoulders under the picture's edge, where only the border repeats: they stay or go with the head."""
    track, picture = OuterTracker(), texture(0)[:CHIN_ROW]
    start = track(picture, FACE)
    for step in range(1, 12):
        shift = np.float32([step, 0])
        end = track(moved(texture(0), (step, 0), (9 * (-1) ** step, 0))[:CHIN_ROW], FACE + shift)
        moves = (end - start)[SHOULDERS]
        assert (np.abs(moves - shift / 2) < shift / 2 + 0.1 * HEIGHT).all()


def test_points_between_staying_and_going_along_are_left_alone() -> None:
    start, end = np.zeros((4, 2)), np.array([[10.0, 0]] * 4)
    points = np.array([[5.0, 1], [5, 9], [-4, 0], [13, 0]])
    near = near_segment(points, start, end, 2.0)
    np.testing.assert_allclose(near, [[5, 1], [5, 2], [-2, 0], [12, 0]])


def test_a_skull_is_hardly_bent() -> None:
    """Dark hair without structure: flow is wrong at a point, which would tear the hair."""
    rigid = np.array([[0.0, 0], [1, 0], [2, 0], [3, 0], [4, 0]])
    followed = rigid + np.array([[0, -14], [0, -5], [1, -5], [0, -5], [-2, -5]])
    bent = together(followed, rigid, 1.5) - rigid
    np.testing.assert_allclose(bent, [[0, -6.5], [0, -5], [1, -5], [0, -5], [-1.5, -5]])

"""The points beyond the mesh follow the pose that it shows, and nothing else."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mcnet_cli.face import OUTER, numbered, with_outer
from mcnet_cli.face.outer import ARC_DEG, BODY, CENTRE, RADII, average_face

Floats = NDArray[np.float64]
CHIN, CROWN = 152, OUTER[2]
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

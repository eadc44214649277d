"""Points beyond the face mesh: where its pose says that the skull, the hair and the shoulders are.

The face mesh ends at the forehead and the chin. Hair goes with the skull, which turns about the neck: its top
moves otherwise than the forehead does, and a motion that is only known below it can't tell how. Where these
points move from there, `outer_track` sees.

average_face.npy was made by this project: what MediaPipe's first face mesh measured in 38 frontal frames of
many people with closed mouths, aligned, averaged and made symmetric, in ten-thousandths of the mesh's height.
On upper faces of the attention mesh, which replaced that one, its points are off by 1.1 % of the height on
average (0.9 % before); 0.5 % (0.4 %) are the same for all people.
"""

import functools
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face.topology import MESH_POINTS, OUTER

Points = NDArray[Any]

UNITS = 10_000
ARC_DEG = (-72, -36, 0, 36, 72)  # of the skull's points from the crown, the picture's left first
CENTRE = np.array([0.0, -0.25, 0.72])
RADII = np.array([0.48, 0.55])
# Hair beside the face, the neck, the shoulders, the picture's left first.
BODY = np.array([(-0.54, 0.3, 0.72), (0.54, 0.3, 0.72), (0, 0.7, 0.3), (-0.5, 0.78, 0.3), (0.5, 0.78, 0.3)])
MESH = tuple(range(MESH_POINTS))
LOWEST = 0.18  # the mesh's points below move with the jaw


@functools.cache
def average_face() -> NDArray[np.float64]:
    """(468, 3) in heights of the mesh; x grows to the picture's right, y down, z away from the viewer.

    The origin is the middle of the mesh's height, at the tip of the nose in depth.
    """
    with (files(__package__) / "average_face.npy").open("rb") as file:
        points: NDArray[np.float64] = np.load(file).astype(np.float64) / UNITS
    return points


def with_outer(points: Points) -> Points:
    """(..., 468, 2) landmarks of whatever unit to (..., 478, 2): the outer points follow.

    Of the landmarks' type.
    """
    return np.concatenate([points, posed_outer(points, MESH).astype(points.dtype)], axis=-2)


def posed_outer(points: Points, numbers: tuple[int, ...]) -> NDArray[np.float64]:
    """(..., 10, 2) the outer points, from (..., N, 2) points with these numbers of the mesh.

    Numbers beyond the mesh don't count. The average face is laid on the points of the upper face by scaled
    orthographic projection, in the least-squares sense, and the outer points with it.
    """
    places, inverse, outer = _model(numbers)
    seen = points[..., places, :].astype(np.float64)
    middle = seen.mean(-2, keepdims=True)
    affine = np.swapaxes(inverse @ (seen - middle), -1, -2)
    left, scales, right = np.linalg.svd(affine, full_matrices=False)
    projection = scales.mean(-1)[..., None, None] * (left @ right)
    found: NDArray[np.float64] = outer @ np.swapaxes(projection, -1, -2) + middle
    return found


def numbered(points: Points, numbers: tuple[int, ...]) -> Points:
    """(..., N, 2) the landmarks with these numbers of (..., 468, 2), the outer ones included."""
    return with_outer(points)[..., list(numbers), :]


def upper_face() -> NDArray[np.intp]:
    """Numbers of the mesh's points that keep their places while the mouth moves."""
    return _model(MESH)[0]


@functools.cache
def _model(
    numbers: tuple[int, ...],
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """The upper face's places among `numbers`, the pseudo-inverse of its points, and the outer points."""
    places = upper_face_among(numbers)
    upper = head_points(tuple(numbers[place] for place in places))
    middle = upper.mean(0)
    return np.array(places), np.linalg.pinv(upper - middle), head_points(OUTER) - middle


def upper_face_among(numbers: tuple[int, ...]) -> list[int]:
    """Which of points with these numbers keep their places in the face while the mouth moves."""
    face = average_face()
    return [n for n, point in enumerate(numbers) if point < MESH_POINTS and face[point, 1] <= LOWEST]


def head_points(numbers: tuple[int, ...]) -> NDArray[np.float64]:
    """(N, 3) the points with these numbers of an average head, outer ones included, as `average_face`."""
    angle = np.radians(ARC_DEG)
    arc = np.stack([np.sin(angle), -np.cos(angle)], axis=-1) * RADII
    skull = CENTRE + np.concatenate([arc, np.zeros((len(angle), 1))], axis=-1)
    points: NDArray[np.float64] = np.concatenate([average_face(), skull, BODY])[list(numbers)]
    return points

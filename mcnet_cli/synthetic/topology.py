"""The face mesh: its average shape, its named points and its triangles.

Points are (468, 3) in the face mesh's order (Kartynnik et al. 2019). Units are heights of the mesh; x grows
to the picture's right, y down, z away from the viewer. The origin is the middle of the mesh's height, at the
tip of the nose in depth.
"""

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face.outer import average_face

Points = NDArray[np.float64]
Indices = NDArray[np.intp]

COUNT = 468
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
        148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
# Openings: the upper edge and the lower edge, both from the picture's left corner to its right one.
MOUTH = (
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
)
EYES = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
CREASES = ((247, 30, 29, 27, 28, 56, 190), (414, 286, 258, 257, 259, 260, 467))  # above the lids
LIPS = (
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
)
BROWS = (
    ((70, 63, 105, 66, 107), (46, 53, 52, 65, 55)),
    ((336, 296, 334, 293, 300), (285, 295, 282, 283, 276)),
)
NOSE, NOSE_BASE, NOSTRILS, CHIN, FOREHEAD = 1, 2, (98, 327), 152, 10
MOUTH_CORNERS = (61, 291)


def outline(edges: tuple[tuple[int, ...], tuple[int, ...]]) -> list[int]:
    """An opening's edges as one closed polygon."""
    upper, lower = edges
    return [*upper, *lower[-2:0:-1]]


@functools.cache
def template() -> Points:
    """(468, 3) the average face, its mouth closed and its eyes open."""
    points: Points = average_face().copy()
    upper, lower = (list(edge) for edge in MOUTH)
    points[upper] = points[lower] = (points[upper] + points[lower]) / 2
    return points


@functools.cache
def unrolled() -> Points:
    """(468, 2) places in [0, 1] on the face's texture: unrolled like a cylinder, with parted lips."""
    points = template().copy()
    upper, lower = (list(edge) for edge in MOUTH)
    middle = points[upper[5], 1]
    below = np.clip((points[:, 1] - middle) * 200, 0, 1)
    below[lower[1:-1]], below[upper] = 1, 0
    across = np.clip(1 - (np.abs(points[:, 0]) / 0.18) ** 2, 0, 1)
    points[:, 1] += 0.07 * below * across
    angle = np.arctan2(points[:, 0], 0.75 - points[:, 2])
    flat = np.stack([angle / 2.9 + 0.5, points[:, 1] / 1.16 + 0.49], 1)
    return flat


@functools.cache
def triangles() -> tuple[Indices, Indices]:
    """(T, 3) triangles of the skin, and those that fill the mouth and the eyes."""
    flat = unrolled().astype(np.float32)
    plane = cv2.Subdiv2D((-1, -1, 3, 3))
    for x, y in flat.tolist():
        plane.insert((x, y))
    numbers = {tuple(place): number for number, place in enumerate(flat.tolist())}
    corners = np.asarray(plane.getTriangleList()).reshape(-1, 3, 2).tolist()
    found = [[numbers.get(tuple(corner), -1) for corner in triangle] for triangle in corners]
    every = np.array([triangle for triangle in found if -1 not in triangle], np.intp)
    middles = flat[every].mean(1)
    holes = [flat[outline(edges)] for edges in (MOUTH, *EYES)]
    inside = np.array(
        [any(cv2.pointPolygonTest(hole, tuple(map(float, m)), False) > 0 for hole in holes) for m in middles]
    )
    oval = flat[list(OVAL)]
    within = np.array([cv2.pointPolygonTest(oval, tuple(map(float, m)), False) >= 0 for m in middles])
    return facing(every[~inside & within], flat), facing(every[inside], flat)


def facing(faces: Indices, flat: NDArray[np.float32]) -> Indices:
    """(T, 3) triangles that run clockwise in the picture for (N, 2) places of their corners."""
    a, b, c = (flat[faces[:, n]] for n in range(3))
    turn = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    return np.where((turn > 0)[:, None], faces, faces[:, [0, 2, 1]])

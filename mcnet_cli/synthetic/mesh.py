"""The synthetic face's mesh: a person's own shape, its triangles, and how the head turns.

Points are (468, 3) in the face mesh's order. Units are heights of the mesh; x grows to the picture's right, y
down, z away from the viewer. The origin is the middle of the mesh's height, at the tip of the nose in depth.
"""

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face.expression import NECK, head_rotations, template
from mcnet_cli.face.topology import (
    BROWS,
    CHIN,
    FOREHEAD,
    INNER_LIPS,
    LID_EDGES,
    MOUTH_CORNERS,
    NOSE,
    OVAL,
    outline,
)
from mcnet_cli.framing import Framing
from mcnet_cli.synthetic.identity import Shape

Points = NDArray[np.float64]
Indices = NDArray[np.intp]

OPENINGS = (INNER_LIPS, *LID_EDGES)  # the mouth, the picture's left eye and the other one
VIEWER_DISTANCE = 7.0  # from the tip of the nose, in heights of the mesh
FRAMING = Framing()  # of the mesh in the picture, as training clips have it


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the head is.

    yaw, pitch, roll: degrees; the face turns to the picture's right, nods down, tilts clockwise.
    x, y: moves in sides of the picture. zoom: size; 1 for a mesh as high as FRAMING says.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0


@functools.cache
def unrolled() -> Points:
    """(468, 2) places in [0, 1] on the face's texture: unrolled like a cylinder, with parted lips."""
    points = template().copy()
    upper, lower = (list(edge) for edge in INNER_LIPS)
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
    holes = [flat[list(outline(edges))] for edges in OPENINGS]
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


def shaped(shape: Shape) -> Points:
    """(468, 3) a person's face at rest, one unit high."""
    face = template().copy()
    x, y = face[:, 0].copy(), face[:, 1].copy()
    face[:, 0] *= 1 + shape.width + shape.jaw * np.clip((y - 0.05) / 0.4, 0, 1)
    face[:, 0] *= 1 + shape.cheeks * np.exp(-((y - 0.02) ** 2) / 0.02)
    face[:, 1] += shape.chin * np.clip((y - 0.28) / 0.22, 0, 1)
    face[:, 1] -= shape.forehead * np.clip((-0.3 - y) / 0.2, 0, 1)
    face[:, 2] *= 1 + shape.depth

    nose = _near(face, template()[NOSE], (0.13, 0.12))
    face[:, 0] *= 1 + shape.nose_width * nose
    face[:, 1] += shape.nose_length * nose
    face[:, 2] -= 0.12 * shape.nose_height * nose
    for side, (upper, lower), brow in zip((-1, 1), LID_EDGES, BROWS, strict=True):
        middle = template()[[*upper, *lower]].mean(0)
        near = _near(template(), middle, (0.17, 0.1))
        away = template() - middle
        face[:, 0] += near * (shape.eye_size * away[:, 0] + side * shape.eye_distance)
        face[:, 1] += near * (1.3 * shape.eye_size * away[:, 1] - side * shape.eye_tilt * away[:, 0] / 0.1)
        arch = _near(template(), template()[[*brow[0], *brow[1]]].mean(0), (0.2, 0.06))
        face[:, 1] -= shape.brow_height * arch

    mouth = template()[list(MOUTH_CORNERS)].mean(0)
    near = _near(template(), mouth, (0.22, 0.07))
    face[:, 0] += shape.mouth_width * near * x
    face[:, 1] += shape.lips * _near(template(), mouth, (0.15, 0.05)) * (y - mouth[1])
    face[:, 1] += shape.asymmetry * np.sin(6 * x) * np.exp(-((y - 0.1) ** 2) / 0.1)

    height = face[CHIN, 1] - face[FOREHEAD, 1]
    face[:, 1] -= (face[CHIN, 1] + face[FOREHEAD, 1]) / 2
    unit: Points = face / height
    return unit


def rotation(pose: Pose) -> Points:
    """(3, 3) the head's turn."""
    turn: Points = head_rotations(*np.array([[pose.yaw], [pose.pitch], [pose.roll]]))[0]
    return turn


def posed(points: Points, pose: Pose) -> Points:
    """(N, 3) points of the head after its turn about the neck."""
    turned: Points = (points - NECK) @ rotation(pose).T + NECK
    return turned


def projected(points: Points, pose: Pose, size: int) -> Points:
    """(N, 2) pixels of a picture `size` wide where (N, 3) posed points are seen."""
    nearness = VIEWER_DISTANCE / (VIEWER_DISTANCE + points[:, 2:])
    middle = np.array([FRAMING.center_x + pose.x, FRAMING.center_y + pose.y])
    pixels: Points = (points[:, :2] * nearness * FRAMING.face_height * pose.zoom + middle) * size
    return pixels


def _near(points: Points, middle: Points, reach: tuple[float, float]) -> Points:
    away = (points[:, :2] - middle[:2]) / reach
    near: Points = np.exp(-(away**2).sum(1))
    return near

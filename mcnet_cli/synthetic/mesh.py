"""The synthetic face's mesh: its average shape, a person's own, and how it moves.

Points are (468, 3) in the face mesh's order. Units are heights of the mesh; x grows to the picture's right, y
down, z away from the viewer. The origin is the middle of the mesh's height, at the tip of the nose in depth.
"""

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face.outer import average_face
from mcnet_cli.face.topology import (
    BROWS,
    CHIN,
    FOREHEAD,
    INNER_LIPS,
    LID_CREASES,
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
PIVOT = np.array([0.0, 0.4, 0.68])  # where the neck carries the head
HINGE = np.array([0.0, -0.02, 0.6])  # of the jaw
JAW_DEGREES = 17.0  # at the widest opening
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


@dataclass(frozen=True, slots=True)
class Expression:
    """What the face does.

    mouth: opening in [0, 1]. smile: from -1, drawn down, to 1. rounding: lips together in [0, 1]; negative:
    spread. lids: 0 open, 1 closed. gaze_x, gaze_y: degrees to the picture's right and down, relative to the
    head. brows: from -1, frowning, to 1, raised.
    """

    mouth: float = 0.0
    smile: float = 0.0
    rounding: float = 0.0
    lids: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    brows: float = 0.0


@functools.cache
def template() -> Points:
    """(468, 3) the average face, its mouth closed and its eyes open."""
    points: Points = average_face().copy()
    upper, lower = (list(edge) for edge in INNER_LIPS)
    points[upper] = points[lower] = (points[upper] + points[lower]) / 2
    return points


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
    pitch, yaw, roll = np.radians([pose.pitch, pose.yaw, pose.roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    about_y = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    turn: Points = about_z @ about_y @ about_x
    return turn


def posed(points: Points, pose: Pose) -> Points:
    """(N, 3) points of the head after its turn about the neck."""
    turned: Points = (points - PIVOT) @ rotation(pose).T + PIVOT
    return turned


def projected(points: Points, pose: Pose, size: int) -> Points:
    """(N, 2) pixels of a picture `size` wide where (N, 3) posed points are seen."""
    nearness = VIEWER_DISTANCE / (VIEWER_DISTANCE + points[:, 2:])
    middle = np.array([FRAMING.center_x + pose.x, FRAMING.center_y + pose.y])
    pixels: Points = (points[:, :2] * nearness * FRAMING.face_height * pose.zoom + middle) * size
    return pixels


def expressed(face: Points, expression: Expression) -> Points:
    """(468, 3) points of a face at rest after its expression, before the head turns."""
    points = _with_lips(face, expression)
    points = swung(points, expression.mouth * jaw_share())
    points[list(INNER_LIPS[0][1:-1]), 1] -= 0.012 * expression.mouth
    _move_lids(points, face, expression)
    points[:, 1] -= 0.035 * expression.brows * brow_share()
    return points


def _with_lips(face: Points, expression: Expression) -> Points:
    """The face with its mouth's corners and cheeks moved."""
    points = face.copy()
    left, right = face[list(MOUTH_CORNERS)]
    mouth, half = (left + right) / 2, (right[0] - left[0]) / 2
    away = (face - mouth) / (half * 2.0, half * 1.5, 1)
    near = np.exp(-(away[:, :2] ** 2).sum(1))
    side = np.clip((face[:, 0] - mouth[0]) / half, -1.4, 1.4)
    smile, rounding = expression.smile, expression.rounding
    narrowing = 0.36 * rounding - 0.16 * smile + 0.1 * expression.mouth
    cheeks = np.exp(-((face[:, 1] - mouth[1] + 0.1) ** 2) / 0.03) * np.clip(np.abs(side) - 0.7, 0, 0.7)
    points[:, 0] -= narrowing * near * (face[:, 0] - mouth[0])
    points[:, 1] -= smile * (0.05 * near * side**2 + 0.03 * cheeks)
    points[:, 2] += 0.03 * smile * near * side**2 - 0.03 * max(smile, 0) * cheeks
    points[:, 2] -= 0.05 * max(rounding, 0) * near
    return points


def _move_lids(points: Points, face: Points, expression: Expression) -> None:
    """Closes the lids of `points` by the given shares; face: the points at rest."""
    # The lower lid rises a little to meet the upper one; a smile narrows the eye from below.
    rise = min(0.15 * expression.lids + 0.2 * max(expression.smile, 0), 0.3)
    for (upper, lower), crease in zip(LID_EDGES, LID_CREASES, strict=True):
        gap = face[list(lower)] - face[list(upper)]
        edge = list(upper[1:-1])
        points[list(lower[1:-1])] -= rise * gap[1:-1]
        points[list(upper)] += expression.lids * (1 - rise) * gap
        points[list(crease), 1] += 0.45 * expression.lids * gap[1:-1, 1]
        points[edge, 2] -= 0.012 * np.sin(np.pi * expression.lids)  # around the eyeball
        # The upper lid follows a look up or down.
        points[edge, 1] += 0.0006 * expression.gaze_y * (1 - expression.lids)


def swung(points: Points, opening: Points | float) -> Points:
    """(N, 3) points turned about the jaw's hinge; opening: of the jaw in [0, 1], for all or (N,) for each."""
    swing = np.radians(JAW_DEGREES) * opening
    y, z = points[:, 1] - HINGE[1], points[:, 2] - HINGE[2]
    turned = points.copy()
    turned[:, 1] = HINGE[1] + y * np.cos(swing) - z * np.sin(swing)
    turned[:, 2] = HINGE[2] + y * np.sin(swing) + z * np.cos(swing)
    return turned


@functools.cache
def jaw_share() -> Points:
    """(468,) how much each point goes along when the jaw swings."""
    face = template()
    half = (face[INNER_LIPS[0][-1], 0] - face[INNER_LIPS[0][0], 0]) / 2
    edge = face[list(INNER_LIPS[1])]
    lips = np.interp(face[:, 0], edge[:, 0], edge[:, 1])
    depth = np.clip((face[:, 1] - lips) / (face[CHIN, 1] - lips), -1, 1)
    # At the lips only what lies between the corners moves; at the chin nearly the whole width does.
    reach = half * 1.1 + (0.5 - half * 1.1) * np.clip(depth * 1.4, 0, 1) ** 0.7
    across = np.clip(np.abs(face[:, 0]) / reach, 0, 1)
    share: Points = np.cos(np.pi / 2 * across) ** 0.8
    share[face[:, 1] < lips - 1e-6] = 0
    share[list(INNER_LIPS[0])] = 0
    return share


@functools.cache
def brow_share() -> Points:
    """(468,) how much each point goes along when the brows rise."""
    face = template()
    share = np.zeros(len(face))
    for upper, lower in BROWS:
        middle = face[[*upper, *lower]].mean(0)
        away = (face - middle) / (0.2, 0.09, 1)
        share += np.exp(-(away[:, :2] ** 2).sum(1))
    share[[n for upper, lower in LID_EDGES for n in (*upper, *lower)]] = 0
    return share


def _near(points: Points, middle: Points, reach: tuple[float, float]) -> Points:
    away = (points[:, :2] - middle[:2]) / reach
    near: Points = np.exp(-(away**2).sum(1))
    return near

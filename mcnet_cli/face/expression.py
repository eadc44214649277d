"""Expressions of a face in space: what each does to the face mesh's points, of any person.

Points are (468, 3) in the face mesh's order, upright and seen from the front. Units are heights of the mesh;
x grows to the picture's right, y down, z away from the viewer. The origin is the middle of the mesh's height,
at the tip of the nose in depth.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face.outer import average_face
from mcnet_cli.face.topology import BROWS, CHIN, INNER_LIPS, LID_CREASES, LID_EDGES, MOUTH_CORNERS

Points = NDArray[np.float64]

NECK = np.array([0.0, 0.4, 0.68])  # where it carries the head, which turns about this point
HINGE = np.array([0.0, -0.02, 0.6])  # of the jaw
JAW_DEGREES = 17.0  # at the widest opening


@dataclass(frozen=True, slots=True)
class Expression:
    """What the face does.

    mouth: opening in [0, 1]. smile: from -1, drawn down, to 1. rounding: lips together in [0, 1]; negative:
    spread. lids: 0 as at rest, 1 closed, below 0 wider open. gaze_x, gaze_y: degrees to the picture's right
    and down, relative to the head. brows: from -1, frowning, to 1, raised. right_lids: those of the picture's
    right eye, if they are not as `lids`, which then are the left one's.
    """

    mouth: float = 0.0
    smile: float = 0.0
    rounding: float = 0.0
    lids: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    brows: float = 0.0
    right_lids: float | None = None


@functools.cache
def template() -> Points:
    """(468, 3) the average face, its mouth closed and its eyes open."""
    points: Points = average_face().copy()
    upper, lower = (list(edge) for edge in INNER_LIPS)
    points[upper] = points[lower] = (points[upper] + points[lower]) / 2
    return points


def head_rotations(yaw: Points, pitch: Points, roll: Points) -> Points:
    """(T, 3, 3) turns of a head by (T,) degrees: to the picture's right, nodding down, clockwise."""
    turns = np.zeros((3, len(yaw), 3, 3))
    for turn, degrees, (first, second) in zip(
        turns, (pitch, yaw, roll), ((1, 2), (0, 2), (0, 1)), strict=True
    ):
        angle = np.radians(degrees)
        turn[:] = np.eye(3)
        turn[:, first, first] = turn[:, second, second] = np.cos(angle)
        turn[:, first, second], turn[:, second, first] = -np.sin(angle), np.sin(angle)
    about_x, about_y, about_z = turns
    turned: Points = about_z @ about_y @ about_x
    return turned


def expressed(face: Points, expression: Expression) -> Points:
    """(468, 3) points of a face with an expression, from those at rest; the head doesn't turn."""
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
    right = expression.lids if expression.right_lids is None else expression.right_lids
    for (upper, lower), crease, shut in zip(LID_EDGES, LID_CREASES, (expression.lids, right), strict=True):
        # The lower lid rises a little to meet the upper one; a smile narrows the eye from below.
        rise = min(0.15 * max(shut, 0) + 0.2 * max(expression.smile, 0), 0.3)
        gap = face[list(lower)] - face[list(upper)]
        edge = list(upper[1:-1])
        points[list(lower[1:-1])] -= rise * gap[1:-1]
        points[list(upper)] += shut * (1 - rise) * gap
        points[list(crease), 1] += 0.45 * shut * gap[1:-1, 1]
        points[edge, 2] -= 0.012 * np.sin(np.pi * np.clip(shut, 0, 1))  # around the eyeball
        # The upper lid follows a look up or down.
        points[edge, 1] += 0.0006 * expression.gaze_y * (1 - max(shut, 0))


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
    # At the lips only what lies between their corners moves; at the chin nearly the whole width.
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

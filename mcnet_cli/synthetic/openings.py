"""What is seen through the lids and the lips: eyeballs, teeth, tongue."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.synthetic.identity import Identity
from mcnet_cli.synthetic.motion import HINGE, JAW_DEGREES, Expression, Pose, posed, projected, rotation
from mcnet_cli.synthetic.topology import EYES, LIPS, MOUTH, Points

Colours = NDArray[np.float32]  # (H, W, 3) in [0, 1]
EYEBALL = 0.46  # its radius, relative to the eye's width
IRIS, PUPIL = 0.47, 0.2  # sines of the angles they span about the gaze
GUMS, TONGUE, DARK, TOOTH = (0.5, 0.2, 0.2), (0.62, 0.29, 0.29), (0.13, 0.035, 0.035), (0.9, 0.87, 0.8)


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at: the pose, the expression, the size of the picture, and the light on the head in [0, 1]."""

    pose: Pose
    expression: Expression
    size: int
    light: Points


def eye(
    identity: Identity, face: Points, side: int, lids: Points, box: tuple[slice, slice], view: View
) -> Colours:
    """The eyeball behind the lids. side: 0 for the picture's left eye; lids: (468, 2) pixels; box: rows, columns.

    face: (468, 3) the face at rest, before the head turns.
    """
    upper, lower = EYES[side]
    corners = face[[upper[0], upper[-1]]]
    width = float(np.linalg.norm(corners[1] - corners[0]))
    radius = EYEBALL * width
    middle = face[[*upper, *lower]].mean(0) + (0, 0, 0.8 * radius)
    centre = projected(posed(middle[None], view.pose), view.pose, view.size)[0]
    edge = projected(posed(middle[None], view.pose) + (radius, 0, 0), view.pose, view.size)[0]
    x, y = _pixels(box)
    across, down = (x - centre[0]) / (edge[0] - centre[0]), (y - centre[1]) / (edge[0] - centre[0])
    distance = np.clip(across**2 + down**2, 0, 0.98)
    depth = np.sqrt(1 - distance)
    gaze_x, gaze_y = np.radians([view.expression.gaze_x, view.expression.gaze_y])
    looks = rotation(view.pose) @ [
        np.sin(gaze_x) * np.cos(gaze_y), np.sin(gaze_y), -np.cos(gaze_x) * np.cos(gaze_y)
    ]  # fmt: skip
    cosine = across * looks[0] + down * looks[1] - depth * looks[2]
    angle = np.sqrt(np.clip(1 - cosine**2, 0, 1)) + 2 * (cosine < 0)

    sclera = np.array([0.93, 0.91, 0.90]) - np.array([0.06, 0.16, 0.16]) * distance[..., None] ** 2
    spokes = 0.1 * np.sin(np.arctan2(down - looks[1], across - looks[0]) * 17 + identity.seed)
    ring = np.clip(angle / IRIS, 0, 1)
    iris = np.array(identity.skin.iris) * (1.25 - 0.75 * ring**4 + spokes)[..., None]
    softness = 1.6 / max(edge[0] - centre[0], 1)
    colour = _mixed(sclera, iris, np.clip((IRIS - angle) / softness + 0.5, 0, 1))
    colour = _mixed(colour, np.array([0.02, 0.02, 0.02]), np.clip((PUPIL - angle) / softness + 0.5, 0, 1))
    # The upper lid throws its shadow; the lashes darken its edge.
    top = np.interp(x[0], lids[list(upper), 0], lids[list(upper), 1])
    open_px = max(float(lids[lower[4], 1] - lids[upper[4], 1]), 1.0)
    shade = 0.5 + 0.5 * np.clip((y - top) / (0.45 * open_px), 0, 1)
    colour = colour * shade[..., None] * np.minimum(view.light * 1.05, 1.15)
    key = np.array(identity.scene.key_direction)
    glint = np.array(looks) * 0.75 + np.array([np.sign(key[0]) * 0.16, -0.22, 0])
    spot = np.hypot(across - glint[0], down - glint[1])
    bright = np.clip((0.13 - spot) / softness + 0.5, 0, 1) * (angle < IRIS * 1.3)
    return np.asarray(_mixed(colour, np.array([1.0, 1.0, 1.0]), 0.9 * bright), np.float32)


def mouth(face: Points, lips: Points, box: tuple[slice, slice], view: View) -> Colours:
    """The mouth's inside. lips: (468, 2) pixels; the others as in `eye`."""
    rows, columns = box
    canvas = np.empty((rows.stop - rows.start, columns.stop - columns.start, 3), np.float32)
    canvas[:] = DARK
    left, right = face[LIPS[0][0]], face[LIPS[0][-1]]
    middle, half = (left + right) / 2, (right[0] - left[0]) / 2
    middle = np.array([middle[0], face[MOUTH[0][5], 1], face[MOUTH[0][5], 2]])
    across = np.linspace(-1, 1, 13)
    arch = middle + np.stack([across * half * 0.86, 0 * across, 0.04 + 0.1 * across**2], 1)

    def drawn(points: Points, jaw: bool) -> NDArray[np.int32]:
        if jaw:
            swing = np.radians(JAW_DEGREES * view.expression.mouth)
            lever = points - HINGE
            points = np.stack([
                points[:, 0],
                HINGE[1] + lever[:, 1] * np.cos(swing) - lever[:, 2] * np.sin(swing),
                HINGE[2] + lever[:, 1] * np.sin(swing) + lever[:, 2] * np.cos(swing),
            ], 1)  # fmt: skip
        pixels = projected(posed(points, view.pose), view.pose, view.size)
        return np.rint((pixels - (columns.start, rows.start)) * 16).astype(np.int32)

    def band(top: Points, bottom: Points) -> Points:
        return np.concatenate([arch + np.stack([0 * across, top, 0 * across], 1),
                               (arch + np.stack([0 * across, bottom, 0 * across], 1))[::-1]])  # fmt: skip

    turn = np.linspace(0, 2 * np.pi, 16)[:-1]
    tongue = middle + np.stack([half * 0.62 * np.cos(turn), 0.045 + 0.03 * np.sin(turn), 0 * turn + 0.1], 1)
    cv2.fillPoly(canvas, [drawn(tongue, True)], TONGUE, cv2.LINE_AA, 4)
    bow = 0.012 * across**2
    teeth = (
        (band(0.012 - bow + 0 * across, 0.06 + 0 * across), True, 0.85),
        (band(-0.06 + 0 * across, 0.026 - bow), False, 1.0),
    )
    for outline, jaw, bright in teeth:
        corners = drawn(outline, jaw)
        cv2.fillPoly(canvas, [corners], [bright * c for c in TOOTH], cv2.LINE_AA, 4)
        for n in range(1, len(across) - 1):
            gap = np.stack([corners[n], corners[-1 - n]])
            cv2.polylines(canvas, [gap], False, [0.8 * bright * c for c in TOOTH], 1, cv2.LINE_AA, 4)
    # Darker towards the corners and under the upper lip.
    x, y = _pixels(box)
    edges = lips[list(MOUTH[0])]
    top = np.interp(x[0], edges[:, 0], edges[:, 1])
    reach = max(float(edges[-1, 0] - edges[0, 0]), 1.0)
    open_px = max(float(np.ptp(lips[[*MOUTH[0], *MOUTH[1]], 1])), 1.0)
    shade = 0.45 + 0.55 * np.clip((y - top) / (0.25 * open_px), 0, 1)
    corner = np.clip(1 - np.abs((x - edges[:, 0].mean()) / (0.5 * reach)), 0, 1)
    shade = shade * np.clip(corner * 3, 0.25, 1)
    return np.asarray(canvas * shade[..., None] * np.minimum(view.light, 1), np.float32)


def _pixels(box: tuple[slice, slice]) -> tuple[Points, Points]:
    rows, columns = box
    x, y = np.meshgrid(np.arange(columns.start, columns.stop) + 0.5, np.arange(rows.start, rows.stop) + 0.5)
    return x, y


def _mixed(below: Points, above: Points, share: Points) -> Points:
    mixed: Points = below + share[..., None] * (above - below)
    return mixed

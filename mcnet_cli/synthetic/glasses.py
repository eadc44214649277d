"""Spectacles: rims before the eyes, a bridge, and the temples that run to the ears."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.synthetic.brushes import FIXED_POINT_BITS, fixed
from mcnet_cli.synthetic.identity import Identity
from mcnet_cli.synthetic.motion import posed, projected
from mcnet_cli.synthetic.openings import View
from mcnet_cli.synthetic.topology import EYES, Points

EARS = (234, 454)
VISIBLE_FROM_DEGREES = 4  # of the head's turn, on: a temple is seen from the side


def draw_glasses(colour: NDArray[np.float32], identity: Identity, face: Points, view: View) -> None:
    """Draws them onto a picture (S, S, 3), RGB in [0, 255]. face: (468, 3) at rest, before the head turns."""
    rng = np.random.default_rng([identity.seed, 5])
    shade = rng.uniform(0.03, 0.5) * rng.uniform(0.5, 1.2, 3) * 255
    width, height, squareness = rng.uniform(0.135, 0.165), rng.uniform(0.09, 0.125), rng.uniform(2, 4)
    thickness_px = max(1, round(rng.uniform(0.003, 0.01) * view.size))
    rim = _rim(width, height, squareness)
    lines, noses = [], []
    for side, (upper, lower), ear in zip((-1, 1), EYES, EARS, strict=True):
        middle = face[[*upper, *lower]].mean(0) + np.array([side * 0.01, 0.01, -0.07])
        lines.append(middle + rim)
        noses.append(middle - np.array([side * width, 0.02, 0]))
        if -side * view.pose.yaw > VISIBLE_FROM_DEGREES:
            temple = [middle + rim[0] * (side, 1, 1), face[ear] + np.array([side * 0.04, -0.09, 0.02])]
            temple[0][1] -= 0.03
            lines.append(np.array(temple))
    bridge = np.linspace(0, 1, 7)[:, None]
    bow = np.sin(np.pi * bridge) * (0, 0.015, 0.02)
    lines.append(noses[0] + bridge * (noses[1] - noses[0]) - bow)
    lit = shade * np.minimum(view.light, 1.1)
    for line in lines:
        pixels = projected(posed(line, view.pose), view.pose, view.size)
        line_px = [fixed(pixels - 0.5)]
        cv2.polylines(colour, line_px, False, lit.tolist(), thickness_px, cv2.LINE_AA, FIXED_POINT_BITS)


def _rim(width: float, height: float, squareness: float) -> Points:
    """(33, 3) a superellipse, bent back a little at its sides; the first point is its right end."""
    turn = np.linspace(0, 2 * np.pi, 33)
    x, y = (np.sign(wave) * np.abs(wave) ** (2 / squareness) for wave in (np.cos(turn), np.sin(turn)))
    return np.stack([width * x, height * y, 0.025 * x**2], 1)

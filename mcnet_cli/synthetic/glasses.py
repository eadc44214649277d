"""Spectacles: rims before the eyes, a bridge, and the temples that run to the ears."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.synthetic.identity import Identity
from mcnet_cli.synthetic.motion import posed, projected
from mcnet_cli.synthetic.openings import View
from mcnet_cli.synthetic.topology import EYES, Points

EARS = (234, 454)
VISIBLE_FROM_DEGREES = 4  # of the head's turn, on: a temple is seen from the side


def draw_glasses(colour: NDArray[np.float32], identity: Identity, face: Points, view: View) -> None:
    """Draws them onto a picture (S, S, 3) of RGB in [0, 255]. face: (468, 3) at rest, before the head turns."""
    rng = np.random.default_rng([identity.seed, 5])
    shade = rng.uniform(0.03, 0.5) * rng.uniform(0.5, 1.2, 3) * 255
    width, height, squareness = rng.uniform(0.135, 0.165), rng.uniform(0.09, 0.125), rng.uniform(2, 4)
    thickness = max(1, round(rng.uniform(0.006, 0.018) * view.size * 0.53))
    turn = np.linspace(0, 2 * np.pi, 33)
    cos, sin = np.cos(turn), np.sin(turn)
    around = np.stack(
        [np.sign(cos) * np.abs(cos) ** (2 / squareness), np.sign(sin) * np.abs(sin) ** (2 / squareness)], 1
    )
    lines = []
    inner = []
    for side, (upper, lower), ear in zip((-1, 1), EYES, EARS, strict=True):
        middle = face[[*upper, *lower]].mean(0) + (side * 0.01, 0.01, -0.07)
        rim = middle + np.stack(
            [width * around[:, 0], height * around[:, 1], 0.25 * np.abs(around[:, 0]) ** 2 * 0.1], 1
        )
        lines.append(rim)
        inner.append(middle + (-side * width, -0.02, 0))
        if -side * view.pose.yaw > VISIBLE_FROM_DEGREES:
            hinge = middle + (side * width, -0.03, 0.03)
            lines.append(
                np.array([hinge, hinge + (side * 0.02, 0, 0.06), face[ear] + (side * 0.04, -0.09, 0.02)])
            )
    bridge = np.linspace(0, 1, 7)[:, None]
    lines.append(inner[0] + bridge * (inner[1] - inner[0]) - np.sin(np.pi * bridge) * (0, 0.015, 0.02))
    lit = shade * np.minimum(view.light, 1.1)
    for line in lines:
        pixels = projected(posed(line, view.pose), view.pose, view.size)
        fixed = [np.rint((pixels - 0.5) * 16).astype(np.int32)]
        cv2.polylines(colour, fixed, False, lit.tolist(), thickness, cv2.LINE_AA, 4)

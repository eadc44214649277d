"""The hair's surface: a shell about the skull, from the crown down to a hairline that the style gives."""

import cv2
import numpy as np

from mcnet_cli.synthetic.identity import Hair, Identity
from mcnet_cli.synthetic.skull import CENTRE, RADII, boxy
from mcnet_cli.synthetic.topology import OVAL, Points

ROWS, COLUMNS = 12, 65
# Where the shell ends: heights (y) at shares of the way around, from the forehead's middle to the nape.
AROUND = (0.0, 0.18, 0.26, 0.31, 0.36, 0.39, 0.42, 0.45, 0.52, 0.57, 0.66, 1.0)
CROPPED = (-0.49, -0.47, -0.4, -0.29, -0.2, -0.1, -0.06, -0.16, -0.17, -0.06, 0.12, 0.2)
HANGING = (-0.49, -0.47, -0.4, -0.31, -0.1, 0.3, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)  # 1: the hair's own length
CURTAIN_FROM = 0.36  # of the way around: from here on hanging hair hangs


def hair_grid(identity: Identity, face: Points) -> tuple[Points, Points, Points] | None:
    """The shell about the skull; None for a style that is only painted on the scalp.

    face: (468, 3) at rest, which the shell meets at the forehead and the temples.

    Returns (R, C, 3) points, (R, C) how much each follows the head, and (R, C, 2) places on the hair's tile.
    """
    hair = identity.hair
    if hair.style in ("bald", "buzz"):
        return None
    rng = np.random.default_rng([identity.seed, 1])
    hanging = hair.style in ("bob", "long")
    around = np.linspace(-np.pi, np.pi, COLUMNS)
    share = np.abs(around) / np.pi
    down = np.linspace(0.0, 1, ROWS)[:, None]
    ends = _hairline(hair, hanging, around, rng)
    reach = (ends - CENTRE[1]) / RADII[1]
    round_arc = np.pi / 2 + np.arcsin(np.clip(reach, -0.98, 0.98))
    # Hanging hair falls straight from the skull's widest place.
    angle = down * np.where(hanging & (reach > 0), np.pi / 2 + reach, round_arc)
    falling = np.where(hanging, np.clip(angle - np.pi / 2, 0, None), 0)
    angle = angle - falling
    thickness = _thickness(hair, hanging, around, down, rng)

    # Near the hairline the shell lies on the face, which is flatter than the skull.
    border = (face[[*OVAL[-8:], *OVAL[:9]]] - CENTRE) / RADII
    turn = np.arctan2(border[:, 0], -border[:, 2])
    flatness = np.interp(around, turn, np.linalg.norm(border, axis=1) / boxy(border), left=1, right=1)
    hug = 1 + (flatness - 1) * down**1.5
    waves = 0.02 * hair.curl * np.sin(falling * 9 + around * 3) + 0.04 * falling
    out = np.sin(angle) + waves
    # The front edges of hanging hair lie on the cheeks, which are narrower than the skull.
    out = out - 0.2 * np.clip(falling / 0.7, 0, 1) * np.exp(-(((share - 0.37) / 0.07) ** 2))
    direction = np.stack(np.broadcast_arrays(out * np.sin(around), -np.cos(angle), -out * np.cos(around)), -1)
    radius = boxy(direction) * hug
    points = CENTRE + direction * (RADII * radius[..., None] + thickness[..., None])
    points[..., 1] += falling * RADII[1]
    follow = np.clip(1 - (points[..., 1] - 0.4) / 0.9, 0, 1)
    flat = np.stack(np.broadcast_arrays((around / (2 * np.pi) + 0.5)[None, :], down), -1)
    return points, follow, flat


def _hairline(hair: Hair, hanging: bool, around: Points, rng: np.random.Generator) -> Points:
    """(C,) the heights where the shell ends."""
    share = np.abs(around) / np.pi
    ends = np.interp(share, AROUND, HANGING if hanging else CROPPED)
    ends[ends > 0.9] = hair.length
    front = share < 0.3
    if hair.style == "fringe" or (hanging and hair.curl > 0.25 and hair.parting > 0):
        low = -0.34 + 0.07 * hair.parting * np.sin(around)
        ends[front] = np.maximum(ends, np.where(share < 0.27, low, low - (share - 0.27) * 2))[front]
    else:
        ends[front] -= hair.recession * np.clip(np.sin(np.pi * share[front] / 0.3), 0.2, 1)
    ends += rng.normal(0, 0.012, COLUMNS) * (1 + 2 * hair.curl)
    ends[-1] = ends[0]
    return ends


def _thickness(hair: Hair, hanging: bool, around: Points, down: Points, rng: np.random.Generator) -> Points:
    """(R, C) how far the shell lies above the skull; thin at the hairline, but not where hair hangs."""
    share = np.abs(around) / np.pi
    lumps = cv2.resize(rng.normal(size=(5, 17)), (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC)
    uneven = 0.12 * lumps + 0.1 * hair.curl * rng.normal(size=(ROWS, COLUMNS))
    thickness = hair.thickness * (1 + 0.25 * hair.parting * np.sin(around) * np.sin(np.pi * down))
    thickness = thickness * (1 + np.clip(3 * down, 0, 1) * uneven)
    edge = 0.12 + 0.88 * np.sqrt(np.clip((1 - down) / np.where(share < 0.2, 0.2, 0.5), 0, 1))
    free = np.clip((share - CURTAIN_FROM) / 0.12, 0, 1) * hanging
    thickness = thickness * np.maximum(edge, free) + 0.012
    if hair.style != "afro":
        # Along a parting it lies lower.
        furrow = np.exp(-((around - 0.8 * hair.parting) ** 2) / 0.02) * np.sin(np.pi * down) ** 0.5
        thickness = np.maximum(thickness - 0.025 * furrow, 0.01)
    thickness[:, -1] = thickness[:, 0]
    return np.asarray(thickness)

"""What is drawn besides the surface: eyeballs, teeth and tongue, spectacles, and what is behind the head."""

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face.expression import Expression, swung
from mcnet_cli.face.topology import EARS, INNER_LIPS, LID_EDGES, OUTER_LIPS
from mcnet_cli.synthetic.identity import Identity
from mcnet_cli.synthetic.mesh import Points, Pose, posed, projected, rotation
from mcnet_cli.synthetic.textures import FIXED_POINT_BITS, fixed

Colours = NDArray[np.float32]  # (H, W, 3) in [0, 1]
EYEBALL = 0.46  # its radius, relative to the eye's width
IRIS, PUPIL = 0.47, 0.2  # sines of the angles they span about the gaze
TONGUE, DARK, TOOTH = (0.62, 0.29, 0.29), (0.13, 0.035, 0.035), (0.9, 0.87, 0.8)
TEMPLE_SEEN_DEGREES = 4  # of the head's turn: from here on the temple of a pair of glasses is seen


@dataclass(frozen=True, slots=True)
class View:
    """What is drawn: pose, expression, size of the picture in pixels, and (3,) the light on the face, RGB."""

    pose: Pose
    expression: Expression
    size: int
    light: Points


def eye(
    identity: Identity, face: Points, side: int, lids: Points, box: tuple[slice, slice], view: View
) -> Colours:
    """The eyeball behind the lids, in the `box` of rows and columns.

    face: (468, 3) at rest, before the head turns. side: 0 for the picture's left eye. lids: (468, 2) pixels.
    """
    upper, lower = LID_EDGES[side]
    corners = face[[upper[0], upper[-1]]]
    width = float(np.linalg.norm(corners[1] - corners[0]))
    radius = EYEBALL * width
    middle = face[[*upper, *lower]].mean(0) + np.array([0, 0, 0.8 * radius])
    places = posed(middle, view.pose) + np.array([[0, 0, 0], [radius, 0, 0]])
    centre, edge = projected(places, view.pose, view.size)
    radius_px = float(edge[0] - centre[0])
    x, y = _pixels(box)
    across, down = (x - centre[0]) / radius_px, (y - centre[1]) / radius_px
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
    softness = 1.6 / max(radius_px, 1)
    colour = _mixed(sclera, iris, np.clip((IRIS - angle) / softness + 0.5, 0, 1))
    colour = _mixed(colour, np.array([0.02, 0.02, 0.02]), np.clip((PUPIL - angle) / softness + 0.5, 0, 1))
    open_px = float(lids[lower[4], 1] - lids[upper[4], 1])
    colour = (
        colour
        * _shadow(box, lids[list(upper)], 0.45 * open_px, 0.5)[..., None]
        * np.minimum(view.light * 1.05, 1.15)
    )
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
    half = (face[OUTER_LIPS[0][-1], 0] - face[OUTER_LIPS[0][0], 0]) / 2
    middle = face[INNER_LIPS[0][5]]
    across = np.linspace(-1, 1, 13)
    bow = 0.012 * across**2
    arch = middle + np.stack([across * half * 0.86, 0 * across, 0.04 + 0.1 * across**2], 1)
    turn = np.linspace(0, 2 * np.pi, 16)[:-1]
    tongue = middle + np.stack([half * 0.62 * np.cos(turn), 0.045 + 0.03 * np.sin(turn), 0 * turn + 0.1], 1)

    def placed(points: Points) -> NDArray[np.int32]:
        pixels = projected(posed(points, view.pose), view.pose, view.size)
        return fixed(pixels - (columns.start, rows.start))

    opening = view.expression.mouth
    lower = swung(_band(arch, 0.012 - bow, 0.06), opening)
    upper = _band(arch, -0.06, 0.026 - bow)
    cv2.fillPoly(canvas, [placed(swung(tongue, opening))], TONGUE, cv2.LINE_AA, FIXED_POINT_BITS)
    for teeth, bright in ((lower, 0.85), (upper, 1.0)):
        corners = placed(teeth)
        white, gap = ([shade * bright * c for c in TOOTH] for shade in (1.0, 0.8))
        cv2.fillPoly(canvas, [corners], white, cv2.LINE_AA, FIXED_POINT_BITS)
        between = list(np.stack([corners[1:12], corners[-2:-13:-1]], 1))
        cv2.polylines(canvas, between, False, gap, 1, cv2.LINE_AA, FIXED_POINT_BITS)
    edges = lips[list(INNER_LIPS[0])]
    open_px = float(np.ptp(lips[[*INNER_LIPS[0], *INNER_LIPS[1]], 1]))
    shade = _shadow(box, edges, 0.25 * open_px, 0.45)
    # Darker towards the corners.
    x, _ = _pixels(box)
    reach_px = max(float(edges[-1, 0] - edges[0, 0]) / 2, 1.0)
    shade *= np.clip(3 - 3 * np.abs(x - edges[:, 0].mean()) / reach_px, 0.25, 1)
    return np.asarray(canvas * shade[..., None] * np.minimum(view.light, 1), np.float32)


def draw_glasses(colour: NDArray[np.float32], identity: Identity, face: Points, view: View) -> None:
    """Draws them onto a picture (S, S, 3), RGB in [0, 255]. face: (468, 3) at rest, before the head turns."""
    rng = np.random.default_rng([identity.seed, 5])
    shade = rng.uniform(0.03, 0.5) * rng.uniform(0.5, 1.2, 3) * 255
    width, height, squareness = rng.uniform(0.135, 0.165), rng.uniform(0.09, 0.125), rng.uniform(2, 4)
    thickness_px = max(1, round(rng.uniform(0.003, 0.01) * view.size))
    rim = _rim(width, height, squareness)
    lines, noses = [], []
    for side, (upper, lower), ear in zip((-1, 1), LID_EDGES, EARS, strict=True):
        middle = face[[*upper, *lower]].mean(0) + np.array([side * 0.01, 0.01, -0.07])
        lines.append(middle + rim)
        noses.append(middle - np.array([side * width, 0.02, 0]))
        if -side * view.pose.yaw > TEMPLE_SEEN_DEGREES:
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


@functools.lru_cache(maxsize=8)
def backdrop(identity: Identity, size: int) -> NDArray[np.float32]:
    """(S, S, 3) RGB in [0, 255]."""
    rng = np.random.default_rng([identity.seed, 3])
    kind = identity.scene.background
    first, second = (np.array(colour) for colour in identity.scene.background_colours)
    across, down = np.meshgrid(np.linspace(0, 1, size), np.linspace(0, 1, size))
    slope = across * rng.uniform(-1, 1) + down * rng.uniform(-1, 1)
    slope = (slope - slope.min()) / max(float(np.ptp(slope)), 1e-6)
    picture = first + slope[..., None] * (second - first) * (1.0 if kind == "gradient" else 0.4)
    if kind == "lights":
        for _ in range(int(rng.integers(8, 25))):
            x, y, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.02, 0.12)
            spot = np.clip((radius - np.hypot(across - x, down - y)) / 0.015, 0, 1)
            glow = rng.uniform(0.2, 1, 3) * [1, 0.9, 0.75]
            picture = picture + spot[..., None] * 0.4 * (glow - picture)
    elif kind in ("wall", "shelves"):
        boxes = 4 if kind == "wall" else 40
        for _ in range(boxes):
            large = kind == "wall"
            width, height = rng.uniform(0.15, 0.6, 2) if large else rng.uniform((0.02, 0.08), (0.08, 0.22))
            x, y = rng.uniform(-0.1, 1, 2)
            if not large:
                y = round(y * 4) / 4 + 0.25 - height
            inside = (across > x) & (across < x + width) & (down > y) & (down < y + height)
            picture[inside] += 0.6 * (rng.uniform(0.05, 0.95) * rng.uniform(0.7, 1.2, 3) - picture[inside])
        picture = cv2.GaussianBlur(picture, (0, 0), size * rng.uniform(0.004, 0.02))
    noise = cv2.resize(rng.normal(size=(16, 16, 3)), (size, size), interpolation=cv2.INTER_CUBIC)
    fine = rng.normal(size=(size, size, 1))
    return np.asarray(np.clip(picture + 0.01 * noise + 0.008 * fine, 0, 1) * 255, np.float32)


def _band(arch: Points, top: Points | float, bottom: Points | float) -> Points:
    """(2 N, 3) outline of a row of teeth along (N, 3) points, from `top` to `bottom` below them."""
    down = np.array([0.0, 1.0, 0.0])
    upper, lower = (arch + np.broadcast_to(edge, len(arch))[:, None] * down for edge in (top, bottom))
    return np.concatenate([upper, lower[::-1]])


def _shadow(box: tuple[slice, slice], edge: Points, depth_px: float, darkest: float) -> Points:
    """(H, W) the shadow that an upper edge, (N, 2) pixels, throws on what lies `depth_px` below it."""
    x, y = _pixels(box)
    top = np.interp(x[0], edge[:, 0], edge[:, 1])
    shade: Points = darkest + (1 - darkest) * np.clip((y - top) / max(depth_px, 0.5), 0, 1)
    return shade


def _pixels(box: tuple[slice, slice]) -> tuple[Points, Points]:
    rows, columns = box
    x, y = np.meshgrid(np.arange(columns.start, columns.stop) + 0.5, np.arange(rows.start, rows.stop) + 0.5)
    return x, y


def _mixed(below: Points, above: Points, share: Points) -> Points:
    mixed: Points = below + share[..., None] * (above - below)
    return mixed

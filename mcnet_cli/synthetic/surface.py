"""A person's surface at rest: the face mesh in its own shape, with skull, ears, neck, hair and shoulders.

Units and axes as in `mesh`. Every part is a grid of rows and columns, textured by one tile of the atlas. The
skull is a rounded box that the back of the head and the hair lie on.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face.outer import CENTRE
from mcnet_cli.face.topology import EARS, OVAL
from mcnet_cli.synthetic.identity import Hair, Identity
from mcnet_cli.synthetic.mesh import Indices, Points, shaped, triangles, unrolled

# The atlas's tiles: left, top, width, height, relative to the whole; the atlas is twice as wide as high.
TILES = {
    "face": (0.0, 0.0, 0.5, 1.0),
    "scalp": (0.5, 0.0, 0.25, 0.5),
    "hair": (0.75, 0.0, 0.25, 0.5),
    "cloth": (0.5, 0.5, 0.25, 0.5),
    "neck": (0.75, 0.5, 0.125, 0.5),
    "ear": (0.875, 0.5, 0.125, 0.5),
}
INSET = 0.02  # of a tile, so that neighbours don't bleed in
RADII = np.array([0.455, 0.57, 0.62])
BOXINESS = 2.5  # 2: an ellipsoid
RINGS = (0.06, 0.14, 0.24, 0.36, 0.5, 0.65, 0.82, 1.0)  # from the face's outline to the back of the head
NECK_ROWS, COLUMNS = 7, 33
HAIR_ROWS, HAIR_COLUMNS = 12, 65
# Where hair ends: heights (y) at shares of the way around, from the forehead's middle to the nape.
AROUND = (0.0, 0.18, 0.26, 0.31, 0.36, 0.39, 0.42, 0.45, 0.52, 0.57, 0.66, 1.0)
CROPPED = (-0.49, -0.47, -0.4, -0.29, -0.2, -0.1, -0.06, -0.16, -0.17, -0.06, 0.12, 0.2)
HANGING = (-0.49, -0.47, -0.4, -0.31, -0.1, 0.3, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)  # 1: the hair's own length
CURTAIN_FROM = 0.36  # of the way around: from here on hanging hair hangs


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles with places on the atlas.

    points: (N, 3) at rest; the first 468 are the face mesh's.
    follow: (N,) how much each follows the head's turn, in [0, 1].
    outline, share: (N,) the place in OVAL of the point whose movement each point follows, and the share of
    that movement, in [0, 1].
    faces: (T, 3) clockwise as seen from outside.
    texture: (T, 3, 2) places of their corners on the atlas, in [0, 1].
    gloss: (T,) strength of their gleam. two_sided: (T,) whether they are seen from both sides.
    nearer: (T,) heights of the mesh that are taken off a triangle's depth when they are sorted for drawing.
    """

    points: Points
    follow: Points
    outline: Indices
    share: Points
    faces: Indices
    texture: NDArray[np.float32]
    gloss: Points
    two_sided: NDArray[np.bool_]
    nearer: Points


@dataclass(frozen=True, eq=False)
class Part:
    """One part of a surface, before all are joined; faces count from the part's own first point."""

    points: Points
    follow: Points
    faces: Indices
    texture: Points
    gloss: float
    two_sided: bool = False
    nearer: float = 0.0


def surface(identity: Identity) -> Surface:
    """The whole surface of a person."""
    face = shaped(identity.shape)
    skin, _ = triangles()
    shine = identity.skin.shine
    head = Part(face, np.ones(len(face)), skin, tiled(unrolled(), "face")[skin], shine, nearer=0.03)
    skull, outline, share = _skull(face, shine)
    hair = hair_grid(identity, face)
    rest = [_neck(shine), *(_ear(face, side, shine) for side in (-1, 1)), _shoulders(identity)]
    if hair is not None:
        points, follow, flat = hair
        faces, texture = grid(points, flat, "hair", CENTRE)
        rest.append(Part(points.reshape(-1, 3), follow.ravel(), faces, texture, 0.3, True, 0.07))
    parts = [head, skull, *rest]
    starts = np.cumsum([0, *(len(part.points) for part in parts)])
    joined = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)])
    # The skull's first ring is the face's own outline, and its rings are closed: the light runs on smoothly.
    same = np.arange(starts[-1])
    rings = same[starts[1] : starts[2]].reshape(-1, len(OVAL) + 1)
    rings[0, :-1] = OVAL
    rings[:, -1] = rings[:, 0]
    count = len(face)
    counts = [len(part.faces) for part in parts]
    zeros = np.zeros(starts[-1] - starts[2])
    return Surface(
        points=np.concatenate([part.points for part in parts]),
        follow=np.concatenate([part.follow for part in parts]),
        outline=np.concatenate([np.zeros(count, np.intp), outline, zeros.astype(np.intp)]),
        share=np.concatenate([np.zeros(count), share, zeros]),
        faces=same[joined],
        texture=np.concatenate([part.texture for part in parts]).astype(np.float32),
        gloss=np.repeat([part.gloss for part in parts], counts),
        two_sided=np.repeat([part.two_sided for part in parts], counts),
        nearer=np.repeat([part.nearer for part in parts], counts),
    )


def grid(points: Points, flat: Points, tile: str, centre: Points) -> tuple[Indices, Points]:
    """Triangles (T, 3) of (R, C, 3) points, turned outwards from `centre`, and their places (T, 3, 2).

    flat: (R, C, 2) places in [0, 1] on the tile.
    """
    rows, columns = points.shape[:2]
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + columns], 1),
            np.stack([corner + 1, corner + columns + 1, corner + columns], 1),
        ]
    )
    places = points.reshape(-1, 3)
    a, b, c = (places[faces[:, n]] for n in range(3))
    outwards = -np.cross(b - a, c - a)
    inverted = (outwards * ((a + b + c) / 3 - centre)).sum(1) < 0
    faces[inverted] = faces[inverted][:, [0, 2, 1]]
    return faces, tiled(flat.reshape(-1, 2), tile)[faces]


def tiled(flat: Points, tile: str) -> Points:
    """(N, 2) places in [0, 1] on a tile, as places on the atlas."""
    left, top, width, height = TILES[tile]
    inset = INSET + (1 - 2 * INSET) * np.clip(flat, 0, 1) if tile != "face" else flat
    placed: Points = inset * (width, height) + (left, top)
    return placed


def boxy(direction: Points) -> Points:
    """(...,) how far the rounded box lies along (..., 3) directions, relative to the ellipsoid of RADII.

    Directions are in units of RADII; their length does not matter.
    """
    size = np.linalg.norm(direction, axis=-1, keepdims=True)
    unit = np.abs(direction) / size
    reach: Points = (unit**BOXINESS).sum(-1) ** (-1 / BOXINESS)
    return reach


def _skull(face: Points, shine: float) -> tuple[Part, Indices, Points]:
    """The back of the head, from the face's outline; whose point each goes along with, and how much."""
    ring = np.array([*OVAL, OVAL[0]])
    reach = (face[ring] - CENTRE) / RADII
    length = np.linalg.norm(reach, axis=1, keepdims=True)
    start = reach / length
    pole = np.array([0.0, -0.4, 0.9]) / np.hypot(0.4, 0.9)
    angle = np.arccos(np.clip(start @ pole, -1, 1))[:, None]
    rows = [face[ring]]
    for t in RINGS:
        direction = (np.sin((1 - t) * angle) * start + np.sin(t * angle) * pole) / np.sin(angle)
        blend = np.clip(t / 0.45, 0, 1)
        left = 1 - blend * blend * (3 - 2 * blend)
        radius = boxy(direction)[:, None] + (length - boxy(start)[:, None]) * left
        rows.append(CENTRE + direction * radius * RADII)
    points = np.array(rows)
    steps = np.array([0, *RINGS])
    across = np.linspace(0, 1, len(ring))
    flat = np.stack(np.broadcast_arrays(across[None, :], steps[:, None]), -1)
    faces, texture = grid(points, flat, "scalp", CENTRE)
    share = np.repeat((1 - steps) ** 2, len(ring))
    part = Part(points.reshape(-1, 3), np.ones(points[..., 0].size), faces, texture, shine)
    return part, np.tile(np.arange(len(ring)) % len(OVAL), len(rows)), share


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
    around = np.linspace(-np.pi, np.pi, HAIR_COLUMNS)
    share = np.abs(around) / np.pi
    down = np.linspace(0.0, 1, HAIR_ROWS)[:, None]
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
    ends += rng.normal(0, 0.012, HAIR_COLUMNS) * (1 + 2 * hair.curl)
    ends[-1] = ends[0]
    return ends


def _thickness(hair: Hair, hanging: bool, around: Points, down: Points, rng: np.random.Generator) -> Points:
    """(R, C) how far the shell lies above the skull; thin at the hairline, but not where hair hangs."""
    share = np.abs(around) / np.pi
    lumps = cv2.resize(rng.normal(size=(5, 17)), (HAIR_COLUMNS, HAIR_ROWS), interpolation=cv2.INTER_CUBIC)
    uneven = 0.12 * lumps + 0.1 * hair.curl * rng.normal(size=(HAIR_ROWS, HAIR_COLUMNS))
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


def _neck(shine: float) -> Part:
    y = np.linspace(0.2, 0.95, NECK_ROWS)
    down = np.linspace(0, 1, NECK_ROWS)
    width = np.full(NECK_ROWS, 0.28)
    points = _tube(y, width, width, 0.74 + 0.1 * down)
    faces, texture = grid(points, _unit_grid(points), "neck", np.array([0, 0.5, 0.78]))
    follow = np.repeat(np.clip(1 - (y - 0.25) / 0.55, 0, 1), COLUMNS)
    return Part(points.reshape(-1, 3), follow, faces, texture, 0.5 * shine, nearer=-0.08)


def _shoulders(identity: Identity) -> Part:
    high = identity.scene.collar == "high"
    first = (0.5, 0.31, 0.32, 0.78) if high else (0.72, 0.31, 0.32, 0.82)
    second = (0.7, 0.31, 0.32, 0.82) if high else (0.76, 0.37, 0.36, 0.83)
    table = np.array([
        first, second, (0.82, 0.5, 0.40, 0.84), (0.89, 0.72, 0.42, 0.86), (0.98, 0.92, 0.44, 0.86),
        (1.12, 1.04, 0.46, 0.86), (1.5, 1.1, 0.48, 0.86), (2.2, 1.14, 0.5, 0.86),
    ])  # fmt: skip
    points = _tube(*table.T)
    faces, texture = grid(points, _unit_grid(points), "cloth", np.array([0, 1.2, 0.86]))
    follow = np.repeat([0.25 if high else 0.05, 0.05, 0, 0, 0, 0, 0, 0], COLUMNS)
    return Part(points.reshape(-1, 3), follow, faces, texture, 0.02)


def _ear(face: Points, side: int, shine: float) -> Part:
    anchor = face[EARS[side > 0]]
    down, around = np.linspace(0, np.pi, 9), np.linspace(0, 2 * np.pi, 13)
    ball = np.stack(
        np.broadcast_arrays(
            np.sin(down)[:, None] * np.cos(around),
            -np.cos(down)[:, None],
            np.sin(down)[:, None] * np.sin(around),
        ),
        -1,
    )
    local = ball * (0.028, 0.135, 0.08)
    local[..., 2] *= 1 - 0.3 * ball[..., 1]  # wider above, a lobe below
    turn = np.radians(28)
    points = np.empty_like(local)
    points[..., 0] = anchor[0] + side * (0.03 + local[..., 0] * np.cos(turn) + local[..., 2] * np.sin(turn))
    points[..., 1] = anchor[1] + 0.01 + local[..., 1]
    points[..., 2] = anchor[2] + 0.075 + local[..., 2] * np.cos(turn) - local[..., 0] * np.sin(turn)
    flat = np.stack([0.5 + 0.5 * ball[..., 2], 0.5 + 0.5 * ball[..., 1]], -1)
    faces, texture = grid(points, flat, "ear", points.reshape(-1, 3).mean(0))
    return Part(points.reshape(-1, 3), np.ones(ball[..., 0].size), faces, texture, 0.5 * shine)


def _tube(y: Points, width: Points, depth: Points, axis: Points) -> Points:
    """(R, COLUMNS, 3) rings about a vertical axis at x 0 and z `axis`; the seam lies behind."""
    around = np.linspace(-np.pi, np.pi, COLUMNS)
    x = width[:, None] * np.sin(around)
    z = axis[:, None] - depth[:, None] * np.cos(around)
    return np.stack([x, np.broadcast_to(y[:, None], x.shape), z], -1)


def _unit_grid(points: Points) -> Points:
    rows, columns = points.shape[:2]
    across, down = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    return np.stack([across, down], -1)

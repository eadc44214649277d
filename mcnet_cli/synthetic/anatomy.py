"""A person's surface at rest: the face mesh in its own shape, with skull, ears, neck, hair and shoulders.

Units and axes as in topology. Every part is a grid of rows and columns, textured by one tile of the atlas.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.synthetic.hairdo import hair_grid
from mcnet_cli.synthetic.identity import Identity, Shape
from mcnet_cli.synthetic.skull import CENTRE, RADII, boxy
from mcnet_cli.synthetic.topology import (
    BROWS,
    CHIN,
    EYES,
    FOREHEAD,
    LIPS,
    NOSE,
    OVAL,
    Indices,
    Points,
    template,
    triangles,
    unrolled,
)

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
RINGS = (0.06, 0.14, 0.24, 0.36, 0.5, 0.65, 0.82, 1.0)  # from the face's outline to the back of the head
NECK_ROWS, COLUMNS = 7, 33


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles with places on the atlas.

    points: (N, 3) at rest; the first 468 are the face mesh's.
    follow: (N,) how much each follows the head's turn, in [0, 1].
    outline, share: (N,) which of OVAL's points each goes along with when the face moves, and how much.
    faces: (T, 3) clockwise as seen from outside.
    texture: (T, 3, 2) places of their corners on the atlas, in [0, 1].
    gloss: (T,) strength of their gleam. two_sided: (T,) whether they are seen from both sides.
    nearer: (T,) how much nearer than they are they count when drawn.
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
    for side, (upper, lower), brow in zip((-1, 1), EYES, BROWS, strict=True):
        middle = template()[[*upper, *lower]].mean(0)
        near = _near(template(), middle, (0.17, 0.1))
        away = template() - middle
        face[:, 0] += near * (shape.eye_size * away[:, 0] + side * shape.eye_distance)
        face[:, 1] += near * (1.3 * shape.eye_size * away[:, 1] - side * shape.eye_tilt * away[:, 0] / 0.1)
        arch = _near(template(), template()[[*brow[0], *brow[1]]].mean(0), (0.2, 0.06))
        face[:, 1] -= shape.brow_height * arch

    mouth = template()[[LIPS[0][0], LIPS[0][-1]]].mean(0)
    near = _near(template(), mouth, (0.22, 0.07))
    face[:, 0] += shape.mouth_width * near * x
    face[:, 1] += shape.lips * _near(template(), mouth, (0.15, 0.05)) * (y - mouth[1])
    face[:, 1] += shape.asymmetry * np.sin(6 * x) * np.exp(-((y - 0.1) ** 2) / 0.1)

    height = face[CHIN, 1] - face[FOREHEAD, 1]
    face[:, 1] -= (face[CHIN, 1] + face[FOREHEAD, 1]) / 2
    unit: Points = face / height
    return unit


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


def _near(points: Points, middle: Points, reach: tuple[float, float]) -> Points:
    away = (points[:, :2] - middle[:2]) / reach
    near: Points = np.exp(-(away**2).sum(1))
    return near


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
    anchor = face[454 if side > 0 else 234]
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

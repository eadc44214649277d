"""A front: a person of a photo, and how a motion on the network's square becomes one of its pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture
from mcnet_cli.compositing.front_picture import columns_of, enlarged
from mcnet_cli.compositing.plate import Floats, besides
from mcnet_cli.model.eye_shape import EYE_ARCS
from mcnet_cli.model.mouth_shape import LIPS

# How far a motion reaches beyond the network's square, in halves of its side: it goes on as at the square's
# edge and fades to nothing up to here. Necks and collars stretch there, bodies stay where the photo has them.
REACH = 1.6
# Where the photo's left, right or lower edge cuts the person, motion fades over this share of the square's
# side: what lies beyond the photo would come into view as a smear. Shorter if the face itself is nearer.
EDGE_FADE = 0.35
LEAST_EDGE_FADE = 0.06
# Share of an edge's length in the moving rectangle that has to show the person for the edge to cut it.
EDGE_CUTS = 0.02
# A head that the photo's upper edge cuts is rounded above it: the rows that are made up, as a share of the
# square's side, and the crown's height over half the head's width.
CROWN_ROWS, CROWN_HEIGHT = 0.25, 0.35
BLOCK = 8  # pixels between which motion is interpolated linearly; its cells are larger by far
CELLS = 64  # of dense motion, along each side
BEYOND_CELLS = 19  # around them, as far as REACH


@dataclass(frozen=True, slots=True)
class Square:
    """The part of a photo that the network sees, in pixels; (x, y) is its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) in pixels."""
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True, slots=True, eq=False)
class Front:
    """A person who moves, and how a motion on the network's square becomes one of the photo's pixels.

    rows, columns: the part of the photo that can move.
    picture: (2·(T + H), 2·W, 4) uint8, colours times matte and the matte; H and W are the numbers of rows and
        columns, T that of rows that are made up above the photo.
    seen: (⌈N/8⌉, 2), of every eight rows of `picture` the columns, from one up to another, outside of which
        the matte is 0. They are endless where that begins or ends at an edge, since the last column goes on
        there; where there are none, the first is beyond the last.
    solid: (⌈N/8⌉, 2), the same of the longest run of columns in which it is 255.
    fades: (G, G) in [0, 1], what is left of the motion in cells in and around dense motion's.
    down, across: (⌈H/8⌉, G) and (⌈W/8⌉, G), which interpolate cells at every eighth row and column.
    y, x: coordinates of rows (H) and columns (W) in the network's square, where its edges are -1 and 1.
    scale: pixels a unit of coordinates, along x and y.
    face: (64, 64) in [0, 1], the cells of dense motion in which the source shows the face.
    mouth, eyes: (4, 11, 2) and (2, 2, 9, 2) coordinates of lips and lids, as in `mouth_shape` and
    `eye_shape`; None if they are unknown.
    whole: whether everything is front, since no person was found.
    colours_down, colours_across: (H, S) and (W, S), which interpolate the S² pixels that the network paints.
    """

    rows: slice
    columns: slice
    picture: Picture
    seen: NDArray[np.int32]
    solid: NDArray[np.int32]
    fades: Floats
    down: Floats
    across: Floats
    y: Floats
    x: Floats
    scale: tuple[float, float]
    face: Floats
    mouth: Floats | None
    eyes: Floats | None
    whole: bool
    colours_down: Floats
    colours_across: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """Who is to move: where the network looks, and what the photo shows there.

    matte: (H, W) in [0, 1], the people of the photo. outline: (468, 2) points of the face mesh in pixels;
    None if they are unknown.
    """

    square: Square
    matte: Floats
    outline: Floats | None


def front_of(
    photo: Picture,
    plate: Picture,
    person: Person,
    matte: Floats,
    part: tuple[slice, slice],
    size: int,
    *,
    whole: bool,
) -> Front:
    """The front of a person in an (H, W, 3) photo.

    plate: what the photo shows without people. matte: (H, W), this person's. part: rows and columns that can
    move. size: side of the network's pictures. whole: everything there is front, whatever the matte says.
    """
    rows, columns = part
    matte = np.ones_like(matte[part]) if whole else matte[part]
    front = besides(photo[part], plate[part], matte)
    rows_above = min(round(CROWN_ROWS * person.square.height), len(front)) if rows.start == 0 else 0
    if rows_above:
        above = np.repeat(front[:1], rows_above, axis=0)
        if not whole:
            above = np.rint(above * _crown(matte[0], rows_above)[..., None]).astype(np.uint8)
        front = np.concatenate([above, front])
    large = enlarged(front)
    seen, solid = columns_of(large)
    # half a unit of network coordinates reaches from the first pixel's centre to the last one's
    scale = tuple(side / 2 * (size - 1) / size for side in (person.square.width, person.square.height))
    cells = (np.arange(CELLS + 2 * BEYOND_CELLS) - BEYOND_CELLS) * (2 / (CELLS - 1)) - 1
    pixels = np.linspace(-1, 1, size)
    y, x = (
        (np.arange(part.start, part.stop) + 0.5 - middle) / unit
        for part, middle, unit in zip((rows, columns), person.square.centre[::-1], scale[::-1], strict=True)
    )
    return Front(
        rows=rows,
        columns=columns,
        picture=large,
        seen=seen,
        solid=solid,
        fades=_fades(photo, person, matte, rows, columns, cells, scale),
        down=interpolation(middles(y, BLOCK), cells),
        across=interpolation(middles(x, BLOCK), cells),
        y=y.astype(np.float32),
        x=x.astype(np.float32),
        scale=(scale[0], scale[1]),
        face=_face_cells(person, scale),
        mouth=_arcs(person, scale, LIPS),
        eyes=_arcs(person, scale, EYE_ARCS),
        whole=whole,
        colours_down=interpolation(y, pixels),
        colours_across=interpolation(x, pixels),
    )


def _crown(edge: Floats, count: int) -> Floats:
    """(count, W) the matte above a photo whose first row `edge` (W,) cuts a head."""
    head = np.flatnonzero(edge > 0.5)
    if not len(head):
        return np.zeros((count, len(edge)), np.float32)
    middle, half = (head[0] + head[-1]) / 2, (head[-1] - head[0] + 1) / 2
    height = CROWN_HEIGHT * half * (1 - ((np.arange(len(edge)) - middle) / half) ** 2)  # a parabola
    above = count - np.arange(count)
    crown: Floats = np.clip((height - above[:, None] + 1) / 2, 0, 1).astype(np.float32)
    return crown


def _fades(
    photo: Picture,
    person: Person,
    matte: Floats,
    rows: slice,
    columns: slice,
    cells: Floats,
    scale: Sequence[float],
) -> Floats:
    """What is left of the motion in each cell: 1 in the square, 0 at REACH and at edges that cut people."""
    beyond = np.maximum(np.abs(cells)[:, None], np.abs(cells))
    fades = _smoothstep((REACH - beyond) / (REACH - 1))
    x, y = person.square.centre[0] + cells * scale[0], person.square.centre[1] + cells * scale[1]
    height, width = photo.shape[:2]
    left, _, right, bottom = _face_extent(person)
    for edge, touches, inward, room in (
        (matte[:, 0], columns.start == 0, x[None], left),
        (matte[:, -1], columns.stop == width, (width - x)[None], width - right),
        (matte[-1], rows.stop == height, (height - y)[:, None], height - bottom),
    ):
        if touches and (edge > 0.5).mean() > EDGE_CUTS:
            side = person.square.width
            over = max(min(EDGE_FADE * side, room), LEAST_EDGE_FADE * side)
            fades = fades * _smoothstep(inward / over)
    return fades.astype(np.float32)


def _face_extent(person: Person) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the face in pixels."""
    if person.outline is None:
        square = person.square
        left, top = square.x + square.width / 4, square.y + square.height / 4
        return left, top, left + square.width / 2, top + square.height / 2
    (left, top), (right, bottom) = person.outline.min(0), person.outline.max(0)
    return float(left), float(top), float(right), float(bottom)


def _face_cells(person: Person, scale: Sequence[float]) -> Floats:
    """(64, 64): 1 in the cells that the face's outline holds, falling to 0 within a cell or two."""
    if person.outline is None:
        return np.ones((CELLS, CELLS), np.float32)
    places = (person.outline - person.square.centre) / scale
    points = np.rint((places + 1) / 2 * (CELLS - 1)).astype(np.int32)
    mask = np.zeros((CELLS, CELLS), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(points), 1.0)
    blurred: Floats = cv2.GaussianBlur(mask, (0, 0), 1.0)
    return blurred


def _arcs(person: Person, scale: Sequence[float], numbers: object) -> Floats | None:
    """(..., 2): coordinates of the points with (...) numbers of a person's face mesh."""
    if person.outline is None:
        return None
    corner = np.array([person.square.x, person.square.y])
    arcs: Floats = ((person.outline[np.array(numbers)] - corner) / scale - 1).astype(np.float32)
    return arcs


def middles(places: Floats, count: int) -> Floats:
    """(⌈n/count⌉,) the middles of blocks of so many of n evenly rising places; the last may reach beyond."""
    step = places[1] - places[0] if len(places) > 1 else 1.0
    found: Floats = places[0] + (np.arange(-(-len(places) // count)) * count + (count - 1) / 2) * step
    return found


def interpolation(places: Floats, nodes: Floats) -> Floats:
    """(N, G) weights that interpolate values of G evenly rising nodes at N places.

    Cubic (Catmull and Rom), so that motion bends smoothly; beyond the nodes their last values go on.
    """
    at = np.clip((places - nodes[0]) / (nodes[1] - nodes[0]), 0, len(nodes) - 1)
    first = np.floor(at).astype(int)
    t = at - first
    weights = np.zeros((len(places), len(nodes)), np.float32)
    for offset, weight in (
        (-1, -0.5 * t + t**2 - 0.5 * t**3),
        (0, 1 - 2.5 * t**2 + 1.5 * t**3),
        (1, 0.5 * t + 2 * t**2 - 1.5 * t**3),
        (2, -0.5 * t**2 + 0.5 * t**3),
    ):
        np.add.at(weights, (np.arange(len(places)), np.clip(first + offset, 0, len(nodes) - 1)), weight)
    return weights


def _smoothstep(t: Floats) -> Floats:
    """0 up to 0, 1 from 1 on, 3t² - 2t³ in between."""
    t = np.clip(t, 0, 1)
    smooth: Floats = t * t * (3 - 2 * t)
    return smooth

"""What the shapes of mouths and eyes have in common: arcs between two corners, and a square around them.

The detail painters see such squares. Coordinates are those of `geometry`: the picture's side is 2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from mcnet_cli.model.geometry import constant
from mcnet_cli.model.windows import Window

# Least length that anything is divided by, in coordinates.
NO_LENGTH = 1e-4
# Distances from outlines, in a shape's widths, are cut here; they are computed at every `COARSE`-th pixel.
FAR, COARSE = 0.4, 4
# Pixels of a painter's square around lips or lids that paint is sampled from, with what sharpening sees; and
# the side of the cells in which its part that is painted is counted.
AROUND_PX, CELL_PX = 6, 8


@dataclass(frozen=True, slots=True)
class Square:
    """Squares around mouths or eyes, at any angle.

    centre: (B, 2). axes: (B, 2, 2), unit vectors to the square's right and down. half: (B,) half of the side.
    """

    centre: Tensor
    axes: Tensor
    half: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> "Square":
        """`change` applied to all that a square is."""
        return Square(change(self.centre), change(self.axes), change(self.half))

    def grid(self, size: int) -> Tensor:
        """(B, size, size, 2): where the pixels of such squares lie."""
        return self.beyond(pixel_places(size, self.centre).expand(len(self.centre), -1, -1, -1))

    def beyond(self, places: Tensor) -> Tensor:
        """(B, ..., 2) places in the square, whose edges are -1 and 1, as the picture's coordinates."""
        flat = places.flatten(1, -2) @ (self.half[:, None, None] * self.axes)
        return (flat + self.centre[:, None]).reshape(places.shape)

    def within(self, places: Tensor) -> Tensor:
        """(B, ..., 2) coordinates of the picture as places in the square: the inverse of `beyond`."""
        flat = (places.flatten(1, -2) - self.centre[:, None]) @ self.axes.transpose(1, 2)
        return (flat / self.half[:, None, None]).reshape(places.shape)


@dataclass(frozen=True, slots=True)
class Shape:
    """A mouth or an eye in each picture of a batch.

    points: (B, N, 2), of which the first two are the corners, the picture's left one first, and the next two
    the middles of the upper and of the lower arc. arcs: (B, A, M, 2) from the left corner to the right, of
    which the first two enclose the inside.

    ANCHORS: numbers of the two points from which a painter counts pixels' places. MIRRORED: which points the
    points are in a mirrored picture.
    """

    points: Tensor
    arcs: Tensor

    ANCHORS: ClassVar[tuple[int, int]]
    MIRRORED: ClassVar[tuple[int, ...]]

    def described(self) -> Tensor:
        """(B, 6) numbers that say how a shape is held."""
        raise NotImplementedError

    def beyond(self, places: Tensor) -> Tensor:
        """(B, 2, ...): how far (B, ..., 2) places are out of the inside, and out of a second outline."""
        raise NotImplementedError

    def square(self) -> Square:
        """The square that the painter sees."""
        raise NotImplementedError

    @property
    def width(self) -> Tensor:
        """(B,) distance of the corners."""
        return distance(self.points, 0, 1)

    @property
    def opening(self) -> Tensor:
        """(B,) distance of the middles of both arcs over the width."""
        return distance(self.points, 2, 3) / self.width

    def distances(self, size: int, step: int = COARSE) -> tuple[Tensor, Tensor]:
        """(B, 1, S, S) each: what `beyond` says of the pixels of a square, in widths, at most `FAR`.

        Of a shape in coordinates of that square; computed at every `step`-th of `size` pixels.
        """
        grid = pixel_places(size // step, self.arcs).expand(len(self.arcs), -1, -1, -1)
        beyond = (self.beyond(grid) / self.width[:, None, None, None]).clamp(-FAR, FAR)
        inner, outer = F.interpolate(beyond, (size, size), mode="bilinear", align_corners=False).chunk(2, 1)
        return inner, outer

    def within(self, square: Square) -> Self:
        """The same in coordinates of squares."""
        return self.map(square.within)

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """`change` applied to points and arcs."""
        return type(self)(change(self.points), change(self.arcs))

    def mirrored(self) -> Self:
        """The same in pictures that are mirrored."""
        flip = torch.tensor([-1.0, 1.0], device=self.points.device)
        return type(self)(self.points[:, [*self.MIRRORED]] * flip, self.arcs.flip(2) * flip)

    def __getitem__(self, rows: Tensor | slice) -> Self:
        """Some of the batch."""
        return self.map(lambda values: values[rows])


def pixel_places(size: int, like: Tensor) -> Tensor:
    """(size, size, 2): the middles of the pixels of a square, whose edges are -1 and 1."""
    line = (torch.arange(size, device=like.device) * 2 + 1) / size - 1
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)


def beyond_arcs(arcs: Tensor, places: Tensor) -> Tensor:
    """(B, ...): how far (B, ..., 2) places are outside of what two arcs enclose; inside it is negative.

    arcs: (B, 2, N, 2) the upper and the lower one.
    """
    outline = torch.cat([arcs[:, 0], arcs[:, 1].flip(1)], 1)  # all around
    flat = places.flatten(1, -2)
    start, step = outline, outline.roll(-1, 1) - outline
    # (B, N, P): offsets along x and y from each of the outline's N points
    x, y = (rearrange(flat[..., k], "b p -> b 1 p") - start[..., k, None] for k in (0, 1))
    step_x, step_y = step[..., 0, None], step[..., 1, None]
    share = (x * step_x + y * step_y) / (step_x.square() + step_y.square()).clamp_min(NO_LENGTH**2)
    share = share.clamp(0, 1)
    distance = ((x - share * step_x).square() + (y - share * step_y).square()).amin(1).sqrt()
    # a ray to the right crosses the outline an odd number of times from inside
    crosses = (y < 0) != (y < step_y)
    right = x * step_y < y * step_x
    inside = ((crosses & (right == (step_y > 0))).sum(1) % 2).bool()
    return torch.where(inside, -distance, distance).reshape(places.shape[:-1])


def finer(arcs: Tensor) -> Tensor:
    """(B, A, 2·N - 1, 2): arcs (B, A, N, 2) with a point more between each two, along smooth curves."""
    before = torch.cat([2 * arcs[:, :, :1] - arcs[:, :, 1:2], arcs[:, :, :-2]], 2)
    after = torch.cat([arcs[:, :, 2:], 2 * arcs[:, :, -1:] - arcs[:, :, -2:-1]], 2)
    # Catmull and Rom's curve, half way
    between = (9 * (arcs[:, :, :-1] + arcs[:, :, 1:]) - before - after) / 16
    pairs = torch.stack([arcs[:, :, :-1], between], 3).flatten(2, 3)
    return torch.cat([pairs, arcs[:, :, -1:]], 2)


def moved_arcs(arcs: Tensor, middles: Tensor, points: Tensor, fading: int) -> Tensor:
    """(B, A, N, 2) arcs, given in the frame of two corners, in the frame of others.

    middles: (B or 1, A, 2), where the middles of the arcs were in that frame. points: (B, 2 + A, 2), corners
    and middles now. fading: how a middle's displacement fades towards the corners: by 1 - |u|^fading, u from
    -1 to 1 along the arc.
    """
    origin, axes = corner_frame(points)
    due = in_frame(points[:, 2:], origin, axes) - middles
    along = arcs[..., 0]
    first, last = along[..., :1], along[..., -1:]
    u = (2 * (along - first) / (last - first).clamp_min(NO_LENGTH) - 1).clamp(-1, 1)
    arcs = arcs + (1 - u.abs() ** fading)[..., None] * due[:, :, None]
    return (arcs.flatten(1, 2) @ axes + origin[:, None]).reshape(arcs.shape)


def corner_frame(points: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 2) the first of (B, N, 2) points, (B, 2, 2) vectors to the second one and, as long, down."""
    across, down = directions(points[:, 0], points[:, 1])
    width = distance(points, 0, 1)[:, None]
    return points[:, 0], torch.stack([across * width, down * width], 1)


def in_frame(places: Tensor, origin: Tensor, axes: Tensor) -> Tensor:
    """(B, ..., 2) places in a frame of two vectors of equal length at right angles."""
    flat = (places.flatten(1, -2) - origin[:, None]) @ axes.transpose(1, 2)
    return (flat / axes[:, :1].square().sum(-1, keepdim=True)).reshape(places.shape)


def directions(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 2) unit vectors from left to right and, across it, down."""
    across = right - left
    across = across / across.norm(dim=-1, keepdim=True).clamp_min(NO_LENGTH)
    return across, torch.stack([-across[:, 1], across[:, 0]], dim=-1)


def distance(points: Tensor, first: int, second: int) -> Tensor:
    """(B,) between two of (B, N, 2) points, never 0."""
    length: Tensor = (points[:, first] - points[:, second]).norm(dim=-1)
    return length.clamp_min(NO_LENGTH)


def part_around(arcs: Tensor, size: int) -> Window:
    """The part of a square of `size` pixels around what two arcs enclose, in its coordinates, in whole cells.

    Cells, so that windows have few sizes: for each new one a processor's convolutions are prepared anew.
    """
    pixels = (arcs.flatten(0, -2) + 1) * (size / 2)
    low, high = (pixels.amin(0) - AROUND_PX).tolist(), (pixels.amax(0) + AROUND_PX).tolist()
    columns, rows = (
        slice(max(int(first // CELL_PX) * CELL_PX, 0), min(-int(-last // CELL_PX) * CELL_PX, size))
        for first, last in zip(low, high, strict=True)
    )
    return rows, columns


def in_part(places: Tensor, window: Window, size: int) -> Tensor:
    """Places (..., 2) in a square of `size` pixels as places in a window of it; -1 and 1 are the edges."""
    rows, columns = window
    sides = constant((columns.stop - columns.start, rows.stop - rows.start), places.device)
    first = constant((columns.start, rows.start), places.device)
    return ((places + 1) * size - 2 * first) / sides - 1

"""Strips of rows in which fronts are drawn on a CPU, and of each the columns in which they can be seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.compositing.front import BLOCK, Front
from mcnet_cli.compositing.front_picture import TILE, ends
from mcnet_cli.compositing.plate import Floats
from mcnet_cli.model.windows import Window

# Blocks of rows that OpenCV draws at once: with more, what is computed for them leaves a processor's cache;
# with fewer, more is computed twice where strips meet.
STRIP_BLOCKS = 6

Indices = NDArray[np.int_]


@dataclass(frozen=True, slots=True)
class Strip:
    """Rows and columns of a front in which it can be seen.

    solid: the columns, counted from the strip's first, in which it hides all that is behind it. origin: the
    rows and columns of the enlarged front that it is taken from.
    """

    window: Window
    solid: slice
    origin: Window


def strips_of(
    front: Front, places: Floats, finer: Sequence[tuple[slice, float] | None], size: tuple[int, ...]
) -> Iterator[list[Strip | None]]:
    """The strips of a front of (H, W) pixels from above: that of each frame; None where it isn't seen.

    places: (B, 2, ...), as in a `Movement` each. finer: of each frame the rows in which places are known
    better, and at most how far these are from the blocks' own in pixels of the enlarged front, if any are.
    """
    (height, width), (x, y) = size, places.transpose(1, 0, 2, 3)  # (B, h, w) each
    starts = np.arange(0, height, STRIP_BLOCKS * BLOCK)
    stops = np.minimum(starts + STRIP_BLOCKS * BLOCK, height)
    slack = np.zeros((len(places), len(starts)), np.float32)
    for own, known in zip(slack, finer, strict=True):
        if known is not None:
            rows, far = known
            own[(starts < rows.stop) & (stops > rows.start)] = far
    # where strips are taken from: rows, and columns between two blocks, the farthest to either side
    blocks = starts // BLOCK, np.minimum(starts // BLOCK + STRIP_BLOCKS, y.shape[1] - 2) + 1
    upper, lower = (
        _extreme(find, found, *blocks) for find, found in ((np.minimum, y.min(2)), (np.maximum, y.max(2)))
    )
    reached = [
        np.clip(edge.astype(int), 0, len(front.picture) - 1) for edge in (upper - slack, lower + slack + 1)
    ]
    low, high = (_extreme(find, x, *blocks) for find in (np.minimum, np.maximum))
    low = np.minimum(low[..., 1:], low[..., :-1]) - slack[..., None]
    high = np.maximum(high[..., 1:], high[..., :-1]) + slack[..., None]
    tiles = [edge.ravel() // TILE for edge in reached]

    def limits(runs: NDArray[np.int32], *finds: np.ufunc) -> Iterator[NDArray[np.int_]]:
        """(B, N, 1) each: the first and the last column, as far as all or any of the rows go."""
        for find, edge in zip(finds, runs.T, strict=True):
            yield _extreme(find, edge[None], *tiles).reshape(*slack.shape, 1)

    left, right = limits(front.seen, np.minimum, np.maximum)
    begin, end = np.moveaxis(ends((low < right) & (high > left - 1)), -1, 0)
    left, right = limits(front.solid, np.maximum, np.minimum)
    hides = (low >= left) & (high < right - 1)
    inner, outer = np.moveaxis(ends(hides), -1, 0)
    outer = np.where(hides.sum(-1) == outer - inner, outer, inner)  # if it is in one piece
    columns = np.clip(BLOCK * (begin - 1), 0, width), np.clip(BLOCK * end, 0, width)
    # between two blocks are the columns from the middle of the first of them to that of the other
    solid = (np.clip(BLOCK * edge - BLOCK // 2, *columns) - columns[0] for edge in (inner, outer))
    sides = (
        np.clip(np.take_along_axis(edge, block[..., None], 2)[..., 0], 0, front.picture.shape[1]).astype(int)
        for edge, block in ((low, begin), (high, np.maximum(end - 1, 0)))
    )
    found = np.stack([*columns, *solid, *reached, *sides], -1).transpose(1, 0, 2).tolist()
    for top, bottom, strips in zip(starts.tolist(), stops.tolist(), found, strict=True):
        yield [_strip(slice(top, bottom), *strip) if strip[0] < strip[1] else None for strip in strips]


def _strip(rows: slice, *ends: int) -> Strip:
    """One of `strips_of`; ends: first and last of what it consists of."""
    columns, solid, reached, sides = (slice(*pair) for pair in zip(ends[::2], ends[1::2], strict=True))
    return Strip((rows, columns), solid, (slice(reached.start, reached.stop + 1), sides))


def _extreme(find: np.ufunc, values: NDArray[Any], first: Indices, last: Indices) -> NDArray[Any]:
    """(B, N, ...): the least or greatest values (B, M, ...) in N parts of them, by first and last numbers."""
    bounds = np.stack([first, last + 1], 1).ravel()
    values = np.concatenate([values, values[:, -1:]], 1)
    found: NDArray[Any] = find.reduceat(values, bounds, axis=1)[:, ::2]
    return found

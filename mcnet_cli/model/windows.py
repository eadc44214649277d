"""Parts of pictures, found by coordinates. They are those of `geometry`: the picture's side is 2."""

import math

import torch
from torch import Tensor

Axes = tuple[Tensor, Tensor]  # coordinates of a picture's columns (W) and rows (H)
Window = tuple[slice, slice]  # rows and columns


def axes_of(size: tuple[int, int], like: Tensor) -> Axes:
    """The coordinates of the columns and of the rows of a (H, W) picture."""
    height, width = size
    x, y = (torch.linspace(-1, 1, side, dtype=like.dtype, device=like.device) for side in (width, height))
    return x, y


def grid_of(axes: Axes, window: Window) -> Tensor:
    """(h, w, 2) positions of the pixels in a window of a picture."""
    rows, columns = window
    x, y = axes
    return torch.stack(torch.meshgrid(x[columns], y[rows], indexing="xy"), dim=-1)


def window_around(places: Tensor, reach: Tensor, axes: Axes) -> Window:
    """The rows and columns of a picture that lie within `reach` of the box around (B, K, 2) places."""
    # keypoints that are not finite must not stop training here: it looks for them in the loss
    x, y = zip(*places.nan_to_num().flatten(0, -2).tolist(), strict=True)
    margin = float(reach.detach())
    rows, columns = (
        _between(line, min(values) - margin, max(values) + margin)
        for line, values in ((axes[1], y), (axes[0], x))
    )
    return rows, columns


def enlarged(window: Window, step: int, axes: Axes) -> Window:
    """The rows and columns of a picture in a window of every `step`-th of them."""
    rows, columns = (
        slice(part.start * step, min(part.stop * step, len(line)))
        for part, line in zip(window, reversed(axes), strict=True)
    )
    return rows, columns


def grown(window: Window, by: int, size: int) -> Window:
    """A window with so many more rows and columns on each side, within a square of `size` pixels."""
    rows, columns = (slice(max(part.start - by, 0), min(part.stop + by, size)) for part in window)
    return rows, columns


def seen_from(around: Window, window: Window) -> Window:
    """A window, counted from the first row and column of one around it."""
    rows, columns = (
        slice(part.start - first.start, part.stop - first.start)
        for part, first in zip(window, around, strict=True)
    )
    return rows, columns


def _between(line: Tensor, first: float, last: float) -> slice:
    """The part of evenly rising coordinates from `first` to `last`, one at least."""
    start, step, count = float(line[0]), float(line[-1] - line[0]) / max(len(line) - 1, 1), len(line)
    low, high = ((end - start) / (step or 1.0) for end in (first, last))
    begin = min(max(math.floor(low), 0), count - 1)
    return slice(begin, max(min(math.ceil(high) + 1, count), begin + 1))

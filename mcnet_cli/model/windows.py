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
    ends = torch.stack([places.amin((0, 1)) - reach, places.amax((0, 1)) + reach])
    # keypoints that are not finite must not stop training here: it looks for them in the loss
    (left, top), (right, bottom) = ends.nan_to_num().tolist()
    x, y = axes
    return _between(y, top, bottom), _between(x, left, right)


def _between(line: Tensor, first: float, last: float) -> slice:
    """The part of evenly rising coordinates from `first` to `last`, one at least."""
    start, step, count = float(line[0]), float(line[-1] - line[0]) / max(len(line) - 1, 1), len(line)
    low, high = ((end - start) / (step or 1.0) for end in (first, last))
    begin = min(max(math.floor(low), 0), count - 1)
    return slice(begin, max(min(math.ceil(high) + 1, count), begin + 1))

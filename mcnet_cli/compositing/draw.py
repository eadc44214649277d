"""Fronts drawn over what is behind them: by OpenCV on a CPU, by torch on any device."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from mcnet_cli.compositing.layers import BLOCK, Front
from mcnet_cli.compositing.plate import Picture, over
from mcnet_cli.model.windows import Window

# Pixels that OpenCV draws at once: what is computed for them, 16 bytes each, stays in a processor's cache.
STRIP_PX = 1 << 17

Maps = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Due:
    """What is added to places around an eye or the mouth, in pixels of the enlarged front.

    window: of the front's rows and columns. above, below: (h, w, 2) at every `step`-th pixel, what is due
    above and below the line where lids or lips meet. side: (H, W), 0 above the line and 1 below it.
    """

    window: Window
    above: Tensor
    below: Tensor
    side: Tensor


@dataclass(frozen=True, slots=True)
class Inlay:
    """A part of the front that moves otherwise than what is around, such as an iris between its lids.

    window: of the front's rows and columns. shift: (h, w, 2) at every `step`-th pixel, what is added to
    places, in pixels of the enlarged front. share: (H, W) in [0, 1], how much of it is seen.
    """

    window: Window
    shift: Tensor
    share: Tensor


@dataclass(frozen=True, slots=True)
class Paint:
    """What is painted in a window: its share (H, W) in [0, 1], its colours (H, W, 3), 0 to 255."""

    window: Window
    share: Tensor
    colours: Tensor


@dataclass(frozen=True, slots=True)
class Movement:
    """What a frame does with a front of (H, W) pixels.

    places: (⌈H/8⌉ + 2, ⌈W/8⌉ + 2, 2) where in the enlarged front the middles of blocks are taken from, with a
    block more on each side. dues: what is added to that, at every `step`-th pixel of a window. inlays: what
    is laid in then. paints: what is painted over it, in that order.
    """

    places: Tensor
    dues: list[Due]
    inlays: list[Inlay]
    step: int
    paints: list[Paint]


def draw_by_opencv(front: Front, movement: Movement, behind: Picture) -> None:
    """Draws a front over what is behind it: (H, W, 3) colours, or (H, W, 4) colours times alpha and alpha.

    Strip by strip, and of each only the columns in which the front can be seen.
    """
    blocks = movement.places.numpy()
    dues = [(due.window, _enlarged(due, movement.step)) for due in movement.dues]
    slack = max((float(np.abs(due).max()) for _, due in dues), default=0.0)
    for (rows, columns), around in _strips(front, blocks, slack, behind.shape[:2]):
        places = _times(blocks[around], BLOCK)
        places = places[_within(rows, around[0]), _within(columns, around[1])]
        for window, due in dues:
            here, own = common((rows, columns), window)
            places[here] += due[own]
        moved = taken(front, places)
        for inlay in movement.inlays:
            here, own = common((rows, columns), inlay.window)
            share = inlay.share[own].numpy()
            if share.size:
                other = taken(front, places[here] + _times(inlay.shift.numpy(), movement.step)[own])
                moved[here] = cv2.blendLinear(other, moved[here], share, 1 - share)
        for paint in movement.paints:
            here, own = common((rows, columns), paint.window)
            _paint_over(moved[here], paint.share[own].numpy(), paint.colours[own].numpy())
        over(moved, behind[rows, columns], behind[rows, columns])


def taken(front: Front, places: Maps) -> Picture:
    """(h, w, 4): what a front shows at (h, w, 2) places."""
    taken: Picture = cv2.remap(front.picture, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return taken


def _strips(
    front: Front, blocks: Maps, slack: float, size: tuple[int, ...]
) -> Iterator[tuple[Window, Window]]:
    """The strips of a front's rows and columns in which it is seen, and the blocks around each.

    slack: how much places may still be changed, in pixels of the enlarged front.
    """
    height, width = size
    x, y = cv2.split(blocks)
    strip = max(1, STRIP_PX // (BLOCK * width)) * BLOCK
    for top in range(0, height, strip):
        bottom = min(top + strip, height)
        rows = slice(top // BLOCK, -(-bottom // BLOCK) + 2)
        first, last = _seen(front.extent, x[rows], y[rows], slack)
        if first <= last:
            left, right = max(0, BLOCK * (first - 1)), min(width, BLOCK * last)
            columns = slice(left // BLOCK, -(-right // BLOCK) + 2)
            yield (slice(top, bottom), slice(left, right)), (rows, columns)


def _seen(extent: NDArray[np.int32], x: Maps, y: Maps, slack: float) -> tuple[int, int]:
    """The first and the last column of blocks between which the front shows something at places (x, y).

    The last is before the first where there is none.
    """
    low, high = y.min() - slack, y.max() + slack
    count = len(extent)
    reached = extent[min(max(int(low), 0), count - 1) : min(max(int(high) + 2, 1), count)]
    left, right = reached[:, 0].min(), reached[:, 1].max()
    if left > right:
        return 1, 0
    left, right = left - 1 - slack, right + 1 + slack
    nearest, farthest = x.min(0), x.max(0)
    between = np.minimum(nearest[:-1], nearest[1:]) <= right
    between &= np.maximum(farthest[:-1], farthest[1:]) >= left
    found = np.flatnonzero(between)
    return (int(found[0]), int(found[-1]) + 1) if len(found) else (1, 0)


def draw_by_torch(picture: Tensor, movement: Movement, behind: Picture) -> None:
    """The same on any device, in float32: the plain twin of `draw_by_opencv`.

    picture: (1, 4, 2·(T + H), 2·W), the enlarged front.
    """
    height, width = behind.shape[:2]
    places = larger(movement.places, BLOCK)[:, BLOCK : BLOCK + height, BLOCK : BLOCK + width].clone()
    for due in movement.dues:
        rows, columns = due.side.shape
        above, below = (larger(side, movement.step)[:, :rows, :columns] for side in (due.above, due.below))
        places[:, *due.window] += torch.lerp(above, below, due.side)
    moved = sampled(picture, places)
    for inlay in movement.inlays:
        rows, columns = inlay.share.shape
        shift = larger(inlay.shift, movement.step)[:, :rows, :columns]
        other = sampled(picture, places[:, *inlay.window] + shift)
        moved[:, *inlay.window] = torch.lerp(moved[:, *inlay.window], other, inlay.share)
    person, matte = moved[:3], moved[3:] / 255
    for paint in movement.paints:
        window = paint.window
        colours = rearrange(paint.colours, "h w c -> c h w") * matte[:, *window]
        person[:, *window] = torch.lerp(person[:, *window], colours, paint.share)
    below = torch.from_numpy(behind).to(places.device).permute(2, 0, 1)
    result = moved[: len(below)] + below * (1 - matte)
    behind[:] = rearrange(result.round().clamp(0, 255).to(torch.uint8), "c h w -> h w c").cpu().numpy()


def sampled(picture: Tensor, places: Tensor) -> Tensor:
    """(C, h, w): a (1, C, H, W) picture at (2, h, w) places in its pixels."""
    sides = torch.tensor(picture.shape[:1:-1], device=places.device)
    grid = (2 * rearrange(places, "c h w -> 1 h w c") + 1) / sides - 1
    return F.grid_sample(picture, grid, padding_mode="border", align_corners=False)[0]


def larger(maps: Tensor, factor: int) -> Tensor:
    """(C, factor·h, factor·w) of (h, w, C) maps, by linear interpolation."""
    planes = rearrange(maps, "h w c -> 1 c h w")
    return F.interpolate(planes, scale_factor=float(factor), mode="bilinear", align_corners=False)[0]


def _times(maps: Maps, factor: int) -> Maps:
    """(factor·h, factor·w, C) of (h, w, C) maps, by linear interpolation."""
    size = factor * maps.shape[1], factor * maps.shape[0]
    large: Maps = cv2.resize(maps, size, interpolation=cv2.INTER_LINEAR)
    return large


def _enlarged(due: Due, step: int) -> Maps:
    """(H, W, 2) what is due in each pixel of its window."""
    side = due.side.numpy()
    rows, columns = side.shape
    above, below = (_times(part.numpy(), step)[:rows, :columns] for part in (due.above, due.below))
    mixed: Maps = cv2.blendLinear(above, below, 1 - side, side)
    return mixed


def _within(line: slice, blocks: slice) -> slice:
    """Where rows or columns are in enlarged blocks, the first of which is one before the others."""
    first = BLOCK * (blocks.start - 1)
    return slice(line.start - first, line.stop - first)


def common(strip: Window, window: Window) -> tuple[Window, Window]:
    """What a strip and a window have in common, counted in the strip and in the window."""
    here, own = [], []
    for line, other in zip(strip, window, strict=True):
        low = max(line.start, other.start)
        high = max(low, min(line.stop, other.stop))
        here.append(slice(low - line.start, high - line.start))
        own.append(slice(low - other.start, high - other.start))
    return (here[0], here[1]), (own[0], own[1])


def _paint_over(part: Picture, share: Maps, colours: Maps) -> None:
    """Mixes a (h, w) share of colours (h, w, 3), 0 to 255, into colours times matte and the matte."""
    if not part.size:
        return
    mixed = colours * (part[..., 3:] * np.float32(1 / 255))
    mixed -= part[..., :3]
    mixed *= share[..., None]
    mixed += part[..., :3]
    part[..., :3] = cv2.convertScaleAbs(mixed)  # rounds; mixtures are never negative

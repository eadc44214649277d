"""Fronts drawn over what is behind them: by OpenCV on a CPU, by torch on any device."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from mcnet_cli.arrays import Picture
from mcnet_cli.compositing.front import BLOCK, Front
from mcnet_cli.compositing.plate import over
from mcnet_cli.compositing.strips import strips_of
from mcnet_cli.model.geometry import grid_sample
from mcnet_cli.model.windows import Window
from mcnet_cli.transfers import upload

LINE_PX = 16  # pixels of four bytes in a line of a cache

Maps = NDArray[np.float32]
Planes = Sequence[Maps] | Maps  # x and y


@dataclass(frozen=True, slots=True)
class LowerShift:
    """Moves what lies below the line where lids or lips meet.

    window: of the front's rows and columns. shift: (2, h, w) at every `step`-th pixel, what is added to
    places, in pixels of the enlarged front. share: (H, W), 0 above the line and 1 below it.
    """

    window: Window
    shift: Maps
    share: Maps


@dataclass(frozen=True, slots=True)
class Inlay:
    """A part of the front that moves otherwise than what is around, such as an iris between its lids.

    window: of the front's rows and columns. shift: (2, h, w) at every `step`-th pixel, what is added to
    places, in pixels of the enlarged front. share: (H, W) in [0, 1], how much of it is seen.
    """

    window: Window
    shift: Maps
    share: Maps


@dataclass(frozen=True, slots=True)
class FinePlaces:
    """Where pixels around eyes and mouth are taken from, on a finer grid than others.

    window: of the front's rows and columns; all `lower` and `inlays` are within it. places: (2, h + 2, w +
    2), x and y in the enlarged front of the middles of `step` by `step` pixels, with one more on each side.
    lower: shifts of lower lids and lips, added to these. inlays: the irises. slack: the largest distance
    between a pixel's place and that of its block, in pixels of the enlarged front.
    """

    window: Window
    step: int
    places: Maps
    lower: list[LowerShift]
    inlays: list[Inlay]
    slack: float


@dataclass(frozen=True, slots=True)
class Paint:
    """What is painted in a window: its share (H, W) in [0, 1], its colours (H, W, 3), 0 to 255.

    The colours are on the device that draws; the share is, or is on the CPU.
    """

    window: Window
    share: Tensor
    colours: Tensor


@dataclass(frozen=True, slots=True)
class Movement:
    """What a frame does with a front of (H, W) pixels.

    places: (2, ⌈H/8⌉ + 2, ⌈W/8⌉ + 2) on the CPU, x and y, where in the enlarged front the middles of blocks
    are taken from, with a block more on each side. finer: what is known better around eyes and mouth. paints:
    what is painted over it, in that order.
    """

    places: Tensor
    finer: FinePlaces | None
    paints: list[Paint]


def draw_by_opencv(front: Front, movements: Sequence[Movement], behind: Sequence[Picture]) -> None:
    """Draws a front over what is behind it in some frames.

    behind: for each movement (H, W, 3) colours, or (H, W, 4) colours times alpha and the alpha.

    Strip by strip, and of each only the columns in which the front can be seen. All frames take a strip from
    about the same part of the front, which then is in the processor's cache.
    """
    makers = [_StripMaker(front, movement) for movement in movements]
    places = np.stack([movement.places.numpy() for movement in movements])
    finer = [
        None if each is None else (each.window[0], each.slack)
        for each in (movement.finer for movement in movements)
    ]
    for strips in strips_of(front, places, finer, behind[0].shape[:2]):
        seen = [number for number, strip in enumerate(strips) if strip is not None]
        for number in seen:
            strip = strips[number]
            assert strip is not None
            if number == seen[0]:
                _fetch(front.picture, strip.origin)
            _lay(makers[number].drawn(strip.window), behind[number][strip.window], strip.solid)


class _StripMaker:
    """Draws strips of a front as one frame moves it."""

    def __init__(self, front: Front, movement: Movement) -> None:
        self._front, self._blocks, finer = front, movement.places.numpy(), movement.finer
        self._better: list[tuple[Window, Planes]] = []
        self._inlays: list[tuple[Window, Picture, Maps]] = []
        if finer is not None:
            near = _near(finer)
            self._better = [(finer.window, near)]
            self._inlays = [_inlaid(front, inlay, finer, near) for inlay in finer.inlays]
        self._paints = [
            (paint.window, paint.share.numpy(), paint.colours.numpy()) for paint in movement.paints
        ]

    def drawn(self, strip: Window) -> Picture:
        """(h, w, 4): what the front shows in rows and columns, colours times matte and the matte."""
        rows, columns = strip
        blocks = self._blocks[:, _around(rows), _around(columns)]
        places = times(blocks, BLOCK, _within(rows), _within(columns))
        for window, better in self._better:
            if _meet(strip, window):
                here, own = common(strip, window)
                for line, values in zip(places, better, strict=True):
                    line[here] = values[own]
        moved = taken(self._front, places)
        for window, other, share in self._inlays:
            if _meet(strip, window):
                here, own = common(strip, window)
                moved[here] = cv2.blendLinear(other[own], moved[here], share[own], 1 - share[own])
        for window, share, colours in self._paints:
            if _meet(strip, window):
                here, own = common(strip, window)
                _paint_over(moved[here], share[own], colours[own])
        return moved


def _near(finer: FinePlaces) -> Planes:
    """x and y, (H, W) each: places of the pixels in the window around eyes and mouth."""
    rows, columns = (slice(finer.step, finer.step + line.stop - line.start) for line in finer.window)
    near = times(finer.places, finer.step, rows, columns)
    for shifted in finer.lower:
        here, _ = common(finer.window, shifted.window)
        shift = times(shifted.shift, finer.step, *map(slice, shifted.share.shape))
        for line, added in zip(near, shift, strict=True):
            cv2.accumulateProduct(added, shifted.share, line[here])
    return near


def _inlaid(front: Front, inlay: Inlay, finer: FinePlaces, near: Planes) -> tuple[Window, Picture, Maps]:
    """The window of an inlay, (H, W, 4) what a front shows in it, and (H, W) how much of that is seen."""
    here, _ = common(finer.window, inlay.window)
    shift = times(inlay.shift, finer.step, *map(slice, inlay.share.shape))
    moved = taken(front, [line[here] + added for line, added in zip(near, shift, strict=True)])
    return inlay.window, moved, inlay.share


def _lay(front: Picture, behind: Picture, solid: slice) -> None:
    """Lays a strip of a front over what is behind it. solid: columns in which it hides all of that."""
    for part in (slice(0, solid.start), slice(solid.stop, behind.shape[1])):
        if part.start < part.stop:
            over(front[:, part], behind[:, part], behind[:, part])
    if solid.start < solid.stop:
        if behind.shape[2] == 4:
            behind[:, solid] = front[:, solid]
        else:
            cv2.cvtColor(front[:, solid], cv2.COLOR_RGBA2RGB, behind[:, solid])


def _fetch(picture: Picture, window: Window) -> None:
    """Brings a window of an (H, W, 4) picture into the processor's cache, by one of every 16 pixels.

    Places that wander through its rows, as those of a head that turns, would have a processor wait for each
    line of memory; those that are asked for in order come ahead of it.
    """
    rows, columns = window
    picture.view(np.uint32)[rows, columns.start : columns.stop : LINE_PX, 0].max(initial=0)


def taken(front: Front, places: Planes) -> Picture:
    """(h, w, 4): what a front shows at places x and y, (h, w) each."""
    x, y = places
    taken: Picture = cv2.remap(front.picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return taken


def draw_by_torch(picture: Tensor, movement: Movement, behind: Tensor) -> None:
    """The same on any device, in float32: the plain twin of `draw_by_opencv`. Nothing in it waits for a GPU.

    picture: (1, 4, 2·(T + H), 2·W), the enlarged front. behind: as there, uint8, beside it.
    """
    height, width = behind.shape[:2]
    places = larger(upload(movement.places, picture.device), BLOCK)
    places = places[:, BLOCK : BLOCK + height, BLOCK : BLOCK + width].clone()
    finer, step = movement.finer, 1 if movement.finer is None else movement.finer.step

    def enlarged(maps: Maps, rows: slice, columns: slice) -> Tensor:
        return larger(upload(maps, picture.device), step)[:, rows, columns]

    if finer is not None:
        rows, columns = (slice(finer.step, finer.step + line.stop - line.start) for line in finer.window)
        places[:, *finer.window] = enlarged(finer.places, rows, columns)
        for shifted in finer.lower:
            share = upload(shifted.share, picture.device)
            places[:, *shifted.window] += share * enlarged(shifted.shift, *map(slice, share.shape))
    moved = sampled(picture, places)
    for inlay in [] if finer is None else finer.inlays:
        share = upload(inlay.share, picture.device)
        there = places[:, *inlay.window] + enlarged(inlay.shift, *map(slice, share.shape))
        moved[:, *inlay.window] = torch.lerp(moved[:, *inlay.window], sampled(picture, there), share)
    person, matte = moved[:3], moved[3:] / 255
    for paint in movement.paints:
        window = paint.window
        colours = rearrange(paint.colours, "h w c -> c h w") * matte[:, *window]
        person[:, *window] = torch.lerp(person[:, *window], colours, upload(paint.share, picture.device))
    below = rearrange(behind, "h w c -> c h w")
    result = moved[: len(below)] + below * (1 - matte)
    below.copy_(result.round().clamp(0, 255))


def sampled(picture: Tensor, places: Tensor) -> Tensor:
    """(C, h, w): a (1, C, H, W) picture at (2, h, w) places in its pixels."""
    x, y = ((2 * line + 1) / side - 1 for line, side in zip(places, picture.shape[:1:-1], strict=True))
    grid = torch.stack([x, y], dim=-1)[None]
    return grid_sample(picture, grid, padding_mode="border", align_corners=False)[0]


def larger(maps: Tensor, factor: int) -> Tensor:
    """(C, factor·h, factor·w) of (C, h, w) maps, by linear interpolation."""
    return F.interpolate(maps[None], scale_factor=float(factor), mode="bilinear", align_corners=False)[0]


def times(maps: Maps, factor: int, rows: slice, columns: slice) -> Planes:
    """C maps (h, w), enlarged so many times by linear interpolation; of that, rows and columns."""
    size = factor * maps.shape[2], factor * maps.shape[1]
    return [cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)[rows, columns] for plane in maps]


def _around(line: slice) -> slice:
    """Blocks around rows or columns, of which there is one before the first."""
    return slice(line.start // BLOCK, -(-line.stop // BLOCK) + 2)


def _within(line: slice) -> slice:
    """Where rows or columns are in the enlarged blocks around them."""
    first = BLOCK * (line.start // BLOCK - 1)
    return slice(line.start - first, line.stop - first)


def _meet(strip: Window, window: Window) -> bool:
    """Whether they have anything in common."""
    return all(
        line.start < other.stop and other.start < line.stop for line, other in zip(strip, window, strict=True)
    )


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

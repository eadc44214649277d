"""The inside of a mouth, and eyes that open, at the photo's own size, by the network's detail painters.

What a painter sees is cut out of the moved photo, however large that is; what it paints is laid over the
photo's pixels within the exact outline of lips or lids, so that their edge is as sharp as the photo.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from mcnet_cli.compositing.draw import Movement, Paint, larger, sampled, taken
from mcnet_cli.compositing.front import BLOCK, Front
from mcnet_cli.compositing.gaze import Gaze
from mcnet_cli.model.detail_painter import EyePainter, MouthPainter, SourceDetail, limit
from mcnet_cli.model.detail_shape import (
    Shape,
    Square,
    beyond_arcs,
    corner_frame,
    finer,
    in_frame,
    in_part,
    part_around,
    pixel_places,
)
from mcnet_cli.model.eye_shape import IRIS, EyeShape
from mcnet_cli.model.face_parts import FaceParts
from mcnet_cli.model.geometry import grid_sample, ramp
from mcnet_cli.model.mouth_shape import MouthShape
from mcnet_cli.model.outlines import EYE
from mcnet_cli.model.windows import Axes, Window, enlarged, grid_of, window_around
from mcnet_cli.transfers import upload

Range = tuple[float, float]
# Opening of mouths over the width in the driving, and its ratio to that in the source, between which painting
# sets in: landmarks of lips that stay shut tremble.
PARTED, WIDENED = (0.04, 0.09), (1.3, 1.8)
# Least opening that a source's is taken for: landmarks don't tell smaller ones from none.
LEAST_OPENING = 0.02
# How far painting reaches beyond the points of inner lips or lids, in widths of the mouth or eye.
REACH = 0.03
# How near the middle of a painted iris may come to the lids, in its radii, and to the corners, in the eye's
# widths.
IRIS_INSIDE, IRIS_ALONG = 0.6, 0.25
# Samples along each side of a pixel of the painter's square, at most; of mouths larger than that pixels are
# skipped, which the enlarged front has sampled finely enough.
FINEST = 2
# Standard deviation of brightness in and around the lips, within `AROUND` widths of the mouth, below which
# a mask or a veil covers them. In 173 photos and videos it is at least 0.047, on plain cloth nearly 0.
LEAST_CONTRAST, AROUND = 0.035, 0.25
# Pixels of the photo a pixel of the painter's square from which on its paint is enlarged by a network.
ENLARGED_FROM = 1.4


@dataclass(frozen=True, slots=True)
class Canvas:
    """Where a person's mouth and eyes are painted.

    axes: coordinates of the front's columns and rows. coarse, step: those of the middles of every `step`
    pixels, at which outlines are computed. device_axes: `axes` on the device that draws. picture:
    (1, 4, 2·(T + H), 2·W) float32, there, the enlarged front where torch draws; None where OpenCV does.
    """

    axes: Axes
    coarse: Axes
    step: int
    device_axes: Axes
    picture: Tensor | None

    def upload(self, values: Tensor) -> Tensor:
        """The same values on the device."""
        return upload(values, self.device_axes[0].device)


class _Detail:
    """A mouth or an eye of one person, which a painter paints."""

    def __init__(self, painter: MouthPainter | EyePainter, front: Front, canvas: Canvas) -> None:
        self._painter, self._front, self._canvas = painter, front, canvas
        self._enlarges = False

    def _encode(self, before: Shape, resting: Tensor) -> tuple[SourceDetail, Tensor]:
        """What the painter needs of the source, and what it sees of it. before: the source's own shape."""
        square = before.square()
        seen = self._seen(Movement(resting, None, []), square)
        pixels = 2 * float(square.half) * self._front.scale[0] / self._painter.config.size
        self._enlarges = self._painter.enlarger is not None and pixels >= ENLARGED_FROM
        return self._painter.encode(seen, before.within(square).map(self._canvas.upload)), seen

    def _painted(
        self, movements: Sequence[Movement], after: Shape, source: SourceDetail
    ) -> tuple[tuple[Tensor, ...], Window]:
        """What the painter paints of B shapes, each in its frame; in one go, which takes less time.

        (1, 4, h, w) each, colours and share, at twice the painter's size if the mouth is large. The part of
        their squares that is painted is the same for all; it comes with them.
        """
        squares = [after[number : number + 1].square() for number in range(len(movements))]
        times = 2 if self._enlarges else 1
        seen = torch.cat([self._seen(*each, times) for each in zip(movements, squares, strict=True)])
        square = after.square()
        inside = part_around(square.within(finer(after.arcs[:, :2])), self._painter.config.size)
        shape = after.within(square).map(self._canvas.upload)
        small = F.avg_pool2d(seen, times) if times > 1 else seen
        paint = self._painter(small, shape, source.expand(len(movements)), inside).finished()
        if self._enlarges:
            paint = self._painter.enlarged(paint, seen, shape, inside)
        return paint.layers.chunk(len(movements)), inside

    def _laid(self, paint: Tensor, inside: Window, after: Shape, strength: Tensor | float) -> Paint:
        """What is painted of one shape, at the front's own size, within its outline.

        paint, inside: of `_painted`.
        """
        square, canvas = after.square(), self._canvas
        window, distances = _distances(finer(after.arcs[:, :2]), after.width, canvas)
        places = square.map(canvas.upload).within(grid_of(canvas.device_axes, window)[None])
        places = in_part(places, inside, self._painter.config.size)
        laid = grid_sample(paint, places, "bicubic", "border", align_corners=False)[0].clamp(0, 1)
        share = strength * limit(distances) * laid[3]
        return Paint(window, share, 255 * rearrange(laid[:3], "c h w -> h w c").contiguous())

    def _seen(self, movement: Movement, square: Square, times: int = 1) -> Tensor:
        """(1, 3, S, S) of the moved front, `times` as large as the painter sees it."""
        size = times * self._painter.config.size
        return _square_of(self._front, self._canvas, movement, square, size)


class Mouth(_Detail):
    """Paints the mouth of one person.

    placing: numbers of the keypoints that place a mouth in a face.
    """

    def __init__(self, painter: MouthPainter, placing: Sequence[int], front: Front, canvas: Canvas) -> None:
        super().__init__(painter, front, canvas)
        self._placing = [*placing]
        self._source: tuple[MouthShape, SourceDetail, Tensor] | None = None

    def strengths(self, resting: Tensor, source: Tensor, driving: Tensor) -> list[float]:
        """How strongly the mouth is painted in each of B frames: 0 while it doesn't open, at most 1.

        resting: places in the enlarged front when nothing moves, as `Movement.places`. source, driving:
        (1, K, 2) and (B, K, 2) keypoints.
        """
        if self._source is None:
            before = self._shape(source[:, self._placing])
            encoded, seen = self._encode(before, resting)
            self._source = before, encoded, self._is_seen(before, seen)
        before, _, is_seen = self._source
        if is_seen.device.type == "cpu" and not is_seen:  # a GPU isn't waited for, and multiplies by 0
            return [0.0] * len(driving)
        # points alone tell how far a mouth is open; most frames need no lips
        opening = MouthShape(driving[:, self._placing], before.arcs).opening
        return list(map(float, _opens(before.opening, opening, PARTED, WIDENED)))

    def paints(
        self, movements: Sequence[Movement], driving: Tensor, strengths: Sequence[float]
    ) -> Iterator[Paint]:
        """What is painted in B frames; nothing where something covers the source's mouth.

        driving: (B, K, 2) keypoints. strengths: of `strengths`, which has been asked for before.
        """
        assert self._source is not None
        before, encoded, is_seen = self._source
        after = before.moved(driving[:, self._placing])
        paints, inside = self._painted(movements, after, encoded)
        for number, paint in enumerate(paints):
            yield self._laid(paint, inside, after[number : number + 1], strengths[number] * is_seen)

    def _is_seen(self, before: MouthShape, seen: Tensor) -> Tensor:
        """() on the device, which isn't waited for: 0 if a mask or a veil covers the mouth, else 1."""
        square = before.square()
        _, out_of_lips = before.within(square).map(self._canvas.upload).distances(seen.shape[-1])
        light, around = seen.mean(1, keepdim=True), (out_of_lips < AROUND).float()
        count = around.sum().clamp_min(1)
        mean = (light * around).sum() / count
        deviation = (((light - mean).square() * around).sum() / count).sqrt()
        return (deviation >= LEAST_CONTRAST).float()

    def _shape(self, points: Tensor) -> MouthShape:
        if self._front.mouth is None:
            return MouthShape.of_points(points)
        return MouthShape(points, torch.from_numpy(self._front.mouth).to(points)[None])


class Eye(_Detail):
    """Paints an eye of one person where it opens and the source doesn't show it.

    lids: (2, 9, 2) coordinates of the source's, as in `eye_shape`. eye: 0 for the picture's left one.
    """

    def __init__(
        self, painter: EyePainter, parts: FaceParts, eye: int, lids: Tensor, front: Front, canvas: Canvas
    ) -> None:
        super().__init__(painter, front, canvas)
        self._parts, self._eye, self._lids = parts, eye, lids
        self._source: tuple[EyeShape, SourceDetail, float] | None = None

    def strengths(self, resting: Tensor, source: Tensor, driving: Tensor, gaze: Gaze) -> list[float]:
        """How far the eye opens in each of B frames: 0 while the source shows all of it, at most 1.

        Arguments as for `Mouth.strengths`.
        """
        if self._source is None:
            eye = self._eye
            iris = _iris(gaze.source[:, eye].to(source), gaze.radii[:, eye].to(source))
            lids = self._lids.to(source)[None]
            middle = lids.shape[2] // 2
            before = EyeShape(torch.cat([lids[:, 0, [0, -1]], lids[:, :, middle], iris], 1), lids)
            own = self._parts.eye_corners(source)
            width = float(before.width / (own[:, 0] - own[:, 1]).norm(dim=-1))
            self._source = before, self._encode(before, resting)[0], width
        before, _, width = self._source
        lids, corners = self._parts.lids(driving, self._eye), self._parts.eye_corners(driving)
        apart, open_by = ((pair[:, 0] - pair[:, 1]).norm(dim=-1) for pair in (corners, lids))
        opening = open_by / (apart * width)
        return list(map(float, _opens(before.opening, opening, EYE.parted, EYE.widened)))

    def paint(
        self, movement: Movement, source: Tensor, driving: Tensor, gaze: Gaze, strength: float
    ) -> Paint:
        """What is painted in one frame; arguments as for `Mouth.paints`."""
        assert self._source is not None
        (before, encoded, width), eye = self._source, self._eye
        lids, corners = self._parts.lids(driving, eye), self._parts.eye_corners(driving)
        radius = gaze.radii[:, eye].to(source)
        grown = float((corners[:, 0] - corners[:, 1]).norm()) * width / float(before.width)
        after = before.moved(lids, before.points[:, 4:], self._parts.eye_corners(source), corners)
        shown = float(gaze.shown[0, eye])
        after = _looking(before, after, gaze.driving[:, eye].to(source), shown, grown * radius)
        (paint,), inside = self._painted([movement], after, encoded)
        return self._laid(paint, inside, after, strength * float(self._painter.hidden(before, after)))


def _iris(centre: Tensor, radius: Tensor) -> Tensor:
    """(B, 2, 2): the centre and a point of the rim."""
    return torch.stack([centre, centre + torch.stack([radius, torch.zeros_like(radius)], -1)], 1)


def _looking(before: EyeShape, after: EyeShape, centre: Tensor, shown: float, radius: Tensor) -> EyeShape:
    """An eye whose iris, of that radius, goes to a centre (B, 2), but not under its lids or into its corners.

    shown: how far the source's lids are open. Where the iris of a shut eye is, is a guess: such eyes look as
    far from their own middle as the driving's from where they rest.
    """
    own = in_frame(before.points[:, [IRIS]], *corner_frame(before.points))[:, 0, 0]
    origin, axes = corner_frame(after.points)
    along, below = in_frame(torch.cat([centre[:, None], after.points[:, 2:4]], 1), origin, axes).unbind(-1)
    across = (along[:, 0] + (1 - shown) * (0.5 - own)).clamp(IRIS_ALONG, 1 - IRIS_ALONG)
    upper, lower = below[:, 1], below[:, 2]
    slack = ((lower - upper) / 2 - IRIS_INSIDE * radius / after.width).clamp_min(0)
    middle = (upper + lower) / 2
    down = below[:, 0].clamp(middle - slack, middle + slack)
    centre = (torch.stack([across, down], -1)[:, None] @ axes)[:, 0] + origin
    return EyeShape(torch.cat([after.points[:, :4], _iris(centre, radius)], 1), after.arcs)


def _opens(before: Tensor, after: Tensor, parted: Range, widened: Range) -> Tensor:
    """(B,) in [0, 1]: how far a mouth or an eye opens, of its openings in source and driving.

    parted, widened: openings in the driving, and ratios to those in the source, between which that rises.
    """
    return ramp(after, *parted) * ramp(after / before.clamp_min(LEAST_OPENING), *widened)


def _distances(arcs: Tensor, width: Tensor, canvas: Canvas) -> tuple[Window, Tensor]:
    """The window of a front around what two arcs enclose, and (h, w) how far its pixels are outside of it.

    The distance is smooth, and so is computed at every `step`-th pixel. In `width`s, and on the device.
    """
    coarse = window_around(arcs.flatten(1, 2), REACH * width.max(), canvas.coarse)
    beyond = beyond_arcs(arcs, grid_of(canvas.coarse, coarse)[None])[0] / width
    rows, columns = window = enlarged(coarse, canvas.step, canvas.axes)
    distances = larger(canvas.upload(beyond)[None], canvas.step)[0]
    return window, distances[: rows.stop - rows.start, : columns.stop - columns.start]


def _square_of(front: Front, canvas: Canvas, movement: Movement, square: Square, size: int) -> Tensor:
    """(1, 3, size, size) in [0, 1] of the moved front, without its matte; on the device."""
    pixel = 1 / front.scale[0]  # in coordinates
    fine = min(max(1, round(2 * float(square.half) / pixel / size)), FINEST)
    places = square.beyond(pixel_places(size, square.centre)[None])
    first = torch.stack([axis[0] for axis in canvas.axes])
    # x and y in planes of their own, in which arithmetic takes less time
    pixels = rearrange(places, "b h w c -> b c h w").contiguous()
    pixels = rearrange((pixels - first[:, None, None]) / pixel, "b c h w -> b h w c")
    at = _at(movement.places, pixels, BLOCK, BLOCK)
    finer = movement.finer
    if finer is not None:
        own, inside = _in_window(pixels, finer.window)
        near = _at(torch.from_numpy(finer.places), own, finer.step, finer.step)
        at = torch.where(inside[:, None], near, at)
        low, high = (end((0, 1, 2)).tolist() for end in (pixels.amin, pixels.amax))
        for shifted in finer.lower:
            if not all(map(_overlap, low, high, reversed(shifted.window))):
                continue
            own, inside = _in_window(pixels, shifted.window)
            shift_here = _at(torch.from_numpy(shifted.shift), own, finer.step, 0)
            share = _at(torch.from_numpy(shifted.share[None]), own, 1, 0)
            at += inside[:, None] * share * shift_here
    if fine > 1:
        at = F.interpolate(at, scale_factor=float(fine), mode="bilinear", align_corners=False)
    if canvas.picture is None:
        here = taken(front, at[0].numpy()).astype(np.float32)
        colours = here[..., :3] / np.maximum(here[..., 3:], 1)
        if fine > 1:
            colours = cv2.resize(colours, (size, size), interpolation=cv2.INTER_AREA)
        return rearrange(torch.from_numpy(colours), "h w c -> 1 c h w")
    found = sampled(canvas.picture, canvas.upload(at[0]))[None]
    seen = found[:, :3] / found[:, 3:].clamp_min(1)
    return F.avg_pool2d(seen, fine) if fine > 1 else seen


def _overlap(low: float, high: float, line: slice) -> bool:
    """Whether any of the pixels from `low` to `high` is in a window's rows or columns."""
    return bool(line.start - 1 < high and low < line.stop)


def _in_window(pixels: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """(1, h, w, 2) pixels counted from a window's first one, and (1, h, w) whether they are inside of it."""
    rows, columns = window
    ends = torch.tensor([columns.stop - columns.start, rows.stop - rows.start], device=pixels.device)
    own = pixels - torch.tensor([columns.start, rows.start], device=pixels.device)
    across, down = ((own > -1) & (own < ends)).unbind(-1)
    return own, across & down


def _at(maps: Tensor, pixels: Tensor, factor: int, before: int) -> Tensor:
    """(1, C, h, w): (C, H, W) maps, enlarged `factor` times, at (1, h, w, 2) pixels.

    before: how many of the enlarged pixels lie before the first one.
    """
    sides = factor * torch.tensor(maps.shape[:0:-1], device=pixels.device)
    grid = (2 * (pixels + before) + 1) / sides - 1
    return grid_sample(maps[None], grid, padding_mode="border", align_corners=False)

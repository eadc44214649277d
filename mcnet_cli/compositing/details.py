"""The inside of a mouth at the photo's own size, by the network's detail painter.

What the painter sees is cut out of the moved photo, however large that is; what it paints is laid over the
photo's pixels within the exact outline of the lips, so that their edge is as sharp as the photo.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from mcnet_cli.compositing.draw import Movement, Paint, larger, sampled, taken, tensor
from mcnet_cli.compositing.layers import BLOCK, Front
from mcnet_cli.model.detail_painter import DetailPainter, Painted, SourceMouth, limit
from mcnet_cli.model.geometry import grid_sample, ramp
from mcnet_cli.model.mouth_shape import MouthShape, MouthSquare, beyond_lips, finer, pixel_places
from mcnet_cli.model.windows import Axes, Window, enlarged, grid_of, window_around

# Opening over the width in the driving, and its ratio to that in the source, between which painting sets in:
# landmarks of lips that stay shut tremble.
PARTED, WIDENED = (0.04, 0.09), (1.3, 1.8)
# Least opening that a source's is taken for: landmarks don't tell smaller ones from none.
LEAST_OPENING = 0.02
# How far painting reaches beyond the inner lips' points, in mouth's widths.
REACH = 0.03
# Samples along each side of a pixel of the painter's square, at most; of mouths larger than that pixels are
# skipped, which the enlarged front has sampled finely enough.
FINEST = 2
# Sharpening: how far paint is taken from its mean over `SHARPENED_PX`² pixels, as sampling softens it. On
# fourteen people mouths have 0.74 of real ones' sharpness inside without, 0.93 with it, at an error that is a
# hundredth larger.
SHARPENED, SHARPENED_PX = 0.5, 5


@dataclass(frozen=True, slots=True)
class Canvas:
    """Where a person's mouth is painted.

    axes: coordinates of the front's columns and rows. coarse, step: those of the middles of every `step`
    pixels, at which outlines are computed. picture: (1, 4, 2·(T + H), 2·W) the enlarged front where torch
    draws, else None.
    """

    axes: Axes
    coarse: Axes
    step: int
    picture: Tensor | None


class MouthPainter:
    """Paints the mouth of one person.

    placing: numbers of the keypoints that place a mouth in a face.
    """

    def __init__(self, painter: DetailPainter, placing: Sequence[int], front: Front, canvas: Canvas) -> None:
        self._painter, self._placing = painter, [*placing]
        self._front, self._canvas = front, canvas
        self._source: tuple[MouthShape, SourceMouth] | None = None

    def paint(self, movement: Movement, resting: Tensor, source: Tensor, driving: Tensor) -> Paint | None:
        """What is painted; None while the mouth doesn't open.

        resting: places in the enlarged front when nothing moves, as `Movement.places`. source, driving:
        (1, K, 2) keypoints.
        """
        if self._source is None:
            at_rest = Movement(resting, None, [])
            self._source = self._encoded(at_rest, source[:, self._placing])
        before, encoded = self._source
        points = driving[:, self._placing]
        # points alone tell how far a mouth is open; most frames need no lips
        strength = _strength(before, MouthShape(points, before.lips))
        if not strength:
            return None
        shape = before.moved(points)
        square = shape.square()
        seen = _square_of(self._front, self._canvas, movement, square, self._painter.config.size)
        paint = self._painter(seen, square.shape_within(shape), encoded)
        return self._laid_in(paint, shape, square, strength)

    def _encoded(self, at_rest: Movement, points: Tensor) -> tuple[MouthShape, SourceMouth]:
        if self._front.mouth is None:
            shape = MouthShape.of_points(points)
        else:
            known = torch.from_numpy(self._front.mouth).to(points)
            shape = MouthShape(points, known[None])
        square = shape.square()
        seen = _square_of(self._front, self._canvas, at_rest, square, self._painter.config.size)
        return shape, self._painter.encode(seen, square.shape_within(shape))

    def _laid_in(self, paint: Painted, shape: MouthShape, square: MouthSquare, strength: float) -> Paint:
        """The paint of a square at the front's own size, within the lips."""
        canvas, inner = self._canvas, finer(shape.lips[:, :2])
        window, distances = _lips_distances(inner, shape.width, canvas)
        within = square.within(grid_of(canvas.axes, window)[None])
        layers = torch.cat([_sharpened(paint.colours), paint.share], 1)
        laid = grid_sample(layers, within, "bicubic", "border", align_corners=False)[0].clamp(0, 1)
        share = strength * limit(distances) * laid[3]
        return Paint(window, share, 255 * rearrange(laid[:3], "c h w -> h w c").contiguous())


def _sharpened(colours: Tensor) -> Tensor:
    """(B, 3, S, S) pictures with stronger edges."""
    soft = F.avg_pool2d(colours, SHARPENED_PX, 1, SHARPENED_PX // 2, count_include_pad=False)
    return (colours + SHARPENED * (colours - soft)).clamp(0, 1)


def _strength(before: MouthShape, after: MouthShape) -> float:
    """How much is painted of a mouth that opens."""
    opening = after.opening
    wider = opening / before.opening.clamp_min(LEAST_OPENING)
    return float(ramp(opening, *PARTED) * ramp(wider, *WIDENED))


def _lips_distances(arcs: Tensor, width: Tensor, canvas: Canvas) -> tuple[Window, Tensor]:
    """The window of a front around the inner lips, and (h, w) how far its pixels are out of them.

    The distance is smooth, and so is computed at every `step`-th pixel. In mouth's widths.
    """
    coarse = window_around(arcs.flatten(1, 2), REACH * width.max(), canvas.coarse)
    beyond = beyond_lips(arcs, grid_of(canvas.coarse, coarse)[None])[0] / width
    rows, columns = window = enlarged(coarse, canvas.step, canvas.axes)
    distances = larger(beyond[None], canvas.step)[0]
    return window, distances[: rows.stop - rows.start, : columns.stop - columns.start]


def _square_of(front: Front, canvas: Canvas, movement: Movement, square: MouthSquare, size: int) -> Tensor:
    """(1, 3, size, size) in [0, 1] of the moved front, without its matte."""
    pixel = 1 / front.scale[0]  # in coordinates
    fine = min(max(1, round(2 * float(square.half) / pixel / size)), FINEST)
    places = square.beyond(pixel_places(size, square.centre)[None])
    first = torch.stack([axis[0] for axis in canvas.axes])
    pixels = (places - first) / pixel
    at = _at(movement.places, pixels, BLOCK, BLOCK)
    finer = movement.finer
    if finer is not None:
        own, inside = _in_window(pixels, finer.window)
        at = torch.where(inside[:, None], _at(tensor(finer.places, like=at), own, finer.step, finer.step), at)
        for due in finer.dues:
            own, inside = _in_window(pixels, due.window)
            if inside.any():
                due_here = _at(tensor(due.shift, like=at), own, finer.step, 0)
                share = _at(tensor(due.share[None], like=at), own, 1, 0)
                at += inside[:, None] * share * due_here
    if fine > 1:
        at = F.interpolate(at, scale_factor=float(fine), mode="bilinear", align_corners=False)
    if canvas.picture is None:
        found = rearrange(torch.from_numpy(taken(front, at[0].numpy())), "h w c -> 1 c h w").float()
    else:
        found = sampled(canvas.picture, at[0])[None]
    seen = found[:, :3] / found[:, 3:].clamp_min(1)
    return F.avg_pool2d(seen, fine) if fine > 1 else seen


def _in_window(pixels: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """(1, h, w, 2) pixels counted from a window's first one, and (1, h, w) whether they are inside of it."""
    rows, columns = window
    ends = torch.tensor([columns.stop - columns.start, rows.stop - rows.start], device=pixels.device)
    own = pixels - torch.tensor([columns.start, rows.start], device=pixels.device)
    return own, ((own > -1) & (own < ends)).all(-1)


def _at(maps: Tensor, pixels: Tensor, factor: int, before: int) -> Tensor:
    """(1, C, h, w): (C, H, W) maps, enlarged `factor` times, at (1, h, w, 2) pixels.

    before: how many of the enlarged pixels lie before the first one.
    """
    sides = factor * torch.tensor(maps.shape[:0:-1], device=pixels.device)
    grid = (2 * (pixels + before) + 1) / sides - 1
    return grid_sample(maps[None], grid, padding_mode="border", align_corners=False)

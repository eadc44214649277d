"""Frames at the photo's own size: people moved before a plate that stands still.

A warp costs the same detail at any size, and nearly all that is seen of a frame is the warped source. So
the network's motion is applied to the photo itself; what the decoder paints is enlarged, and shown only
inside the face, where the source has nothing to show.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from mcnet_cli.compositing.compose import Drawing
from mcnet_cli.compositing.details import Canvas, Eye, Mouth
from mcnet_cli.compositing.draw import Movement, Paint, common, draw_by_opencv, draw_by_torch, larger
from mcnet_cli.compositing.finer import FineCells
from mcnet_cli.compositing.front import BEYOND_CELLS, BLOCK, CELLS, Front, middles
from mcnet_cli.compositing.front_picture import ENLARGED, ends
from mcnet_cli.compositing.layers import PhotoLayers
from mcnet_cli.compositing.plate import Picture
from mcnet_cli.model.detail_painter import EyePainter, MouthPainter
from mcnet_cli.model.face_parts import FaceParts
from mcnet_cli.model.geometry import coordinate_grid, grid_sample, ramp
from mcnet_cli.model.outlines import Inside, Outline, within
from mcnet_cli.model.windows import Window, enlarged, grid_of
from mcnet_cli.transfers import Later, download

# Width of the edge between what is warped and what is painted at lips and lids, in coordinates of the
# network's square, whose side is 2: a pixel or two at 256².
SOFT_EDGE = 0.012
# Distrust of the warped source (1 - occlusion) up to which it is shown alone. The network distrusts nine
# tenths of a face by 0.02 to 0.12, and a veil of its soft picture would cost sharpness; what it really paints
# it distrusts by nearly 1.
DISTRUST = 0.15
# Share of paint below which a frame is left as it is warped.
NO_PAINT = 1 / 255
# Corrections of lids and lips are interpolated between pixels so many of which are a square's side, or twice.
STEP_PER = 140


class PhotoCompositor:
    """Puts frames of one photo together.

    What is drawn, and where, is decided on the CPU by a few thousand numbers. A GPU has the photo, draws by
    what it is told, and is asked nothing: what comes back is the finished frame.

    layers: the photo's. parts: where mouth and eyes are among the network's keypoints; None leaves lips and
    lids to the network. device: what draws. by_opencv: or by torch, which is slower on a CPU.
    paints: False shows the warped photo alone, without what the network paints.
    painter, eye_painter: of the inside of mouths and of eyes that open; None leaves that to the network's
    decoder. placing: numbers of the keypoints by which the painter knows where a mouth is.
    """

    def __init__(
        self,
        layers: PhotoLayers,
        parts: FaceParts | None,
        device: torch.device,
        *,
        by_opencv: bool,
        paints: bool = True,
        painter: MouthPainter | None = None,
        eye_painter: EyePainter | None = None,
        placing: Sequence[int] = (),
    ) -> None:
        self.layers, self._parts, self._paints = layers, parts, paints
        self._plate = None if by_opencv else torch.from_numpy(layers.plate).to(device)
        self._tables = [_Tables.of(front, device, by_opencv=by_opencv) for front in layers.fronts]
        self._mouths = [
            None if painter is None else Mouth(painter, placing, front, tables.canvas)
            for front, tables in zip(layers.fronts, self._tables, strict=True)
        ]
        self._eyes = [
            _eyes(eye_painter, parts, front, tables.canvas)
            for front, tables in zip(layers.fronts, self._tables, strict=True)
        ]

    def frame(self, drawings: Sequence[Drawing]) -> Picture:
        """The photo with its people moved.

        drawings: one frame for each person, in the order in which they were given to `photo_layers`. Returns
        (H, W, 3) uint8, or (H, W, 4) with straight alpha if the layers have no plate.
        """
        return self.frame_soon(drawings)()

    @torch.inference_mode()
    def frame_soon(self, drawings: Sequence[Drawing]) -> Later[Picture]:
        """The same, while a GPU still draws; arguments as for `frame`."""
        if self._plate is None:
            frame = self._drawn_by_opencv(drawings)
            return lambda: self._finished(frame)
        drawn = download(self.drawn_by_torch(drawings))
        return lambda: self._finished(drawn().numpy())

    def _drawn_by_opencv(self, drawings: Sequence[Drawing]) -> Picture:
        frame: Picture = self.layers.plate.copy()
        for number, front in enumerate(self.layers.fronts):
            movement = self._movement(number, drawings[self.layers.order[number]])
            draw_by_opencv(front, movement, frame[front.rows, front.columns])
        return frame

    @torch.inference_mode()
    def drawn_by_torch(self, drawings: Sequence[Drawing]) -> Tensor:
        """The frame, (H, W, C) uint8 as `layers.plate`, on the device; nothing of it is known before."""
        assert self._plate is not None
        frame = self._plate.clone()
        for number, (front, tables) in enumerate(zip(self.layers.fronts, self._tables, strict=True)):
            movement = self._movement(number, drawings[self.layers.order[number]])
            assert tables.canvas.picture is not None
            draw_by_torch(tables.canvas.picture, movement, frame[front.rows, front.columns])
        return frame

    def _finished(self, frame: Picture) -> Picture:
        return _straight(frame) if self.layers.is_transparent else frame

    def _movement(self, number: int, drawing: Drawing) -> Movement:
        """What a frame does with one of the fronts."""
        front, tables, mouth = self.layers.fronts[number], self._tables[number], self._mouths[number]
        field = (drawing.whole if front.whole else drawing.person).float()
        if self._parts is not None:
            field = self._parts.settled(field, drawing.source, drawing.driving)
        places = _places(tables, field)
        finer = None
        if self._parts is not None:
            finer = tables.cells.finer(field, places, drawing, self._parts)
        movement = Movement(places, finer, [])
        if not self._paints:
            return movement
        eyes = [] if drawing.gaze is None else self._eyes[number]
        paints = [_paint(tables, field, drawing, self._parts, mouth=mouth is None, eyes=not eyes)]
        moved = movement, tables.resting, drawing.source, drawing.driving
        if mouth is not None:
            paints.append(mouth.paint(*moved))
        if drawing.gaze is not None:
            paints += [eye.paint(*moved, drawing.gaze) for eye in eyes]
        movement.paints.extend(paint for paint in paints if paint is not None)
        return movement


def _eyes(painter: EyePainter | None, parts: FaceParts | None, front: Front, canvas: Canvas) -> list[Eye]:
    """Both eyes of a front, if there is a painter, and it is known where they are."""
    if painter is None or parts is None or front.eyes is None:
        return []
    return [
        Eye(painter, parts, eye, torch.from_numpy(lids), front, canvas) for eye, lids in enumerate(front.eyes)
    ]


def _straight(frame: Picture) -> Picture:
    """(H, W, 4) colours times alpha to colours and alpha."""
    alpha = np.maximum(frame[..., 3:], 1).astype(np.float32)
    colours = np.clip(np.rint(frame[..., :3] * (255 / alpha)), 0, 255).astype(np.uint8)
    return np.dstack([colours, frame[..., 3]])


@dataclass(frozen=True, slots=True, eq=False)
class _Tables:
    """What of a front every frame needs, as tensors: on the CPU, unless it says something else.

    canvas: coordinates of the front's pixels; and on the device what is drawn.
    resting: (2, ⌈H/8⌉ + 2, ⌈W/8⌉ + 2) where blocks' middles are in the enlarged picture when nothing moves.
    scale: (2,) pixels of the enlarged picture a unit of coordinates.
    cells: of what is finer than blocks.
    colours_down, colours_across: (H, S) and (W, S), which interpolate the network's S² pixels, on the device.
    colours_rows, colours_columns: the first of these pixels that each row and column is made of, and what
        follows the last.
    """

    canvas: Canvas
    fades: Tensor
    down: Tensor
    across: Tensor
    resting: Tensor
    scale: Tensor
    cells: FineCells
    face: Tensor
    colours_down: Tensor
    colours_across: Tensor
    colours_rows: NDArray[np.int_]
    colours_columns: NDArray[np.int_]

    @classmethod
    def of(cls, front: Front, device: torch.device, *, by_opencv: bool) -> "_Tables":
        def tensor(values: object) -> Tensor:
            return torch.as_tensor(values, dtype=torch.float32)

        halvings = max(1, round(2 * max(front.scale)) // STEP_PER).bit_length() - 1
        step = min(BLOCK, 1 << halvings)
        lines = middles(front.x, step), middles(front.y, step)
        coarse, axes = (tensor(lines[0]), tensor(lines[1])), (tensor(front.x), tensor(front.y))
        height, width = len(front.y), len(front.x)
        y, x = (
            ENLARGED * (BLOCK * np.arange(-1, -(-n // BLOCK) + 1) + (BLOCK - 1) / 2) for n in (height, width)
        )
        rows_above = front.picture.shape[0] - ENLARGED * height
        scale = ENLARGED * np.array(front.scale, np.float32)
        # the first block, which isn't one of the front's, is before the one whose middle is known
        origin = (x[1], y[1] + rows_above) - scale * [middles(line, BLOCK)[0] for line in (front.x, front.y)]
        return cls(
            canvas=Canvas(
                axes=axes,
                coarse=coarse,
                step=step,
                device_axes=(axes[0].to(device), axes[1].to(device)),
                picture=None if by_opencv else _planes(front.picture, device),
            ),
            fades=tensor(front.fades),
            down=tensor(front.down),
            across=tensor(front.across),
            resting=tensor(np.stack(np.meshgrid(x, y + rows_above))),
            scale=tensor(scale),
            cells=FineCells(front, step, coarse, *lines, origin.astype(np.float32), scale),
            face=tensor(front.face),
            colours_down=tensor(front.colours_down).to(device),
            colours_across=tensor(front.colours_across).to(device),
            colours_rows=ends(front.colours_down != 0),
            colours_columns=ends(front.colours_across != 0),
        )


def _planes(picture: Picture, device: torch.device) -> Tensor:
    """(1, C, H, W) float32 of an (H, W, C) picture."""
    return rearrange(torch.from_numpy(picture).to(device), "h w c -> 1 c h w").float()


def _places(tables: _Tables, field: Tensor) -> Tensor:
    """(2, ⌈H/8⌉ + 2, ⌈W/8⌉ + 2): where blocks' middles are in the enlarged front; one more around."""
    displacement = field - coordinate_grid(CELLS, CELLS, field)
    padded = F.pad(rearrange(displacement, "1 h w c -> 1 c h w"), (BEYOND_CELLS,) * 4, mode="replicate")[0]
    blocks = F.pad(tables.down @ (padded * tables.fades) @ tables.across.T, (1, 1, 1, 1), mode="replicate")
    return torch.addcmul(tables.resting, blocks, tables.scale[:, None, None])


def _paint(
    tables: _Tables, field: Tensor, drawing: Drawing, parts: FaceParts | None, *, mouth: bool, eyes: bool
) -> Paint | None:
    """What the decoder paints; None where the warped source shows all.

    mouth, eyes: whether it paints the insides of mouths and eyes.
    """
    canvas = tables.canvas
    face = grid_sample(tables.face[None, None], field, padding_mode="border", align_corners=True)
    untrusted = ramp(1 - drawing.occlusion.float(), DISTRUST, 1) * face
    blocks = tables.down @ F.pad(untrusted, (BEYOND_CELLS,) * 4)[0, 0] @ tables.across.T
    seen = _seen(blocks)
    insides: tuple[Inside, ...] = ()
    if parts is not None:
        insides = parts.insides(drawing.source, drawing.driving, mouth=mouth, eyes=eyes)
    opened = [
        (inside, enlarged(inside.outline.window(canvas.coarse, SOFT_EDGE), canvas.step, canvas.axes))
        for inside in insides
        if inside.hidden > NO_PAINT
    ]
    # windows in whole blocks, so that a window's part of the enlarged map is the same as the whole's
    windows = [
        tuple(slice(line.start // BLOCK, -(-line.stop // BLOCK)) for line in window) for _, window in opened
    ]
    windows += [seen] if seen else []
    if not windows:
        return None
    top, left = (min(window[k].start for window in windows) for k in (0, 1))
    bottom, right = (max(window[k].stop for window in windows) for k in (0, 1))
    y, x = (len(axis) for axis in reversed(canvas.axes))
    rows, columns = slice(top * BLOCK, min(bottom * BLOCK, y)), slice(left * BLOCK, min(right * BLOCK, x))
    share = _larger(blocks[top:bottom, left:right], BLOCK)
    share = share[: rows.stop - rows.start, : columns.stop - columns.start].clamp(0, 1)
    if parts is not None:
        share *= 1 - _inside(parts.lips_outline(drawing.driving), (rows, columns), tables)
        for eye in () if eyes else parts.painted_eyes(drawing.source, drawing.driving):
            if eye.hidden > NO_PAINT:
                share *= 1 - eye.hidden * _inside(eye.outline, (rows, columns), tables)
    for inside, window in opened:
        here, _ = common((rows, columns), window)
        painted = inside.hidden * _inside(inside.outline, window, tables)
        share[here] = torch.maximum(share[here], painted)
    found = _seen(share)
    if found is None:
        return None
    window = _moved(found, rows.start, columns.start)
    return Paint(window, share[found], _colours(tables, drawing, window))


def _moved(window: Window, down: int, right: int) -> Window:
    """A window so many rows further down and columns further right."""
    rows, columns = window
    return slice(rows.start + down, rows.stop + down), slice(columns.start + right, columns.stop + right)


def _inside(outline: Outline, window: Window, tables: _Tables) -> Tensor:
    """(h, w): 1 inside of an outline, 0 outside, in a window that begins at `step`-th rows and columns."""
    rows, columns = window
    step = tables.canvas.step
    coarse = (
        slice(rows.start // step, -(-rows.stop // step)),
        slice(columns.start // step, -(-columns.stop // step)),
    )
    return _within(outline.beyond(grid_of(tables.canvas.coarse, coarse))[0, 0], window, step, SOFT_EDGE)


def _within(beyond: Tensor, window: Window, step: int, soft: float) -> Tensor:
    """(h, w): 1 where a distance is 0 or less, falling to 0 over a width of `soft`, in a window.

    beyond: the distance at every `step`-th pixel; it is smooth.
    """
    rows, columns = window
    distances = _larger(beyond, step)[: rows.stop - rows.start, : columns.stop - columns.start]
    return within(distances, soft)


def _larger(values: Tensor, factor: int) -> Tensor:
    """(factor·h, factor·w) of an (h, w) map, by linear interpolation."""
    return larger(values[None], factor)[0]


def _colours(tables: _Tables, drawing: Drawing, window: Window) -> Tensor:
    """(h, w, 3) in 0 to 255: what the decoder paints, enlarged in a window of the photo's part."""
    rows, columns = (
        slice(int(taken[:, 0].min()), int(taken[:, 1].max()))
        for taken in (tables.colours_rows[window[0]], tables.colours_columns[window[1]])
    )
    down, across = tables.colours_down[window[0], rows], tables.colours_across[window[1], columns]
    colours = down @ drawing.painted(rows, columns)[0] @ across.T
    return rearrange(colours.clamp(0, 1) * 255, "c h w -> h w c").contiguous()


def _seen(shares: Tensor) -> Window | None:
    """The rows and columns of a map in which there is a share of paint; None without any."""
    rows, columns = ((shares > NO_PAINT).any(dim).nonzero()[:, 0] for dim in (1, 0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

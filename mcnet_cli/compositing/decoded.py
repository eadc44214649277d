"""What the decoder paints of a frame: what the source has nothing to show of, inside the face."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from mcnet_cli.compositing.compose import Drawing
from mcnet_cli.compositing.draw import Paint, common, larger
from mcnet_cli.compositing.front import BEYOND_CELLS, BLOCK
from mcnet_cli.compositing.tables import Tables
from mcnet_cli.model.face_parts import FaceParts
from mcnet_cli.model.geometry import grid_sample, ramp
from mcnet_cli.model.outlines import Inside, Outline, within
from mcnet_cli.model.windows import Window, enlarged, grid_of

# Width of the edge between what is warped and what is painted at lips and lids, in coordinates of the
# network's square, whose side is 2: a pixel or two at 256².
SOFT_EDGE = 0.012
# Distrust of the warped source (1 - occlusion) up to which it is shown alone. The network distrusts nine
# tenths of a face by 0.02 to 0.12, and a veil of its soft picture would cost sharpness; what it really paints
# it distrusts by nearly 1.
DISTRUST = 0.15
# Share of paint below which a frame is left as it is warped.
NO_PAINT = 1 / 255
# Area of paint, in cells of dense motion, up to which a frame is left as it is warped, and from which on all
# is painted. A cell is a thirtieth of a face's height. On seven pairs of photos and drivings no pixel of the
# result differs by more than 8 levels from one with all paint, and the decoder runs for 25 of 175 frames
# instead of 147.
LEAST_PAINT = (2.0, 4.0)


def decoder_paints(
    tables: Tables, field: Tensor, drawing: Drawing, parts: FaceParts | None, *, mouth: bool, eyes: bool
) -> Iterator[Paint | None]:
    """What the decoder paints of each of B frames; None where the warped source shows all.

    field: (B, 64, 64, 2), their motion. mouth, eyes: whether it paints the insides of mouths and eyes.
    """
    face = tables.face.expand(len(field), 1, -1, -1)
    face = grid_sample(face, field, padding_mode="border", align_corners=True)
    untrusted = ramp(1 - drawing.occlusion.float(), DISTRUST, 1) * face
    blocks = tables.blocks(F.pad(untrusted, (BEYOND_CELLS,) * 4)[:, 0])
    insides: tuple[Inside, ...] = ()
    others: list[Inside] = []  # eyes that are painted by somebody else
    if parts is not None and (mouth or eyes):
        insides = parts.insides(drawing.source, drawing.driving, mouth=mouth, eyes=eyes)
    if parts is not None and not eyes:
        others = parts.painted_eyes(drawing.source, drawing.driving)
    opened, taken = (
        [(inside, inside.hidden.tolist()) for inside in all_insides] for all_insides in (insides, others)
    )
    areas = untrusted.sum((1, 2, 3)).tolist()
    for number, (area, share) in enumerate(zip(areas, blocks, strict=True)):
        own, not_own = (
            [_frame_of(inside, number) for inside, hidden in each if hidden[number] > NO_PAINT]
            for each in (opened, taken)
        )
        if area <= LEAST_PAINT[0] and not own:
            yield None
        else:
            yield _paint(tables, share, drawing[number], parts, own, not_own)


def _frame_of(inside: Inside, number: int) -> Inside:
    """One frame of a batch."""
    rows, outline = slice(number, number + 1), inside.outline
    return Inside(Outline(outline.points[rows], outline.reach), inside.hidden[rows])


def _paint(
    tables: Tables,
    blocks: Tensor,
    drawing: Drawing,
    parts: FaceParts | None,
    insides: Sequence[Inside],
    others: Sequence[Inside],
) -> Paint | None:
    """What the decoder paints of one frame.

    blocks: (⌈H/8⌉, ⌈W/8⌉), how much it paints without geometry's word. insides: of mouths and eyes, what it
    paints besides. others: what it leaves to others.
    """
    canvas, seen = tables.canvas, _seen(blocks)
    opened = [
        (inside, enlarged(inside.outline.window(canvas.coarse, SOFT_EDGE), canvas.step, canvas.axes))
        for inside in insides
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
    for inside in others:
        share *= 1 - inside.hidden * _inside(inside.outline, (rows, columns), tables)
    for inside, window in opened:
        here, _ = common((rows, columns), window)
        painted = inside.hidden * _inside(inside.outline, window, tables)
        share[here] = torch.maximum(share[here], painted)
    share *= ramp(share.sum() / tables.cell_area, *LEAST_PAINT)
    found = _seen(share)
    if found is None:
        return None
    window = _moved(found, rows.start, columns.start)
    return Paint(window, share[found], _colours(tables, drawing, window))


def _moved(window: Window, down: int, right: int) -> Window:
    """A window so many rows further down and columns further right."""
    rows, columns = window
    return slice(rows.start + down, rows.stop + down), slice(columns.start + right, columns.stop + right)


def _inside(outline: Outline, window: Window, tables: Tables) -> Tensor:
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


def _colours(tables: Tables, drawing: Drawing, window: Window) -> Tensor:
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
    seen = shares.numpy() > NO_PAINT
    rows, columns = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

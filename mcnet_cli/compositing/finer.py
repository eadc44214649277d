"""Where lids, lips and irises are taken from, which are smaller than the cells of the network's motion.

What a frame changes here are some thousand numbers around eyes and mouth. So numpy computes them, which takes
the least time to call, wherever the network is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcnet_cli.compositing.compose import Drawing
from mcnet_cli.compositing.draw import FinePlaces, Inlay, LowerShift, Maps, common, times
from mcnet_cli.compositing.front import BLOCK, Front
from mcnet_cli.compositing.front_picture import ENLARGED
from mcnet_cli.compositing.gaze import Gaze, Lids, LidsLine, MovedIris, moved_irises
from mcnet_cli.compositing.plate import Floats
from mcnet_cli.model.face_parts import SEAM, Correction, FaceParts
from mcnet_cli.model.geometry import ramp
from mcnet_cli.model.windows import Axes, Window

# Irises that would move by less than the first, in pixels, stay; the second is the width of the edge at lids.
LEAST_SHIFT_PX, LID_EDGE_PX = 0.3, 1.5
# Distance from the line where lids or lips meet, in its widths, beyond which its softness is not seen.
SURELY = 7
# How far apart neighbouring rows around an eye are taken from at least, in rows. Between a lid and a brow
# that rises, and above a lid that shuts, the motion may turn back: lashes and brows would be seen twice.
# Looked at on five portraits: with 0.3 lids that shut bend brows, with 0.1 raised brows draw out lashes.
LEAST_ADVANCE = 0.15
# Above an open lid, rows up to the brow's lower edge, so far up to the brow's points, are at least this
# share of their mean distance apart. Where a brow rises, the network stretches only a strip in the middle
# between both, and heavy lashes with it. The more the lids shut, from the second to the first share of the
# source's opening, the less of this: their corrections are even already. Looked at on eight portraits.
BROW_EDGE, EVENNESS, OPEN_LIDS = 0.85, 0.75, (0.3, 0.8)
# The line where lids meet is the narrower the more they shut, from the second to the first share of the
# source's opening, down to so many pixels of the photo: in a wider one, what lies between lids is seen as
# a bright slit. Steps of pixels, which a narrow line has, aren't seen in lashes.
SHUT_SEAM_PX, SHUT_LIDS = 0.3, (0.05, 0.3)
EYE_COUNT = 2  # eyes come before the mouth
FADE = 0.2  # the change that this asks for fades at the edges of a window, over this share of its sides


@dataclass(frozen=True, slots=True, eq=False)
class FineCells:
    """Every `step` by `step` pixels of a front.

    axes: coordinates of the middles of their columns and rows, on the CPU; x, y: the same.
    origin, scale: (2,) each, where coordinates are 0 in the enlarged front, and its pixels a unit of them.
    """

    front: Front
    step: int
    axes: Axes
    x: Floats
    y: Floats
    origin: Maps
    scale: Maps

    def finer(
        self, field: Tensor, places: Tensor, drawing: Drawing, parts: FaceParts
    ) -> Iterator[FinePlaces]:
        """What each of B frames does around eyes and mouth.

        field: (B, 64, 64, 2), their motion. places: (B, 2, ...), as in a `Movement` each.
        """
        corrections = parts.corrections(field, drawing.source, drawing.driving, self.axes)
        shifts = [[_pixels_of(maps, self.scale) for maps in (part.above, part.below)] for part in corrections]
        windows = zip(*(part.windows(self.axes) for part in corrections), strict=True)
        # the way down a face is the same for eyes and mouth
        downs, widths = corrections[0].down.numpy(), (SEAM * corrections[0].scale[:, 0]).tolist()
        middles = [part.middle[:, 0].numpy() for part in corrections]
        open_by = _openings(parts, drawing)
        skin = _skin_above(parts, drawing, corrections, open_by)
        least = torch.tensor([min(1.0, SHUT_SEAM_PX / (width * self.front.scale[1])) for width in widths])
        eyes = least[:, None] + (1 - least[:, None]) * ramp(open_by, *SHUT_LIDS)
        seams = torch.cat([eyes, torch.ones(len(eyes), 1)], 1).tolist()
        for frame, own in enumerate(windows):
            lines = [
                LidsLine(middle[frame], downs[frame], share * widths[frame])
                for middle, share in zip(middles, seams[frame], strict=True)
            ]
            shift = [
                [maps[frame][:, *common(part.window, window)[0]] for maps in both]
                for part, both, window in zip(corrections, shifts, own, strict=True)
            ]
            gaze = None if drawing.gaze is None else drawing.gaze[frame : frame + 1]
            yield self._finer(places[frame].numpy(), own, shift, lines, gaze, skin[frame])

    def _finer(
        self,
        places: Maps,
        windows: Sequence[Window],
        shifts: Sequence[Sequence[Maps]],
        lines: list[LidsLine],
        gaze: Gaze | None,
        skin: Maps,
    ) -> FinePlaces:
        """Where one frame takes its pixels around eyes and mouth from.

        Of both eyes and the mouth, `windows` are their cells, `lines` where lids or lips meet, and `shifts`
        what is added to places above and below these, (2, h, w) each. skin: (2, 2), of both eyes as
        `_skin_above` has it.
        """
        around = _union(windows)
        finer = _between_blocks(places, around, BLOCK // self.step)
        above, shares, slack = finer[:, 1:-1, 1:-1], [], 0.0
        eyes = np.zeros_like(above)  # what is below the lines between lids, besides `above`
        for number, (window, line, (shift, shift_below)) in enumerate(
            zip(windows, lines, shifts, strict=True)
        ):
            here, _ = common(around, window)
            is_eye = number < EYE_COUNT
            if is_eye:
                self._unfold(above[1, *here], shift[1], shift_below[1], window, line, skin[number])
            above[:, *here] += shift
            slack += max(float(np.abs(maps).max()) for maps in (shift, shift_below))
            shift_below -= shift
            shares += self._lower_shift(window, shift_below, line)
            if is_eye:
                eyes[:, *here] += shift_below
        inlays = []
        if gaze is not None:
            x, y = (line[part] for line, part in zip((self.x, self.y), around[::-1], strict=True))
            lids = Lids(x, y, above, eyes, lines[:EYE_COUNT], self.origin, self.scale)
            (right, down), pixel = lines[0].down, 1 / max(self.front.scale)
            least, edge = LEAST_SHIFT_PX * pixel, LID_EDGE_PX * pixel
            irises = moved_irises(gaze, lids, np.array([down, -right]), least=least, edge=edge)
            inlays = [self._inlay(iris, around, edge) for iris in irises]
            slack += max((float(np.abs(inlay.shift).max()) for inlay in inlays), default=0.0)
        return FinePlaces(self._pixels(around), self.step, finer, shares, inlays, slack)

    def _unfold(
        self, rows: Maps, shift: Maps, shift_below: Maps, window: Window, line: LidsLine, skin: Maps
    ) -> None:
        """Changes the shifts around an eye so that rows keep their order, and no skin is shown twice.

        rows: (h, w), where they are taken from without a shift. shift, shift_below: (h, w), those above and
        below the line where the lids meet. skin: (2,), how far above the line skin reaches, and how even its
        rows are to be.
        """
        reach, evenness = skin
        distances = line.distances(self.x[window[1]], self.y[window[0]])
        is_above = distances < 0
        least = LEAST_ADVANCE * ENLARGED * self.step
        if evenness > 0:
            is_skin = is_above & (distances >= -reach / line.width)
            _even_out(rows[::-1], shift[::-1], is_skin[::-1], float(evenness))
        _order(rows[::-1], shift[::-1], is_above[::-1], least, -1)
        _order(rows, shift_below, ~is_above, least, 1)

    def _lower_shift(self, window: Window, shift: Maps, line: LidsLine) -> list[LowerShift]:
        """A shift of what lies below a line in a window of cells; none where all of that is above it."""
        rows, columns = window
        lowest = line.distances(self.x[[columns.start, columns.stop - 1]], self.y[rows]).max(1)
        found = np.flatnonzero(lowest > -SURELY)
        if not len(found):
            return []
        part = slice(int(found[0]), int(found[-1]) + 1)
        rows, columns = self._pixels((slice(rows.start + part.start, rows.start + part.stop), columns))
        x, y = self.front.x[columns], self.front.y[rows]
        share = np.ones((len(y), len(x)), np.float32)
        near = line.distances(x[[0, -1]], y).min(1) < SURELY
        share[near] = line.below(x, y[near])
        return [LowerShift((rows, columns), shift[:, part], share)]

    def _inlay(self, iris: MovedIris, around: Window, edge: float) -> Inlay:
        """An iris between its lids. around: the cells from the first of which its window counts."""
        (down, right), (rows, columns) = (line.start for line in around), iris.window
        window = self._pixels(
            (slice(rows.start + down, rows.stop + down), slice(columns.start + right, columns.stop + right))
        )
        (beyond,) = times(
            iris.beyond_lids[None], self.step, *(slice(line.stop - line.start) for line in window)
        )
        share = 1 - np.clip(beyond / np.float32(edge), 0, 1)
        return Inlay(window, iris.shift.transpose(2, 0, 1) * self.scale[:, None, None], share)

    def _pixels(self, window: Window) -> Window:
        """The front's rows and columns in a window of cells."""
        rows, columns = (
            slice(part.start * self.step, min(part.stop * self.step, len(line)))
            for part, line in zip(window, (self.front.y, self.front.x), strict=True)
        )
        return rows, columns


def _openings(parts: FaceParts, drawing: Drawing) -> Tensor:
    """(B, 2): how far both eyes are open in B frames, over how far they are in the source."""
    corners, own = (parts.eye_corners(values) for values in (drawing.driving, drawing.source))
    scale, openings = _apart(corners) / _apart(own), []
    for eye in range(EYE_COUNT):
        lids, rest = (_apart(parts.lids(values, eye)) for values in (drawing.driving, drawing.source))
        openings.append(lids / (scale * rest).clamp_min(1e-6))
    return torch.stack(openings, 1)


def _skin_above(
    parts: FaceParts, drawing: Drawing, corrections: Sequence[Correction], open_by: Tensor
) -> Maps:
    """Of both eyes in B frames, (B, 2, 2): how far the skin reaches up to the brow, and how even it is to be.

    The first is measured from the line where lids meet, in coordinates; the second is a share, as `_even_out`
    takes it. Both are 0 without keypoints of brows. open_by: as `_openings` has it.
    """
    skin = np.zeros((len(drawing.driving), EYE_COUNT, 2), np.float32)
    if not parts.brows:
        return skin
    brows = drawing.driving[:, [*parts.brows]]
    for eye, part in enumerate(corrections[:EYE_COUNT]):
        upper = parts.lids(drawing.driving, eye)[:, 0]
        to_brow = (upper[:, None] - brows).norm(dim=-1).amin(-1)
        from_line = ((part.middle[:, 0] - upper) * part.down).sum(-1)
        skin[:, eye, 0] = from_line + BROW_EDGE * to_brow
        skin[:, eye, 1] = EVENNESS * ramp(open_by[:, eye], *OPEN_LIDS)
    return skin


def _apart(pairs: Tensor) -> Tensor:
    """(B,) distances of the two points of (B, 2, 2)."""
    distances: Tensor = (pairs[:, 0] - pairs[:, 1]).norm(dim=-1)
    return distances


def _even_out(rows: Maps, shift: Maps, where: NDArray[np.bool_], evenness: float) -> None:
    """Changes a shift so that rows, shifted, are at least a share of their mean distance apart.

    The first and the last of them stay, and those at the first one as far apart as they can.

    rows, shift: (h, w), the lowest row first. where: (h, w), which of them count; those of a column follow
    each other. evenness: the share.
    """
    first, count = where.argmax(0), np.count_nonzero(where, axis=0)
    risen = -(rows + shift)
    risen -= np.take_along_axis(risen, first[None], 0)
    steps, number = np.maximum(count - 1, 1), np.arange(len(rows))[:, None] - first
    whole = np.take_along_axis(risen, (first + np.maximum(count - 1, 0))[None], 0)[0]
    least = np.maximum(evenness * whole / steps, 0)
    level = np.maximum.accumulate(np.where(where, risen - number * least, np.finfo(np.float32).min), axis=0)
    even = np.minimum(level, whole - steps * least) + number * least
    shift -= _fading(rows.shape[1]) * np.where(where, even - risen, 0)


def _order(rows: Maps, shift: Maps, where: NDArray[np.bool_], least: float, way: int) -> None:
    """Changes a shift so that each row, shifted, lies at least `least` beyond the one before.

    rows, shift: (h, w). where: (h, w), which of them count. way: 1, or -1 if the first row is the lowest.
    """
    found = way * (rows + shift)
    if not (where[1:] & (found[1:] - found[:-1] < least)).any():
        return
    even = least * np.arange(len(rows), dtype=np.float32)[:, None]
    level = np.where(where, found - even, np.finfo(np.float32).min)
    down, across = (_fading(length) for length in rows.shape)
    shift += way * (down[:, None] * across) * np.where(where, np.maximum.accumulate(level, axis=0) - level, 0)


def _fading(count: int) -> Floats:
    """(count,): 1, falling to 0 at both ends over `FADE` of the length."""
    at = np.arange(count, dtype=np.float32) + 0.5
    fading: Floats = np.clip(np.minimum(at, count - at) / (FADE * count), 0, 1)
    return fading


def _pixels_of(maps: Tensor, scale: Maps) -> Maps:
    """(B, 2, h, w) pixels of the enlarged front, of (B, h, w, 2) coordinates; scale as in `FineCells`."""
    found: Maps = maps.numpy().transpose(0, 3, 1, 2) * scale[:, None, None]
    return found


def _union(windows: Sequence[Window]) -> Window:
    """The window that holds all of these."""
    rows, columns = (
        slice(min(line.start for line in lines), max(line.stop for line in lines))
        for lines in zip(*windows, strict=True)
    )
    return rows, columns


def _between_blocks(places: Maps, window: Window, factor: int) -> Maps:
    """(2, h + 2, w + 2): blocks' places enlarged, in a window of the enlarged ones and one more around."""
    # from the block before the window to the one after it; the first of `places` is block -1
    blocks = [slice(max(0, (line.start - 1) // factor), line.stop // factor + 3) for line in window]
    part = (
        slice(line.start - 1 - factor * (block.start - 1), line.stop + 1 - factor * (block.start - 1))
        for line, block in zip(window, blocks, strict=True)
    )
    return np.array(times(places[:, *blocks], factor, *part))

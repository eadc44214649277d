"""Irises at the photo's own size: moved inside their lids to where they are to look.

The network has no keypoints for them, so it moves them with the lids around. What its motion lacks is added
to it, wholly on the iris, and fading to nothing towards the corners of the eye.
"""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mcnet_cli.model.windows import Window

# In radii of the iris, from its centre: within the first all moves with it, beyond the second nothing does.
RIGID, REACH = 1.0, 2.5
# The farthest that an iris is moved, in its radii: beyond, what lies beside it would fold.
FARTHEST = 0.9
# Distance from the lids, in radii of the iris, from which on it moves up and down as far as it should. Nearer
# to them it moves less: the source has no eyeball to show from under its lids.
DEPTH = 0.5

Floats = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Gaze:
    """Both irises, the picture's left one first, in coordinates of the network's square.

    source, driving: (1, 2, 2) and (B, 2, 2) their centres, in the source and where they go. radii: (1, 2).
    shown: (1, 2) in [0, 1], how far the source's lids are open to show them.
    lids: (2, 1, S, S) distances from the source's lids around each eye, below 0 between them. frames:
    (2, 2, 2) upper left and lower right corner of the part of the source that each of these maps covers.
    """

    source: Tensor
    driving: Tensor
    radii: Tensor
    shown: Tensor
    lids: Tensor
    frames: Tensor

    def __getitem__(self, rows: slice) -> "Gaze":
        """Some of the frames."""
        return replace(self, driving=self.driving[rows])

    def beyond_lids(self, eye: int, places: Floats) -> Floats:
        """(h, w): how far (h, w, 2) places in the source are outside of the lids."""
        low, high = self.frames[eye].numpy()
        lids = self.lids[eye, 0].numpy()
        pixels = ((places - low) * ((len(lids) - 1) / (high - low))).astype(np.float32)
        found: Floats = cv2.remap(lids, pixels, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return found


@dataclass(frozen=True, slots=True)
class LidsLine:
    """Where lids or lips meet: a point (2,), the unit vector (2,) down from it, and the line's width."""

    middle: Floats
    down: Floats
    width: float

    def distances(self, x: Floats, y: Floats) -> Floats:
        """(h, w): how far columns x (w,) and rows y (h,) are below the line, in its widths."""
        (middle_x, middle_y), (right, down) = self.middle, self.down / self.width
        found: Floats = ((y - middle_y) * down)[:, None] + (x - middle_x) * right
        return found

    def below(self, x: Floats, y: Floats) -> Floats:
        """(h, w): 0 above the line, 1 below it."""
        return _sigmoid(self.distances(x, y))


@dataclass(frozen=True, slots=True, eq=False)
class Lids:
    """What a frame does around both eyes, before irises are moved.

    x, y: (w,) and (h,) coordinates of columns and rows. above: (2, h, w), x and y, where in the enlarged
    front they are taken from if they are above the lines where lids meet; below: what is added to that if
    they are below. lines: that of each eye. origin, scale: (2,) each, where coordinates are 0 in the enlarged
    front, and its pixels a unit of them.
    """

    x: Floats
    y: Floats
    above: Floats
    below: Floats
    lines: list[LidsLine]
    origin: Floats
    scale: Floats

    def taken(self, eye: int, window: Window) -> Floats:
        """(h, w, 2): where in the source the pixels of a window around an eye are taken from."""
        rows, columns = window
        share = self.lines[eye].below(self.x[columns], self.y[rows])
        return self._coordinates(self.above[:, *window] + share * self.below[:, *window])

    def taken_at(self, eye: int, place: Floats) -> Floats:
        """(2,): where in the source a place (2,) at an eye is taken from."""
        first, last = np.array([self.x[0], self.y[0]]), np.array([self.x[-1], self.y[-1]])
        at = (place - first) / np.maximum(last - first, 1e-6)
        above, below = (_at(maps, *at) for maps in (self.above, self.below))
        return self._coordinates(above + self.lines[eye].below(place[:1], place[1:])[0] * below)

    def _coordinates(self, pixels: Floats) -> Floats:
        """(..., 2) coordinates of (2, ...) pixels of the enlarged front."""
        found: Floats = (pixels.transpose(*range(1, pixels.ndim), 0) - self.origin) / self.scale
        return found

    def window(self, place: Floats, reach: float) -> Window:
        """The rows and columns, one at least, within `reach` of a place."""
        columns, rows = (
            slice(
                low := min(int(np.searchsorted(line, at - reach)), len(line) - 1),
                max(int(np.searchsorted(line, at + reach)), low + 1),
            )
            for line, at in zip((self.x, self.y), place, strict=True)
        )
        return rows, columns


@dataclass(frozen=True, slots=True, eq=False)
class MovedIris:
    """What is added to a motion between the lids of one eye.

    window: of the `Lids`. shift: (h, w, 2) in coordinates. beyond_lids: (h, w), how far pixels are outside
    of the lids; there nothing is added.
    """

    window: Window
    shift: Floats
    beyond_lids: Floats


def moved_irises(gaze: Gaze, lids: Lids, across: Floats, *, least: float, edge: float) -> list[MovedIris]:
    """What one frame's motion lacks to bring both irises where they go.

    across: (2,) the unit vector from eye to eye. least: movements below, in coordinates, aren't seen. edge:
    how far irises are seen beyond the lids.
    """
    source, driving, shown = (values[0].numpy() for values in (gaze.source, gaze.driving, gaze.shown))
    turn, moved = np.stack([across, (-across[1], across[0])]), []
    for eye, radius in enumerate(gaze.radii[0].tolist()):
        missing = shown[eye] * (source[eye] - lids.taken_at(eye, driving[eye]))
        length = float(np.hypot(*missing))
        if length < least:
            continue
        share = min(FARTHEST * radius / length, 1)
        place, missing = driving[eye] + (1 - share) * missing, share * missing
        rows, columns = lids.window(place, REACH * radius)
        beyond = gaze.beyond_lids(eye, lids.taken(eye, (rows, columns)))
        # most of the window is lids: of the rest, the rows, and one more on each side
        seen = np.flatnonzero((beyond < edge).any(1))
        if not len(seen):
            continue
        first, last = max(int(seen[0]) - 1, 0), int(seen[-1]) + 2
        beyond, rows = beyond[first:last], slice(rows.start + first, min(rows.start + last, rows.stop))
        away = np.hypot(lids.x[columns] - place[0], lids.y[rows, None] - place[1]) / radius
        near = np.clip((REACH - away) / (REACH - RIGID), 0, 1)
        near = near * near * (3 - 2 * near)
        deep = np.clip(-beyond / (DEPTH * radius), 0, 1)
        sideways, upright = turn @ missing
        shift = near[..., None] * (sideways * turn[0] + (deep * upright)[..., None] * turn[1])
        moved.append(MovedIris((rows, columns), shift.astype(np.float32), beyond))
    return moved


def _sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-values)), which doesn't overflow."""
    found: Floats = 0.5 + 0.5 * np.tanh(0.5 * values)
    return found


def _at(maps: Floats, x: float, y: float) -> Floats:
    """(C,): (C, h, w) maps at a place, 0 and 1 being the first and last columns and rows; linearly."""
    (top, down), (left, right) = (_split(at, side) for at, side in zip((y, x), maps.shape[1:], strict=True))
    corners = maps[:, top : top + 2, left : left + 2]
    rows = corners[:, 0] + down * (corners[:, -1] - corners[:, 0])
    found: Floats = rows[:, 0] + right * (rows[:, -1] - rows[:, 0])
    return found


def _split(at: float, side: int) -> tuple[int, float]:
    """A share of a side as a number of pixels, and what is left of one."""
    pixels = min(max(float(at), 0.0), 1.0) * (side - 1)
    return int(pixels), pixels - int(pixels)

"""Bridging: while a driving's face is hidden for a moment, its motion is interpolated.

The face mesh is found even behind a hand, a cup or a microphone, but wrongly. It shows by two things: two
looks at such a face disagree, and its score drops.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Rows = NDArray[np.intp]

# A face is hidden where two looks differ by more than `SPREAD` of its height, and the logarithm of its odds
# is `DROP` below the clip's usual one. Looks at heads turned aside by more than `FRONTAL_DEG` may differ
# more, by `SPREAD_PER_DEG` for each further degree. Of 16 466 frames of 127 clips, with blinks, grimaces,
# fast turns and profiles, two are taken for hidden: an arm is before the face in them. Of 346 frames in which
# painted hands, microphones and cups bring a part of the face off by more than 0.08 of its height, 282 are.
SPREAD, SPREAD_PER_DEG, FRONTAL_DEG = 0.02, 0.0008, 10.0
DROP = 4.0
# Frames before and after those in which the mesh is off that count as hidden too.
MARGIN = 2
# Longest time over which motion is interpolated. In gaps of 1 to 25 frames, cut into 30 clips, points are off
# by half as much as if the last pose were held, and the largest step is a third of it. Curves do no better
# than straight lines.
MAX_BRIDGED_S = 1.0


def hidden_faces(
    found: Bools, log_odds: NDArray[Any], spreads: NDArray[Any], yaws_deg: NDArray[Any]
) -> Bools:
    """(T,) which frames show a face with something before it.

    found: (T,) which show a face at all; the other measures, of `Landmarks` and `yaw_deg`, count there alone.
    """
    if not found.any():
        return found.copy()
    usual = np.median(log_odds[found])
    allowed = SPREAD + SPREAD_PER_DEG * np.maximum(np.abs(yaws_deg) - FRONTAL_DEG, 0)
    doubtful = found & (spreads > allowed) & (log_odds < usual - DROP)
    hidden = found & (np.convolve(doubtful, np.ones(2 * MARGIN + 1))[MARGIN:-MARGIN] > 0)
    return hidden if (found & ~hidden).any() else np.zeros_like(found)


def between(usable: Bools, longest: int) -> tuple[Rows, Rows, NDArray[np.float32]]:
    """For each of T frames the usable ones before and after it, and how far it is on the way to the latter.

    Usable frames are their own. In gaps of more than `longest` frames the one before counts alone until that
    many before the one after; at either end there is only one. If none is usable, the last one is.
    """
    before, after = _neighbours(usable if usable.any() else np.arange(len(usable)) == len(usable) - 1)
    before, after = np.where(before < 0, after, before), np.where(after == len(usable), before, after)
    steps = np.clip(after - before, 1, longest + 1)
    shares = np.clip(1 - (after - np.arange(len(usable))) / steps, 0, 1)
    return before, after, np.asarray(np.where(after > before, shares, 0), np.float32)


def gap_lengths(usable: Bools) -> Rows:
    """(T,) how many frames in a row aren't usable, around each frame that isn't; 0 for those that are."""
    before, after = _neighbours(usable)
    return np.asarray(np.maximum(after - before - 1, 0), np.intp)


def _neighbours(usable: Bools) -> tuple[Rows, Rows]:
    """(T,) the last usable frame until each frame, else -1, and the first from each frame on, else T."""
    frames = np.arange(len(usable))
    before = np.maximum.accumulate(np.where(usable, frames, -1))
    after = np.minimum.accumulate(np.where(usable, frames, len(usable))[::-1])[::-1]
    return before, after

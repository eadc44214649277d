"""What happens to a motion in time: which part is used, how fast it runs, how often, and how it fades in.

Where a motion is repeated or turns back, its pieces are blended over a joint, so that nothing jumps and
speeds go over into each other. Frames without a face get the motion of those around before anything is
interpolated.
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.errors import UsageError
from mcnet_cli.media import Span
from mcnet_cli.motion.blending import (
    concatenated,
    controls_of,
    filled,
    joint,
    joint_length,
    part,
    resampled,
    sampled,
    weights_of,
)
from mcnet_cli.motion.controls import Controls, eased
from mcnet_cli.motion.motion import FRAME_LIMIT, Motion
from mcnet_cli.options import RATE_LIMITS, require_between

Floats = NDArray[np.float32]

JOINT_S = 0.4  # how long two pieces are blended where one goes over into the other
TURN_S = 0.3  # how long a motion slows down, and gets going again, where it turns back
EASE_S = 0.6  # in which a motion leaves the source as it is, or gets back to it, if nothing else is said
SPEED_LIMITS = (0.05, 20.0)
LOOP_LIMIT = 1000
MAX_DURATION_S = 24 * 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionEdit:
    """What happens to a motion in time; in the order of the attributes. UsageError where it makes no sense.

    Attributes:
        start_s, end_s: the part that is used, in seconds.
        backwards: it runs from its end to its beginning.
        speed: factor on its speed.
        ping_pong: it goes back to its beginning after its end.
        loop: how often it runs.
        duration_s: how long it lasts in all, in seconds: cut, or repeated until then. None: as it comes.
        fade_in_s: how long it takes to leave the source as it is; 0: it begins in the midst of the motion.
        returns: it ends with the source as it is, in the time of `fade_in_s`, else in 0.6 s.
        rate: frames a second; new frames are interpolated. None: the motion's own.

    Example:
        >>> from mcnet_cli import MotionEdit, bundled_motions
        >>> nod = bundled_motions()[1].motion()
        >>> len(nod), len(MotionEdit(loop=2, speed=0.5).applied(nod))
        (55, 220)
    """

    start_s: float = 0.0
    end_s: float | None = None
    backwards: bool = False
    speed: float = 1.0
    ping_pong: bool = False
    loop: int = 1
    duration_s: float | None = None
    fade_in_s: float = 0.0
    returns: bool = False
    rate: Fraction | None = None

    def __post_init__(self) -> None:
        _ = Span(self.start_s, self.end_s)  # which checks its own
        require_between("--speed", self.speed, *SPEED_LIMITS)
        require_between("--loop", self.loop, 1, LOOP_LIMIT)
        require_between("--duration", self.duration_s, 0.01, MAX_DURATION_S)
        require_between("--fade-in-motion", self.fade_in_s, 0, MAX_DURATION_S)
        require_between("--fps", self.rate, *RATE_LIMITS)
        if self.loop > 1 and self.duration_s is not None:
            raise UsageError("--loop and --duration contradict each other: both say how long it lasts")

    @property
    def keeps_time(self) -> bool:
        """Whether the motion's frames are shown at their own times, so that its sound fits them."""
        return not self.backwards and self.speed == 1

    def applied(self, motion: Motion) -> Motion:
        """The edited motion. InputError if nothing is left of it."""
        rate = self.rate or motion.rate
        motion = part(motion, Span(self.start_s, self.end_s))
        if self.backwards or self.speed != 1 or rate != motion.rate:
            motion = resampled(motion, rate, self.speed, self.backwards)
        if self.ping_pong:
            motion = _there_and_back(motion)
        if self.duration_s is not None:
            count = max(1, round(self.duration_s * rate))
            motion = _repeated(motion, frames=count)[:count]
        elif self.loop > 1:
            motion = _repeated(motion, times=self.loop)
        ramp = self.ramp(len(motion), rate)
        return motion if ramp is None else faded(motion, ramp)

    def ramp(self, count: int, rate: Fraction) -> Floats | None:
        """(T,) the share of the motion in each of `count` frames, as it fades in and returns; None: all."""
        if not (self.fade_in_s or self.returns):
            return None
        times = np.arange(count) / float(rate)
        ramp = np.ones(count)
        if self.fade_in_s:
            ramp = ramp * eased(times / self.fade_in_s)
        if self.returns:
            ramp = ramp * eased((times[-1] - times) / (self.fade_in_s or EASE_S))
        return ramp.astype(np.float32)


def faded(motion: Motion, ramp: Floats) -> Motion:
    """A motion times (T,) shares: 0 shows the source as it is."""
    weights = None
    if motion.is_recorded:
        weights = ramp if motion.weights is None else motion.weights * ramp
    controls = motion.controls and Controls(motion.controls.values * ramp[:, None])
    return replace(motion, weights=weights, controls=controls)


def _there_and_back(motion: Motion) -> Motion:
    """A motion and its reverse, slowing down where it turns."""
    last = len(motion) - 1
    slow = min(TURN_S * float(motion.rate), last / 2)
    if slow <= 0:
        return motion
    # at constant speed but for its ends, which take twice as long as the way that they cover
    count = round(last + slow) + 1
    times = np.arange(count) / (count - 1) * (last + slow)
    ends = np.minimum(times, last + slow - times)
    covered = np.where(ends < slow, ends**2 / (2 * slow), ends - slow / 2)
    positions = np.where(times < (last + slow) / 2, covered, last - covered)
    return sampled(motion, np.concatenate([positions, positions[-2:0:-1]]))


def _repeated(motion: Motion, *, times: int = 1, frames: int = 0) -> Motion:
    """A motion so many times, or until there are so many frames. UsageError for too many."""
    length, count = len(motion), 0
    if not _is_seamless(motion):
        count = joint_length(motion, motion, JOINT_S)
    period = length - count
    times = max(times, math.ceil((frames - count) / period))
    if times * period > FRAME_LIMIT:
        raise UsageError(f"the motion would have more than {FRAME_LIMIT} frames", hint="repeat it less often")
    once = filled(motion)
    whole = concatenated([once, joint(once, once, count)])  # of which rows are repeated
    begin, end = np.arange(period), np.arange(period, length)
    again = np.concatenate([np.arange(length, len(whole)), np.arange(count, period)])
    return whole[np.concatenate([begin, np.tile(again, times - 1), end])]


def _is_seamless(motion: Motion) -> bool:
    """Whether the step from its last frame to its first is none of its largest."""
    if len(motion) < 2:
        return True
    motion = filled(motion)
    series = [controls_of(motion).normalised]
    if motion.is_recorded:
        series.append((motion.values * weights_of(motion)[:, None, None]).reshape(len(motion), -1))
    return all(
        np.linalg.norm(track[0] - track[-1]) <= np.linalg.norm(np.diff(track, axis=0), axis=1).max()
        for track in series
    )

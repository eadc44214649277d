"""Editing motions: which part, how fast, how often; and several motions as one.

Where one piece follows another, they are blended over a joint, so that nothing jumps and speeds go over into
each other. Frames without a face get the motion of those around before anything is interpolated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from mcnet_cli.errors import InputError, UsageError
from mcnet_cli.face.outer import MESH
from mcnet_cli.media import Span
from mcnet_cli.model import Keypoints
from mcnet_cli.motion.blending import (
    blended,
    concatenated,
    controls_of,
    eased,
    filled,
    follow_on,
    joint,
    joint_length,
    part,
    resampled,
    sampled,
    weights_of,
)
from mcnet_cli.motion.controls import Controls
from mcnet_cli.motion.motion import FRAME_LIMIT, Motion
from mcnet_cli.motion.reference import best_reference, hull_scale, on_face
from mcnet_cli.motion.relative_motion import relative_motion
from mcnet_cli.options import RATE_LIMITS, require_between

Floats = NDArray[np.float32]

JOINT_S = 0.4  # how long two pieces are blended where one goes over into the other
TURN_S = 0.3  # how long a motion slows down, and gets going again, where it turns back
EASE_S = 0.6  # in which a motion leaves the source as it is, or gets back to it, if nothing else is said
SPEED_LIMITS = (0.05, 20.0)
LOOP_LIMIT = 1000
LONGEST_S = 24 * 3600.0


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
        require_between("--duration", self.duration_s, 0.01, LONGEST_S)
        require_between("--fade-in-motion", self.fade_in_s, 0, LONGEST_S)
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


def joined(motions: Sequence[Motion], numbers: Sequence[int] = (), joint_s: float = JOINT_S) -> Motion:
    """One motion after the other, blended where they meet; at the rate of the first.

    numbers: `Animator.landmarks`, needed where several were recorded: all become the first one's person.
    joint_s: how long two are blended, in seconds; each joint takes so much off the sum of their lengths.

    Raises InputError for recordings by different keypoint detectors.

    Example:
        >>> from mcnet_cli import bundled_motions, joined
        >>> nod, smile = (motion.motion() for motion in bundled_motions() if motion.name in ("nod", "smile"))
        >>> len(nod), len(smile), len(joined([nod, smile]))
        (55, 100, 145)
    """
    whole = motions[0]
    for motion in motions[1:]:
        whole = follow_on(whole, _alike(motion, whole, numbers), joint_s)
    return whole


def added(first: Motion, second: Motion, numbers: Sequence[int] = ()) -> Motion:
    """Both motions at once, as long as the longer one; the shorter one fades away at its end.

    Numbers and errors as for `joined`.

    Example:
        >>> from mcnet_cli import added, bundled_motions
        >>> nod, smile = (motion.motion() for motion in bundled_motions() if motion.name in ("nod", "smile"))
        >>> len(added(nod, smile))
        100
    """
    second = _alike(second, first, numbers)
    count = max(len(first), len(second))
    first, second = (_lengthened(motion, count) for motion in (first, second))
    controls = controls_of(first) + controls_of(second)
    if not (first.is_recorded and second.is_recorded):
        recorded = first if first.is_recorded else second
        return replace(recorded, controls=controls)
    start = _reference(first)
    weights = weights_of(second)[:, None, None]
    values = first.values + weights * (second.values - first.values[start])
    return replace(first, values=values.astype(np.float32), controls=controls)


def mixed(first: Motion, second: Motion, share: float, numbers: Sequence[int] = ()) -> Motion:
    """Between two motions: `share` of the second, the rest of the first; as long as the shorter one.

    Numbers and errors as for `joined`; UsageError for a share beyond 0 and 1.

    Example:
        >>> from mcnet_cli import bundled_motions, mixed
        >>> nod, smile = (motion.motion() for motion in bundled_motions() if motion.name in ("nod", "smile"))
        >>> len(mixed(nod, smile, 0.3))
        55
    """
    require_between("--mix", share, 0, 1)
    second = _alike(second, first, numbers)
    count = min(len(first), len(second))
    return blended(filled(first[:count]), filled(second[:count]), np.full(count, share, np.float32))


def _alike(motion: Motion, other: Motion, numbers: Sequence[int]) -> Motion:
    """A motion at the rate of another one, and of its person where both were recorded."""
    if motion.rate != other.rate:
        motion = resampled(motion, other.rate)
    if not (motion.is_recorded and other.is_recorded):
        return motion
    if motion.digest != other.digest or motion.values.shape[1:] != other.values.shape[1:]:
        raise InputError(
            "the motions are of different keypoint detectors", hint="make them with the same weights"
        )
    return _carried_over(filled(motion), filled(other), numbers)


def _carried_over(motion: Motion, onto: Motion, numbers: Sequence[int]) -> Motion:
    """A recorded motion as if it were that of another one's person."""
    start, end = _reference(onto), 0
    if motion.landmarks is not None and onto.landmarks is not None:
        end = best_reference(onto.landmarks[start], motion.landmarks, motion.found)
    else:
        end = best_reference(onto.values[start], motion.values, motion.found)
    scale = hull_scale(on_face(onto.values[start], numbers), on_face(motion.values[end], numbers))
    moved = relative_motion(
        motion.keypoints(slice(None)), motion.keypoints(end), onto.keypoints(start), scale, numbers
    )
    landmarks = irises = None
    if motion.landmarks is not None and onto.landmarks is not None:
        points, reference, own = (
            Keypoints(torch.from_numpy(np.asarray(each, np.float32)))
            for each in (motion.landmarks, motion.landmarks[end][None], onto.landmarks[start][None])
        )
        growth = hull_scale(*(np.asarray(each.values[0]) for each in (own, reference)))
        known = MESH if points.values.shape[1] == len(MESH) else ()
        landmarks = relative_motion(points, reference, own, growth, known).values.numpy().astype(np.float16)
        if motion.irises is not None and onto.irises is not None:
            irises = onto.irises[start] + growth * (motion.irises - motion.irises[end])
            irises = irises.astype(np.float16)
    return replace(
        motion,
        values=moved.values.numpy(),
        jacobians=None if moved.jacobians is None else moved.jacobians.numpy(),
        landmarks=landmarks,
        irises=irises,
    )


def _reference(motion: Motion) -> int:
    """The frame with a face that is most like the others."""
    shapes = motion.values if motion.landmarks is None else motion.landmarks
    usable = motion.found & (weights_of(motion) > 0)
    usable = usable if usable.any() else motion.found
    return best_reference(np.median(shapes[usable].astype(np.float32), axis=0), shapes, usable)


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


def _lengthened(motion: Motion, count: int) -> Motion:
    """A motion of at least `count` frames, the last of which show the source as it is."""
    if len(motion) >= count:
        return motion
    length = min(round(JOINT_S * float(motion.rate)), len(motion))
    ramp = np.ones(len(motion), np.float32)
    ramp[len(motion) - length :] = eased(1 - (np.arange(length) + 1) / (length + 1))
    ended = faded(motion, ramp)
    rest = replace(faded(motion[-1:], np.zeros(1, np.float32)), found=np.ones(1, np.bool_))
    return concatenated([ended, rest[np.zeros(count - len(motion), np.intp)]])

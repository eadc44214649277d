"""Interpolating motions between frames, blending one into the next, and putting pieces one after the other.

A motion has what was recorded, controls, or both. Where only one of two motions was recorded, its recording
fades out on the way to the other one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.errors import InputError
from mcnet_cli.media import Span
from mcnet_cli.motion.bridging import MAX_BRIDGED_S, between, gap_lengths
from mcnet_cli.motion.controls import Controls, eased
from mcnet_cli.motion.motion import RECORDED, Motion, interpolated

Floats = NDArray[np.float32]


def part(motion: Motion, span: Span, name: str = "the motion") -> Motion:
    """The part of a motion that a span has. InputError, which calls the motion `name`, if there is none."""
    left = motion[span.first(motion.rate) :][: span.until_end(motion.rate)][: span.max_frames]
    if not len(left):
        raise InputError(f"{name}: nothing is left of it after --start {span.start_s:g}")
    return left


def follow_on(first: Motion, second: Motion, joint_s: float) -> Motion:
    """One motion after another of the same rate, blended for so many seconds where they meet."""
    first, second = filled(first), filled(second)
    count = joint_length(first, second, joint_s)
    pieces = [first[: len(first) - count], joint(first, second, count), second[count:]]
    if first.is_recorded != second.is_recorded:
        pieces = [_with_recording_of(piece, first if first.is_recorded else second) for piece in pieces]
    return concatenated(pieces)


def joint_length(first: Motion, second: Motion, joint_s: float) -> int:
    """How many frames of both are blended where they are to meet for so many seconds."""
    return min(round(joint_s * float(first.rate)), len(first) // 2, len(second) // 2)


def joint(first: Motion, second: Motion, count: int) -> Motion:
    """The last `count` frames of a motion go over into the first ones of another; both `filled`."""
    shares = eased((np.arange(count) + 1) / (count + 1)).astype(np.float32)
    return blended(first[len(first) - count :], second[:count], shares)


def _with_recording_of(motion: Motion, recorded: Motion) -> Motion:
    """A motion of controls alone with the first frame of a recorded one, at weight 0; others as they are."""
    if motion.is_recorded or not len(motion):
        return motion
    still = recorded[np.zeros(len(motion), np.intp)]
    return replace(still, controls=motion.controls, weights=np.zeros(len(motion), np.float32))


def concatenated(pieces: list[Motion]) -> Motion:
    """Pieces of one kind, without a joint."""
    pieces = [piece for piece in pieces if len(piece)]
    whole = _combined(pieces, lambda *series: np.concatenate(series))
    return replace(whole, found=np.concatenate([piece.found for piece in pieces]))


def _combined(motions: Sequence[Motion], combine: Callable[..., NDArray[Any]]) -> Motion:
    """One motion of several: `combine` makes each of its series (keypoints, landmarks, …) of theirs.

    A series that one of them lacks is left out; missing controls count as 0, missing weights as 1. `found` is
    the first one's.
    """

    def made(name: str) -> Any:
        series = [getattr(motion, name) for motion in motions]
        return None if any(each is None for each in series) else combine(*series)

    controls = weights = None
    if any(motion.controls is not None for motion in motions):
        controls = Controls(combine(*(controls_of(motion).values for motion in motions)))
    if any(motion.weights is not None for motion in motions):
        weights = combine(*map(weights_of, motions))
    recorded = {name: made(name) for name in RECORDED}
    return replace(motions[0], **recorded, controls=controls, weights=weights)


def blended(first: Motion, second: Motion, shares: Floats) -> Motion:
    """Between two motions of T frames, both `filled`: (T,) shares of the second, the rest of the first."""
    if first.is_recorded != second.is_recorded:
        recorded, its_shares = (first, 1 - shares) if first.is_recorded else (second, shares)
        controls = Controls(interpolated(controls_of(first).values, controls_of(second).values, shares))
        return replace(recorded, controls=controls, weights=weights_of(recorded) * its_shares)
    whole = _combined((first, second), lambda one, other: interpolated(one, other, shares))
    return replace(whole, found=np.where(shares <= 0.5, first.found, second.found))


def resampled(motion: Motion, rate: Fraction, speed: float = 1.0, backwards: bool = False) -> Motion:
    """A motion at another rate or speed; frames in between are interpolated."""
    step = float(motion.rate / rate) * speed
    positions = np.arange(max(1, round(len(motion) / step))) * step
    if backwards:
        positions = len(motion) - 1 - positions
    return replace(sampled(motion, positions), rate=rate)


def sampled(motion: Motion, positions: NDArray[Any]) -> Motion:
    """A motion at places between its frames, which are numbered from 0."""
    motion = filled(motion)
    positions = np.clip(positions, 0, len(motion) - 1)
    before = np.floor(positions).astype(np.intp)
    after = np.minimum(before + 1, len(motion) - 1)
    return blended(motion[before], motion[after], (positions - before).astype(np.float32))


def in_step(motions: Sequence[Motion]) -> tuple[Motion, ...]:
    """Motions side by side: at the rate of the first, as long as the longest; others hold their last pose."""
    rate = motions[0].rate
    motions = [motion if motion.rate == rate else resampled(motion, rate) for motion in motions]
    count = max(map(len, motions))
    return tuple(
        motion if len(motion) == count else motion[np.minimum(np.arange(count), len(motion) - 1)]
        for motion in motions
    )


def filled(motion: Motion) -> Motion:
    """A motion whose frames without a face are interpolated between those around; they still aren't found."""
    if motion.found.all() or not motion.is_recorded:
        return motion
    before, after, shares = between(motion.found, round(MAX_BRIDGED_S * motion.rate))
    whole = blended(motion[before], motion[after], shares)
    return replace(whole, found=motion.found, controls=motion.controls, weights=motion.weights)


def bridged(motion: Motion, hidden: NDArray[np.bool_]) -> Motion:
    """A motion whose frames with a `hidden` face are interpolated; in too long gaps they have no face."""
    seen = motion.found & ~hidden
    if seen.all() or not seen.any():
        return motion
    short = gap_lengths(seen) <= MAX_BRIDGED_S * motion.rate
    return replace(filled(replace(motion, found=seen)), found=motion.found & (seen | short))


def controls_of(motion: Motion) -> Controls:
    """A motion's controls; if it has none, such that change nothing."""
    return Controls.none(len(motion)) if motion.controls is None else motion.controls


def weights_of(motion: Motion) -> Floats:
    """(T,) a motion's weights; ones if it has none."""
    return np.ones(len(motion), np.float32) if motion.weights is None else motion.weights

"""Blending motions: between frames, from one motion to the next, and one behind the other.

A motion has what was recorded, controls, or both. Where one of two has no recording, the other one's counts
less and less on the way to it.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.motion.bridging import LONGEST_S, between, gap_lengths
from mcnet_cli.motion.controls import Controls
from mcnet_cli.motion.motion import Motion, interpolated

Floats = NDArray[np.float32]


def eased(share: NDArray[Any]) -> NDArray[np.float64]:
    """0 to 1 with minimal jerk, of a share of the way in time."""
    share = np.clip(share, 0, 1).astype(np.float64)
    return np.asarray(share**3 * (10 - 15 * share + 6 * share**2))


def follow_on(first: Motion, second: Motion, joint_s: float) -> Motion:
    """One motion after another of the same rate, blended for so many seconds where they meet."""
    first, second = filled(first), filled(second)
    count = min(round(joint_s * float(first.rate)), len(first) // 2, len(second) // 2)
    shares = eased((np.arange(count) + 1) / (count + 1)).astype(np.float32)
    pieces = [first[: len(first) - count], second[count:]]
    if count:
        pieces.insert(1, blended(first[len(first) - count :], second[:count], shares))
    if first.is_recorded != second.is_recorded:
        pieces = [_with_recording_of(piece, first if first.is_recorded else second) for piece in pieces]
    return concatenated(pieces)


def _with_recording_of(motion: Motion, recorded: Motion) -> Motion:
    """A motion; if it is of controls alone, with the first frame of a recorded one, which doesn't count."""
    if motion.is_recorded or not len(motion):
        return motion
    still = recorded[np.zeros(len(motion), np.intp)]
    return replace(still, controls=motion.controls, weights=np.zeros(len(motion), np.float32))


def concatenated(pieces: list[Motion]) -> Motion:
    """Pieces of one kind, without a joint."""
    pieces = [piece for piece in pieces if len(piece)]
    first = pieces[0]

    def together(name: str) -> Any:
        series = [getattr(piece, name) for piece in pieces]
        return None if any(each is None for each in series) else np.concatenate(series)

    has_controls = any(piece.controls is not None for piece in pieces)
    has_weights = any(piece.weights is not None for piece in pieces)
    return replace(
        first,
        values=together("values"),
        jacobians=together("jacobians"),
        landmarks=together("landmarks"),
        irises=together("irises"),
        found=together("found"),
        controls=Controls(np.concatenate([controls_of(p).values for p in pieces])) if has_controls else None,
        weights=np.concatenate([weights_of(piece) for piece in pieces]) if has_weights else None,
    )


def blended(first: Motion, second: Motion, shares: Floats) -> Motion:
    """(T,) shares of the second of two motions of T frames, and the rest of the first; both `filled`."""
    controls = None
    if first.controls is not None or second.controls is not None:
        controls = Controls(interpolated(controls_of(first).values, controls_of(second).values, shares))
    if not (first.is_recorded and second.is_recorded):
        if not (first.is_recorded or second.is_recorded):
            return replace(first, controls=controls)
        recorded = first if first.is_recorded else second
        weights = weights_of(recorded) * (1 - shares if first.is_recorded else shares)
        return replace(recorded, controls=controls, weights=weights.astype(np.float32))
    has_weights = first.weights is not None or second.weights is not None

    def mean(name: str) -> Any:
        series = getattr(first, name), getattr(second, name)
        return None if series[0] is None or series[1] is None else interpolated(*series, shares)

    return replace(
        first,
        values=mean("values"),
        jacobians=mean("jacobians"),
        landmarks=mean("landmarks"),
        irises=mean("irises"),
        found=np.where(shares <= 0.5, first.found, second.found),
        controls=controls,
        weights=interpolated(weights_of(first), weights_of(second), shares) if has_weights else None,
    )


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
    """Frames without a face have all of those around, as `Motion.held` says, but aren't found."""
    if motion.found.all() or not motion.is_recorded:
        return motion
    before, after, shares = between(motion.found, round(LONGEST_S * motion.rate))
    whole = blended(motion[before], motion[after], shares)
    return replace(whole, found=motion.found, controls=motion.controls, weights=motion.weights)


def bridged(motion: Motion, hidden: NDArray[np.bool_]) -> Motion:
    """A motion whose frames with a `hidden` face lie between those around; in long gaps they have no face."""
    seen = motion.found & ~hidden
    if seen.all() or not seen.any():
        return motion
    short = gap_lengths(seen) <= LONGEST_S * motion.rate
    return replace(filled(replace(motion, found=seen)), found=motion.found & (seen | short))


def controls_of(motion: Motion) -> Controls:
    """Its controls, if need be such that change nothing."""
    return Controls.none(len(motion)) if motion.controls is None else motion.controls


def weights_of(motion: Motion) -> Floats:
    """(T,) its weights, ones if it has none."""
    return np.ones(len(motion), np.float32) if motion.weights is None else motion.weights

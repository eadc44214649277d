"""Motion: a driving's keypoints over time, or controls, which is all that moves a face; and smoothing it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import gaussian_over_time
from mcnet_cli.face.topology import IRIS_POINTS
from mcnet_cli.motion.bridging import MAX_BRIDGED_S, between
from mcnet_cli.motion.controls import Controls

if TYPE_CHECKING:
    import torch

    from mcnet_cli.model import Keypoints

Floats = NDArray[np.float32]
SMOOTHING_REACH = 4.0  # standard deviations
# The one-euro filter: cutoff in Hz for keypoints at rest, its rise with their speed (in half sides of the
# crop per second), and the cutoff for the speed itself. Chosen on stills with noise and on seven videos:
# against a Gaussian of 0.4 frames, 0.4 times the jitter is left, and blinks and open mouths keep as much of
# their depth (0.98).
STILL_CUTOFF, CUTOFF_PER_SPEED, SPEED_CUTOFF = 0.5, 300.0, 1.0
# A driving is a still, such as a photo with camera noise, if no keypoint leaves its median place by more than
# `STILL_REACH` (in half sides of the crop, 1.3 pixels of 256), and its frames differ like noise. The mean
# squared change from frame to frame, over the variance, is 2 for independent noise, 0.7 for that of a
# compressed video, 0.26 and less for people who hold still. In less than a second it can't be told.
STILL_REACH, STILL_CHANGE, STILL_MIN_S = 0.01, 0.5, 1.0
IRISES = 2 * IRIS_POINTS  # points of both
FRAME_LIMIT = 1_000_000  # of a motion: eleven hours at 25 frames/s
# Fields of `Motion` that are recorded of a driving, and those of its keypoints.
RECORDED = ("values", "jacobians", "landmarks", "irises")
KEYPOINT_SERIES = ("values", "jacobians")


@dataclass(frozen=True, slots=True)
class Motion:
    """T frames of a driving, without sound, picture or likeness.

    `Animator.motion` makes one, `write_motion` keeps it in a file. What is recorded of a person and what
    `Controls` say add up; either may be missing.

    Attributes:
        values: (T, K, 2) float32 keypoints in [-1, 1] of the crop, x then y. K is 0 if nothing was recorded.
        jacobians: (T, K, 2, 2) float32 local affine frames, or None for a network without them.
        landmarks: (T, L, 2) float16 face mesh, [-1, 1] along the longer side of the driving's picture: all
            468 points, or 90 of them; arbitrary where no face was found. None if no detector ran.
        irises: (T, 10, 2) float16, likewise: centre, right, top, left and bottom of the iris in the picture's
            left eye, then of the other one's. None if no detector ran, and in files of former versions.
        found: (T,) bool, whether there was a face; all True if no detector ran.
        rate: frames a second.
        digest: sha256 of the parameters of the keypoint detector that the values are for; empty if nothing
            was recorded.
        controls: numbers for each frame, or None.
        weights: (T,) float32, how far the frames lead away from the source as it is, 0 to 1. None: all 1.

    Example:
        >>> from mcnet_cli import Animator
        >>> motion = Animator.load("lite").motion("driving.mp4", max_frames=5)
        >>> len(motion), motion.rate
        (5, Fraction(25, 1))
        >>> len(motion[2:4])
        2
    """

    values: Floats
    jacobians: Floats | None
    landmarks: NDArray[np.float16] | None
    found: NDArray[np.bool_]
    rate: Fraction
    digest: str
    irises: NDArray[np.float16] | None = None
    controls: Controls | None = None
    weights: Floats | None = None

    @classmethod
    def of(cls, controls: Controls, rate: Fraction | int = 25) -> "Motion":
        """A motion of controls alone, which moves every source whose face is known.

        Example:
            >>> from mcnet_cli import Animator, Controls, Motion
            >>> animator = Animator.load("lite")
            >>> portrait = animator.portrait("portrait.jpg")
            >>> (picture,) = animator.render(portrait, Motion.of(Controls.of(yaw=15, smile=0.5)))
            >>> picture.shape
            (512, 512, 3)
        """
        count = len(controls)
        values = np.zeros((count, 0, 2), np.float32)
        return cls(values, None, None, np.ones(count, np.bool_), Fraction(rate), "", controls=controls)

    @property
    def is_recorded(self) -> bool:
        """Whether there are keypoints of a driving, beside or instead of controls."""
        return self.values.size > 0

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice | NDArray[Any]) -> "Motion":
        """Some of the frames, at the same rate."""
        names = (*RECORDED, "found", "weights")
        controls = None if self.controls is None else self.controls.rows(rows)
        return replace(self._changed(lambda series: series[rows], *names), controls=controls)

    def _changed(self, change: Callable[[NDArray[Any]], NDArray[Any]], *names: str) -> "Motion":
        """The motion with `change` applied to the series of these names; one that is missing stays so."""
        series = {name: getattr(self, name) for name in names}
        changed: dict[str, Any] = {
            name: change(values) for name, values in series.items() if values is not None
        }
        return replace(self, **changed)

    def held(self) -> "Motion":
        """Keypoints of frames without a face are on their way from the last one with a face to the next.

        In longer gaps the last one stays until shortly before the next, at either end the nearest.
        """
        before, after, shares = between(self.found, round(MAX_BRIDGED_S * self.rate))
        return self._changed(
            lambda series: interpolated(series[before], series[after], shares), *KEYPOINT_SERIES
        )

    def smoothed(self, sigma: float) -> "Motion":
        """Keypoints averaged over time by a Gaussian of `sigma` frames; both ends are repeated."""
        if sigma <= 0:
            return self
        return self._changed(lambda series: _smooth(series, sigma), *KEYPOINT_SERIES)

    def steadied(self) -> "Motion":
        """Keypoints without the jitter of tracking, which shows most where they hardly move.

        The one-euro filter (Casiez et al., CHI 2012), forwards and backwards in time so that nothing lags.
        The faster a keypoint moves, the less it is averaged, so that blinks stay. Where all that moves is
        noise, all frames become one.
        """
        if not self.is_recorded:
            return self
        if self.is_still:
            return self._changed(_median, *KEYPOINT_SERIES)
        return self._changed(lambda series: _steady(series, self.values, float(self.rate)), *KEYPOINT_SERIES)

    def rolled(self, degrees: float) -> "Motion":
        """All points turned clockwise about the middle of their pictures."""
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.array([[cos, sin], [-sin, cos]], np.float32)  # of rows of points
        points = self._changed(
            lambda series: (series @ turn).astype(series.dtype), "values", "landmarks", "irises"
        )
        return points._changed(lambda series: turn.T @ series, "jacobians")

    def median(self) -> "Motion":
        """One frame: the median of all those with a face, point by point."""
        seen = self[self.found]._changed(lambda series: _median(series).astype(series.dtype), *RECORDED)
        return seen[:1]

    def mean_keypoints(self, weights: NDArray[Any]) -> "Keypoints":
        """Keypoints of one frame: the mean of all, weighted by (T,) numbers that are 1 together."""
        rows = np.flatnonzero(weights)
        shares = weights[rows].astype(np.float32)
        mean = self[rows]._changed(lambda series: np.tensordot(shares, series, 1)[None], *KEYPOINT_SERIES)
        return mean.keypoints(slice(None))

    @property
    def is_still(self) -> bool:
        """Whether the keypoints move by noise alone."""
        if len(self) < max(2, STILL_MIN_S * self.rate):
            return False
        values = self.values.astype(np.float64)
        if np.abs(values - np.median(values, axis=0)).max() > STILL_REACH:
            return False
        change = np.square(np.diff(values, axis=0)).mean(0).sum()
        return bool(change >= STILL_CHANGE * values.var(0).sum())

    def keypoints(self, rows: slice | int, device: "torch.device | str" = "cpu") -> "Keypoints":
        """Keypoints of some frames; of one frame as a batch of one."""
        import torch  # loaded here, so that a motion can be asked for without it

        from mcnet_cli.model import Keypoints

        if isinstance(rows, int):
            rows = slice(rows, rows + 1)
        values = torch.from_numpy(self.values[rows]).to(device)
        if self.jacobians is None:
            return Keypoints(values)
        return Keypoints(values, torch.from_numpy(self.jacobians[rows]).to(device))


def interpolated(first: NDArray[Any], second: NDArray[Any], shares: Floats) -> NDArray[Any]:
    """(T, ...) between two series, with (T,) shares of the second."""
    shares = shares.reshape(-1, *[1] * (first.ndim - 1))
    series = first.astype(np.float32) * (1 - shares) + second.astype(np.float32) * shares
    return series.astype(first.dtype)


def _median(series: NDArray[Any]) -> Floats:
    """(T, ...) the median of a series over time, repeated."""
    return np.repeat(np.median(series, axis=0, keepdims=True), len(series), axis=0).astype(np.float32)


def _smooth(series: Floats, sigma: float) -> Floats:
    return gaussian_over_time(series, sigma, max(1, round(SMOOTHING_REACH * sigma))).astype(np.float32)


def _steady(series: Floats, values: Floats, rate: float) -> Floats:
    """(T, K, ...) series; the slower the (T, K, 2) values move, the more strongly it is filtered."""
    passes = []
    for way in (slice(None), slice(None, None, -1)):
        shares = _frame_weights(values[way], rate)
        filtered = series[way].astype(np.float64)
        shares = shares.reshape(*shares.shape, *[1] * (series.ndim - 2))
        for row in range(1, len(filtered)):
            filtered[row] = filtered[row - 1] + shares[row] * (filtered[row] - filtered[row - 1])
        passes.append(filtered[way])
    return ((passes[0] + passes[1]) / 2).astype(np.float32)


def _frame_weights(values: Floats, rate: float) -> NDArray[np.float64]:
    """(T, K): the weight of each new frame in the filter; the result for the frame before has the rest."""
    velocities = np.diff(values.astype(np.float64), axis=0, prepend=values[:1]) * rate
    for row in range(1, len(velocities)):
        velocities[row] = next_velocity(velocities[row - 1], velocities[row], rate)
    return weight_of_new(velocities, rate)


def next_velocity(before: NDArray[Any], seen: NDArray[Any], rate: float) -> NDArray[np.float64]:
    """(..., 2) the one-euro filter's velocity: that of the frame before, with some of what is seen now."""
    velocity: NDArray[np.float64] = before + _sample_weight(SPEED_CUTOFF, rate) * (seen - before)
    return velocity


def weight_of_new(velocity: NDArray[Any], rate: float) -> NDArray[np.float64]:
    """(...) the weight of a new frame in the one-euro filter, for points with (..., 2) velocities."""
    speed = np.linalg.norm(velocity, axis=-1)
    weight: NDArray[np.float64] = _sample_weight(STILL_CUTOFF + CUTOFF_PER_SPEED * speed, rate)
    return weight


def _sample_weight(cutoff: Any, rate: float) -> Any:
    """The weight of a new sample in a first-order low-pass filter; cutoff: in Hz."""
    return 1 / (1 + rate / (2 * np.pi * cutoff))

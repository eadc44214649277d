"""Keyframes: values of controls at some times; in between they ease from one to the next."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.errors import UsageError
from mcnet_cli.motion.blending import eased
from mcnet_cli.motion.controls import Controls

Track = tuple[tuple[float, float], ...]  # times in seconds, and the value at each
MAX_TIME_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Keyframes:
    """Controls by name, each a track of (seconds, value), in the order of their times.

    Before its first keyframe and after its last one a track stays as it is there.

    Example:
        >>> from mcnet_cli import Keyframes
        >>> keyframes = Keyframes.of(yaw=[(0, 0), (1, 20)], smile=0.5)
        >>> keyframes.controls(26, 25)["yaw"].round().tolist()[::5]
        [0.0, 1.0, 6.0, 14.0, 19.0, 20.0]
    """

    tracks: Mapping[str, Track] = field(default_factory=dict)

    @classmethod
    def of(cls, **tracks: float | Sequence[tuple[float, float]]) -> "Keyframes":
        """Of numbers that stay, or of tracks. UsageError for what `Controls` don't know, or bad times.

        `eyes` is short for both eyes.
        """
        made: dict[str, Track] = {}
        for name, given in tracks.items():
            track: Track = ((0.0, given),) if isinstance(given, int | float) else tuple(given)
            times = [time for time, _ in track]
            if not track or any(not (0 <= time <= MAX_TIME_S) for time in times) or times != sorted({*times}):
                raise UsageError(f"{name}: times must be at least 0 and go up")
            Controls.of(**{name: [value for _, value in track]})  # which checks names and values
            made |= dict.fromkeys(("left_eye", "right_eye") if name == "eyes" else (name,), track)
        return cls(made)

    def __bool__(self) -> bool:
        return bool(self.tracks)

    def __or__(self, other: "Keyframes") -> "Keyframes":
        """Both; tracks of the other one win."""
        return Keyframes({**self.tracks, **other.tracks})

    @property
    def seconds(self) -> float:
        """When the last keyframe is; 0 if nothing changes in time."""
        return max((track[-1][0] for track in self.tracks.values()), default=0.0)

    def controls(self, count: int, rate: Fraction | float) -> Controls:
        """The controls of `count` frames."""
        times = np.arange(count) / float(rate)
        return Controls.of(**{name: eased_through(times, track) for name, track in self.tracks.items()})

    def frames(self, rate: Fraction | float) -> int:
        """How many frames it takes until nothing changes any more."""
        return math.ceil(self.seconds * float(rate)) + 1


def eased_through(times: NDArray[np.float64], track: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """(T,) values at (T,) times of a track of (time, value), each way eased."""
    values = np.full(len(times), float(track[0][1]))
    for (start, before), (end, after) in itertools.pairwise(track):
        values += (after - before) * eased((times - start) / (end - start))
    return values

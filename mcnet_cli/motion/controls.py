"""Controls: the head's pose and the face's expression as numbers over time, and keyframes of them.

They act on the source's own face: a mouth opens as its jaw swings, lids close by their own gap. So they fit
every face, and every network whose keypoints are landmarks.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.errors import UsageError
from mcnet_cli.face.expression import Expression

Floats = NDArray[np.float32]

# What can be controlled, and the region of the face that it belongs to.
CONTROLS = {
    "yaw": "pose",
    "pitch": "pose",
    "roll": "pose",
    "x": "pose",
    "y": "pose",
    "shoulders": "pose",
    "mouth": "lips",
    "smile": "lips",
    "rounding": "lips",
    "left_eye": "eyes",
    "right_eye": "eyes",
    "gaze_x": "eyes",
    "gaze_y": "eyes",
    "brows": "brows",
}
DEGREE_LIMITS = {"yaw": 60.0, "pitch": 45.0, "roll": 90.0}  # degrees; others are shares
SHARE_LIMIT = 2.0
TURN_UNIT_DEG = 30.0  # a turn that counts as much as 1 of the other controls
WIDER = 0.4  # an eye opens wider by this share of its opening at 1
# The irises' way at a gaze of 1, in widths of the eye: an eyeball of 12 mm that turns by 30° and 20° behind
# lids 30 mm wide. And the degrees downwards that the upper lid follows.
GAZE_REACH = (0.2, 0.13)
GAZE_DOWN_DEG = 20.0
Track = tuple[tuple[float, float], ...]  # times in seconds, and the value at each
MAX_TIME_S = 24 * 3600.0


@dataclass(frozen=True, slots=True, eq=False)
class Controls:
    """Numbers for T frames; all are 0 where nothing changes, and add up with what the face does otherwise.

    `yaw`, `pitch`, `roll`: degrees; the face turns to the picture's right, looks up, tilts clockwise. `x`,
    `y`: the head moves to the right and up, in heights of the face. `shoulders`: they rise, likewise.
    `mouth`: opening; 1 is as wide as the jaw goes. `smile`: 1 a broad smile, -1 corners drawn down.
    `rounding`: 1 lips rounded as for "oo", below 0 spread. `left_eye`, `right_eye`: the picture's; -1 shut, 1
    wide open. `gaze_x`, `gaze_y`: from -1, left and down, to 1, right and up, as far as eyes turn. `brows`: 1
    raised, -1 frowning.

    Attributes:
        values: (T, 14) float32 in the order of `CONTROLS`.

    Example:
        >>> from mcnet_cli import Controls
        >>> controls = Controls.of(yaw=[0, 10, 20], mouth=0.4)
        >>> len(controls), controls["yaw"].tolist(), controls["mouth"].tolist()[0]
        (3, [0.0, 10.0, 20.0], 0.4000000059604645)
    """

    values: Floats

    @classmethod
    def of(cls, **tracks: float | Sequence[float] | NDArray[Any]) -> "Controls":
        """Of numbers by name, each one for all frames or one for each. UsageError for those beyond limits.

        `eyes` is short for both eyes.
        """
        if "eyes" in tracks:
            eyes = tracks.pop("eyes")
            tracks = {"left_eye": eyes, "right_eye": eyes} | tracks
        count = max([1, *(np.size(track) for track in tracks.values())])
        values = np.zeros((count, len(CONTROLS)), np.float32)
        for name, track in tracks.items():
            if name not in CONTROLS:
                raise UsageError(f"there is no control {name}", hint=f"there are {', '.join(CONTROLS)}")
            limit, numbers = DEGREE_LIMITS.get(name, SHARE_LIMIT), np.asarray(track, np.float64)
            if not (np.isfinite(numbers).all() and np.abs(numbers).max(initial=0) <= limit):
                raise UsageError(f"{name}: must be from {-limit:g} to {limit:g}")
            values[:, list(CONTROLS).index(name)] = numbers
        return cls(values)

    @classmethod
    def none(cls, count: int) -> "Controls":
        """For `count` frames in which nothing changes."""
        return cls(np.zeros((count, len(CONTROLS)), np.float32))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, name: str) -> Floats:
        """(T,) one control over time."""
        track: Floats = self.values[:, list(CONTROLS).index(name)]
        return track

    def __add__(self, other: "Controls") -> "Controls":
        """Both together; one frame of either is there for all frames of the other."""
        return Controls(self.values + other.values)

    def __bool__(self) -> bool:
        return bool(self.values.any())

    def rows(self, rows: slice | NDArray[Any]) -> "Controls":
        """Those of some frames."""
        return Controls(self.values[rows])

    def scaled(self, factors: Mapping[str, float]) -> "Controls":
        """Each times the factor of its region."""
        return Controls(self.values * np.array([factors[region] for region in CONTROLS.values()], np.float32))

    @property
    def normalised(self) -> Floats:
        """(T, 14) the values, degrees over 30, so that all can be compared."""
        units = np.array([TURN_UNIT_DEG if name in DEGREE_LIMITS else 1.0 for name in CONTROLS], np.float32)
        return (self.values / units).astype(np.float32)

    @property
    def turns(self) -> NDArray[np.float64]:
        """(3, T) degrees of the head's turns: to the picture's right, down, clockwise."""
        return np.stack([self["yaw"], -self["pitch"], self["roll"]]).astype(np.float64)

    @property
    def gaze_shifts(self) -> Floats:
        """(T, 2) by how much irises move across and down the face, in widths of the eye."""
        across, up = GAZE_REACH
        return np.stack([across * self["gaze_x"], -up * self["gaze_y"]], axis=-1)

    def expression(self, row: int) -> Expression:
        """What the face does in a frame."""
        at = dict(zip(CONTROLS, self.values[row].tolist(), strict=True))
        left, right = (
            -opened if opened < 0 else -WIDER * opened for opened in (at["left_eye"], at["right_eye"])
        )
        return Expression(
            mouth=at["mouth"],
            smile=at["smile"],
            rounding=at["rounding"],
            lids=left,
            right_lids=right,
            gaze_y=-GAZE_DOWN_DEG * at["gaze_y"],
            brows=at["brows"],
        )


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


def eased(share: NDArray[Any]) -> NDArray[np.float64]:
    """0 to 1 with minimal jerk, of a share of the way in time."""
    share = np.clip(share, 0, 1).astype(np.float64)
    return np.asarray(share**3 * (10 - 15 * share + 6 * share**2))


def eased_through(times: NDArray[np.float64], track: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """(T,) values at (T,) times of a track of (time, value), each way eased."""
    values = np.full(len(times), float(track[0][1]))
    for (start, before), (end, after) in itertools.pairwise(track):
        values += (after - before) * eased((times - start) / (end - start))
    return values

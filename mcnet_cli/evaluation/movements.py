"""What a face does over a clip: how far it moves, and how its expressions follow the driving's."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face import LID_OPENINGS, MOUTH_OPENING, Landmarks, opening
from mcnet_cli.face.outer import upper_face
from mcnet_cli.face.topology import MOUTH_CORNERS, Pairs
from mcnet_cli.metrics import correlation, eye_distance, gain, jitter, reach
from mcnet_cli.motion.gaze import MIN_EYE_WIDTH, SHUT, EyeLandmarks

Points = NDArray[Any]

PLACES_KEPT = 4096  # frames whose meshes are kept to know their mean place

# Expressions by pairs of points of the face mesh: the sum of their distances, over that of the eyes.
DISTANCES: dict[str, Pairs] = {
    "mouth": MOUTH_OPENING,
    "eyes": LID_OPENINGS,
    "smile": (MOUTH_CORNERS,),
    "brows": ((105, 159), (334, 386)),  # from the brows to the upper lids
}
# Standard deviations over frames below which an expression of the driving is taken for noise of tracking: in
# eye distances, of gaze in eye widths. They are two to four times those of faces that don't move: pictures of
# 16 people at 256 x 256, each shifted by up to 1.5 pixels, with camera noise and compressed, have medians of
# 0.0026, 0.0019, 0.0043, 0.0021 and 0.0029. In films of the same people the medians are 0.045, 0.039, 0.038,
# 0.039 and 0.018.
STILL = {"mouth": 0.010, "eyes": 0.006, "smile": 0.010, "brows": 0.007, "gaze": 0.008}
GAIN = "_gain"  # ends the names of figures that tell the gain of an expression
LIDS_GAIN = "lids_gain"  # that of lids, as shares of how far each face opens its eyes
WIDE_OPEN = 90  # percentile of openings over frames that is taken for how far a face opens its eyes


@dataclass(slots=True)
class Mean:
    """A running mean; NaN as long as nothing was added."""

    total: float = 0.0
    weight: float = 0.0

    def add(self, value: float, weight: float = 1.0) -> None:
        """`value` counts `weight` times."""
        self.total += weight * value
        self.weight += weight

    @property
    def value(self) -> float:
        """The mean so far."""
        return self.total / self.weight if self.weight else math.nan

    def over(self, other: "Mean") -> float:
        """The ratio of both means; NaN where there is none."""
        return self.value / other.value if other.value else math.nan


class Trace:
    """How a face moves in a clip, in eye distances of the clip's mean.

    Of clips that are longer than 4096 frames, `reach` looks at so many, evenly spread.
    """

    def __init__(self) -> None:
        self._eyes, self._jitter = Mean(), Mean()
        self._recent: list[Points] = []
        self._places: list[Points] = []
        self._stride, self._count = 1, 0

    def add(self, points: Points) -> None:
        """The (468, 2) mesh of the next frame."""
        self._eyes.add(float(eye_distance(points)))
        self._recent = [*self._recent[-2:], points]
        if len(self._recent) == 3:
            self._jitter.add(jitter(np.stack(self._recent)))
        if self._count % self._stride == 0:
            self._places.append(points[upper_face()])
            if len(self._places) > PLACES_KEPT:
                self._places = self._places[::2]
                self._stride *= 2
        self._count += 1

    def gap(self) -> None:
        """A frame without a face: what comes next doesn't go on from before."""
        self._recent = []

    @property
    def reach(self) -> float:
        """How far the upper face moves about its mean place."""
        return reach(np.stack(self._places)) / self._eyes.value if self._places else math.nan

    @property
    def jitter(self) -> float:
        """The mean of the second differences over time."""
        return self._jitter.value / self._eyes.value if self._count else math.nan


class Expressions:
    """What mouth, lids, brows and irises do in the frames of a result, and in those of its driving.

    An expression whose standard deviation in the driving is below that of `STILL` has neither correlation nor
    gain: what little moves is mostly noise of tracking.
    """

    def __init__(self) -> None:
        self._made: dict[str, list[float]] = {name: [] for name in STILL}
        self._real: dict[str, list[float]] = {name: [] for name in STILL}

    def add(self, made: Landmarks, real: Landmarks) -> None:
        """The face in the next frame of the result, and in the driving's."""
        for name, pairs in DISTANCES.items():
            self._made[name].append(float(opening(made.points, pairs)))
            self._real[name].append(float(opening(real.points, pairs)))
        ours, theirs = gaze_of(made), gaze_of(real)
        if ours is not None and theirs is not None:
            self._made["gaze"].append(ours)
            self._real["gaze"].append(theirs)

    def figures(self) -> dict[str, float]:
        """Correlations, and gains, whose names end with `GAIN`; NaN if unknown."""
        found = {}
        for name, still in STILL.items():
            made, real = self._made[name], self._real[name]
            moves = len(real) > 0 and float(np.std(real)) >= still
            found[name] = correlation(made, real) if moves else math.nan
            found[name + GAIN] = gain(made, real) if moves else math.nan
        found[LIDS_GAIN] = math.nan
        if not math.isnan(found["eyes" + GAIN]):
            pair = self._made["eyes"], self._real["eyes"]
            ours, theirs = (float(np.percentile(values, WIDE_OPEN)) for values in pair)
            found[LIDS_GAIN] = found["eyes" + GAIN] * theirs / ours
        return found


def gaze_of(face: Landmarks) -> float | None:
    """Where the irises are between the corners of their eyes, the mean of both.

    0 is the left end of an eye in the picture, 1 the right one. None if an eye is nearly shut or turned away:
    where its iris is would be a guess.
    """
    eyes = EyeLandmarks.of(face.points, face.irises)
    if eyes.openings.min() <= SHUT or eyes.widths.min() <= MIN_EYE_WIDTH:
        return None
    axes = eyes.inner - eyes.outer
    places = ((eyes.irises - eyes.outer) * axes).sum(-1) / (axes**2).sum(-1)
    return float((places[0] + 1 - places[1]) / 2)  # the right eye's outer corner is its right end

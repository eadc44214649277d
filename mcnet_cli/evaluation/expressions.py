"""How a result's expressions follow the driving's over a clip: mouth, lids, smile, brows and gaze."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.animation.gaze import SHUT, EyeLandmarks
from mcnet_cli.face import LIDS, MOUTH, Landmarks, opening
from mcnet_cli.face.openings import Pairs
from mcnet_cli.metrics import correlation, gain

Points = NDArray[Any]

# Pairs of points of the face mesh whose summed distances, over that of the eyes, tell an expression.
DISTANCES: dict[str, Pairs] = {
    "mouth": MOUTH,
    "eyes": LIDS,
    "smile": ((61, 291),),  # the mouth's corners
    "brows": ((105, 159), (334, 386)),  # from the brows to the upper lids
}
# Standard deviations over frames below which an expression of the driving is taken for noise of tracking: in
# eye distances, of gaze in eye widths. Twice to three times what the mesh says of a face that doesn't move
# (16 people's pictures at 256 x 256, each with camera noise, shifts of parts of a pixel and compression:
# medians 0.0026, 0.0019, 0.0043, 0.0021 and 0.0029); people who talk have 0.017 to 0.045.
STILL = {"mouth": 0.010, "eyes": 0.006, "smile": 0.010, "brows": 0.007, "gaze": 0.008}
GAIN = "_gain"  # what a figure's name ends with that tells the gain of an expression


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
        ours, theirs = (EyeLandmarks.of(face.points, face.irises) for face in (made, real))
        # where an iris is behind a lid is a guess
        if min(ours.openings.min(), theirs.openings.min()) > SHUT:
            self._made["gaze"].append(sideways(ours))
            self._real["gaze"].append(sideways(theirs))

    def figures(self) -> dict[str, float]:
        """Correlations, and gains, whose names end with `GAIN`; NaN if unknown."""
        found = {}
        for name, still in STILL.items():
            made, real = self._made[name], self._real[name]
            moves = len(real) > 0 and float(np.std(real)) >= still
            found[name] = correlation(made, real) if moves else math.nan
            found[name + GAIN] = gain(made, real) if moves else math.nan
        return found


def sideways(eyes: EyeLandmarks) -> float:
    """Where the irises of one face are between the corners of their eyes, the mean of both.

    0 is the left end of an eye in the picture, 1 the right one.
    """
    axes = eyes.inner - eyes.outer
    places = ((eyes.irises - eyes.outer) * axes).sum(-1) / np.maximum((axes**2).sum(-1), 1e-6)
    return float((places[0] + 1 - places[1]) / 2)  # the right eye's outer corner is its right end

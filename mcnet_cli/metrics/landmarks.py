"""Figures from landmarks: where they lie, and how eyes and mouth move."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[Any]
Pairs = tuple[tuple[int, int], ...]

# Of the 468-point face mesh.
EYES: tuple[int, int] = (33, 263)  # the outer corners
MOUTH: Pairs = ((13, 14),)  # inner lips
LIDS: Pairs = ((159, 145), (386, 374))
SMALLEST_SPREAD = 1e-6  # of an opening over time: below, it doesn't move


def landmark_distance(made: Points, real: Points) -> float:
    """Mean absolute difference of (N, 2) landmarks over all coordinates, in their unit.

    The field calls it average keypoint distance (AKD), though it compares landmarks. As pose-evaluation, on
    which published figures rest, it takes |Δx| and |Δy| by themselves, not the length of (Δx, Δy).
    """
    return float(np.abs(made.astype(np.float64) - real.astype(np.float64)).mean())


def opening(points: Points, pairs: Pairs) -> float:
    """How far the pairs of points of a (468, 2) mesh lie apart, over the distance of the eyes."""
    apart = sum(float(np.linalg.norm(points[a] - points[b])) for a, b in pairs)
    return apart / max(float(np.linalg.norm(points[EYES[0]] - points[EYES[1]])), 1e-9)


def correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Pearson's correlation of two series; NaN where one of them doesn't move, or has less than 3 values."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if len(a) < 3 or min(a.std(), b.std()) < SMALLEST_SPREAD:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])

"""Figures from landmarks: where they lie, and how they move together."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[Any]

SMALLEST_SPREAD = 1e-6  # of an opening over time: below, it doesn't move


def landmark_distance(made: Points, real: Points) -> float:
    """Mean absolute difference of (N, 2) landmarks over all coordinates, in their unit.

    The field calls it average keypoint distance (AKD), though it compares landmarks. As pose-evaluation, on
    which published figures rest, it takes |Δx| and |Δy| by themselves, not the length of (Δx, Δy).
    """
    return float(np.abs(made.astype(np.float64) - real.astype(np.float64)).mean())


def correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Pearson's correlation of two series; NaN where one of them doesn't move, or has less than 3 values."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if len(a) < 3 or min(a.std(), b.std()) < SMALLEST_SPREAD:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])

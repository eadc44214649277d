"""Figures from landmarks, (468, 2) points of the face mesh in pixels: where they lie, and how they move.

Distances are given in eye distances: between the outer corners of the eyes, so that they don't depend on how
large a face is in its picture.
"""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face.topology import MOUTH_BOX, MOUTH_OPENING, MOUTH_OUTLINE, OUTER_EYE_CORNERS

Points = NDArray[Any]

SMALLEST_SPREAD = 1e-6  # standard deviation of a series over time: below, it doesn't move
MOUTH_MARGIN = 16 / 256  # of the picture's side, around `MOUTH_BOX`
OPEN_MOUTH = 0.12  # eye distances between the inner lips; from here on a mouth's inside is seen


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


def gain(made: Sequence[float], real: Sequence[float]) -> float:
    """How much a result varies beside its driving: the ratio of both standard deviations; 1 is best.

    NaN where the other one doesn't move, or has less than 3 values.
    """
    a, b = np.asarray(made, np.float64), np.asarray(real, np.float64)
    if len(b) < 3 or b.std() < SMALLEST_SPREAD:
        return math.nan
    return float(a.std() / b.std())


def eye_distance(points: Points) -> NDArray[np.float64]:
    """(...): pixels between the outer corners of the eyes of (..., 468, 2) points."""
    left, right = (points[..., corner, :].astype(np.float64) for corner in OUTER_EYE_CORNERS)
    distance: NDArray[np.float64] = np.linalg.norm(left - right, axis=-1)
    return distance


def relative_distance(made: Points, real: Points) -> float:
    """Mean distance of (468, 2) points from the real ones, % of the real eye distance."""
    apart = np.linalg.norm(made.astype(np.float64) - real.astype(np.float64), axis=-1)
    return float(100 * apart.mean() / eye_distance(real))


def reach(points: Points) -> float:
    """How far (T, N, 2) points move: the mean distance from their mean places, in their unit."""
    places = points.astype(np.float64)
    return float(np.linalg.norm(places - places.mean(0), axis=-1).mean())


def jitter(points: Points) -> float:
    """Mean length of the second differences over time of (T, N, 2) points, T at least 3, in their unit.

    Even motion has none, whatever its speed; trembling and sudden stops have much.
    """
    places = points.astype(np.float64)
    return float(np.linalg.norm(places[2:] - 2 * places[1:-1] + places[:-2], axis=-1).mean())


def mouth_mask(points: Points, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W): the box around the mouth of (468, 2) points, in a square picture of this (height, width)."""
    height, width = shape
    corners, margin = points[list(MOUTH_BOX)].astype(np.float64), MOUTH_MARGIN * width
    box = np.rint([corners.min(0) - margin, corners.max(0) + margin]).astype(int)
    (left, top), (right, bottom) = np.clip(box, 0, (width, height))
    mask = np.zeros(shape, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def inner_mouth_mask(points: Points, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W): what lies between the lips of (468, 2) points; nothing for a mouth that is all but closed."""
    mask = np.zeros(shape, np.uint8)
    upper, lower = (points[n].astype(np.float64) for n in MOUTH_OPENING[0])
    if np.linalg.norm(upper - lower) > OPEN_MOUTH * eye_distance(points):
        cv2.fillPoly(mask, [np.rint(points[list(MOUTH_OUTLINE)]).astype(np.int32)], 1)
    return mask.astype(np.bool_)

"""Where relative motion starts: the reference frame, and how much smaller or larger the source's face is.

ICCV 2023 and FOMM (NeurIPS 2019, sec. 3.3) leave the choice to the user; the nearest shape is the safest.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[Any]
SMALLEST_AREA = 1e-12


def hull_area(points: Points) -> float:
    """Area of the convex hull of (N, 2) points."""
    return float(cv2.contourArea(cv2.convexHull(np.ascontiguousarray(points, np.float32))))


def hull_scale(source: Points, reference: Points) -> float:
    """√(area of the source's hull / area of the reference's), for (K, 2) keypoints; 1 where one is flat."""
    areas = hull_area(source), hull_area(reference)
    return float(np.sqrt(areas[0] / areas[1])) if min(areas) > SMALLEST_AREA else 1.0


def shape_of(points: Points) -> NDArray[np.float32]:
    """(N, 2) points centred and divided by the square root of their hull's area."""
    centred = points.astype(np.float32) - points.astype(np.float32).mean(0)
    shape: NDArray[np.float32] = centred / np.float32(max(np.sqrt(hull_area(centred)), 1e-6))
    return shape


def best_reference(source: Points, driving: Points, usable: NDArray[np.bool_]) -> int:
    """The usable frame of `driving` (T, N, 2) whose shape is nearest to the source's (N, 2)."""
    wanted = shape_of(source)
    best, nearest = 0, np.inf
    for frame in np.flatnonzero(usable):  # one by one: a long clip's float32 landmarks are large
        distance = float(np.square(shape_of(driving[frame]) - wanted).sum())
        if distance < nearest:
            best, nearest = int(frame), distance
    return best

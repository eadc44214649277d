"""The frames of a driving that relative motion starts from: those whose face is most like the source's.

FOMM and MCNet leave the choice of one to the user. From a frame like the source it can move as the driving
does. Which one is most like it is a matter of noise where several are about as good, and the head may be
elsewhere in each. So their mean is what motion starts from.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face.topology import BROWS, LID_OPENINGS, OUTER, OVAL

Points = NDArray[Any]

MIN_AREA = 1e-12  # of a hull of keypoints in [-1, 1]; below, faces have no size to be compared
# Face mesh points that tell one pose and expression from another.
# fmt: off
_BROWS = (*BROWS[0][0], *BROWS[1][0])  # their upper edges
_LIDS = (33, 160, 159, 158, 133, 153, 145, 144, 362, 385, 386, 387, 263, 373, 374, 380)
_NOSE = (168, 6, 195, 4, 1, 98, 327, 2)
_LIPS = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91, 78, 81, 13, 311, 308, 402, 14, 178)
# fmt: on
TELLING_POINTS = np.array(OVAL + _BROWS + _LIDS + _NOSE + _LIPS)
# The lids' places among the telling points.
LID_PLACES = [tuple(TELLING_POINTS.tolist().index(lid) for lid in lids) for lids in LID_OPENINGS]
# Weight of the squared difference of two eyes' openings, beside the squared distances of points. Starting
# from a blink, open eyes would stare whenever the driving's open. Without it 19 % of 336 pairs of portraits
# and drivings start from lids less than half as open as the portrait's, with it 3 %; shapes are then 2 % less
# alike.
LIDS_WEIGHT = 20.0

# A frame whose shape is further from the source's than the nearest one by this much counts 0.6 times as much,
# by three times as much not at all. Distances are over all points, in square roots of the hull's area.
ABOUT_AS_NEAR = 0.03
LEAST_WEIGHT = float(np.exp(-4.5))


def telling(landmarks: Points) -> Points:
    """(..., 90, 2): the `TELLING_POINTS` of (..., 468, 2) landmarks; 90 points are returned as they are."""
    return landmarks if landmarks.shape[-2] == len(TELLING_POINTS) else landmarks[..., TELLING_POINTS, :]


def hull_area(points: Points) -> float:
    """Area of the convex hull of (N, 2) points."""
    return float(cv2.contourArea(cv2.convexHull(np.ascontiguousarray(points, np.float32))))


def hull_scale(source: Points, reference: Points) -> float:
    """√(area of the source's hull / area of the reference's), for (K, 2) keypoints; 1 where one is flat."""
    areas = hull_area(source), hull_area(reference)
    return float(np.sqrt(areas[0] / areas[1])) if min(areas) > MIN_AREA else 1.0


def on_face(values: NDArray[np.float32], numbers: Sequence[int]) -> NDArray[np.float32]:
    """Of (K, 2) keypoints those on the face mesh, whose size doesn't depend on shoulders; all if none is."""
    mesh = [place for place, point in enumerate(numbers) if point not in OUTER]
    return values[mesh] if mesh else values


def best_reference(
    source: Points, driving: Points, usable: NDArray[np.bool_], lids: Sequence[tuple[int, int]] = ()
) -> int:
    """The usable frame of `driving` (T, N, 2) whose shape is nearest to the source's (N, 2).

    lids: pairs of upper and lower lids among the N points; their distances count more than points do.
    """
    return int(_distances(source, driving, usable, lids).argmin())


def reference_weights(
    source: Points, driving: Points, usable: NDArray[np.bool_], lids: Sequence[tuple[int, int]] = ()
) -> NDArray[np.float32]:
    """(T,) how much each frame of `driving` (T, N, 2) counts in what motion starts from; 1 together.

    The usable ones whose shape is about as near to the source's (N, 2) as that of the nearest.

    lids: as for `best_reference`.
    """
    distances = _distances(source, driving, usable, lids)
    nearest = distances.min()
    if not np.isfinite(nearest):
        return single_reference(0, len(driving))
    weights = np.exp(-0.5 * np.square((distances - nearest) / ABOUT_AS_NEAR))
    weights[weights < LEAST_WEIGHT] = 0
    return np.asarray(weights / weights.sum(), np.float32)


def single_reference(frame: int, count: int) -> NDArray[np.float32]:
    """(T,) the weights of `count` frames of which one counts alone."""
    weights = np.zeros(count, np.float32)
    weights[frame] = 1
    return weights


def _distances(
    source: Points, driving: Points, usable: NDArray[np.bool_], lids: Sequence[tuple[int, int]]
) -> NDArray[np.float64]:
    """(T,) from the source's shape to those of frames; infinite where they aren't usable."""
    wanted = _shape_of(source, lids)
    distances = np.full(len(driving), np.inf)
    for frame in np.flatnonzero(usable):  # one by one: a long clip's float32 landmarks are large
        distances[frame] = np.linalg.norm(_shape_of(driving[frame], lids) - wanted)
    return distances


def _shape_of(points: Points, lids: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """(2·N + L,): points centred and divided by the square root of their hull's area; weighted openings."""
    centred = points.astype(np.float32) - points.astype(np.float32).mean(0)
    shape: NDArray[np.float32] = centred / np.float32(max(np.sqrt(hull_area(centred)), 1e-6))
    openings = [LIDS_WEIGHT**0.5 * np.linalg.norm(shape[upper] - shape[lower]) for upper, lower in lids]
    return np.concatenate([shape.ravel(), np.array(openings, np.float32)])

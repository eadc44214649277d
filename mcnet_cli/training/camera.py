"""The camera's motion between the frames of a pair, taken out: backgrounds don't follow from keypoints."""

import cv2
import numpy as np

from mcnet_cli.training.flow import FLOW_PX, optical_flow
from mcnet_cli.training.frames import Array

LEAST_POINTS, LEAST_SHARE = 150, 0.5
INLIER_PX = 1.0
MOST_SCALE, MOST_SHIFT = 1.5, 0.6
HEAD_MARGIN = 0.35  # of the face's width: hair
STILL = np.eye(2, 3)


def camera_motion(source: Array, driving: Array, source_points: Array, driving_points: Array) -> Array:
    """(2, 3): from a place of the background in the source to the same in the driving, in [-1, 1].

    source, driving: (S, S, 3) uint8 frames; points: (468, 2) landmarks in their pixels. A similarity; the
    identity where too little of the background is seen to say.
    """
    scale = FLOW_PX / len(source)
    before, after = (
        cv2.cvtColor(cv2.resize(frame, (FLOW_PX, FLOW_PX), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        for frame in (source, driving)
    )
    flow = optical_flow(before, after)
    seen = flow.sure & _is_background(source_points * scale) & _is_background(driving_points * scale)
    rows, columns = np.nonzero(seen)
    if len(rows) < LEAST_POINTS:
        return STILL
    start = np.stack([columns, rows], axis=1).astype(np.float32)
    found, inliers = cv2.estimateAffinePartial2D(
        start, start + flow.offsets[rows, columns], ransacReprojThreshold=INLIER_PX
    )
    if found is None or inliers.mean() < LEAST_SHARE:
        return STILL
    matrix = _in_unit_coordinates(found)
    zoom = float(np.sqrt(max(np.linalg.det(matrix[:, :2]), 0.0)))
    plausible = 1 / MOST_SCALE < zoom < MOST_SCALE and np.abs(matrix[:, 2]).max() < MOST_SHIFT
    return matrix if plausible else STILL


def _is_background(points: Array) -> Array:
    """(FLOW_PX, FLOW_PX): beside and above a head with (468, 2) landmarks; shoulders are no background."""
    low, high = points.min(0), points.max(0)
    width = high[0] - low[0]
    head = np.zeros((FLOW_PX, FLOW_PX), np.uint8)
    cv2.fillConvexPoly(head, cv2.convexHull(points.astype(np.float32)).round().astype(np.int32), 1)
    reach = 2 * round(HEAD_MARGIN * float(width)) + 1
    head = cv2.dilate(head, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    free = head == 0
    free[max(0, int(high[1] - 0.1 * width)) :] = False
    return free


def _in_unit_coordinates(pixels: Array) -> Array:
    """A (2, 3) map of FLOW_PX² pixels as one of coordinates in [-1, 1]."""
    half = (FLOW_PX - 1) / 2
    linear, shift = pixels[:, :2], pixels[:, 2]
    moved = (linear @ np.array([half, half]) + shift) / half - 1
    return np.concatenate([linear, moved[:, None]], axis=1)

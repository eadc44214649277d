"""Drawing triangles: which one each pixel shows, and values that vary linearly within each."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.synthetic.brushes import FIXED_POINT_BITS, fixed
from mcnet_cli.synthetic.topology import Indices, Points

NOTHING = -1


def owners(corners: Points, order: Indices, names: Indices, size: int) -> NDArray[np.int32]:
    """(S, S) the name of the triangle that each pixel shows, NOTHING where there is none.

    corners: (T, 3, 2) pixels. order: from the farthest triangle to the nearest. names: (T,).
    """
    picture = np.full((size, size), NOTHING, np.int32)
    for triangle, name in zip(fixed(corners[order] - 0.5), names[order].tolist(), strict=True):
        cv2.fillConvexPoly(picture, triangle, name, cv2.LINE_8, FIXED_POINT_BITS)
    return picture


def interpolated(
    owner: NDArray[np.int32], corners: Points, values: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(S, S, A) values at the pixels that show triangles 0 to T - 1; undefined elsewhere.

    corners: (T, 3, 2) pixels; values: (T, 3, A) at those corners.
    """
    size = owner.shape[0]
    origin, (a, b) = corners[:, 0], (corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    area = np.where(np.abs(area) < 1e-3, np.inf, area)[:, None]
    rise_a, rise_b = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    along_x = (rise_a * b[:, 1:] - rise_b * a[:, 1:]) / area
    along_y = (rise_b * a[:, :1] - rise_a * b[:, :1]) / area
    start = values[:, 0] - along_x * origin[:, :1] - along_y * origin[:, 1:]
    kept = np.clip(owner, 0, len(corners) - 1)
    centres = np.arange(size, dtype=np.float32) + 0.5
    result = np.take(along_x.astype(np.float32), kept, axis=0)
    result *= centres[None, :, None]
    slope = np.take(along_y.astype(np.float32), kept, axis=0)
    slope *= centres[:, None, None]
    result += slope
    result += np.take(start.astype(np.float32), kept, axis=0)
    return result

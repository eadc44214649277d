"""Pictures between the crop and the network, and side by side."""

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def resized(picture: Picture, width: int, height: int) -> Picture:
    """(H, W, 3) at another size: averaged when it shrinks, bicubic when it grows, untouched when it fits."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = width * height < picture.shape[0] * picture.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    result: Picture = cv2.resize(picture, (width, height), interpolation=method)
    return result


def side_by_side(source: Picture, driving: Picture, result: Picture) -> Picture:
    """(H, W + H + W, 3): the source as large as the result, the driving as high, and the result."""
    height, width = result.shape[:2]
    panels = [resized(source, width, height), resized(driving, height, height), result]
    return np.concatenate(panels, axis=1)

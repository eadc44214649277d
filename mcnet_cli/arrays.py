"""Pictures and time series as arrays: resizing, pictures side by side, averages over time."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def resized(picture: Picture, width: int, height: int) -> Picture:
    """(H, W, ...) at another size: averaged when it shrinks, bicubic when it grows, itself when it fits."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = width * height < picture.shape[0] * picture.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    result: Picture = cv2.resize(picture, (width, height), interpolation=method)
    return result


def size_within(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(width, height) of a picture made small enough for `longest`, its longer side; then both are even."""
    if max(size) <= longest:
        return size
    factor = longest / max(size)
    return max(2, 2 * round(size[0] * factor / 2)), max(2, 2 * round(size[1] * factor / 2))


def filling(picture: Picture, width: int, height: int) -> Picture:
    """(height, width, C): a picture at the size that just covers this one, with what sticks out cut off."""
    factor = max(width / picture.shape[1], height / picture.shape[0])
    large = resized(
        picture, max(width, round(picture.shape[1] * factor)), max(height, round(picture.shape[0] * factor))
    )
    left, top = (large.shape[1] - width) // 2, (large.shape[0] - height) // 2
    return large[top : top + height, left : left + width]


def side_by_side(source: Picture, driving: Picture, result: Picture) -> Picture:
    """(H, W + H + W, 3): the source as large as the result, the driving as high, and the result."""
    height, width = result.shape[:2]
    panels = [resized(source, width, height), resized(driving, height, height), result]
    return np.concatenate(panels, axis=1)


def gaussian_over_time(series: NDArray[Any], sigma: float, radius: int) -> NDArray[np.float64]:
    """(T, ...) averaged along the first axis by a Gaussian of `sigma` rows; the first and last row repeat.

    radius: how many rows on either side count.
    """
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    last = len(series) - 1
    smooth = np.zeros(series.shape, np.float64)
    for offset, weight in zip(range(-radius, radius + 1), weights, strict=True):
        smooth += weight * series[np.clip(np.arange(len(series)) + offset, 0, last)]
    return smooth

"""Pictures and points between the crop and the network, and pictures side by side."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face import CropBox, crop

Picture = NDArray[np.uint8]


def resized(picture: Picture, width: int, height: int) -> Picture:
    """(H, W, 3) at another size: averaged when it shrinks, bicubic when it grows, untouched when it fits."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = width * height < picture.shape[0] * picture.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    result: Picture = cv2.resize(picture, (width, height), interpolation=method)
    return result


def bounded(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(width, height) of a picture that is made smaller if its longer side exceeds `longest`, sides even."""
    if max(size) <= longest:
        return size
    factor = longest / max(size)
    return max(2, 2 * round(size[0] * factor / 2)), max(2, 2 * round(size[1] * factor / 2))


def covering(picture: Picture, width: int, height: int) -> Picture:
    """(height, width, C) the middle of a picture, so large that it covers all."""
    factor = max(width / picture.shape[1], height / picture.shape[0])
    large = resized(
        picture, max(width, round(picture.shape[1] * factor)), max(height, round(picture.shape[0] * factor))
    )
    left, top = (large.shape[1] - width) // 2, (large.shape[0] - height) // 2
    return large[top : top + height, left : left + width]


def face_picture(frame: Picture, box: CropBox | None, size: int) -> Picture:
    """(size, size, 3): the box of a frame, or the whole frame."""
    return resized(frame, size, size) if box is None else crop(frame, box, size)


def on_square(
    points: NDArray[np.float32], box: CropBox | None, picture: tuple[int, int], size: int
) -> NDArray[np.float32]:
    """(..., 2) pixels of a picture as keypoints, in [-1, 1] of the network's square.

    box: what the square shows of the picture of (width, height) `picture`; None for all of it.
    """
    corner, extent = ((box.x, box.y), (box.width, box.height)) if box else ((0, 0), picture)
    inside = (points.astype(np.float64) - corner) / extent * size
    keypoints: NDArray[np.float32] = (inside * (2 / (size - 1)) - 1).astype(np.float32)
    return keypoints


def side_by_side(source: Picture, driving: Picture, result: Picture) -> Picture:
    """(H, W + H + W, 3): the source as large as the result, the driving as high, and the result."""
    height, width = result.shape[:2]
    panels = [resized(source, width, height), resized(driving, height, height), result]
    return np.concatenate(panels, axis=1)

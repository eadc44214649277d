"""Cutting regions out of pictures of any size.

Coordinates are continuous pixels: pixel i covers [i, i + 1), so a picture spans (0, 0) to (width, height).
"""

from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Matrix = NDArray[np.float64]
Pixels = TypeVar("Pixels", NDArray[np.uint8], NDArray[np.float32])

BORDERS = {"replicate": cv2.BORDER_REPLICATE, "black": cv2.BORDER_CONSTANT}
SMALLEST_BLUR = 1e-3  # OpenCV takes 0 for a width of its own choice
MARGIN = 3  # pixels that interpolation may look at beyond the region


def resample(
    picture: Pixels,
    transform: Matrix,
    size: tuple[int, int],
    *,
    border: Literal["replicate", "black"] = "replicate",
) -> Pixels:
    """Draws `picture` through an affine transform onto a canvas, averaging where it shrinks.

    picture: (H, W) or (H, W, C), uint8 or float32. transform: (2, 3) from picture to canvas coordinates.
    size: the canvas's (width, height). Only the part that the canvas shows is touched, whatever the
    picture's size, and what it takes in memory depends on the canvas alone.
    """
    height, width = picture.shape[:2]
    left, top, right, bottom = _shown_part(transform, size, width, height)
    scale = np.linalg.norm(transform[:, :2], axis=0)
    part, factors = _shrunk(picture[top:bottom, left:right], scale)
    linear = transform[:, :2] * factors
    offset = transform[:, :2] @ (left, top) + transform[:, 2]
    # OpenCV's coordinates name pixel centres.
    offset = offset + linear @ (0.5, 0.5) - 0.5
    enlarges = bool((scale > 1).any())
    drawn: Pixels = cv2.warpAffine(
        part,
        np.column_stack([linear, offset]),
        size,
        flags=cv2.INTER_CUBIC if enlarges else cv2.INTER_LINEAR,
        borderMode=BORDERS[border],
    )
    return drawn


def _shrunk(picture: Any, scale: Matrix) -> tuple[Any, tuple[int, int]]:
    """The picture shrunk for a warp by `scale`, which alone would pick single pixels, and by what factors.

    Means of whole blocks of pixels bring it to less than twice the final size, along each axis; a blur does
    what is left to averaging. OpenCV takes ten times as long for means of parts of pixels.
    """
    across, down = (max(1, int(1 / s)) for s in scale)
    if across > 1 or down > 1:
        picture = _block_means(picture, across, down)
    left_over = 1 / (scale * (across, down))
    if (left_over > 1 + 1e-3).any():
        # as wide as the mean of the pixels that become one: its variance is the square of their count over 12
        deviations = np.sqrt(np.maximum(left_over**2 - 1, SMALLEST_BLUR) / 12)
        picture = cv2.GaussianBlur(picture, (3, 3), sigmaX=deviations[0], sigmaY=deviations[1])
    return picture, (across, down)


def _block_means(picture: Any, across: int, down: int) -> Any:
    """Means of blocks of pixels; those at the right and lower edge may have fewer."""
    height, width = picture.shape[:2]
    rows = np.split(picture, [height - height % down])
    means = []
    for parts in (np.split(row, [width - width % across], axis=1) for row in rows if len(row)):
        sizes = [(-(-part.shape[1] // across), -(-len(part) // down)) for part in parts]
        means.append(
            cv2.hconcat(
                [
                    cv2.resize(part, size, interpolation=cv2.INTER_AREA)
                    for part, size in zip(parts, sizes, strict=True)
                    if part.size
                ]
            )
        )
    return cv2.vconcat(means)


def _shown_part(
    transform: Matrix, size: tuple[int, int], width: int, height: int
) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the picture's pixels that the canvas shows; at least one pixel."""
    canvas = np.array([(0, 0), (size[0], 0), (0, size[1]), size], np.float64)
    corners = (canvas - transform[:, 2]) @ np.linalg.inv(transform[:, :2]).T
    # One canvas pixel may cover many of the picture's: the margin is counted in the larger of both.
    margin = MARGIN * np.maximum(1, 1 / np.linalg.norm(transform[:, :2], axis=0))
    limit = (width, height)
    first = np.clip(np.floor(corners.min(0) - margin), 0, np.subtract(limit, 1)).astype(int)
    last = np.clip(np.ceil(corners.max(0) + margin), first + 1, limit).astype(int)
    return int(first[0]), int(first[1]), int(last[0]), int(last[1])


def box_transform(x: float, y: float, width: float, height: float, size: tuple[int, int]) -> Matrix:
    """(2, 3) that maps the box with the corner (x, y) onto a canvas of (width, height) `size`."""
    along, down = size[0] / width, size[1] / height
    return np.array([[along, 0, -x * along], [0, down, -y * down]])

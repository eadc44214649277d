"""Cutting regions out of pictures of any size.

Coordinates are continuous pixels: pixel i covers [i, i + 1), so a picture spans (0, 0) to (width, height).
"""

import math
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

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
    return blurred(picture, 1 / (scale * (across, down))), (across, down)


def blurred(picture: Any, counts: Matrix) -> Any:
    """The picture averaged for a sampling that makes one of (2,) so many pixels, fewer than two, each way."""
    if (counts <= 1 + 1e-3).all():
        return picture
    # as wide as the mean of the pixels that become one: its variance is the square of their count over 12
    deviations = np.sqrt(np.maximum(counts**2 - 1, SMALLEST_BLUR) / 12)
    return cv2.GaussianBlur(picture, (3, 3), sigmaX=deviations[0], sigmaY=deviations[1])


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
    (a, b, x), (c, d, y) = transform.tolist()  # plain numbers: numpy takes ten times as long for so few
    area = a * d - b * c
    corners = [(right - x, lower - y) for right in (0, size[0]) for lower in (0, size[1])]
    columns = [(d * right - b * lower) / area for right, lower in corners]
    rows = [(a * lower - c * right) / area for right, lower in corners]
    # One canvas pixel may cover many of the picture's: the margin is counted in the larger of both.
    margins = (MARGIN * max(1.0, 1 / math.hypot(*column)) for column in ((a, c), (b, d)))
    (left, right), (top, bottom) = (
        _within(min(places) - margin, max(places) + margin, side)
        for places, margin, side in zip((columns, rows), margins, (width, height), strict=True)
    )
    return left, top, right, bottom


def _within(low: float, high: float, limit: int) -> tuple[int, int]:
    """A range of whole pixels, at least one, between 0 and the limit."""
    first = min(max(math.floor(low), 0), limit - 1)
    return first, min(max(math.ceil(high), first + 1), limit)


def box_transform(x: float, y: float, width: float, height: float, size: tuple[int, int]) -> Matrix:
    """(2, 3) that maps the box with the corner (x, y) onto a canvas of (width, height) `size`."""
    along, down = size[0] / width, size[1] / height
    return np.array([[along, 0, -x * along], [0, down, -y * down]])

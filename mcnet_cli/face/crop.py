"""Crop boxes: where the network's square picture lies in a photo or a clip, and cutting it out.

Boxes may reach beyond the picture; what lies there repeats the picture's border.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture
from mcnet_cli.errors import UsageError
from mcnet_cli.face.landmarks import Points
from mcnet_cli.face.sampling import box_transform, resample
from mcnet_cli.framing import Framing

# How far hair, chin and ears reach beyond the mesh, in heights of the mesh: left, top, right, bottom.
HEAD = np.array([-0.12, -0.30, 0.12, 0.08])
SMALLEST_SIDE_PX = 2.0
LARGEST_PX = 1e6


@dataclass(frozen=True, slots=True)
class CropBox:
    """A box in pixels of a picture, which may reach beyond it.

    Attributes:
        x, y: the upper left corner, x to the right, y down.
        width, height: at least 1.

    Raises ValueError for numbers that are no box.

    Example:
        >>> from mcnet_cli import CropBox
        >>> CropBox(x=120, y=40, width=512, height=512).width
        512
    """

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        numbers = (self.x, self.y, self.width, self.height)
        if not all(math.isfinite(n) and abs(n) <= LARGEST_PX for n in numbers):
            raise ValueError("a crop's numbers must be finite and below a million")
        if min(self.width, self.height) < 1:
            raise ValueError("a crop's width and height must be at least 1")

    def scaled(self, factor: float) -> "CropBox":
        """The same box in a picture that is `factor` times as large; no side gets below a pixel."""
        width, height = max(1.0, self.width * factor), max(1.0, self.height * factor)
        return CropBox(self.x * factor, self.y * factor, width, height)


def crop_box(points: Points, framing: Framing) -> CropBox:
    """The square for one face. points: (468, 2) in pixels."""
    return clip_box([points], framing)


def clip_box(samples: Sequence[Points], framing: Framing) -> CropBox:
    """One square for a whole clip. samples: (468, 2) points in pixels of at least one frame.

    Size and place follow the median frame; where the head moves too far for that, the square grows just
    enough to hold it in every sampled frame.
    """
    return extents_box(np.array([[*points.min(0), *points.max(0)] for points in samples]), framing)


def extents_box(extents: NDArray[np.floating], framing: Framing) -> CropBox:
    """As `clip_box`, from (T, 4) extents of the mesh: left, top, right, bottom in pixels."""
    boxes = extents.astype(np.float64)
    if framing.tube_factor:
        low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
        side = max(float((high - low).max()) * framing.tube_factor, SMALLEST_SIDE_PX)
        corner = (low + high - side) / 2
        return CropBox(float(corner[0]), float(corner[1]), side, side)
    heights = boxes[:, 3] - boxes[:, 1]
    side = max(float(np.median(heights)) / framing.face_height, SMALLEST_SIDE_PX)
    centre = np.median((boxes[:, :2] + boxes[:, 2:]) / 2, axis=0)
    corner = centre - side * np.array([framing.center_x, framing.center_y])
    if len(boxes) > 1:
        heads = boxes + heights[:, None] * HEAD
        corner, side = _holding(corner, side, heads[:, :2].min(0), heads[:, 2:].max(0))
    return CropBox(float(corner[0]), float(corner[1]), side, side)


def _holding(
    corner: NDArray[np.float64], side: float, low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """The square at `corner`, grown and moved just enough to hold the box from `low` to `high`."""
    larger = max(side, float((high - low).max()))
    corner = corner - (larger - side) / 2
    return np.clip(corner, high - larger, low), larger


def parse_crop(option: str, text: str) -> CropBox | Literal["auto", "none"]:
    """A crop as the option asks for it: auto, none, or X,Y,W,H in pixels. UsageError for anything else."""
    if text == "auto" or text == "none":
        return "auto" if text == "auto" else "none"
    try:
        x, y, width, height = map(float, text.split(","))
        return CropBox(x, y, width, height)
    except ValueError as error:
        raise UsageError(
            f"{option}: {text!r} is no crop",
            hint="give auto, none, or X,Y,W,H in pixels such as 120,40,512,512",
        ) from error


def crop(rgb: Picture, box: CropBox, size: int, margin: int = 0, roll_deg: float = 0.0) -> Picture:
    """The box of an (H, W, 3) uint8 picture as (size, size, 3); a box that is no square is stretched.

    margin: so many pixels more on each side, of what the picture shows around the box. roll_deg: turns the
    box clockwise about its middle first, so that a face that is rolled by this much comes out upright.
    """
    transform = box_transform(box.x, box.y, box.width, box.height, (size, size))
    if roll_deg:
        turn = cv2.getRotationMatrix2D((size / 2, size / 2), roll_deg, 1.0)
        transform = turn @ np.vstack([transform, (0, 0, 1)])
    transform[:, 2] += margin
    side = size + 2 * margin
    return resample(rgb, transform, (side, side))

"""Faces that lie on their side or stand on their heads: how far they are turned, and turning them upright.

Networks know upright faces. Up to half a quarter turn they get along; a face that is turned further is looked
at in a picture that has been turned by quarters, without loss, counterclockwise. The roll that quarter turns
leave is taken off points, and off the squares that networks see.
"""

import math
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face.crop import CropBox
from mcnet_cli.face.topology import CHIN, FOREHEAD, OUTER_EYE_CORNERS

Size = tuple[int, int]  # width and height
Points = TypeVar("Points", NDArray[np.float16], NDArray[np.float32], NDArray[np.float64])


ROLL_POINTS = (*OUTER_EYE_CORNERS, FOREHEAD, CHIN)
# People hardly tilt their heads further. Beyond it the camera lay on its side, or the picture was turned.
MAX_TILT_DEG = 30.0
# What a roll differs from quarter turns by, if that is less, is how the person holds the head: in 21 videos
# of people who sit or stand the mean roll is at most 9 degrees, in 19 below this.
MAX_MEAN_TILT_DEG = 7.5
# By quarter turns counterclockwise; four times as fast as `numpy.rot90` and a copy.
_ROTATIONS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


def roll_deg(points: NDArray[Any]) -> float:
    """By how many degrees a face is rolled clockwise in its picture; of several faces (T, 4, 2) the mean.

    By the line between the eyes and the one from forehead to chin: one of them is long in every pose.

    points: (..., 4, 2) the `ROLL_POINTS`, in any unit.
    """
    left, right, top, bottom = np.moveaxis(points.astype(np.float64), -2, 0)
    along = right - left + (bottom - top) @ np.array([[0, -1], [1, 0]])
    along /= np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    x, y = along.reshape(-1, 2).mean(0)
    return math.degrees(math.atan2(y, x))


def upright_turns(points: NDArray[Any]) -> int:
    """How many quarter turns counterclockwise, 0 to 3, bring a face with (468, 2) landmarks upright."""
    return round(roll_deg(points[list(ROLL_POINTS)]) / 90) % 4


def lies(roll_deg: float) -> bool:
    """Whether a face that is rolled by so many degrees lies in its picture, rather than tilts its head."""
    return abs((roll_deg + 180) % 360 - 180) > MAX_TILT_DEG


def camera_roll_deg(roll_deg: float) -> float:
    """What of a face's mean roll is the camera's or the photo's.

    None of it where people may tilt their heads as far, else the nearest quarter turns or, further off, all.
    """
    if not lies(roll_deg):
        return 0.0
    quarters = 90.0 * round(roll_deg / 90)
    return quarters if abs(roll_deg - quarters) <= MAX_MEAN_TILT_DEG else roll_deg


def remaining_roll_deg(roll_deg: float, turns: int) -> float:
    """The camera's part of a face's mean roll in a picture that has been turned by quarters for it."""
    return (camera_roll_deg(roll_deg + 90 * turns) - 90 * turns + 180) % 360 - 180


def turned(picture: NDArray[np.uint8], turns: int) -> NDArray[np.uint8]:
    """A picture (H, W, ...) after so many quarter turns counterclockwise; itself if it doesn't turn."""
    if turns % 4 == 0:
        return picture
    return np.asarray(cv2.rotate(np.ascontiguousarray(picture), _ROTATIONS[turns % 4]), np.uint8)


def turned_size(size: Size, turns: int) -> Size:
    """Width and height of a picture after so many quarter turns."""
    return size if turns % 2 == 0 else (size[1], size[0])


def turned_points(points: Points, turns: int, size: Size) -> Points:
    """(..., 2) pixels of a picture of this size where they are after quarter turns of the picture."""
    for _ in range(turns % 4):
        points = np.stack([points[..., 1], size[0] - points[..., 0]], axis=-1).astype(points.dtype)
        size = turned_size(size, 1)
    return points


def rolled_points(points: Points, degrees: float, size: Size) -> Points:
    """(..., 2) pixels of a picture of this size, turned clockwise about its middle."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    middle = np.array(size) / 2
    rolled = (points - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle
    return np.asarray(rolled, points.dtype)


def turned_box(box: CropBox, turns: int, size: Size) -> CropBox:
    """A box in a picture of this size where it is after quarter turns of the picture."""
    if turns % 4 == 0:
        return box
    corners = np.array([(box.x, box.y), (box.x + box.width, box.y + box.height)])
    moved = turned_points(corners, turns, size)
    left, top = moved.min(0).tolist()
    sides = (box.width, box.height) if turns % 2 == 0 else (box.height, box.width)
    return CropBox(left, top, *sides)


def rolled_box(box: CropBox, degrees: float, size: Size) -> CropBox:
    """A box whose middle is turned clockwise about that of a picture of this size; its sides stay level."""
    half = np.array([box.width, box.height]) / 2
    left, top = (rolled_points(np.array([box.x, box.y]) + half, degrees, size) - half).tolist()
    return CropBox(left, top, box.width, box.height)

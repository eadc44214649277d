"""The example portrait, models loaded once, and scenes for the tests of faces."""

import functools

import cv2
import numpy as np
from places import EXAMPLES

from mcnet_cli import Animator, Portrait
from mcnet_cli.face import BlazeFaceDetector, CropBox, FaceMesh, Landmarks, faces_in
from mcnet_cli.media import read_image

ODD_BOXES = [
    CropBox(-1e6, -1e6, 1e6, 1e6),
    CropBox(1e5, 1e5, 5, 5),
    CropBox(-5e5, -5e5, 1e6, 1e6),
    CropBox(3, 3, 1, 1),
    CropBox(0.3, 0.7, 1.5, 800),
]
cv2.setNumThreads(1)


@functools.cache
def portrait() -> np.ndarray:
    """The example portrait, 512 x 512; its face is about 95 x 108 pixels."""
    return read_image(EXAMPLES / "portrait.jpg")


@functools.cache
def animator() -> Animator:
    """The default network, frame by frame in float32."""
    return Animator.load("lite", device="cpu", precision="fp32", batch_size=1)


@functools.cache
def example() -> Portrait:
    """The example portrait, encoded by it."""
    return animator().portrait(portrait())


@functools.cache
def detector() -> BlazeFaceDetector:
    return BlazeFaceDetector()


@functools.cache
def mesh() -> FaceMesh:
    return FaceMesh()


@functools.cache
def portrait_face() -> Landmarks:
    (face,) = faces_in(portrait(), detector(), mesh())
    return face


def scene(width: int, height: int, faces: list[tuple[int, int, int]]) -> np.ndarray:
    """Smooth colours with the portrait's head at (x, y, side) each."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 255, (6, 8, 3), np.uint8)
    picture: np.ndarray = cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC)
    head = portrait()[10:230, 120:340]
    for x, y, side in faces:
        picture[y : y + side, x : x + side] = cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA)
    return picture


def turned(picture: np.ndarray, degrees: float) -> np.ndarray:
    """The picture turned about the portrait's face."""
    turn = cv2.getRotationMatrix2D((225, 122), degrees, 1)
    rotated: np.ndarray = cv2.warpAffine(picture, turn, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    return rotated

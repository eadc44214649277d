"""Soft spots, lines and areas to paint textures with."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.synthetic.identity import Colour
from mcnet_cli.synthetic.topology import Points

Canvas = NDArray[np.float32]  # (H, W, 3) in [0, 1]
Cover = NDArray[np.float32]  # (H, W) in [0, 1]
FIXED_POINT_BITS = 4


def bare_skin(tone: Colour, height: int, width: int, rng: np.random.Generator) -> Canvas:
    """Skin of one tone, a little uneven."""
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = tone
    large = cv2.resize(rng.normal(size=(8, 8)), (width, height), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 1.2)
    canvas *= (1 + 0.015 * large + 0.03 * fine)[..., None].astype(np.float32)
    return canvas


def blend(canvas: Canvas, colour: Points, cover: Cover) -> None:
    """Paints a colour over the canvas as far as `cover` says."""
    canvas += np.asarray(cover, np.float32)[..., None] * (np.asarray(colour, np.float32) - canvas)


def blob(place: Points, radii: tuple[float, float], canvas: Canvas) -> Cover:
    """A soft spot; radii in pixels, across and down."""
    height, width = canvas.shape[:2]
    x = np.exp(-(((np.arange(width) - place[0]) / radii[0]) ** 2))
    y = np.exp(-(((np.arange(height) - place[1]) / radii[1]) ** 2))
    return np.outer(y, x).astype(np.float32)


def stroke(line: Points, thickness: float, blur: float, canvas: Canvas) -> Cover:
    """A soft line through (N, 2) pixels."""
    cover = np.zeros(canvas.shape[:2], np.float32)
    width = max(1, round(thickness))
    cv2.polylines(cover, [fixed(line)], False, 1.0, width, cv2.LINE_AA, FIXED_POINT_BITS)
    return np.asarray(cv2.GaussianBlur(cover, (0, 0), blur), np.float32)


def area(corners: Points, blur: float, canvas: Canvas) -> Cover:
    """A soft-edged polygon of (N, 2) pixels."""
    cover = np.zeros(canvas.shape[:2], np.float32)
    cv2.fillPoly(cover, [fixed(corners)], 1.0, cv2.LINE_AA, FIXED_POINT_BITS)
    return np.asarray(cv2.GaussianBlur(cover, (0, 0), blur), np.float32)


def axes(height: int, width: int) -> tuple[Cover, Cover]:
    """(H, W) shares of the way across and down."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return across.astype(np.float32), down.astype(np.float32)


def fixed(places: Points) -> NDArray[np.int32]:
    """(..., 2) pixels as OpenCV's fixed-point numbers with FIXED_POINT_BITS."""
    return np.rint(places * (1 << FIXED_POINT_BITS)).astype(np.int32)

"""The person's share of each pixel of a photo, by MediaPipe's selfie segmentation."""

import functools
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture
from mcnet_cli.face.networks import as_planes, read_network, run_network
from mcnet_cli.face.sampling import box_transform, resample
from mcnet_cli.face.topology import EARS

NETWORK, SIDE_PX = "face/selfie_segmentation.tflite", 256
# The network runs on the whole photo and, for more detail, on a square around the face: its side over that of
# the face's crop. Over `SEAM` of that side, the second result fades into the first one.
SECOND_LOOK = 2.0
SEAM = 0.1
# Guided filter that brings the network's 256² map to the photo's edges: radius over the side of the square
# that was looked at, and the variance of brightness in [0, 1] below which there is no edge.
RADIUS, NO_EDGE = 5 / 256, 1e-4
# The filter's coefficients are computed of a picture that is shrunk until the radius is this many pixels.
LEAST_RADIUS = 10
# Values of the filtered map that become 0 and 1: the filter leaves haze.
HAZE = 0.1, 0.9
# The network sometimes overlooks a part of an ear, which would stay behind when the head turns. In the mirror
# image it may find that. So within ellipses around the ears what it says of either counts, and notches of the
# map are closed. How far these lie outside of the mesh, their widths and heights, and those of the largest
# notches; all over the width of the mesh.
EAR_SHIFT, EAR, NOTCH = 0.06, (0.3, 0.55), (0.16, 0.34)
EARS_SEEN_PX = 100  # width of the mesh in the picture in which notches are looked for, at most

Matte = NDArray[Any]
Window = tuple[slice, slice]  # rows and columns


@functools.cache
def _network() -> cv2.dnn.Net:
    return read_network(NETWORK)


def person_matte(
    photo: Picture, centre: tuple[float, float], side: float, points: Matte | None = None
) -> Matte:
    """(H, W) in [0, 1]: 1 where a pixel of an (H, W, 3) photo shows a person, 0 where it doesn't.

    centre, side: the square that the network crops around the face, in pixels. points: (468, 2) of the face
    mesh in pixels, if they are known.
    """
    height, width = photo.shape[:2]
    whole = max(height, width)
    corner = ((width - whole) / 2, (height - whole) / 2)
    matte = _look(photo, corner, whole)
    near = SECOND_LOOK * side
    if near < whole:
        corner = (centre[0] - near / 2, centre[1] - near / 2)
        closer = _look(photo, corner, near)
        matte += (closer - matte) * _inside(photo, corner, near)
    if points is not None:
        seen = min(near, whole)
        matte = with_ears(matte, points, lambda part: _look(photo, corner, seen, part, mirrored=True))
    return refined(photo, matte, round(RADIUS * min(near, whole)))


def with_ears(matte: Matte, points: Matte, look: Callable[[Window], Matte]) -> Matte:
    """An (H, W) matte without notches where the ears of a face are, of (468, 2) points in pixels.

    look: another look at a window of the same photo, which may show more of the ears. What is missing is
    found in a small picture of the face, which takes a hundredth of the time.
    """
    left, right = points[[*EARS]].astype(float)
    width = float(np.linalg.norm(right - left))
    if width < 1:
        return matte
    out, side = (right - left) / width, 2 * EAR[1] * width
    low = np.maximum(np.floor((left + right) / 2 - side), 0).astype(int)
    high = np.minimum(np.ceil((left + right) / 2 + side), matte.shape[::-1]).astype(int)
    if (high <= low).any():
        return matte
    window = slice(low[1], high[1]), slice(low[0], high[0])
    part = matte[window]
    factor = max(1.0, width / EARS_SEEN_PX)
    size = tuple(max(1, round(length / factor)) for length in part.shape[::-1])
    small, found = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (part, look(window)))
    there, angle = np.zeros_like(small), float(np.degrees(np.arctan2(out[1], out[0])))
    for place, way in ((left, -1), (right, 1)):
        centre = (place + way * EAR_SHIFT * width * out - low) / factor
        axes = EAR[0] * width / factor, EAR[1] * width / factor
        cv2.ellipse(there, (tuple(centre.tolist()), axes, angle), 1.0, cv2.FILLED)
    there = cv2.GaussianBlur(there, (0, 0), max(0.02 * width / factor, 0.5))
    kernel = tuple(max(3, round(length * width / factor)) for length in NOTCH)
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, kernel))
    missing = cv2.resize(there * (np.maximum(closed, found) - small), part.shape[::-1])
    mended = matte.copy()
    mended[window] = np.minimum(part + missing, 1)
    return mended


def glanced_matte(square: Picture) -> Matte:
    """(S, S) in [0, 1]: the person's share of each pixel of a square picture, by one look; edges are soft."""
    return _look(square, (0, 0), len(square))


def _look(
    photo: Picture,
    corner: tuple[float, float],
    side: float,
    part: Window | None = None,
    *,
    mirrored: bool = False,
) -> Matte:
    """What the network says of a square that may reach beyond the photo, at the photo's size; 0 outside.

    part: rows and columns of the photo that are wanted; None for all. mirrored: the network sees the square's
    mirror image, of which it says a little else.
    """
    transform = box_transform(*corner, side, side, (SIDE_PX, SIDE_PX))
    if mirrored:
        transform = np.array([[-1, 0, SIDE_PX], [0, 1, 0]]) @ np.vstack([transform, [0, 0, 1]])
    seen = resample(photo, transform, (SIDE_PX, SIDE_PX))
    (found,) = run_network(_network(), as_planes(seen.astype(np.float32) / 255))
    back = cv2.invertAffineTransform(transform)
    back[:, 2] += back[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV's coordinates name pixel centres
    rows, columns = part or (slice(0, photo.shape[0]), slice(0, photo.shape[1]))
    back[:, 2] -= columns.start, rows.start
    size = columns.stop - columns.start, rows.stop - rows.start
    matte: Matte = cv2.warpAffine(
        found[0, 0], back, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return matte


def _inside(photo: Picture, corner: tuple[float, float], side: float) -> Matte:
    """(H, W): 1 inside a square, 0 outside, rising over `SEAM` of its side."""
    lines = []
    for start, length in zip(corner, (photo.shape[1], photo.shape[0]), strict=True):
        steps = np.arange(length, dtype=np.float32) + 0.5 - start
        lines.append(np.clip(np.minimum(steps, side - steps) / (SEAM * side), 0, 1))
    shares: Matte = (lines[1][:, None] * lines[0]).astype(np.float32)
    return shares


def refined(photo: Picture, matte: Matte, radius: int) -> Matte:
    """The matte with the photo's own edges, without haze.

    A guided filter (He et al., ECCV 2010) whose coefficients, which are smooth, are computed of a smaller
    picture (He and Sun, arXiv:1505.00996).
    """
    factor = max(1, radius // LEAST_RADIUS)
    size = tuple(-(-side // factor) for side in matte.shape[::-1])
    window = (2 * round(radius / factor) + 1,) * 2

    def mean(values: Matte) -> Matte:
        blurred: Matte = cv2.blur(values, window)
        return blurred

    guide = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    seen, known = (cv2.resize(values, size, interpolation=cv2.INTER_AREA) for values in (guide, matte))
    middle, level = mean(seen), mean(known)
    spread = mean(seen * seen) - middle * middle + np.float32(NO_EDGE)
    slope: Matte = (mean(seen * known) - middle * level) / spread
    offset = mean(level - slope * middle)
    slope, offset = (cv2.resize(values, matte.shape[::-1]) for values in (mean(slope), offset))
    edge = slope * guide + offset
    edge -= HAZE[0]
    edge /= HAZE[1] - HAZE[0]
    sharp: Matte = np.clip(edge, 0, 1, out=edge)
    return sharp

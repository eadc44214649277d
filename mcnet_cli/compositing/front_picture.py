"""How the picture of a front is stored: enlarged, beside it in which columns it is seen, and in which solid.

A front is sampled at any place, and mostly hides what is behind it or isn't seen at all. So the columns in
which either is sure are found once, for every row of tiles.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture
from mcnet_cli.compositing.plate import Floats

# The front is stored enlarged so many times, so that linear sampling loses little of it. It is sharpened a
# little for the rest: what is taken of each neighbour, along each axis. Without that moved faces have 0.7 to
# 0.9 of the photo's sharpness (mean absolute Laplacian), with it 0.8 to 1.05.
ENLARGED = 2
SHARPENED = 0.056
TILE = 8  # pixels along each side of the enlarged front; whether one is empty or solid is known
ENDLESS = 1 << 30  # a column beyond any picture
ENLARGED_ROWS = 128  # of the photo, at once, so that what is computed for them stays in a cache


def enlarged(front: Picture) -> Picture:
    """(2·H, 2·W, 4) of (H, W, 4) colours times matte, and the matte; pixel i comes to lie at 2i."""
    height, width = front.shape[:2]
    large = np.zeros((ENLARGED * height, ENLARGED * width), np.uint32)  # four channels in one
    kernels = _kernels()
    reach = len(kernels[1]) // 2
    matte = cv2.extractChannel(front, 3)
    for top in range(0, height, ENLARGED_ROWS):
        # what isn't empty, and what the kernels reach from there
        first, bottom = max(0, top - reach), min(top + ENLARGED_ROWS, height)
        left, _, count, _ = cv2.boundingRect(matte[first : bottom + reach])
        columns = slice(max(0, left - reach), left + count + reach)
        part = np.ascontiguousarray(front[first : bottom + reach, columns])
        rows = large[ENLARGED * top : ENLARGED * bottom, ENLARGED * columns.start : ENLARGED * columns.stop]
        for y, down in enumerate(kernels if count else ()):
            for x, across in enumerate(kernels):
                found = cv2.sepFilter2D(part, -1, across, down, borderType=cv2.BORDER_REPLICATE)
                found = found[top - first : bottom - first]
                found = cv2.min(found, cv2.cvtColor(cv2.extractChannel(found, 3), cv2.COLOR_GRAY2RGBA))
                rows[y::ENLARGED, x::ENLARGED] = found.view(np.uint32)[..., 0]
    return large.view(np.uint8).reshape(ENLARGED * height, ENLARGED * width, 4)


def columns_of(picture: Picture) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(N, 2) each: in which columns of every row of tiles a front is seen, and in which it hides all behind.

    As in `Front`. picture: its enlarged colours times matte, and the matte.
    """
    matte = cv2.extractChannel(picture, 3)
    seen, solid = _tiles(cv2.compare(matte, 0, cv2.CMP_GT)), ~_tiles(cv2.compare(matte, 255, cv2.CMP_LT))
    count = seen.shape[1]
    return _endless(ends(seen), count), _endless(longest_runs(solid), count)


def _tiles(flags: Picture) -> NDArray[np.bool_]:
    """(⌈H/8⌉, ⌈W/8⌉): whether every eight by eight pixels have any of (H, W) flags, 0 or 255."""
    height, width = (-(-side // TILE) for side in flags.shape)
    down, right = height * TILE - flags.shape[0], width * TILE - flags.shape[1]
    flags = cv2.copyMakeBorder(flags, 0, down, 0, right, cv2.BORDER_REPLICATE)
    shares: Picture = cv2.resize(flags, (width, height), interpolation=cv2.INTER_AREA)
    return np.greater(shares, 0)


def _endless(runs: NDArray[np.int_], width: int) -> NDArray[np.int32]:
    """(N, 2) columns, as in `Front.seen`, of (N, 2) runs in rows of so many tiles."""
    first, last = runs.T
    left, right = np.where(first == 0, -ENDLESS, TILE * first), np.where(last == width, ENDLESS, TILE * last)
    none = first == last
    columns = np.stack([np.where(none, ENDLESS, left), np.where(none, -ENDLESS, right)], 1)
    return columns.astype(np.int32)


def ends(flags: NDArray[np.bool_]) -> NDArray[np.int_]:
    """(..., 2): the first 1 in each row of (..., W) flags, and what follows the last one; 0 without any."""
    first, last = flags.argmax(-1), flags.shape[-1] - flags[..., ::-1].argmax(-1)
    found: NDArray[np.int_] = np.where(np.any(flags, -1, keepdims=True), np.stack([first, last], -1), 0)
    return found


def longest_runs(flags: NDArray[np.bool_]) -> NDArray[np.int_]:
    """(N, 2): where the longest run of ones in each row of (N, W) flags begins, and where it has ended."""
    steps = np.diff(flags.astype(np.int8), axis=1, prepend=0, append=0)
    (rows, first), (_, last) = np.nonzero(steps > 0), np.nonzero(steps < 0)
    order = np.argsort(last - first)
    runs = np.zeros((len(flags), 2), int)
    runs[rows[order]] = np.stack([first, last], 1)[order]  # of several for one row the last one stays
    return runs


def _kernels() -> tuple[Floats, Floats]:
    """Weights of pixels at a pixel and half way to the next one; the middle weight is the pixel's own."""
    sharpen = np.array([-SHARPENED, 1 + 2 * SHARPENED, -SHARPENED])
    places = np.arange(-4, 5) - 0.5
    half = np.where(np.abs(places) < 4, np.sinc(places) * np.sinc(places / 4), 0)  # Lanczos, four lobes
    return sharpen, np.convolve(half / half.sum(), sharpen, "same")

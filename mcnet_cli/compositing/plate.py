"""The plate, which is what is behind people: the photo without them, or another picture."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture

Floats = NDArray[Any]

# Matte up to which a pixel shows the background alone.
BACKGROUND = 0.02
# Contrast in levels of which half is kept in what is filled in; of more, less. Letters and branches, which
# would be seen twice, have 30 and more.
TEXTURE = 20
# Side of the squares over which mirror images are averaged, as a share of the picture's longer side. The
# outline of hair is ragged, and each pixel of it would throw an image of its own, as a spike.
ALIGNED = 1 / 30
# Standard deviation in pixels at which pictures are blurred at least; they are made smaller for wider blurs.
LEAST_SIGMA = 2.5
# Matte above which it is raised to what explains the photo; a smaller one is raised less, as it may well be
# background.
SURELY = 0.25


def without_people(photo: Picture, matte: Floats, where: NDArray[np.bool_], margin: int) -> Picture:
    """An (H, W, 3) photo whose people are filled in from around them.

    matte: (H, W) in [0, 1]. where: (H, W), the pixels that may change. margin: pixels around people that are
    filled in too.
    """
    plate = photo.copy()
    if not where.any():
        return plate
    left, top, width, height = cv2.boundingRect(where.astype(np.uint8))
    part = slice(top, top + height), slice(left, left + width)
    kernel = np.ones((2 * margin + 1,) * 2, np.uint8)
    unknown = cv2.dilate((matte[part] > BACKGROUND).astype(np.uint8), kernel)
    around = _textured(photo[part], filled(photo[part], 1 - unknown), unknown, max(1.0, margin / 2))
    cv2.copyTo(around, unknown & where[part], plate[part])
    return plate


def _textured(photo: Picture, around: Picture, unknown: Picture, sigma: float) -> Picture:
    """A smooth fill with the texture that the photo has beyond the edge of what is unknown, as in a mirror.

    around: the smooth fill. unknown: (H, W), 0 or 1. sigma: what is smoother, in pixels, isn't texture.
    """
    known = 1 - unknown
    if not known[::2, ::2].any():
        return around
    mirrored = cv2.resize(
        2 * _mirrored(unknown[::2, ::2]), unknown.shape[::-1], interpolation=cv2.INTER_LINEAR
    )
    smooth = _smooth(photo, known, sigma)
    red, green, blue = cv2.split(cv2.absdiff(photo, smooth))
    # fades where it is strong: that is no texture, but a branch or a window, which would be seen twice
    fading = 255 / (1 + np.square(np.arange(256) / TEXTURE))
    share = known * cv2.LUT(cv2.max(cv2.max(red, green), blue), np.rint(fading).astype(np.uint8))
    texture = cv2.multiply(
        cv2.subtract(photo, smooth, dtype=cv2.CV_16S), cv2.merge([share] * 3), scale=1 / 255, dtype=cv2.CV_16S
    )
    seen = cv2.remap(texture, mirrored, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
    result: Picture = cv2.add(around, seen, dtype=cv2.CV_8U)
    return result


def _smooth(photo: Picture, known: Picture, sigma: float) -> Picture:
    """A photo blurred by a Gaussian of `sigma` pixels, of what is known alone. known: (H, W), 0 or 1."""
    # a strong blur needs few pixels
    factor = 1 << max(0, int(np.log2(sigma / LEAST_SIGMA)))
    size = tuple(-(-side // factor) for side in known.shape[::-1])
    share = cv2.resize(255 * known, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    colours = cv2.resize(cv2.copyTo(photo, known), size, interpolation=cv2.INTER_AREA).astype(np.float32)
    share, colours = (cv2.GaussianBlur(part, (0, 0), sigma / factor) for part in (share, colours))
    colours *= (255 / np.maximum(share, 0.5))[..., None]
    smooth: Picture = cv2.resize(cv2.convertScaleAbs(colours), known.shape[::-1])
    return smooth


def _mirrored(unknown: Picture) -> Floats:
    """(H, W, 2) x and y of each pixel's mirror image in the nearest known pixel; known ones are their own.

    Where that is, is averaged over unknown pixels around. unknown: (H, W), 0 or 1, with at least one 0.
    """
    _, labels = cv2.distanceTransformWithLabels(unknown, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    rows, columns = np.nonzero(unknown == 0)
    nearest = np.zeros((len(rows) + 1, 2), np.float32)
    nearest[labels[rows, columns]] = np.stack([columns, rows], 1)
    here = np.dstack(np.meshgrid(*(np.arange(side, dtype=np.float32) for side in unknown.shape[::-1])))
    way, share = nearest[labels] - here, unknown.astype(np.float32)
    square = (2 * round(ALIGNED / 2 * max(unknown.shape)) + 1,) * 2
    for _ in range(2):
        way, share = cv2.blur(way, square), cv2.blur(share, square)
    found: Floats = here + (2 * unknown / np.maximum(share, 1e-3))[..., None] * way
    return found


def besides(photo: Picture, plate: Picture, matte: Floats) -> Picture:
    """(H, W, 4): what a photo shows besides its plate, as colours times matte, and the matte.

    Laid over the plate it is the photo, so nothing is seen of the parting while nothing moves.
    """
    alpha = np.rint(255 * _explaining(photo, plate, matte)).astype(np.uint8)
    rest = cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2RGB)
    behind = cv2.multiply(plate, rest, scale=1 / 255)
    colours = cv2.min(cv2.subtract(photo, behind), cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB))
    front: Picture = cv2.merge([*cv2.split(colours), alpha])
    return front


def _explaining(photo: Picture, plate: Picture, matte: Floats) -> Floats:
    """The matte, raised where no colour of a person with so little of it before the plate makes the photo."""
    part = np.flatnonzero((matte > 0) & (matte < 1))
    seen, behind = (picture.reshape(-1, 3)[part].astype(np.float32) for picture in (photo, plate))
    least = np.maximum((seen - behind) / np.maximum(255 - behind, 1), (behind - seen) / np.maximum(behind, 1))
    raised: Floats = matte.copy()
    some = matte.ravel()[part]
    raised.ravel()[part] = np.maximum(some, least.max(1).clip(0, 1) * np.minimum(some / SURELY, 1))
    return raised


def over(front: Picture, behind: Picture, result: Picture | None = None) -> Picture:
    """A front as of `besides` before (H, W, 3) colours, or (H, W, 4) colours times alpha and the alpha.

    result: where to put it, `behind` itself for example.
    """
    rest = cv2.bitwise_not(cv2.extractChannel(front, 3))
    if behind.shape[2] == 4:
        person, rest = front, cv2.merge([rest] * 4)
    else:
        person, rest = cv2.cvtColor(front, cv2.COLOR_RGBA2RGB), cv2.cvtColor(rest, cv2.COLOR_GRAY2RGB)
    made: Picture = cv2.add(person, cv2.multiply(behind, rest, scale=1 / 255), result)
    return made


def times_alpha(picture: Picture) -> Picture:
    """(H, W, 4) colours and alpha to colours times alpha and alpha; (H, W, 3) stays as it is."""
    if picture.shape[2] == 3:
        return picture
    alpha = cv2.extractChannel(picture, 3)
    product: Picture = cv2.multiply(
        picture, cv2.merge([alpha] * 3 + [np.full_like(alpha, 255)]), scale=1 / 255
    )
    return product


def filled(picture: Picture, known: Picture) -> Picture:
    """An (H, W, 3) uint8 picture whose unknown pixels are taken from around, by ever smaller pictures.

    known: (H, W), 1 where a pixel is kept, elsewhere 0. Without any known pixel the result is black.
    """
    # what is filled in is smooth: every second pixel will do for it
    around = _filled(
        cv2.copyTo(picture, known)[::2, ::2].astype(np.float32), known[::2, ::2].astype(np.float32)
    )
    result: Picture = cv2.resize(
        cv2.convertScaleAbs(around), known.shape[::-1], interpolation=cv2.INTER_LINEAR
    )
    cv2.copyTo(picture, known, result)
    return result


def _filled(weighted: Floats, known: Floats) -> Floats:
    """The same of colours times how much is known of them."""
    height, width = known.shape
    if min(height, width) <= 2:
        mean = weighted.sum((0, 1)) / max(float(known.sum()), 1e-4)
        flat: Floats = weighted + mean * (1 - known[..., None])
        return flat
    size = (width + 1) // 2, (height + 1) // 2
    share = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    colours = cv2.resize(weighted, size, interpolation=cv2.INTER_AREA)
    # a cell of which a quarter is known counts as known
    more = np.minimum(4 * share, 1)
    smaller = _filled(colours * (more / np.maximum(share, 1e-4))[..., None], more)
    around = cv2.resize(smaller, (width, height), interpolation=cv2.INTER_LINEAR)
    result: Floats = weighted + around * (1 - known[..., None])
    return result

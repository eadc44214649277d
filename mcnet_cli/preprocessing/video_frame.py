"""A frame as it was decoded, and RGB of the parts that are looked at.

Decoders give brightness and chroma in 4:2:0, and encoders take them. Only the networks want RGB, and what
they look at is mostly shrunk at once, so it is made of the pixels that they ask for, not of every frame.
"""

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture
from mcnet_cli.media.frames import Frame, Matrix

Plane = NDArray[np.uint8]  # (H, W)

LUMA_WEIGHTS = {"bt709": (0.2126, 0.0722), "smpte170m": (0.299, 0.114)}  # of red and of blue
# Limited range: brightness from 16 to 235, chroma from 16 to 240 about 128.
BLACK, GREY = 16, 128
LUMA_GAIN, CHROMA_GAIN = 255 / 219, 255 / 224


class VideoFrame:
    """A frame of a video, in the pixels that it came in.

    pixels, matrix: as a `FrameSource` gives them. layers: (H, W, 3) RGB alone, or brightness (H, W) and two
    chromas (H/2, W/2). size: (width, height).
    """

    def __init__(self, pixels: Frame, matrix: Matrix | None = None) -> None:
        self.matrix = matrix
        self.layers: tuple[NDArray[np.uint8], ...] = (pixels,)
        if matrix is not None:
            height, width = len(pixels) * 2 // 3, pixels.shape[1]
            blue, red = pixels[height:].reshape(2, height // 2, width // 2)
            self.layers = pixels[:height], blue, red
        self.size = self.layers[0].shape[1], self.layers[0].shape[0]

    def rgb(self, shrink: int = 1) -> Picture:
        """The frame as the mesh takes it, which `resample` can cut parts out of, and nothing else.

        shrink: means of blocks of so many pixels each way, which take less to convert. Frames that are RGB
        already stay as they are.
        """
        if self.matrix is None:
            return self.layers[0]
        return cast(Picture, _RgbView(self.layers, self.matrix, shrink))

    def shrink_to(self, wanted_px: int, side_px: float) -> int:
        """By what whole number a side is to be shrunk before it is RGB, to have no less than is wanted."""
        return 1 if self.matrix is None else max(1, int(side_px / wanted_px))

    def whole_rgb(self, shrink: int = 1) -> Picture:
        """The same as one (H, W, 3) array, for what looks at a frame in several ways."""
        picture = self.rgb(shrink)
        return picture[0 : picture.shape[0], 0 : picture.shape[1]]

    def sampled(self, size: tuple[int, int], each: int) -> NDArray[np.uint8]:
        """(h, w, 3) brightness and chroma in 0 to 255, in `size` pixels: means of single ones of the frame's.

        each: how many are taken for one each way, even; of chroma half as many.
        """

        def means(layer: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
            picked = cv2.resize(layer, (size[0] * count, size[1] * count), interpolation=cv2.INTER_NEAREST)
            return np.asarray(cv2.resize(picked, size, interpolation=cv2.INTER_AREA))

        luma, *chromas = self.layers
        if not chromas:
            return np.asarray(cv2.cvtColor(means(luma, each), cv2.COLOR_RGB2YCrCb))
        small = cv2.merge([means(luma, each), *(means(chroma, each // 2) for chroma in chromas)])
        return np.asarray(cv2.addWeighted(small, LUMA_GAIN, small, 0, -LUMA_GAIN * BLACK))


class _RgbView:
    """RGB of parts of brightness and chroma, in means of blocks of pixels, made when they are asked for."""

    def __init__(self, layers: tuple[NDArray[np.uint8], ...], matrix: Matrix, shrink: int) -> None:
        self._luma, self._blue, self._red = layers
        # A mean of `_block`² pixels of chroma is shared by `_shared`² pixels of the view.
        self._shared = 1 + shrink % 2
        self._block = shrink * self._shared // 2
        rows, columns = (side // self._block for side in self._blue.shape)
        self.shape = rows * self._shared, columns * self._shared, 3
        red, blue = LUMA_WEIGHTS[matrix]
        # What the chromas add to their own channels, and what both take away from green.
        self._to_red, self._to_blue = 2 * (1 - red) * CHROMA_GAIN, 2 * (1 - blue) * CHROMA_GAIN
        self._red_in_green, self._blue_in_green = (
            gain * weight / (1 - red - blue) for gain, weight in ((self._to_red, red), (self._to_blue, blue))
        )

    def __getitem__(self, part: tuple[slice, slice]) -> Picture:
        """(h, w, 3) of whole rows and columns from a start to a stop."""
        (top, bottom), (left, right) = ((axis.start, axis.stop) for axis in part)
        first = top // self._shared, left // self._shared
        count = -(-bottom // self._shared) - first[0], -(-right // self._shared) - first[1]
        luma = _means(self._luma, first, count, 2 * self._block, self._shared)
        blue, red = (_means(chroma, first, count, self._block, 1) for chroma in (self._blue, self._red))
        top, left = top - first[0] * self._shared, left - first[1] * self._shared
        rgb = self._converted(luma, blue, red)
        return rgb[top : top + part[0].stop - part[0].start, left : left + part[1].stop - part[1].start]

    def _converted(self, luma: Plane, blue: Plane, red: Plane) -> Picture:
        weight = self._red_in_green + self._blue_in_green
        green = cv2.addWeighted(red, self._red_in_green / weight, blue, self._blue_in_green / weight, 0)
        channels = []
        for chroma, gain in ((red, self._to_red), (green, -weight), (blue, self._to_blue)):
            spread = cv2.resize(chroma, luma.shape[::-1], interpolation=cv2.INTER_NEAREST)
            bias = -LUMA_GAIN * BLACK - gain * GREY
            channels.append(cv2.addWeighted(luma, LUMA_GAIN, spread, gain, bias))
        return np.asarray(cv2.merge(channels))


def _means(plane: Plane, first: tuple[int, int], count: tuple[int, int], block: int, parts: int) -> Plane:
    """Of so many blocks, in rows and columns, the means of their parts; each block has `parts` squared."""
    (top, rows), (left, columns) = zip(first, count, strict=True)
    whole = plane[top * block : (top + rows) * block, left * block : (left + columns) * block]
    if block == parts:
        return whole
    return np.asarray(cv2.resize(whole, (columns * parts, rows * parts), interpolation=cv2.INTER_AREA))

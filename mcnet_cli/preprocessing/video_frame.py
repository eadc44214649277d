"""A frame as it was decoded, and RGB of the parts that are looked at.

Decoders give brightness and chroma in 4:2:0, and encoders take them. Only the networks want RGB, and what they
look at is mostly shrunk at once, so it is made of the pixels that they ask for and never of whole videos.
"""

from functools import cached_property
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face.sampling import Picture
from mcnet_cli.media.frames import Frame, Matrix

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

    @cached_property
    def rgb(self) -> Picture:
        """The frame as detectors and the mesh take it, (H, W, 3)."""
        return self.layers[0] if self.matrix is None else self._view(shrink=1)

    @cached_property
    def half(self) -> Picture | None:
        """The same with half of the sides, where chroma needs no enlarging; None for frames that are RGB."""
        return None if self.matrix is None else self._view(shrink=2)

    def _view(self, shrink: int) -> Picture:
        assert self.matrix is not None
        # `resample`, by which the networks look, asks a picture for its shape and for one part, and no more.
        return cast(Picture, _RgbView(self.layers, self.matrix, shrink))

    def sampled(self, samples: tuple[int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
        """(h, w, 3) brightness and chroma in 0 to 255: means of single pixels, of which there are `samples`."""

        def means(layer: NDArray[np.uint8]) -> NDArray[np.uint8]:
            picked = cv2.resize(layer, samples, interpolation=cv2.INTER_NEAREST)
            return np.asarray(cv2.resize(picked, size, interpolation=cv2.INTER_AREA))

        if self.matrix is None:
            return np.asarray(cv2.cvtColor(means(self.layers[0]), cv2.COLOR_RGB2YCrCb))
        small = cv2.merge([*map(means, self.layers)])
        return np.asarray(cv2.convertScaleAbs(cv2.subtract(small, BLACK), alpha=LUMA_GAIN))


class _RgbView:
    """RGB of parts of brightness and chroma, each made when it is asked for.

    shrink: 1, or 2 for half of the sides.
    """

    def __init__(self, layers: tuple[NDArray[np.uint8], ...], matrix: Matrix, shrink: int) -> None:
        self._luma, self._blue, self._red = layers
        self._shrink = shrink
        height, width = self._luma.shape
        self.shape = height // shrink, width // shrink, 3
        red, blue = LUMA_WEIGHTS[matrix]
        green = 1 - red - blue
        # What red and blue differences add to their own channels, and what both take away from green.
        self._to_red, self._to_blue = 2 * (1 - red) * CHROMA_GAIN, 2 * (1 - blue) * CHROMA_GAIN
        self._red_in_green, self._blue_in_green = self._to_red * red / green, self._to_blue * blue / green

    def __getitem__(self, part: tuple[slice, slice]) -> Picture:
        """(h, w, 3) of whole rows and columns from a start to a stop."""
        (top, bottom), (left, right) = ((axis.start, axis.stop) for axis in part)
        low, high = 2 // self._shrink, self._shrink
        # Chroma's pixels that cover the part, and the brightness of as many.
        rows = slice(top // low, -(-bottom // low))
        columns = slice(left // low, -(-right // low))
        luma = self._luma[2 * rows.start : 2 * rows.stop, 2 * columns.start : 2 * columns.stop]
        size = luma.shape[1] // high, luma.shape[0] // high
        if self._shrink == 2:
            luma = np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA))
        whole = self._converted(luma, self._blue[rows, columns], self._red[rows, columns], size)
        return whole[top - low * rows.start :, left - low * columns.start :][: bottom - top, : right - left]

    def _converted(
        self,
        luma: NDArray[np.uint8],
        blue: NDArray[np.uint8],
        red: NDArray[np.uint8],
        size: tuple[int, int],
    ) -> Picture:
        weight = self._red_in_green + self._blue_in_green
        green = cv2.addWeighted(red, self._red_in_green / weight, blue, self._blue_in_green / weight, 0)
        channels = []
        for chroma, gain in ((red, self._to_red), (green, -weight), (blue, self._to_blue)):
            if self._shrink == 1:
                chroma = cv2.resize(chroma, size, interpolation=cv2.INTER_NEAREST)
            bias = -LUMA_GAIN * BLACK - gain * GREY
            channels.append(cv2.addWeighted(luma, LUMA_GAIN, chroma, gain, bias))
        return np.asarray(cv2.merge(channels))

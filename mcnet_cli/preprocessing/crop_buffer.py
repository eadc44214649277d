"""A tube's pictures while it lasts, on disk.

Where a clip's square lies is known only when its tube ends, and each video is decoded once. So what surrounds
the face, wider than the first frame's square, is kept as raw pixels in a file without a name: it needs no
memory, and nothing is left after a kill. Pictures at least twice as fine as the clip are reduced first by a
whole number, which is the fastest way, so that a frame takes at most 1 MB for clips of 256 pixels, or 2 MB of
RGB, whatever the video's size. Compressed it would take a fifth of the space, and as much time as all other
work together. Much of it never reaches the disk, because the file is gone before the system writes it.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture
from mcnet_cli.face.sampling import blurred, resample
from mcnet_cli.files import system_failure
from mcnet_cli.media.frames import Matrix as ColourMatrix
from mcnet_cli.preprocessing.placement import Matrix, corners, inverse, side_px
from mcnet_cli.preprocessing.request import Settings

# Width of what is kept around the face, in sides of the first frame's square: how far the square may grow and
# wander. A tube's square is not much larger than the face; one that follows the face needs room for a leap.
WIDTH, TUBE_WIDTH, FOLLOWING_WIDTH = 1.6, 2.5, 2.0
# A pixel of chroma lies so far left of the middle of the four pixels that it colours, in its own sides.
CHROMA_SITE = np.array([0.25, 0.0])


class CropBuffer:
    """The surroundings of one face, frame by frame.

    placement: the first frame's. frame_size: (width, height). folder: on the disk that takes the file.
    matrix: as `VideoFrame` says; clips have that of their frames.
    """

    def __init__(
        self,
        placement: Matrix,
        settings: Settings,
        frame_size: tuple[int, int],
        folder: Path,
        matrix: ColourMatrix | None = None,
    ) -> None:
        self.matrix = matrix
        width = TUBE_WIDTH if settings.framing.tube_factor else WIDTH
        if settings.follow:
            width = FOLLOWING_WIDTH
        self.frame_size = frame_size
        self._size = settings.size
        self._limit = np.array(frame_size)
        side = side_px(placement, self._size) * width
        # Windows begin and end between pixels of chroma, of which there is one for 2×2 of the frame's.
        self._step = 1 if matrix is None else 2
        whole = int(np.ceil(side / self._step)) * self._step
        self._sides = np.minimum(whole, self._limit)
        # Blocks of so many pixels (of chroma) become one; what is left at lower and right edges isn't kept.
        self._shrink = min(max(1, int(side / width / self._size)), int(self._sides.min()) // self._step)
        kept = self._sides // (self._shrink * self._step) * self._step
        self._kept = (int(kept[0]), int(kept[1]))
        self._scale = np.full(2, 1 / self._shrink)
        self._corner = self._corner_around(placement)
        self._corners: list[NDArray[np.int_]] = []  # of the window in each frame
        self._folder = folder
        try:
            # A frame is larger than any buffer. `close` ends it.
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        except OSError as error:
            raise system_failure(error, folder / "a clip") from error

    def _corner_around(self, placement: Matrix) -> NDArray[np.int_]:
        """The top left corner of the window with a square in its centre, moved to lie within the frame."""
        corner = np.floor(corners(placement, self._size).mean(0) - self._sides / 2).astype(int)
        return np.asarray(np.clip(corner, 0, self._limit - self._sides) // self._step * self._step)

    def move(self, placement: Matrix) -> None:
        """Keeps the surroundings of this square from the next frame on."""
        self._corner = self._corner_around(placement)

    def holds(self, placement: Matrix, number: int | None = None) -> bool:
        """Whether all that a square shows of frame `number` is kept; None for the next frame."""
        square = corners(placement, self._size)
        low = self._corner if number is None else self._corners[number]
        high = low + self._sides
        # At the frame's border a square may reach beyond what is kept: there is nothing else to keep.
        held = ((square >= low) | (low == 0)) & ((square <= high) | (high == self._limit))
        return bool(held.all())

    def add(self, *layers: Picture) -> None:
        """Keeps the surroundings in the next frame, given its `VideoFrame.layers`.

        SystemFailure if the disk fails.
        """
        try:
            for layer in layers:
                data = np.ascontiguousarray(self._reduced(layer)).data.cast("B")
                while data:
                    data = data[self._file.write(data) :]
        except OSError as error:
            raise system_failure(error, self._folder / "a clip") from error
        self._corners.append(self._corner)

    def _reduced(self, layer: Picture) -> Picture:
        """The window of a frame's layer, with as many pixels as are kept."""
        step = self.frame_size[0] // layer.shape[1]
        (left, top), (right, bottom) = self._corner // step, (self._corner + self._sides) // step
        part = layer[top:bottom, left:right]
        if self._shrink == 1:
            return part
        width, height = self._kept[0] // step, self._kept[1] // step
        whole = part[: height * self._shrink, : width * self._shrink]
        return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))

    def pictures(self, count: int) -> Iterator[list[Picture]]:
        """The layers that are kept of the first `count` frames, valid until the next ones are asked for."""
        self._file.seek(0)
        width, height = self._kept
        layers: list[Picture]
        if self.matrix is None:
            picture = np.empty(height * width * 3, np.uint8)
            layers = [picture.reshape(height, width, 3)]
        else:
            picture = np.empty(height * width * 3 // 2, np.uint8)
            chromas = picture[height * width :].reshape(2, height // 2, width // 2)
            layers = [picture[: height * width].reshape(height, width), *chromas]
        for _ in range(count):
            data = picture.data
            while data and (count_read := self._file.readinto(data)):
                data = data[count_read:]
            yield layers

    def transform(self, number: int) -> Matrix:
        """(2, 3) from the pixels of frame `number` to its kept picture's."""
        return np.column_stack([np.diag(self._scale), -self._corners[number] * self._scale])

    def cropped(self, layers: Sequence[Picture], number: int, placement: Matrix) -> Picture:
        """The square of a placement in frame `number`, of which `layers` are kept.

        (size, size, 3) RGB, or (size * 3/2, size) as a `FrameSource` with the matrix gives frames.
        """
        luma, *chromas = layers
        square, transform = self._whole_square(number, placement), self.to_clip(placement, number)
        size = (self._size, self._size)
        shown = resample(luma, transform, size) if square is None else _resized(luma, square, self._size)
        if not chromas:
            return shown
        site = CHROMA_SITE - transform[:, :2] @ CHROMA_SITE / self._shrink
        transform[:, 2] = transform[:, 2] / 2 + site
        parts = [shown, *(_drawn(chroma, transform, self._size // 2) for chroma in chromas)]
        return np.concatenate([part.ravel() for part in parts]).reshape(-1, self._size)

    def _whole_square(self, number: int, placement: Matrix) -> tuple[int, int, int] | None:
        """Left, top and side of a placement's square in a kept picture; None unless these are whole pixels.

        OpenCV resizes these in a tenth of the time that a warp takes.
        """
        numbers = np.array([*(placement[:, 2] - self._corners[number]), placement[0, 0] * self._size])
        left, top, side = np.rint(numbers).astype(int).tolist()
        is_whole = np.abs(numbers - (left, top, side)).max() < 1e-6 and not placement[0, 1]
        if self._shrink > 1 or side >= 2 * self._size or not is_whole:
            return None
        is_seen = min(left, top) + side > 0 and left < self._kept[0] and top < self._kept[1]
        return (left, top, side) if is_seen else None

    def to_clip(self, placement: Matrix, number: int) -> Matrix:
        """(2, 3) from pixels of the kept picture `number` to the clip's, for a placement in the frame."""
        placed = self._scale[:, None] * placement
        placed[:, 2] += self.transform(number)[:, 2]
        return inverse(placed)

    def close(self) -> None:
        """Gives the disk's space back."""
        self._file.close()


def _resized(picture: Picture, square: tuple[int, int, int], size: int) -> Picture:
    """(size, size) or (size, size, 3): a square (left, top, side) of at most twice as many pixels."""
    left, top, side = square
    height, width = picture.shape[:2]
    inside = picture[max(top, 0) : top + side, max(left, 0) : left + side]
    # Of what lies beyond the frame, the frame's border is shown.
    borders = max(-top, 0), max(top + side - height, 0), max(-left, 0), max(left + side - width, 0)
    whole = cv2.copyMakeBorder(inside, *borders, cv2.BORDER_REPLICATE)
    if side <= size:
        return np.asarray(cv2.resize(whole, (size, size), interpolation=cv2.INTER_CUBIC))
    return np.asarray(cv2.resize(blurred(whole, np.full(2, side / size)), (size, size)))


def _drawn(chroma: Picture, transform: Matrix, size: int) -> Picture:
    """(size, size): as `resample`, but linear where it enlarges, which takes chroma a fifth of the time."""
    linear = transform[:, :2]
    counts = 1 / np.linalg.norm(linear, axis=0)
    if counts.max() >= 2:
        return resample(chroma, transform, (size, size))
    offset = transform[:, 2] + linear @ (0.5, 0.5) - 0.5  # OpenCV's coordinates name pixel centres
    matrix = np.column_stack([linear, offset])
    smooth = blurred(chroma, counts)
    drawn = cv2.warpAffine(
        smooth, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(drawn)

"""A tube's pictures while it lasts, on disk.

Where a clip's square lies is known only when its tube ends, and each video is decoded once. So what surrounds
each face, wider than its first frame's square, is kept as raw pixels in a nameless file beside the results:
memory holds none of it, and nothing is left after a kill. What is much finer than the clip is shrunk first: a
frame takes at most 2 MB for clips of 256 pixels, whatever the video's size.
Deflated it would take a fifth of the room, and as long as all other work together. Much of it never reaches
the disk, because the file is gone before the system gets to it.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face.sampling import Picture
from mcnet_cli.files import system_failure
from mcnet_cli.preprocessing.placement import Matrix, corners, side_px

FINEST = 3.2  # of the clip's sides: what is kept has no more pixels across


class Spool:
    """The surroundings of one face, frame by frame.

    placement: the first frame's. reach: sides of its square that are kept. size: side of the clip.
    frame_size: (width, height). folder: on the disk that takes the file.
    """

    def __init__(
        self, placement: Matrix, reach: float, size: int, frame_size: tuple[int, int], folder: Path
    ) -> None:
        self._limit = np.array(frame_size)
        side = side_px(placement, size) * reach
        self._sides = np.minimum(np.ceil(side), self._limit).astype(int)
        shrink = min(1.0, FINEST * size / side)
        kept = np.maximum(1, np.rint(self._sides * shrink)).astype(int)
        self._kept = (int(kept[0]), int(kept[1]))
        self._scale = kept / self._sides
        self._low = self._around(placement, size)
        self._lows: list[NDArray[np.int_]] = []  # of the window in each frame
        self._folder = folder
        try:
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - `close` ends it
        except OSError as error:
            raise system_failure(error, folder / "a clip") from error

    def __len__(self) -> int:
        return len(self._lows)

    def _around(self, placement: Matrix, size: int) -> NDArray[np.int_]:
        """The left top corner of the window in the frame that has a square in its middle, if it can."""
        low = np.floor(corners(placement, size).mean(0) - self._sides / 2).astype(int)
        return np.asarray(np.clip(low, 0, self._limit - self._sides))

    def move(self, placement: Matrix, size: int) -> None:
        """Keeps the surroundings of this square from the next frame on."""
        self._low = self._around(placement, size)

    def holds(self, placement: Matrix, size: int, number: int | None = None) -> bool:
        """Whether all that a square shows of the `number`-th frame is kept; None: of the next one."""
        square = corners(placement, size)
        low = self._low if number is None else self._lows[number]
        high = low + self._sides
        # Where the surroundings end with the frame, a square may reach beyond.
        held = ((square >= low) | (low == 0)) & ((square <= high) | (high == self._limit))
        return bool(held.all())

    def transform(self, number: int) -> Matrix:
        """(2, 3) from the pixels of the `number`-th frame to its kept picture's."""
        return np.column_stack([np.diag(self._scale), -self._lows[number] * self._scale])

    def add(self, rgb: Picture) -> None:
        """Keeps the surroundings in the next frame. SystemFailure if the disk fails."""
        (left, top), (right, bottom) = self._low, self._low + self._sides
        part = rgb[top:bottom, left:right]
        if part.shape[1::-1] != self._kept:
            part = np.asarray(cv2.resize(part, self._kept, interpolation=cv2.INTER_AREA))
        try:
            self._file.write(np.ascontiguousarray(part).data)
        except OSError as error:
            raise system_failure(error, self._folder / "a clip") from error
        self._lows.append(self._low)

    def pictures(self, count: int) -> Iterator[Picture]:
        """The first `count` of the kept pictures, (h, w, 3)."""
        self._file.seek(0)
        width, height = self._kept
        for _ in range(count):
            data = self._file.read(height * width * 3)
            yield np.frombuffer(data, np.uint8).reshape(height, width, 3)

    def close(self) -> None:
        """Gives the disk's space back."""
        self._file.close()


def through(placement: NDArray[np.float64], spool: Spool, number: int) -> Matrix:
    """(2, 3) from the `number`-th kept picture's pixels to the clip's, for a placement in the frame."""
    transform = spool.transform(number)
    scale, offset = np.diag(transform), transform[:, 2]
    linear = scale[:, None] * placement[:, :2]
    back = np.linalg.inv(linear)
    return np.column_stack([back, -back @ (scale * placement[:, 2] + offset)])

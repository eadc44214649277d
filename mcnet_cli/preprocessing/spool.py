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
    frame_size: (width, height). folder: on the disk that takes the file. transform: (2, 3) from the frame's
    pixels to the kept pictures'.
    """

    def __init__(
        self, placement: Matrix, reach: float, size: int, frame_size: tuple[int, int], folder: Path
    ) -> None:
        limit = np.array(frame_size)
        side = side_px(placement, size) * reach
        centre, half = corners(placement, size).mean(0), side / 2
        low = np.clip(np.floor(centre - half), 0, limit - 1).astype(int)
        high = np.clip(np.ceil(centre + half), low + 1, limit).astype(int)
        self._low, self._high = low, high
        # Where the surroundings end with the frame, a square may reach beyond.
        self._free_low, self._free_high = low == 0, high == limit
        shrink = min(1.0, FINEST * size / side)
        kept = np.maximum(1, np.rint((high - low) * shrink)).astype(int)
        self._kept = (int(kept[0]), int(kept[1]))
        scale = kept / (high - low)
        self.transform: Matrix = np.column_stack([np.diag(scale), -low * scale])
        self._folder = folder
        self._count = 0
        try:
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - `close` ends it
        except OSError as error:
            raise system_failure(error, folder / "a clip") from error

    def __len__(self) -> int:
        return self._count

    def holds(self, placement: Matrix, size: int) -> bool:
        """Whether all that a square shows of the frame is kept."""
        square = corners(placement, size)
        low, high = square.min(0), square.max(0)
        return bool(
            ((low >= self._low) | self._free_low).all() and ((high <= self._high) | self._free_high).all()
        )

    def add(self, rgb: Picture) -> None:
        """Keeps the surroundings in the next frame. SystemFailure if the disk fails."""
        part = rgb[self._low[1] : self._high[1], self._low[0] : self._high[0]]
        if part.shape[1::-1] != self._kept:
            part = np.asarray(cv2.resize(part, self._kept, interpolation=cv2.INTER_AREA))
        try:
            self._file.write(np.ascontiguousarray(part).data)
        except OSError as error:
            raise system_failure(error, self._folder / "a clip") from error
        self._count += 1

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


def through(placement: NDArray[np.float64], spool: Spool) -> Matrix:
    """(2, 3) from a kept picture's pixels to the clip's, for a placement in the frame."""
    scale, offset = np.diag(spool.transform), spool.transform[:, 2]
    linear = scale[:, None] * placement[:, :2]
    back = np.linalg.inv(linear)
    return np.column_stack([back, -back @ (scale * placement[:, 2] + offset)])

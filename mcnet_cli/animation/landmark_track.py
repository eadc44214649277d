"""The driving's face over a whole clip, in little memory: 1.9 kB a frame."""

import numpy as np
from numpy.typing import NDArray

COUNT = 468
BYTES = COUNT * 2 * 2
SAMPLE_LIMIT = 256

Points = NDArray[np.float32]


class LandmarkTrack:
    """Landmarks of one frame after the other, in half precision, and some of them whole.

    samples: up to 256 (468, 2) points in pixels, evenly spread over the frames with a face.
    """

    def __init__(self) -> None:
        self.samples: list[Points] = []
        self._stride = 1
        self._faces = 0
        self._points = bytearray()
        self._found = bytearray()

    def __len__(self) -> int:
        return len(self._found)

    @property
    def faces(self) -> int:
        """Frames with a face."""
        return self._faces

    def add(self, points: Points | None, width: int, height: int) -> None:
        """The next frame's points in pixels of a width x height picture, or None without a face."""
        self._found.append(points is not None)
        if points is None:
            self._points.extend(bytes(BYTES))
            return
        centred = (2 * points - (width, height)) / max(width, height)
        self._points.extend(centred.astype(np.float16).tobytes())
        if self._faces % self._stride == 0:
            self.samples.append(points)
            if len(self.samples) > SAMPLE_LIMIT:
                self.samples = self.samples[::2]
                self._stride *= 2
        self._faces += 1

    @property
    def landmarks(self) -> NDArray[np.float16]:
        """(T, 468, 2) in [-1, 1] along the picture's longer side, 0 where there was no face; not a copy."""
        return np.frombuffer(self._points, np.float16).reshape(-1, COUNT, 2)

    @property
    def found(self) -> NDArray[np.bool_]:
        """(T,) whether there was a face."""
        return np.frombuffer(self._found, np.bool_)

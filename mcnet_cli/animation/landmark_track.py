"""The driving's face over a whole clip, in little memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.animation.pictures import Picture
from mcnet_cli.face import OUTER, OuterTracker

COUNT = 468
SAMPLE_LIMIT = 256
# The face mesh's points that tell one pose and expression from another: outline, brows, eyes, nose, lips.
# fmt: off
OUTLINE = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
EYES = (33, 160, 159, 158, 133, 153, 145, 144, 362, 385, 386, 387, 263, 373, 374, 380)
NOSE = (168, 6, 195, 4, 1, 98, 327, 2)
LIPS = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91, 78, 81, 13, 311, 308, 402, 14, 178)
# fmt: on
TELLING_POINTS = np.array(OUTLINE + BROWS + EYES + NOSE + LIPS)

Points = NDArray[np.float32]


class LandmarkTrack:
    """Landmarks of one frame after the other in half precision, and some of them whole.

    whole: keep all 468 points (1.9 kB a frame), not only the telling ones (0.4 kB).
    exact: numbers of points, the outer ones included, to be kept in full precision besides.
    samples: up to 256 (468, 2) points in pixels, evenly spread over the frames with a face.
    """

    def __init__(self, *, whole: bool, exact: Sequence[int] = ()) -> None:
        self.samples: list[Points] = []
        self._exact_numbers = list(exact)
        self._outer = OuterTracker() if {*OUTER} & {*exact} else None
        self._exact = bytearray()
        self._kept = np.arange(COUNT) if whole else TELLING_POINTS
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

    def add(self, points: Points | None, frame: Picture) -> None:
        """The next frame and its points in pixels, None without a face."""
        self._found.append(points is not None)
        if points is None:
            self._points.extend(bytes(4 * len(self._kept)))
            self._exact.extend(bytes(8 * len(self._exact_numbers)))
            return
        height, width = frame.shape[:2]
        centred = (2 * points[self._kept] - (width, height)) / max(width, height)
        self._points.extend(centred.astype(np.float16).tobytes())
        followed = points if self._outer is None else self._outer(frame, points)
        self._exact.extend(followed[self._exact_numbers].astype(np.float32).tobytes())
        if self._faces % self._stride == 0:
            self.samples.append(points)
            if len(self.samples) > SAMPLE_LIMIT:
                self.samples = self.samples[::2]
                self._stride *= 2
        self._faces += 1

    @property
    def landmarks(self) -> NDArray[np.float16]:
        """(T, L, 2) in [-1, 1] along the picture's longer side, 0 where there was no face; not a copy."""
        return np.frombuffer(self._points, np.float16).reshape(-1, len(self._kept), 2)

    @property
    def exact(self) -> Points:
        """(T, N, 2) the exact points in pixels, 0 where there was no face; not a copy."""
        return np.frombuffer(self._exact, np.float32).reshape(len(self), -1, 2)

    @property
    def found(self) -> NDArray[np.bool_]:
        """(T,) whether there was a face."""
        return np.frombuffer(self._found, np.bool_)


def telling(landmarks: NDArray[Any]) -> NDArray[Any]:
    """The telling points of (..., 468, 2) landmarks; (..., 90, 2) are they already."""
    return landmarks[..., TELLING_POINTS, :] if landmarks.shape[-2] == COUNT else landmarks

"""Memory of frames, which is used again once nobody holds the frame any more.

A frame of two megapixels takes six megabytes. Fresh memory comes from the system in pages that it clears
first, which takes longer than to fill them.
"""

import sys
import threading

import numpy as np

from mcnet_cli.arrays import Picture

KEPT = 16  # frames at most whose memory is kept: as many as some threads' batches hold at once


class FrameMemory:
    """Makes frames that show the plate alone."""

    def __init__(self, plate: Picture) -> None:
        self._plate, self._lock = plate, threading.Lock()
        self._frames: list[Picture] = [np.empty_like(plate)]
        self._unheld = self._holders(0)

    def frame(self) -> Picture:
        """A copy of the plate, which is the caller's alone."""
        with self._lock:
            numbers = range(len(self._frames))
            number = next((number for number in numbers if self._holders(number) == self._unheld), None)
            if number is not None:
                frame = self._frames[number]
            else:
                frame = np.empty_like(self._plate)
                if len(self._frames) < KEPT:
                    self._frames.append(frame)
        np.copyto(frame, self._plate)
        return frame

    def _holders(self, number: int) -> int:
        """How many references there are to a frame, those of its views included: each holds the frame."""
        return sys.getrefcount(self._frames[number])

"""Where frames go, whatever becomes of them."""

from collections.abc import Callable

import numpy as np

from mcnet_cli.media.frames import Frame


class FrameSink:
    """Takes frames one at a time. Use `open_output` to make one.

    frames_written: how many it took. warnings: one line each, complete when the output's block has been left.
    """

    def __init__(self, size: tuple[int, int], send: Callable[[Frame], None]) -> None:
        self.width, self.height = size
        self.frames_written = 0
        self.warnings: list[str] = []
        self._send = send

    def write(self, rgb: Frame) -> None:
        """Takes one frame, (H, W, 3) uint8 RGB of the output's size; blocks while the writer is busy.

        Raises SystemFailure if the disk or ffmpeg fails, BrokenPipeError if nobody reads stdout any more.
        """
        if rgb.shape != (self.height, self.width, 3) or rgb.dtype != np.uint8:
            wanted = f"{self.width}x{self.height} pixels"
            raise ValueError(f"a frame of shape {rgb.shape} and type {rgb.dtype}, not of {wanted}")
        self._send(np.ascontiguousarray(rgb))
        self.frames_written += 1


def even(frame: Frame) -> Frame:
    """Repeats the last row or column where a side is odd: 4:2:0 pictures have even sides."""
    bottom, right = frame.shape[0] % 2, frame.shape[1] % 2
    if not bottom and not right:
        return frame
    return np.pad(frame, ((0, bottom), (0, right), (0, 0)), mode="edge")

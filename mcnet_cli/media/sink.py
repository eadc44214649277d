"""Where frames go, whatever becomes of them."""

from collections.abc import Callable

import numpy as np

from mcnet_cli.media.frames import Frame


class FrameSink:
    """Takes frames one at a time. Use `open_output` to make one.

    alpha: whether frames are RGBA instead of RGB. frames_written: how many it took. warnings: one line each,
    complete when the output's block has been left.
    """

    def __init__(self, size: tuple[int, int], send: Callable[[Frame], None], *, alpha: bool = False) -> None:
        self.width, self.height = size
        self.alpha = alpha
        self.frames_written = 0
        self.warnings: list[str] = []
        self._send = send

    def write(self, frame: Frame) -> None:
        """Takes one frame of the output's size; blocks while the writer is busy.

        The frame is (H, W, 3) uint8 RGB, or with `alpha` (H, W, 4) uint8 RGBA whose colours are not
        multiplied by their alpha.

        Raises SystemFailure if the disk or ffmpeg fails, BrokenPipeError if nobody reads stdout any more.
        """
        channels = 4 if self.alpha else 3
        if frame.shape != (self.height, self.width, channels) or frame.dtype != np.uint8:
            wanted = f"{self.width}x{self.height} pixels of {channels} bytes"
            raise ValueError(f"a frame of shape {frame.shape} and type {frame.dtype}, not of {wanted}")
        self._send(np.ascontiguousarray(frame))
        self.frames_written += 1


def even(frame: Frame) -> Frame:
    """Repeats the last row or column where a side is odd: 4:2:0 pictures have even sides."""
    bottom, right = frame.shape[0] % 2, frame.shape[1] % 2
    if not bottom and not right:
        return frame
    return np.pad(frame, ((0, bottom), (0, right), (0, 0)), mode="edge")

"""A stream of frames, whatever it comes from."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.errors import InputError

Frame = NDArray[np.uint8]  # (H, W, 3), RGB
Producer = Callable[["FrameSource"], Generator[Frame, None, None]]


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a clip that is wanted, in seconds and frames."""

    start_s: float = 0.0
    end_s: float | None = None
    max_frames: int | None = None

    def frames_of(self, duration_s: float | None, frame_rate: Fraction) -> int | None:
        """How many frames of a clip of `duration_s` that is, or None where nobody knows."""
        end_s = min((t for t in (duration_s, self.end_s) if t is not None), default=None)
        if end_s is None:
            return self.max_frames
        count = max(0, round((end_s - self.start_s) * frame_rate))
        return count if self.max_frames is None else min(count, self.max_frames)


class FrameSource:
    """Frames at a constant rate, one at a time. Use `open_frames` to make one.

    An iterator and a context manager: nothing runs before the first frame is asked for, and leaving the
    block ends what runs.

    path: what the frames come from. width, height: of every frame. frame_rate: frames a second, exact.
    frame_count_hint: what the header promises, if anything. audio: the file with the sound, or None.
    audio_start_s: where in it the first frame's sound begins.

    Complete after the iteration: frames_read; damaged, whether part of the file could not be used; warnings,
    one line each.
    """

    def __init__(
        self,
        produce: Producer,
        *,
        path: Path,
        size: tuple[int, int],
        frame_rate: Fraction,
        frame_count_hint: int | None = None,
        audio: Path | None = None,
        audio_start_s: float = 0.0,
        strict: bool = False,
    ) -> None:
        self.path = path
        self.width, self.height = size
        self.frame_rate = frame_rate
        self.frame_count_hint = frame_count_hint
        self.audio = audio
        self.audio_start_s = audio_start_s
        self.strict = strict
        self.frames_read = 0
        self.damaged = False
        self.warnings: list[str] = []
        self._frames = produce(self)

    def note_damage(self, text: str) -> None:
        """Records that part of the file could not be used; InputError if the source is strict."""
        self.damaged = True
        if self.strict:
            raise InputError(text, hint="without --strict it is used as far as it goes")
        self.warnings.append(text)

    def close(self) -> None:
        """Ends the reading; harmless if it has ended."""
        self._frames.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        frame = next(self._frames)
        self.frames_read += 1
        return frame

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

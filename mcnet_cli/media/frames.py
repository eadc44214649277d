"""A stream of frames, whatever it comes from."""

import math
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

    def first(self, rate: Fraction) -> int:
        """The number of the first wanted frame, where frame i is shown at i / rate."""
        return frame_at(self.start_s, rate)

    def until_end(self, rate: Fraction) -> int | None:
        """How many frames there are from the start to the end, or None if no end is asked for."""
        return None if self.end_s is None else max(0, frame_at(self.end_s, rate) - self.first(rate))

    def limit(self, rate: Fraction) -> int | None:
        """At most how many frames are wanted, or None for all."""
        counts = (self.until_end(rate), self.max_frames)
        return min((count for count in counts if count is not None), default=None)

    def frames_of(self, duration_s: float | None, rate: Fraction) -> int | None:
        """How many frames of a clip of `duration_s` are wanted, or None where nobody knows."""
        limit = self.limit(rate)
        if duration_s is None:
            return limit
        count = max(0, round(duration_s * rate) - self.first(rate))
        return count if limit is None else min(count, limit)


def frame_at(time_s: float, rate: Fraction) -> int:
    """The number of the first frame at or after `time_s` seconds, where frame i is shown at i / rate."""
    return math.ceil(time_s * rate - 1e-6)  # less what decimal fractions lose in binary


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

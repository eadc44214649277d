"""Streams of frames: which part of a clip is wanted, where frames come from, and where they go."""

import math
import os
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.files import require_regular_file
from mcnet_cli.options import require_between

Frame = NDArray[np.uint8]  # (H, W, 3), RGB
Matrix = Literal["bt709", "smpte170m"]  # by which brightness and chroma are made of RGB, as ffmpeg calls it
MAX_FRAME_PIXELS = 64 * 1024 * 1024
_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+[:,]")  # such as https: or concat:
Producer = Callable[["FrameSource"], Generator[Frame, None, None]]


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a clip that is wanted, in seconds and frames. UsageError if it ends before it begins."""

    start_s: float = 0.0
    end_s: float | None = None
    max_frames: int | None = None

    def __post_init__(self) -> None:
        require_between("--start", self.start_s, 0, None)
        if self.end_s is not None and not self.end_s > self.start_s:
            raise UsageError(f"--end {self.end_s:g}: must be after --start {self.start_s:g}")

    def first(self, rate: Fraction) -> int:
        """The number of the first wanted frame, where frame i is shown at i / rate."""
        return frame_at(self.start_s, rate)

    def until_end(self, rate: Fraction) -> int | None:
        """How many frames there are from the start to the end, or None if no end is asked for."""
        return None if self.end_s is None else max(0, frame_at(self.end_s, rate) - self.first(rate))

    def limit(self, rate: Fraction) -> int | None:
        """The largest number of frames that are wanted, or None for all."""
        counts = (self.until_end(rate), self.max_frames)
        return min((count for count in counts if count is not None), default=None)

    def frames_of(self, duration_s: float | None, rate: Fraction) -> int | None:
        """How many frames of a clip of `duration_s` are wanted, or None if that is unknown."""
        limit = self.limit(rate)
        if duration_s is None:
            return limit
        count = max(0, round(duration_s * rate) - self.first(rate))
        return count if limit is None else min(count, limit)

    def nothing_left(self, path: Path) -> InputError:
        """The error for a clip that ends before the start."""
        return InputError(
            f"{shown(path)} has no frame at {self.start_s:g} s or later", hint="take an earlier time"
        )


def frame_at(time_s: float, rate: Fraction) -> int:
    """The number of the first frame at or after `time_s` seconds, where frame i is shown at i / rate."""
    return math.ceil(time_s * rate - 1e-6)  # the tolerance covers rounding of decimal fractions


@dataclass(frozen=True, slots=True)
class SoundTrack:
    """Sound track `track` of a local file from `start_s` on."""

    path: Path
    start_s: float = 0.0
    track: int = 0


class FrameSource:
    """Frames at a constant rate, one at a time. `open_frames` makes one.

    It is an iterator and a context manager. Decoding begins with the first frame that is asked for, and
    leaving the block ends the decoder.

    path: what the frames come from. width, height: of every frame. frame_rate: frames per second, exact.
    matrix: None where frames are (H, W, 3) RGB. Else they are (H * 3/2, W): brightness, then one chroma and
    the other, each with half of the sides, in 8 bits of limited range (`yuv420p`), by this matrix.
    frame_count_hint: the number of frames according to the header, if it has one. audio: the file with the
    sound, or None. audio_start_s: the first frame's time in that file. audio_track: which sound track of it.

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
        audio_track: int = 0,
        audio_start_s: float = 0.0,
        strict: bool = False,
        matrix: Matrix | None = None,
    ) -> None:
        self.path = path
        self.width, self.height = size
        self.frame_rate = frame_rate
        self.frame_count_hint = frame_count_hint
        self.audio = audio
        self.audio_track = audio_track
        self.audio_start_s = audio_start_s
        self.strict = strict
        self.matrix = matrix
        self.frames_read = 0
        self.damaged = False
        self.warnings: list[str] = []
        self._frames = produce(self)

    @property
    def sound(self) -> SoundTrack | None:
        """The sound from the first frame on; None without any."""
        return None if self.audio is None else SoundTrack(self.audio, self.audio_start_s, self.audio_track)

    def note_damage(self, text: str) -> None:
        """Records that part of the file could not be used; InputError if the source is strict."""
        self.damaged = True
        if self.strict:
            raise InputError(text, hint="without --strict it is used as far as it goes")
        self.warnings.append(text)

    def close(self) -> None:
        """Ends the decoder, if it still runs."""
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


class FrameSink:
    """Takes frames one at a time. `open_output` makes one.

    send: gets each frame with its number, from 0. alpha: whether frames are RGBA instead of RGB. is_planar:
    whether they are brightness and chroma, as `open_output` says of `matrix`.
    frames_written: the number of frames so far. warnings: one line each, complete when the output's block has
    been left.
    """

    def __init__(
        self,
        size: tuple[int, int],
        send: Callable[[Frame, int], None],
        *,
        alpha: bool = False,
        is_planar: bool = False,
    ) -> None:
        self.width, self.height = size
        self.alpha = alpha
        channels = 4 if alpha else 3
        self._shape = (self.height * 3 // 2, self.width) if is_planar else (self.height, self.width, channels)
        self.frames_written = 0
        self.warnings: list[str] = []
        self._send = send

    def write(self, frame: Frame) -> None:
        """Takes one frame of the output's size; blocks while the writer is busy.

        The frame is (H, W, 3) uint8 RGB, or with `alpha` (H, W, 4) uint8 RGBA whose colours are not
        multiplied by their alpha.

        Raises SystemFailure if the disk or ffmpeg fails, BrokenPipeError if nobody reads stdout any more.
        """
        if frame.shape != self._shape or frame.dtype != np.uint8:
            wanted = f"{self.width}x{self.height} pixels, {self._shape} bytes"
            raise ValueError(f"a frame of shape {frame.shape} and type {frame.dtype}, not of {wanted}")
        self._send(np.ascontiguousarray(frame), self.frames_written)
        self.frames_written += 1


def require_local_file(path: Path) -> os.stat_result:
    """Raises InputError unless `path` is a readable, non-empty regular file on this machine."""
    if not os.path.lexists(path) and (address := _ADDRESS.match(str(path))):
        # A path keeps only one of the slashes that an address was typed with.
        is_file = address[0].lower() == "file:"
        name = re.sub(r"^(\w+:)/(?=[^/])", r"\1///" if is_file else r"\1//", str(path))
        raise InputError(
            f"{shown(name)} is not a local file",
            hint="leave out file://"
            if is_file
            else "mcnet reads files only: download it first, then give its name",
        )
    status = require_regular_file(path)
    if status.st_size == 0:
        raise InputError(f"{shown(path)} is empty (0 bytes)")
    return status

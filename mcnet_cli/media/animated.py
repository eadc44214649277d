"""Animated pictures (GIF, WebP, PNG, AVIF): how long frames are shown, and reading them at a constant rate.

Pillow decodes them. Most versions of ffmpeg don't read animated WebP, of an animated AVIF ffmpeg takes the
still picture that stands for it, and for a GIF whose frames are shown for different times each version
chooses another rate.
"""

import contextlib
import math
import struct
from collections.abc import Callable, Generator, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from mcnet_cli.errors import InputError, shown
from mcnet_cli.media.frames import MAX_FRAME_PIXELS, Frame, FrameSource, Span
from mcnet_cli.media.kinds import Kind, is_animated_webp
from mcnet_cli.media.picture_colours import to_rgb
from mcnet_cli.media.pictures import opened_picture

_MIN_FRAME_MS = Fraction(10)
_STILL_MS = Fraction(40)  # how long a file without an animation is shown
_ANMF_HEADER_BYTES = 16
_GIF_DEFAULT_MS = 100  # what every browser takes where a GIF asks for less than 20 ms
_GIF_MIN_MS = 20
_USUAL_RATES = tuple(map(Fraction, (12, 15, 24, 25, 30, 48, 50, 60)))


def open_animated(path: Path, kind: Kind, *, fps: Fraction | None, span: Span, strict: bool) -> FrameSource:
    """Frames of the animated picture `path` of a kind in `DURATIONS`.

    The rate is `fps`, or one that shows every frame for as long as the file says.
    """
    with opened_picture(path) as picture:
        size = picture.size
    if size[0] * size[1] > MAX_FRAME_PIXELS:
        raise InputError(f"the frames of {shown(path)} are too large: {size[0]}x{size[1]}")
    durations = [max(Fraction(ms), _MIN_FRAME_MS) for ms in DURATIONS[kind](path)] or [_STILL_MS]
    own_rate = constant_rate(durations, rounding_ms=10 if kind == "gif" else 1)
    rate = fps or own_rate or exact_rate(durations)
    steady = own_rate is not None and rate == own_rate
    return FrameSource(
        lambda source: _read(source, durations, steady, span),
        path=path,
        size=size,
        frame_rate=rate,
        frame_count_hint=span.frames_of(float(sum(durations) / 1000), rate),
        strict=strict,
    )


def constant_rate(durations_ms: list[Fraction], *, rounding_ms: int) -> Fraction | None:
    """The rate of frames that are all shown equally long, up to the container's rounding; else None."""
    if max(durations_ms) - min(durations_ms) > rounding_ms:
        return None
    timed_ms = durations_ms[:-1] or durations_ms  # some writers make up the last frame's time
    count, total_ms = len(timed_ms), sum(timed_ms, Fraction(0))
    mean = 1000 * count / total_ms
    if len(set(durations_ms)) == 1:
        return mean
    nearest = Fraction(round(mean))
    usual = sorted(_USUAL_RATES, key=lambda rate: abs(rate - mean))
    for rate in (*usual, nearest, nearest * Fraction(1000, 1001)):
        if rate and abs(count * 1000 / rate - total_ms) <= rounding_ms:
            return rate
    return mean


def exact_rate(durations_ms: list[Fraction]) -> Fraction:
    """The lowest rate, 100 at most, at which every frame is shown for exactly its time."""
    unit = Fraction(1, math.lcm(*(ms.denominator for ms in durations_ms)))
    step_ms = unit * math.gcd(*(int(ms / unit) for ms in durations_ms))
    return 1000 / max(step_ms, _MIN_FRAME_MS)


def _read(
    source: FrameSource, durations: list[Fraction], steady: bool, span: Span
) -> Generator[Frame, None, None]:
    """Yields the frames at the source's constant rate."""
    order = iter(range(len(durations))) if steady else _shown_at(durations, source.frame_rate)
    first, limit = span.first(source.frame_rate), span.limit(source.frame_rate)
    decoded = _decode(source, len(durations))
    frame, decoded_index = None, -1
    for index in islice(order, first, None if limit is None else first + limit):
        while decoded_index < index:
            frame, decoded_index = next(decoded, None), decoded_index + 1
            if frame is None:
                return
        assert frame is not None
        yield frame
    if not source.frames_read and limit != 0:
        raise span.nothing_left(source.path)


def _shown_at(durations: list[Fraction], rate: Fraction) -> Iterator[int]:
    """The index of the frame that is shown at 0, 1 / rate, 2 / rate and so on."""
    number, until_ms = 0, Fraction(0)
    for index, duration in enumerate(durations):
        until_ms += duration
        while number * 1000 / rate < until_ms:
            yield index
            number += 1


def _decode(source: FrameSource, count: int) -> Generator[Frame, None, None]:
    """Decodes the frames one after the other, up to the first that can't be decoded."""
    decoded = 0
    try:
        with opened_picture(source.path) as picture:
            # The first picture of a PNG may be no frame, but what is shown where animations are unknown.
            first = int(getattr(picture, "default_image", False))
            for index in range(first, first + count):
                picture.seek(index)
                frame = to_rgb(picture)
                decoded += 1
                yield frame
    except InputError as error:
        if not decoded:
            raise
        source.note_damage(
            f"{shown(source.path)} is damaged: {decoded} of {count} frames were read ({error})"
        )


def webp_durations_ms(path: Path) -> list[int]:
    """How long each whole frame of an animated WebP is shown."""
    durations = []
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 12
        while at + 8 <= size:
            file.seek(at)
            kind, length = struct.unpack("<4sI", file.read(8))
            if kind == b"ANMF" and at + 8 + length <= size:
                header = file.read(_ANMF_HEADER_BYTES)
                if len(header) == _ANMF_HEADER_BYTES:
                    durations.append(int.from_bytes(header[12:15], "little"))
            at += 8 + length + length % 2
    return durations


def is_whole_still_webp(path: Path) -> bool:
    """Whether a file is a WebP of one picture and has the length that its header claims."""
    with path.open("rb") as file:
        head = file.read(32)
    whole = len(head) == 32 and int.from_bytes(head[4:8], "little") + 8 == path.stat().st_size
    return whole and head[8:12] == b"WEBP" and not is_animated_webp(head)


def gif_durations_ms(path: Path) -> list[int]:
    """How long each frame of a GIF is shown, up to the first damage in the file."""
    durations: list[int] = []
    with path.open("rb") as file:
        header = file.read(13)
        if len(header) < 13:
            return durations
        _skip_colours(file, header[10])
        delay_ms = _GIF_DEFAULT_MS
        while kind := file.read(1):
            if kind == b"\x21":
                label = file.read(1)
                block = _skip_blocks(file)
                if label == b"\xf9" and len(block) >= 4:
                    asked = int.from_bytes(block[1:3], "little") * 10
                    delay_ms = asked if asked >= _GIF_MIN_MS else _GIF_DEFAULT_MS
            elif kind == b"\x2c":
                description = file.read(9)
                if len(description) < 9:
                    break
                _skip_colours(file, description[8])
                file.read(1)  # the LZW minimum code size
                _skip_blocks(file)
                durations.append(delay_ms)
                delay_ms = _GIF_DEFAULT_MS
            else:
                break
    return durations


def png_durations_ms(path: Path) -> list[Fraction]:
    """How long each frame of an animated PNG is shown, up to the first damage in the file."""
    durations = []
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 8
        while at + 12 <= size:
            file.seek(at)
            length, kind = struct.unpack(">I4s", file.read(8))
            if kind == b"fcTL" and length == 26:
                ticks, per_second = struct.unpack(">20xHH2x", file.read(26).ljust(26, b"\0"))
                durations.append(Fraction(1000 * ticks, per_second or 100))
            at += 12 + length
    return durations


def avif_durations_ms(path: Path) -> list[int]:
    """How long each frame of an animated AVIF is shown. They are decoded for it."""
    durations: list[int] = []
    with opened_picture(path) as picture, contextlib.suppress(EOFError, OSError, ValueError, RuntimeError):
        for index in range(getattr(picture, "n_frames", 1)):
            picture.seek(index)
            picture.load()
            durations.append(picture.info.get("duration", _STILL_MS))
    return durations


def _skip_colours(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        file.seek(3 << (flags & 7) + 1, 1)


def _skip_blocks(file: BinaryIO) -> bytes:
    """Reads a chain of sub-blocks to its end and returns the first one."""
    first: bytes | None = None
    while (length := file.read(1)) and length != b"\0":
        block = file.read(length[0])
        first = block if first is None else first
    return first or b""


DURATIONS: dict[Kind, Callable[[Path], Sequence[int | Fraction]]] = {
    "gif": gif_durations_ms,
    "webp": webp_durations_ms,
    "apng": png_durations_ms,
    "avif": avif_durations_ms,
}

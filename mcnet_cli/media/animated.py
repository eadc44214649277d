"""Animated WebP and GIF as frames at a constant rate.

Pillow decodes: most versions of ffmpeg don't read animated WebP, and for a GIF whose frames are shown for
different times each version takes a rate of its own.
"""

import math
from collections.abc import Generator, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

from mcnet_cli.errors import InputError, shown
from mcnet_cli.media.frames import Frame, FrameSource, Span
from mcnet_cli.media.image import opened_picture, to_rgb
from mcnet_cli.media.options import LARGEST_FRAME_PIXELS
from mcnet_cli.media.timing import gif_durations_ms, is_gif, webp_durations_ms

_SHORTEST_MS = 10
_STILL_MS = 40
_USUAL_RATES = tuple(map(Fraction, (12, 15, 24, 25, 30, 48, 50, 60)))


def open_animated(path: Path, head: bytes, *, fps: Fraction | None, span: Span, strict: bool) -> FrameSource:
    """The animated WebP or GIF `path`, which starts with `head`, at a rate that keeps every frame's time."""
    gif = is_gif(head)
    listed = gif_durations_ms(path) if gif else webp_durations_ms(path)
    with opened_picture(path) as picture:
        size = picture.size
    if size[0] * size[1] > LARGEST_FRAME_PIXELS:
        raise InputError(f"the frames of {shown(path)} are too large: {size[0]}x{size[1]}")
    durations = [max(ms, _SHORTEST_MS) for ms in listed] or [_STILL_MS]
    own_rate = constant_rate(durations, rounding_ms=10 if gif else 1)
    rate = fps or own_rate or exact_rate(durations)
    steady = own_rate is not None and rate == own_rate
    return FrameSource(
        lambda source: _read(source, durations, steady, span),
        path=path,
        size=size,
        frame_rate=rate,
        frame_count_hint=span.frames_of(sum(durations) / 1000, rate),
        strict=strict,
    )


def constant_rate(durations_ms: list[int], *, rounding_ms: int) -> Fraction | None:
    """The rate of frames that are shown equally long, but for the container's rounding; None for others."""
    if max(durations_ms) - min(durations_ms) > rounding_ms:
        return None
    timed_ms = durations_ms[:-1] or durations_ms  # how long the last is shown, some writers make up
    count, total_ms = len(timed_ms), sum(timed_ms)
    mean = Fraction(1000 * count, total_ms)
    if len(set(durations_ms)) == 1:
        return mean
    nearest = Fraction(round(mean))
    usual = sorted(_USUAL_RATES, key=lambda rate: abs(rate - mean))
    for rate in (*usual, nearest, nearest * Fraction(1000, 1001)):
        if rate and abs(count * 1000 / rate - total_ms) <= rounding_ms:
            return rate
    return mean


def exact_rate(durations_ms: list[int]) -> Fraction:
    """The lowest rate at which every frame is shown for exactly its time, 100 at most."""
    return Fraction(1000, max(math.gcd(*durations_ms), _SHORTEST_MS))


def _read(
    source: FrameSource, durations: list[int], steady: bool, span: Span
) -> Generator[Frame, None, None]:
    """Yields for each moment of the constant rate the frame that is shown then."""
    order = iter(range(len(durations))) if steady else _shown_at(durations, source.frame_rate)
    first, limit = span.first(source.frame_rate), span.limit(source.frame_rate)
    decoded = _decode(source, len(durations))
    frame, have = None, -1
    for index in islice(order, first, None if limit is None else first + limit):
        while have < index:
            frame, have = next(decoded, None), have + 1
            if frame is None:
                return
        assert frame is not None
        yield frame
    if not source.frames_read and limit != 0:
        raise InputError(
            f"{shown(source.path)} has no frame at {span.start_s:g} s or later",
            hint="take an earlier --start",
        )


def _shown_at(durations: list[int], rate: Fraction) -> Iterator[int]:
    """The index of the frame that is shown at each moment k / rate."""
    moment, until_ms = 0, 0
    for index, duration in enumerate(durations):
        until_ms += duration
        while moment * 1000 / rate < until_ms:
            yield index
            moment += 1


def _decode(source: FrameSource, count: int) -> Generator[Frame, None, None]:
    """Decodes the frames in turn; the first that can't be decoded ends them."""
    decoded = 0
    try:
        with opened_picture(source.path) as picture:
            for index in range(count):
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

"""Video files as frames: ffmpeg decodes, a pipe brings the pixels."""

import re
import subprocess
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import numpy as np

from mcnet_cli.errors import InputError, shown
from mcnet_cli.media.frames import Frame, FrameSource, Span
from mcnet_cli.media.options import compiled, open_input
from mcnet_cli.media.probe import VideoInfo, probe
from mcnet_cli.media.process import Log, running

# What ffmpeg logs when it (re)builds its graph: the size of the frames that arrive.
_GRAPH_SIZE = re.compile(r"\[graph .* input from stream .*\] \[verbose\] w:(\d+) h:(\d+) pixfmt:")
_PACKET = re.compile(rb"^\d+,\s*-?\d+,\s*(-?\d+),\s*(\d+),", re.M)
_TIME_BASE = re.compile(rb"^#tb (\d+): (\d+)/(\d+)", re.M)
_FEWEST = 10_000
# Bare streams and pictures can't be sought; their start is found by decoding up to it.
_UNSEEKABLE = {"h264", "hevc", "gif", "apng", "yuv4mpegpipe", "webp_pipe"}


def open_video(path: Path, *, fps: Fraction | None, span: Span, strict: bool) -> FrameSource:
    """Frames of the video `path`: frame i is what is shown at start + i / rate."""
    info = probe(path)
    rate = fps or info.frame_rate
    source = FrameSource(
        lambda source: _decode(source, info, span),
        path=path,
        size=(info.width, info.height),
        frame_rate=rate,
        frame_count_hint=span.frames_of(info.duration_s, rate),
        audio=path if info.has_audio else None,
        audio_start_s=_start_s(span, rate),
        strict=strict,
    )
    if info.duration_lies:
        source.warnings.append(f"the header of {shown(path)} claims a length that can't be: ignored")
    return source


def _start_s(span: Span, rate: Fraction) -> float:
    """When the first wanted frame is shown; a moment between two frames would show it twice."""
    return float(span.first(rate) / rate)


def _command(source: FrameSource, info: VideoInfo, span: Span) -> list[str]:
    # A sixteenth of a frame early, so that rounding never loses the frame at the start itself.
    rate = source.frame_rate
    start_s = max(0.0, _start_s(span, rate) - float(Fraction(1, 16) / rate))
    is_seekable = info.format_name.split(",")[0] not in _UNSEEKABLE
    seek = {"ss": f"{start_s:.6f}"} if span.start_s and is_seekable else {}
    # Decoding several frames at a time makes damaged ones come out by chance.
    stream = open_input(info.path, threads=1, **seek)["V:0"]
    stream = stream.filter("fps", fps=str(rate), start_time=0)
    if span.start_s and not is_seekable:
        stream = stream.filter("trim", start=f"{start_s:.6f}").filter("setpts", "PTS-STARTPTS")
    stream = stream.filter("scale", info.width, info.height)
    limit = span.limit(rate)
    enough = {} if limit is None else {"vframes": limit}
    return compiled(stream.output("pipe:", format="rawvideo", pix_fmt="rgb24", **enough))


def _decode(source: FrameSource, info: VideoInfo, span: Span) -> Generator[Frame, None, None]:
    if span.limit(source.frame_rate) == 0:
        return
    # Timestamps that lie could have one frame repeated for days. Real clips take over a byte a frame.
    most = max(_FEWEST, info.path.stat().st_size)
    with running(_command(source, info, span), stdout=subprocess.PIPE, watch=_GRAPH_SIZE) as child:
        while True:
            frame = np.empty((info.height, info.width, 3), np.uint8)
            view = frame.data.cast("B")
            if child.read_exactly(view) < len(view):
                break
            if source.frames_read >= most:
                source.note_damage(
                    f"{shown(info.path)} is damaged: one frame lasts for hours, it is cut there"
                )
                return
            yield frame
        child.finish()
        log = child.log
    _judge(source, info, span, log)


def _judge(source: FrameSource, info: VideoInfo, span: Span, log: Log) -> None:
    """Compares what came with what was promised; sets the source's warnings."""
    name, count = shown(info.path), source.frames_read
    if count == 0:
        if span.start_s and not log.error_count:
            raise InputError(
                f"{name} has no frame at {span.start_s:g} s or later", hint="take an earlier --start"
            )
        raise InputError(f"{name} has no frames that can be decoded: {log.reason}")
    sizes = list(dict.fromkeys(log.matches))
    if len(sizes) > 1:
        listed = ", ".join("x".join(size) for size in sizes[:4])
        source.warnings.append(
            f"the size of {name} changes ({listed}): all frames are scaled to the first size"
        )
    expected = source.frame_count_hint
    short = expected is not None and count < expected - max(2, expected // 100)
    if log.error_count:
        of = f" of about {expected}" if expected and expected >= count else ""
        source.note_damage(
            f"{name} is damaged: {count} frames{of} were read, {log.error_count} errors ({log.reason})"
        )
    elif short and _ends_early(info):
        source.note_damage(f"{name} ends early: {count} frames of about {expected} were read")


def _ends_early(info: VideoInfo) -> bool:
    """Whether no stream, sound included, reaches the length that the header claims."""
    assert info.duration_s is not None
    everything = open_input(info.path).output("pipe:", format="framecrc", map=0, codec="copy")
    end_s = 0.0
    with running(compiled(everything), stdout=subprocess.PIPE) as child:
        assert child.process.stdout
        bases: dict[int, Fraction] = {}
        for line in child.process.stdout:
            if found := _TIME_BASE.match(line):
                bases[int(found[1])] = Fraction(int(found[2]), int(found[3]))
            elif found := _PACKET.match(line):
                stream = int(line.split(b",", 1)[0])
                end_s = max(end_s, float((int(found[1]) + int(found[2])) * bases.get(stream, Fraction(0))))
        child.finish()
    return end_s < info.duration_s - max(0.5, info.duration_s / 100)

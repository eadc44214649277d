"""Opening anything that can give frames; ffmpeg decodes videos, and a pipe brings their pixels."""

import itertools
import re
import subprocess
from collections.abc import Generator, Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.errors import InputError, UsageError, counted, shown
from mcnet_cli.media.animated import DURATIONS, open_animated
from mcnet_cli.media.ffmpeg import compiled, open_input
from mcnet_cli.media.frames import Frame, FrameSource, Span
from mcnet_cli.media.hardware import Hwaccel, decoding_device
from mcnet_cli.media.kinds import kind_of
from mcnet_cli.media.pictures import as_picture, open_folder, open_picture, read_photo
from mcnet_cli.media.probe import VideoInfo, no_such_track, probe
from mcnet_cli.media.process import Log, running

# ffmpeg logs the size of the frames that arrive whenever it (re)builds its graph.
_GRAPH_SIZE = re.compile(r"\[graph .* input from stream .*\] \[verbose\] w:(\d+) h:(\d+) pixfmt:")
_PACKET = re.compile(rb"^\d+,\s*-?\d+,\s*(-?\d+),\s*(\d+),", re.M)
_TIME_BASE = re.compile(rb"^#tb (\d+): (\d+)/(\d+)", re.M)
_MIN_FRAME_LIMIT = 10_000
# ffmpeg can't seek in bare streams and pictures; it decodes them from their start.
_UNSEEKABLE = {"h264", "hevc", "gif", "apng", "yuv4mpegpipe", "webp_pipe"}


def is_picture(path: Path) -> bool:
    """Whether a file is a single picture and no animation. InputError if it is no readable regular file."""
    return kind_of(path) == "picture"


def open_frames(
    path: Path,
    *,
    fps: Fraction | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
    max_frames: int | None = None,
    strict: bool = False,
    audio_track: int | None = None,
    hwaccel: Hwaccel = "none",
    planar: bool = False,
) -> FrameSource:
    """Opens a video, an animated or a single picture, or a folder of pictures as a stream of frames.

    Args:
        path: a local file or folder; the content decides what it is, not the suffix.
        fps: frames per second; by default the clip's own, 25 for pictures. Frames are repeated or left out.
        start_s: where to begin, in seconds of the clip.
        end_s: where to end.
        max_frames: the largest number of frames.
        strict: whether damage ends the iteration with InputError instead of a warning.
        audio_track: which of a video's sound tracks is meant, from 0; by default the one that players take.
        hwaccel: `auto`, or the name of a kind of hardware: it decodes videos if it can.
        planar: whether frames of videos in 8 bits and 4:2:0, which nearly all are, stay brightness and chroma
            (see `FrameSource.matrix`): half of the bytes, and no conversion. Others become RGB.

    Raises:
        InputError: the file can't be used. While iterating: no frame can be decoded, or damage with `strict`.
        UsageError: times or a rate out of range.
        SystemFailure: ffmpeg can't be run.
    """
    if start_s < 0 or (end_s is not None and end_s <= start_s):
        raise UsageError(f"the end ({end_s} s) must come after the start ({start_s} s), and neither before 0")
    if fps is not None and not 0 < fps <= 1000:
        raise UsageError(f"a rate of {float(fps):g} frames a second is out of range (over 0, up to 1000)")
    span = Span(start_s, end_s, max_frames)
    kind = "folder" if path.is_dir() else kind_of(path)
    if kind == "video":
        return _open_video(
            path,
            fps=fps,
            span=span,
            strict=strict,
            audio_track=audio_track,
            hwaccel=hwaccel,
            planar=planar,
        )
    if audio_track is not None:
        raise no_such_track(path, audio_track, 0)
    if kind in DURATIONS:
        return open_animated(path, kind, fps=fps, span=span, strict=strict)
    opened = open_folder if kind == "folder" else open_picture
    return opened(path, fps=fps, span=span, strict=strict)


def decoded_rate(driving: Path, fps: Fraction | None) -> Fraction | None:
    """The rate that a driving's frames are decoded at: `fps`, or None for its own if that is lower."""
    if fps is None or driving.is_dir():
        return fps
    with open_frames(driving, max_frames=1) as frames:
        return fps if fps <= frames.frame_rate else None


def read_still(path: Path, at_s: float | None = None) -> tuple[Frame, NDArray[np.uint8] | None]:
    """A picture as `read_photo` reads it; of a video or an animation the frame that is shown at `at_s`.

    Without a time it has to be a picture; of an animation it is the first frame then. InputError if the file
    can't be read, or ends before that time.
    """
    if at_s is None or is_picture(path):
        return read_photo(path)
    with open_frames(path, start_s=at_s, max_frames=1) as frames:
        return next(frames), None


def open_arrays(frames: Iterable[Frame], rate: Fraction, *, max_frames: int | None = None) -> FrameSource:
    """Arrays (H, W, 3) uint8 RGB, all of one size, as a stream of frames.

    InputError at the first one of another kind or size, or if there are none.
    """
    pictures = map(as_picture, itertools.islice(frames, max_frames))
    first = next(pictures, None)
    if first is None:
        raise InputError("there are no frames")

    def produce(_source: FrameSource) -> Generator[Frame, None, None]:
        for number, frame in enumerate(itertools.chain([first], pictures)):
            if frame.shape != first.shape:
                raise InputError(f"frame {number} is {frame.shape}, and the first one {first.shape}")
            yield frame

    size = first.shape[1], first.shape[0]
    return FrameSource(produce, path=Path("the driving"), size=size, frame_rate=rate)


def _open_video(
    path: Path,
    *,
    fps: Fraction | None,
    span: Span,
    strict: bool,
    audio_track: int | None,
    hwaccel: Hwaccel,
    planar: bool,
) -> FrameSource:
    """Frames of the video `path`: frame i is the one that is shown at start + i / rate."""
    info = probe(path)
    track = info.audio_track if audio_track is None else audio_track
    if audio_track is not None and audio_track >= info.audio_track_count:
        raise no_such_track(path, audio_track, info.audio_track_count)
    rate = fps or info.frame_rate
    has_halves = info.width % 2 == info.height % 2 == 0
    source = FrameSource(
        lambda source: _decode(source, info, span, hwaccel),
        path=path,
        size=(info.width, info.height),
        frame_rate=rate,
        frame_count_hint=span.frames_of(info.duration_s, rate),
        audio=path if track is not None else None,
        audio_start_s=_start_s(span, rate),
        audio_track=track or 0,
        strict=strict,
        matrix=info.colours.kept_matrix if planar and has_halves else None,
    )
    if info.duration_lies:
        source.warnings.append(f"the header of {shown(path)} claims a length that can't be: ignored")
    if info.colours.warning:
        source.warnings.append(f"{shown(path)}: {info.colours.warning}")
    return source


def _start_s(span: Span, rate: Fraction) -> float:
    """When the first wanted frame is shown. A time between two frames would repeat that frame."""
    return float(span.first(rate) / rate)


def _command(source: FrameSource, info: VideoInfo, span: Span, hwaccel: Hwaccel) -> list[str]:
    # The seek goes a sixteenth of a frame too far back, so that rounding never loses the first frame.
    rate = source.frame_rate
    start_s = max(0.0, _start_s(span, rate) - float(Fraction(1, 16) / rate))
    is_seekable = info.format_name.split(",")[0] not in _UNSEEKABLE
    seek = {"ss": f"{start_s:.6f}"} if span.start_s and is_seekable else {}
    device = decoding_device(hwaccel, info.path)
    by = {} if device is None else {"hwaccel": device}
    # With several threads, which frames of a damaged file come out would depend on chance.
    stream = open_input(info.path, threads=1, **seek, **by)["V:0"]
    if info.colours.is_interlaced:
        stream = stream.filter("bwdif", mode="send_frame", deint="interlaced")
    stream = stream.filter("fps", fps=str(rate), start_time=0)
    if span.start_s and not is_seekable:
        stream = stream.filter("trim", start=f"{start_s:.6f}").filter("setpts", "PTS-STARTPTS")
    if source.matrix is None:
        stream, pixels = info.colours.applied(stream, info.width, info.height), "rgb24"
    else:
        # The filter would copy frames of the wanted size. If that changes, ffmpeg scales to the first one.
        stream = stream if info.is_square else stream.filter("scale", info.width, info.height)
        pixels = "yuv420p"
    limit = span.limit(rate)
    count = {} if limit is None else {"vframes": limit}
    return compiled(stream.output("pipe:", format="rawvideo", pix_fmt=pixels, **count))


def _decode(
    source: FrameSource, info: VideoInfo, span: Span, hwaccel: Hwaccel
) -> Generator[Frame, None, None]:
    if span.limit(source.frame_rate) == 0:
        return
    # Wrong timestamps could have one frame repeated for days. Real clips take over a byte per frame.
    max_frames = max(_MIN_FRAME_LIMIT, info.path.stat().st_size)
    command = _command(source, info, span, hwaccel)
    is_planar = source.matrix is not None
    shape = (info.height * 3 // 2, info.width) if is_planar else (info.height, info.width, 3)
    with running(command, stdout=subprocess.PIPE, pattern=_GRAPH_SIZE) as child:
        while True:
            frame = np.empty(shape, np.uint8)
            view = frame.data.cast("B")
            if child.read_exactly(view) < len(view):
                break
            if source.frames_read >= max_frames:
                source.note_damage(
                    f"{shown(info.path)} is damaged: one frame lasts for hours, it is cut there"
                )
                return
            yield frame
        child.finish()
        log = child.log
    _note_problems(source, info, span, log)


def _note_problems(source: FrameSource, info: VideoInfo, span: Span, log: Log) -> None:
    """Compares the frames that came with what the header promised, and sets the source's warnings."""
    name, count = shown(info.path), source.frames_read
    if count == 0:
        if span.start_s and not log.error_count:
            raise span.nothing_left(info.path)
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
            f"{name} is damaged: {counted(count, 'frame')}{of} were read, "
            f"{counted(log.error_count, 'error')} ({log.reason})"
        )
    elif short and _ends_early(info):
        source.note_damage(f"{name} ends early: {counted(count, 'frame')} of about {expected} were read")


def _ends_early(info: VideoInfo) -> bool:
    """Whether all streams, sound included, end before the length that the header claims."""
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

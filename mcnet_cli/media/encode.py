"""Encoding frames: ffmpeg writes video files, GIF and animated WebP from what a pipe brings."""

import errno
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from mcnet_cli.errors import InputError, SystemFailure, shown
from mcnet_cli.files import atomic_output, check_free, require_folder
from mcnet_cli.media.animated import is_whole_still_webp, webp_durations_ms
from mcnet_cli.media.codecs import Coding
from mcnet_cli.media.comments import add_comment
from mcnet_cli.media.ffmpeg import compiled, disk_failure, file_name, open_input
from mcnet_cli.media.frames import Frame, FrameSink
from mcnet_cli.media.process import Child, end_children, running
from mcnet_cli.media.sound import Sound, add_sound

_MAX_GIF_RATE = 50  # frames per second: browsers show faster GIFs slowly
_STDOUT = 1
# Tags for players. ffmpeg takes them from the frames since version 9, and from the encoder's options before.
_BT709 = {"color_primaries": "bt709", "color_trc": "bt709"}
_VIDEO = {**_BT709, "colorspace": "bt709"}
_RGB = {**_BT709, "colorspace": "gbr"}
_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}


@contextmanager
def open_file(
    target: Path,
    *,
    size: tuple[int, int],
    frame_rate: Fraction,
    sound: Sound | None,
    overwrite: bool,
    coding: Coding,
    threads: int | None = None,
    comment: str | None = None,
) -> Iterator[FrameSink]:
    """A sink that encodes into the file `target`, which appears when the block ends without an exception."""
    require_folder(target)
    heard = tuple(track.path for track in sound.tracks) if sound else ()
    check_free(target, overwrite=overwrite, inputs=heard)
    suffix = target.suffix.lower()
    step = math.ceil(frame_rate / _MAX_GIF_RATE) if suffix == ".gif" else 1
    is_video = suffix in _CONTAINERS
    make_even = is_video and not coding.is_rgb and coding.matrix is None
    frames = _raw_input(size, frame_rate / step, make_even=make_even, pixels=coding.input_pixels)
    with atomic_output(target, overwrite=overwrite) as part, _no_late_writer():
        with _encoder(frames, part, suffix, coding, threads, comment) as child:

            def send(frame: Frame, number: int) -> None:
                if number % step == 0:
                    _feed(child, even(frame) if make_even else frame, target)

            sink = FrameSink(size, send, alpha=coding.alpha, is_planar=coding.matrix is not None)
            yield sink
            if not sink.frames_written:
                raise InputError(f"there are no frames to write to {shown(target)}")
            _finish(child, target)
        if sound and is_video:
            duration_s = sink.frames_written / frame_rate
            tags = _comment_tag(comment)
            if coding.alpha and coding.options["vcodec"].startswith("libvpx"):
                # Players look for this mark of transparency; ffmpeg's copy of the track has none.
                tags["metadata:s:v:0"] = "alpha_mode=1"
            sink.warnings += add_sound(part, sound, duration_s, _CONTAINERS[suffix], target, tags)
        elif comment is not None and not is_video:
            add_comment(part, comment, target)
        _verify(part, -(-sink.frames_written // step), frame_rate / step, suffix, target)


@contextmanager
def _no_late_writer() -> Iterator[None]:
    """Ends encoders after a signal, so that none makes its file again when that has been removed."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        end_children()
        raise


@contextmanager
def open_stdout(*, size: tuple[int, int], frame_rate: Fraction) -> Iterator[FrameSink]:
    """A sink that writes raw y4m, in 4:2:0 because every reader knows that, to stdout.

    Raises BrokenPipeError if the reader leaves.
    """
    sys.stdout.flush()
    where = Path("stdout")
    y4m = _raw_input(size, frame_rate, make_even=True).output(
        "pipe:", format="yuv4mpegpipe", pix_fmt="yuv420p"
    )
    with running(compiled(y4m), stdin=subprocess.PIPE, stdout=_STDOUT) as child:
        sink = FrameSink(size, lambda frame, number: _feed(child, even(frame), where))
        yield sink
        if not sink.frames_written:
            raise InputError("there are no frames to write to stdout")
        _finish(child, where)


def _raw_input(size: tuple[int, int], frame_rate: Fraction, *, make_even: bool, pixels: str = "rgb24") -> Any:
    width, height = (side + side % 2 if make_even else side for side in size)
    return ffmpeg.input(
        "pipe:", format="rawvideo", pix_fmt=pixels, s=f"{width}x{height}", framerate=str(frame_rate)
    )


@contextmanager
def _encoder(
    stream: Any, part: Path, suffix: str, coding: Coding, threads: int | None, comment: str | None
) -> Iterator[Child]:
    """Starts the encoder for the suffix of a file. A comment becomes a tag of videos."""
    options: dict[str, Any]
    if suffix == ".gif":
        options = {"format": "gif", "loop": 0}
        # Each frame has a palette of its own, because one for all would hold the whole clip in memory.
        twice = stream.filter_multi_output("split")
        palette = twice[0].filter("palettegen", stats_mode="single", reserve_transparent=0)
        stream = ffmpeg.filter([twice[1], palette], "paletteuse", new=1, dither="bayer", bayer_scale=4)
    elif suffix == ".webp":
        options = {"format": "webp", "loop": 0, **coding.options}
    else:
        options = {"format": _CONTAINERS[suffix], **coding.options}
        tags = _RGB if coding.is_rgb else _VIDEO
        if coding.matrix is not None:
            tags = {**tags, "colorspace": coding.matrix}
        elif not coding.is_rgb:
            stream = stream.filter("scale", out_color_matrix="bt709", out_range="tv")
        if not coding.is_rgb:
            options |= {**tags, "color_range": "tv"}
        stream = stream.filter("format", options["pix_fmt"])
        stream = stream.filter("setparams", range="pc" if coding.is_rgb else "tv", **tags)
        if coding.encoder is not None and coding.encoder.uploaded is not None:
            stream, options["pix_fmt"] = stream.filter("hwupload"), coding.encoder.uploaded
        options |= _comment_tag(comment)
        if suffix in (".mp4", ".mov"):
            options["movflags"] = "+faststart"
    if threads is not None:
        options["threads"] = threads
    part.touch(exist_ok=False)
    output = stream.output(file_name(part), bitexact=None, map_metadata=-1, **options).overwrite_output()
    with running(compiled(output), stdin=subprocess.PIPE) as child:
        yield child


def _comment_tag(comment: str | None) -> dict[str, str]:
    return {} if comment is None else {"metadata": f"comment={comment}"}


def even(frame: Frame) -> Frame:
    """Repeats the last row or column if a side is odd: 4:2:0 pictures have even sides."""
    bottom, right = frame.shape[0] % 2, frame.shape[1] % 2
    if not bottom and not right:
        return frame
    return np.pad(frame, ((0, bottom), (0, right), (0, 0)), mode="edge")


def _feed(child: Child, frame: Frame, target: Path) -> None:
    try:
        child.write_all(frame.data.cast("B"))
    except BrokenPipeError as error:
        raise _failure(child, target) from error


def _finish(child: Child, target: Path) -> None:
    if child.finish() or disk_failure(child.log.text, 0, target):
        raise _failure(child, target)


def _failure(child: Child, target: Path) -> Exception:
    """The error that tells why the encoder ended."""
    status = child.finish()
    text = child.log.text
    if "Broken pipe" in text:
        return BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
    reason = f": {child.log.reason}" if text else f" (exit status {status})"
    return disk_failure(text, status, target) or SystemFailure(
        f"ffmpeg failed while writing {shown(target)}{reason}"
    )


def _verify(part: Path, sent: int, frame_rate: Fraction, suffix: str, target: Path) -> None:
    """Counts the frames in the file: an encoder whose pipe breaks leaves a short file that looks whole."""
    if suffix == ".webp":  # the encoder merges equal frames into a longer one, or into a still picture
        found = sent if is_whole_still_webp(part) else round(sum(webp_durations_ms(part)) * frame_rate / 1000)
    else:
        found = _count_packets(part)
    if found != sent:
        raise SystemFailure(f"only {found} of {sent} frames reached {shown(target)}")


def _count_packets(part: Path) -> int:
    copied = open_input(part).output("pipe:", format="framecrc", map="0:V:0", codec="copy")
    with running(compiled(copied), stdout=subprocess.PIPE) as child:
        assert child.process.stdout
        count = sum(not line.startswith(b"#") for line in child.process.stdout)
        child.finish()
    return count

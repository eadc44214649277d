"""Opening an output by its name: video files, animations, stdout, or numbered PNG files."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.files import atomic_output, made_folders, partial_name, publish, sweep_partials, system_failure
from mcnet_cli.media.codecs import DEFAULT_QUALITY, Codec, Quality, choose_coding
from mcnet_cli.media.comments import commented_jpeg, commented_png
from mcnet_cli.media.encode import open_file, open_stdout
from mcnet_cli.media.frames import Frame, FrameSink, Matrix, SoundTrack
from mcnet_cli.media.hardware import Hwaccel, hardware_coding
from mcnet_cli.media.pictures import encode_picture, encode_png
from mcnet_cli.media.sound import Sound
from mcnet_cli.system import sync_folder

Kind = Literal["video", "gif", "webp", "picture", "pattern", "stdout"]
_KINDS: dict[str, Kind] = {
    ".mp4": "video",
    ".mov": "video",
    ".mkv": "video",
    ".webm": "video",
    ".gif": "gif",
    ".webp": "webp",
    ".png": "picture",
    ".jpg": "picture",
    ".jpeg": "picture",
}
_MAX_DIGITS = 20
_NUMBER = re.compile(r"%0?(\d*)d")
_FIRST_NUMBER = 1  # as in ffmpeg


def output_kind(path_text: str) -> Kind:
    """The kind of output that a name means: `-` is stdout, `NAME%05d.png` a pattern, `NAME.png` one picture.

    Raises UsageError for any other name.
    """
    if path_text == "-":
        return "stdout"
    path = Path(path_text)
    suffix = path.suffix.lower()
    if suffix == ".png" and (numbers := _NUMBER.findall(path.name)):
        if len(numbers) == 1 and int(numbers[0] or 0) <= _MAX_DIGITS:
            return "pattern"
        raise UsageError(
            f"the output {shown(path_text)} is no pattern with one number",
            hint="for a file a frame take a pattern: frames/%05d.png",
        )
    if suffix in _KINDS:
        return _KINDS[suffix]
    raise UsageError(
        f"no format is known for the output {shown(path_text) or '(empty)'}",
        hint="take .mp4, .mov, .mkv, .webm, .gif, .webp, a pattern like frames/%05d.png, or -; for one frame "
        ".png or .jpg",
    )


@contextmanager
def open_output(
    target: Path | str,
    *,
    size: tuple[int, int],
    frame_rate: Fraction,
    sounds: Sequence[SoundTrack] = (),
    volume: float = 1.0,
    overwrite: bool = False,
    strict: bool = False,
    threads: int | None = None,
    alpha: bool = False,
    codec: Codec | None = None,
    quality: Quality = DEFAULT_QUALITY,
    hwaccel: Hwaccel = "none",
    comment: str | None = None,
    quick: bool = False,
    matrix: Matrix | None = None,
) -> Iterator[FrameSink]:
    """Opens a film for writing. At the end of the block it is complete, counted, and has its final name.

    After an exception in the block nothing new is there, and what was there before is untouched (except for
    stdout and its reader). Odd sides are made even for video, by repeating the last row or column. A GIF
    holds at most 50 frames per second; of a faster film every n-th frame is kept.

    Args:
        target: a name that `output_kind` knows; the folders of a pattern are made.
        size: width and height of the frames.
        frame_rate: frames per second, exact.
        sounds: what a video gets as its sound, cut to its length or filled with silence. Several are heard at
            the same time, and a limiter lowers the loudest moments.
        volume: a factor on the sound. Above 1 a limiter lowers the loudest moments, so that nothing clips.
        overwrite: whether files at the target may be replaced.
        strict: whether sound that can't be decoded is an InputError instead of a warning.
        threads: of the encoder; the same number gives the same bytes on every machine. None lets the encoder
            choose. Pictures are written by one thread.
        alpha: whether frames are RGBA, (H, W, 4), with colours that are not multiplied by their alpha. The
            film keeps the transparency: .webp, .webm (VP9), .mov (ProRes 4444) and patterns of PNGs can.
        codec: None for what such files usually hold; `lossless` keeps each frame as it is, bit for bit.
        quality: from the smallest file to the least loss.
        hwaccel: `auto` has a GPU encode h264, h265 and av1 if one can, so has the name of a kind of hardware,
            with a warning if it can't.
        comment: a text in ASCII that the file, or each picture, says of itself. Not for stdout.
        quick: take less time to encode, for a file that is somewhat larger. Only h264 knows a way.
        matrix: None where frames are RGB. Else they are as a `FrameSource` with this matrix gives them, and
            the film, in H.264 with even sides, says so.

    Raises:
        UsageError: the format is unknown or can't hold the transparency or codec asked for, the target
            exists, or its folder is missing.
        InputError: no frame was written, or damaged sound with `strict`.
        SystemFailure: the disk is full or fails, or ffmpeg fails or lacks the encoder.
        BrokenPipeError: the reader of stdout left.
    """
    kind = output_kind(str(target))
    coding = choose_coding(str(target), codec=codec, quality=quality, alpha=alpha)
    if matrix is not None and (coding.codec != "h264" or hwaccel != "none"):
        raise ValueError(f"{coding.codec} can't hold frames as brightness and chroma")
    coding = replace(coding, quick=quick, matrix=matrix)
    opened: AbstractContextManager[FrameSink]
    warnings: list[str] = []
    if kind == "stdout":
        opened = open_stdout(size=size, frame_rate=frame_rate)
    elif kind == "picture":
        opened = _open_picture(Path(target), size=size, overwrite=overwrite, alpha=alpha, comment=comment)
    elif kind == "pattern":
        opened = _open_pattern(Path(target), size=size, overwrite=overwrite, alpha=alpha, comment=comment)
    else:
        sound = Sound(tuple(sounds), strict, volume) if sounds else None
        coding, warnings = hardware_coding(coding, hwaccel, size)
        opened = open_file(
            Path(target),
            size=size,
            frame_rate=frame_rate,
            sound=sound,
            overwrite=overwrite,
            coding=coding,
            threads=threads,
            comment=comment,
        )
    with opened as sink:
        sink.warnings += warnings
        yield sink


@contextmanager
def _open_picture(
    path: Path, *, size: tuple[int, int], overwrite: bool, alpha: bool, comment: str | None
) -> Iterator[FrameSink]:
    """A sink that writes its one frame to a .png or .jpg file."""
    pictures: list[Frame] = []
    sink = FrameSink(size, lambda frame, _number: pictures.append(frame.copy()), alpha=alpha)
    yield sink
    if len(pictures) != 1:
        raise InputError(f"{shown(path)} holds one picture, and there are {len(pictures)} frames")
    suffix = path.suffix.lower()
    data = encode_picture(pictures[0], suffix)
    if comment is not None:
        data = commented_png(data, comment) if suffix == ".png" else commented_jpeg(data, comment)
    with atomic_output(path, overwrite=overwrite) as part:
        part.write_bytes(data)


@contextmanager
def _open_pattern(
    pattern: Path, *, size: tuple[int, int], overwrite: bool, alpha: bool, comment: str | None
) -> Iterator[FrameSink]:
    """A sink that writes the files of `pattern` from number 1 on; all of them appear at the end.

    A new folder appears with all its files at once. Into a folder that exists files are moved one by one.
    """
    folder = pattern.parent
    is_new = not folder.exists()
    if not is_new:
        _check_free(pattern, overwrite)
    with ExitStack() as stack:
        stack.enter_context(made_folders(folder.parent if is_new else folder))
        beside = folder.absolute() if is_new else pattern
        sweep_partials(beside)
        part = partial_name(beside)
        stack.callback(shutil.rmtree, part, ignore_errors=True)
        try:
            part.mkdir()
        except OSError as error:
            raise system_failure(error, pattern) from error

        def send(frame: Frame, number: int) -> None:
            png = encode_png(frame) if comment is None else commented_png(encode_png(frame), comment)
            _write(part / numbered(pattern.name, number + _FIRST_NUMBER), png, pattern)

        sink = FrameSink(size, send, alpha=alpha)
        yield sink
        if not sink.frames_written:
            raise InputError(f"there are no frames to write to {shown(pattern)}")
        if is_new:
            _publish_folder(part, folder)
        else:
            _publish_files(part, pattern, sink.frames_written, overwrite)


def numbered(name: str, number: int) -> str:
    """The `number`-th name of a pattern such as `%05d.png`."""
    return _NUMBER.sub(lambda match: f"{number:0{int(match[1] or 0)}d}", name)


def _check_free(pattern: Path, overwrite: bool) -> None:
    """Raises UsageError if the folder holds a file of the pattern already."""
    if not pattern.parent.is_dir():
        raise UsageError(f"{shown(pattern.parent)} is not a folder")
    before, after = (re.escape(text) for text in _NUMBER.split(pattern.name)[::2])
    taken = re.compile(f"{before}[0-9]+{after}")
    for entry in [] if overwrite else os.scandir(pattern.parent):
        if taken.fullmatch(entry.name):
            raise UsageError(
                f"{shown(entry.path)} exists already",
                hint="choose another -o, or replace it with --overwrite",
            )


def _write(path: Path, png: bytes, pattern: Path) -> None:
    try:
        with path.open("xb") as file:
            file.write(png)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise system_failure(error, pattern) from error


def _publish_folder(part: Path, folder: Path) -> None:
    sync_folder(part)
    try:
        part.rename(folder)
    except OSError as error:
        if folder.exists():
            raise UsageError(
                f"{shown(folder)} exists already", hint="somebody else has just made it"
            ) from error
        raise system_failure(error, folder) from error
    sync_folder(folder.parent)


def _publish_files(part: Path, pattern: Path, count: int, overwrite: bool) -> None:
    """Moves the files to their names. On failure those that replaced no other file are removed."""
    new: list[Path] = []
    try:
        for number in range(_FIRST_NUMBER, _FIRST_NUMBER + count):
            name = numbered(pattern.name, number)
            target = pattern.with_name(name)
            is_new = not os.path.lexists(target)
            publish(part / name, target, overwrite=overwrite)
            if is_new:
                new.append(target)
    except BaseException as error:
        for path in new:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise system_failure(error, pattern) from error
        raise

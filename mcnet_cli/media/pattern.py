"""Frames as numbered, lossless PNG files."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.files import partial_name, publish, sweep_partials, system_failure
from mcnet_cli.media.frames import Frame
from mcnet_cli.media.image import encode_png
from mcnet_cli.media.sink import FrameSink
from mcnet_cli.system import sync_folder

NUMBER = re.compile(r"%0?(\d*)d")
_FIRST = 1  # as ffmpeg counts


@contextmanager
def open_pattern(
    pattern: Path, *, size: tuple[int, int], overwrite: bool, alpha: bool = False
) -> Iterator[FrameSink]:
    """A sink that writes `pattern`'s files from number 1 on; all of them appear at the end.

    A new folder appears at once, with all it holds; into one that exists the files are moved one by one.
    """
    folder = pattern.parent
    is_new = not folder.exists()
    if not is_new:
        _check_free(pattern, overwrite)
    with ExitStack() as stack:
        stack.enter_context(_made_parents(folder.parent if is_new else folder))
        beside = folder.absolute() if is_new else pattern
        sweep_partials(beside)
        # A folder's name may look like one with a suffix; the partial's must not lose it.
        part = partial_name(beside)
        stack.callback(shutil.rmtree, part, ignore_errors=True)
        try:
            part.mkdir()
        except OSError as error:
            raise system_failure(error, pattern) from error
        sink = FrameSink(size, lambda frame: None, alpha=alpha)

        def send(frame: Frame) -> None:
            _write(part / numbered(pattern.name, sink.frames_written + _FIRST), frame, pattern)

        sink._send = send
        yield sink
        if not sink.frames_written:
            raise InputError(f"there are no frames to write to {shown(pattern)}")
        if is_new:
            _publish_folder(part, folder)
        else:
            _publish_files(part, pattern, sink.frames_written, overwrite)


def numbered(name: str, number: int) -> str:
    """The `number`-th name of a pattern such as `%05d.png`."""
    return NUMBER.sub(lambda match: f"{number:0{int(match[1] or 0)}d}", name)


def _check_free(pattern: Path, overwrite: bool) -> None:
    """Raises UsageError if the folder holds a file of the pattern already."""
    if not pattern.parent.is_dir():
        raise UsageError(f"{shown(pattern.parent)} is not a folder")
    before, after = (re.escape(text) for text in NUMBER.split(pattern.name)[::2])
    taken = re.compile(f"{before}[0-9]+{after}")
    for entry in [] if overwrite else os.scandir(pattern.parent):
        if taken.fullmatch(entry.name):
            raise UsageError(
                f"{shown(entry.path)} exists already",
                hint="choose another -o, or replace it with --overwrite",
            )


@contextmanager
def _made_parents(folder: Path) -> Iterator[None]:
    """Makes `folder` and what is above it; takes back what is new if the block fails."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    made: list[Path] = []
    try:
        try:
            for path in reversed(missing):
                path.mkdir()
                made.append(path)
        except OSError as error:
            raise system_failure(error, folder) from error
        yield
    except BaseException:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir()
        raise


def _write(path: Path, frame: Frame, pattern: Path) -> None:
    try:
        with path.open("xb") as file:
            file.write(encode_png(frame))
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
    """Moves the files to their names; on failure those that replaced nothing are taken back."""
    new: list[Path] = []
    try:
        for number in range(_FIRST, _FIRST + count):
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

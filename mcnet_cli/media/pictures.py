"""Frames from pictures: a folder of them, or a single one."""

import re
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

from mcnet_cli.errors import InputError, shown
from mcnet_cli.media.frames import Frame, FrameSource, Span
from mcnet_cli.media.image import read_image
from mcnet_cli.media.options import LARGEST_FRAME_PIXELS

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm"}
DEFAULT_RATE = Fraction(25)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts `frame9` before `frame10`."""
    parts = re.split(r"([0-9]+)", name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part.casefold()) for part in parts]


def open_folder(folder: Path, *, fps: Fraction | None, span: Span, strict: bool) -> FrameSource:
    """The pictures in `folder`, in natural order, scaled to the first one's size."""
    try:
        names = sorted((p.name for p in folder.iterdir()), key=lambda name: (natural_key(name), name))
    except OSError as error:
        raise InputError(f"can't open the folder {shown(folder)}: {error.strerror}") from error
    paths = [
        folder / n for n in names if Path(n).suffix.lower() in PICTURE_SUFFIXES and not n.startswith(".")
    ]
    if not paths:
        raise InputError(f"there are no pictures in the folder {shown(folder)}")
    rate = fps or DEFAULT_RATE
    return _open_pictures(folder, paths, rate, span, strict)


def open_picture(path: Path, *, fps: Fraction | None, span: Span, strict: bool) -> FrameSource:
    """One picture as a clip of one frame."""
    return _open_pictures(path, [path], fps or DEFAULT_RATE, span, strict)


def _open_pictures(path: Path, paths: list[Path], rate: Fraction, span: Span, strict: bool) -> FrameSource:
    limit = span.limit(rate)
    chosen = paths[span.first(rate) :][:limit]
    if not chosen and limit != 0:
        raise InputError(
            f"{shown(path)} has no frame at {span.start_s:g} s or later", hint="take an earlier --start"
        )
    size = _first_size(path, paths)
    return FrameSource(
        lambda source: _read_pictures(source, chosen),
        path=path,
        size=size,
        frame_rate=rate,
        frame_count_hint=len(chosen),
        strict=strict,
    )


def _first_size(path: Path, paths: list[Path]) -> tuple[int, int]:
    """The width and height of the first picture that can be read."""
    failure: InputError | None = None
    for candidate in paths:
        try:
            height, width, _ = read_image(candidate).shape
        except InputError as error:
            failure = failure or error
            continue
        if width * height > LARGEST_FRAME_PIXELS:
            raise InputError(f"{shown(candidate)} is too large for a frame: {width}x{height}")
        return width, height
    if failure and paths != [path]:
        raise InputError(f"no picture in {shown(path)} can be read: {failure}") from failure
    raise failure or InputError(f"there are no pictures in {shown(path)}")


def _read_pictures(source: FrameSource, paths: list[Path]) -> Generator[Frame, None, None]:
    """Yields the pictures; one that can't be read is replaced by its predecessor, so that the time holds."""
    from mcnet_cli.arrays import resized  # OpenCV loads here

    sizes: set[tuple[int, int]] = set()
    unreadable: list[str] = []
    previous: Frame | None = None
    for path in paths:
        try:
            frame = read_image(path)
            sizes.add((frame.shape[1], frame.shape[0]))
            previous = resized(frame, source.width, source.height)
        except InputError as error:
            unreadable.append(str(error))
            if source.strict:
                raise
        if previous is not None:
            yield previous
    if previous is None:
        raise InputError(f"no picture in {shown(source.path)} can be read: {unreadable[0]}")
    if len(sizes) > 1:
        source.warnings.append(
            f"the pictures in {shown(source.path)} have {len(sizes)} sizes: all are scaled to the first"
        )
    if unreadable:
        counts = f"{len(unreadable)} of {len(paths)} pictures in {shown(source.path)}"
        source.note_damage(f"{counts} can't be read: {unreadable[0]}")

"""Opening an output by its name."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Literal

from mcnet_cli.errors import UsageError, shown
from mcnet_cli.media.encode import open_file, open_stdout
from mcnet_cli.media.pattern import NUMBER, open_pattern
from mcnet_cli.media.sink import FrameSink
from mcnet_cli.media.sound import Sound

Kind = Literal["video", "gif", "webp", "pattern", "stdout"]
_KINDS: dict[str, Kind] = {
    ".mp4": "video",
    ".mov": "video",
    ".mkv": "video",
    ".webm": "video",
    ".gif": "gif",
    ".webp": "webp",
}
_TRANSPARENT = (".webp", ".webm", ".mov", ".png")
_WIDEST_NUMBER = 20


def output_kind(path_text: str) -> Kind:
    """What an output's name asks for: `-` is stdout, a suffix a format, `NAME%05d.png` a pattern of pictures.

    Raises UsageError for any other name.
    """
    if path_text == "-":
        return "stdout"
    path = Path(path_text)
    suffix = path.suffix.lower()
    if suffix in _KINDS:
        return _KINDS[suffix]
    if suffix == ".png":
        numbers = NUMBER.findall(path.name)
        if len(numbers) == 1 and int(numbers[0] or 0) <= _WIDEST_NUMBER:
            return "pattern"
        raise UsageError(
            f"the output {shown(path_text)} is one picture",
            hint="for a file a frame take a pattern: frames/%05d.png",
        )
    raise UsageError(
        f"no format is known for the output {shown(path_text) or '(empty)'}",
        hint="take .mp4, .mov, .mkv, .webm, .gif, .webp, a pattern like frames/%05d.png, or -",
    )


def require_transparency(path_text: str) -> None:
    """UsageError unless the output of that name can hold transparency. `output_kind` must know the name."""
    if Path(path_text).suffix.lower() not in _TRANSPARENT:
        name = "stdout" if path_text == "-" else shown(path_text)
        raise UsageError(
            f"--background transparent: {name} can't hold transparency",
            hint="take .webp, .webm, .mov, or a pattern like frames/%05d.png",
        )


@contextmanager
def open_output(
    target: Path | str,
    *,
    size: tuple[int, int],
    frame_rate: Fraction,
    audio: Path | None = None,
    audio_start_s: float = 0.0,
    overwrite: bool = False,
    strict: bool = False,
    threads: int | None = None,
    alpha: bool = False,
) -> Iterator[FrameSink]:
    """Opens a film for writing. When the block is left it is complete, counted, and at its final name.

    If the block is left by an exception nothing is there, and what was there before is untouched (stdout and
    its reader excepted). Odd sides are made even for video, by repeating the last row or column. A gif holds
    at most 50 frames a second: of a faster film every n-th frame is kept.

    Args:
        target: a name that `output_kind` knows; the folders of a pattern are made.
        size: width and height of the frames.
        frame_rate: frames a second, exact.
        audio: a file whose first sound track goes under a video, cut to its length or filled with silence.
        audio_start_s: where in it to begin.
        overwrite: whether files at the target may be replaced.
        strict: whether sound that can't be decoded is an InputError instead of a warning.
        threads: of the encoder; the same number gives the same bytes on every machine. None for as many as
            it likes. Pictures are written by one.
        alpha: whether frames are RGBA, (H, W, 4), with colours that are not multiplied by their alpha. The
            film keeps the transparency: .webp, .webm (VP9), .mov (ProRes 4444) and patterns of PNGs can.

    Raises:
        UsageError: no such format, or one that can't hold the transparency asked for, the target is taken,
            or its folder is missing.
        InputError: no frame was written, or damaged sound with `strict`.
        SystemFailure: the disk is full or fails, or ffmpeg fails or lacks the encoder.
        BrokenPipeError: the reader of stdout left.
    """
    kind = output_kind(str(target))
    if alpha:
        require_transparency(str(target))
    opened: AbstractContextManager[FrameSink]
    if kind == "stdout":
        opened = open_stdout(size=size, frame_rate=frame_rate)
    elif kind == "pattern":
        opened = open_pattern(Path(target), size=size, overwrite=overwrite, alpha=alpha)
    else:
        sound = Sound(audio, audio_start_s, strict) if audio else None
        opened = open_file(
            Path(target),
            size=size,
            frame_rate=frame_rate,
            sound=sound,
            overwrite=overwrite,
            threads=threads,
            alpha=alpha,
        )
    with opened as sink:
        yield sink

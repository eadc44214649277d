"""Opening whatever can give frames."""

import itertools
from collections.abc import Generator, Iterable
from fractions import Fraction
from pathlib import Path

from mcnet_cli.errors import InputError, UsageError
from mcnet_cli.media.animated import open_animated
from mcnet_cli.media.decode import open_video
from mcnet_cli.media.frames import Frame, FrameSource, Span
from mcnet_cli.media.image import as_picture
from mcnet_cli.media.options import require_local_file
from mcnet_cli.media.pictures import open_folder, open_picture
from mcnet_cli.media.timing import is_animated_webp, is_gif

_HEAD_BYTES = 64


def is_picture(path: Path) -> bool:
    """Whether a file is a picture that doesn't move. InputError if it is no readable regular file."""
    return _is_still(_head(path))


def open_frames(
    path: Path,
    *,
    fps: Fraction | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
    max_frames: int | None = None,
    strict: bool = False,
) -> FrameSource:
    """Opens a video, a gif, an animated WebP, a folder of pictures or one picture as a stream of frames.

    Args:
        path: a local file or folder; the content decides what it is, not the suffix.
        fps: frames a second; by default the clip's own, 25 for pictures. Frames are repeated or left out.
        start_s: where to begin, in seconds of the clip.
        end_s: where to end.
        max_frames: at most so many frames.
        strict: whether damage ends the iteration with InputError instead of a warning.

    Raises:
        InputError: the file can't be used; while iterating, too: no frame decodes, or damage with `strict`.
        UsageError: times or a rate that contradict themselves.
        SystemFailure: ffmpeg can't be run.
    """
    if start_s < 0 or (end_s is not None and end_s <= start_s):
        raise UsageError(f"the end ({end_s} s) must come after the start ({start_s} s), and neither before 0")
    if fps is not None and not 0 < fps <= 1000:
        raise UsageError(f"a rate of {float(fps):g} frames a second is out of range (over 0, up to 1000)")
    span = Span(start_s, end_s, max_frames)
    if path.is_dir():
        return open_folder(path, fps=fps, span=span, strict=strict)
    head = _head(path)
    if is_animated_webp(head) or is_gif(head):
        return open_animated(path, head, fps=fps, span=span, strict=strict)
    if _is_still(head):
        return open_picture(path, fps=fps, span=span, strict=strict)
    return open_video(path, fps=fps, span=span, strict=strict)


def open_arrays(frames: Iterable[Frame], rate: Fraction, *, max_frames: int | None = None) -> FrameSource:
    """Arrays (H, W, 3) uint8 RGB, all of one size, as a stream of frames.

    InputError at the first that isn't so, or if there is none.
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


def _head(path: Path) -> bytes:
    require_local_file(path)
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _is_still(head: bytes) -> bool:
    """Whether a file is a picture that doesn't move, by its first bytes."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"acTL" not in head
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP" and not is_animated_webp(head)
    return head.startswith((b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*"))

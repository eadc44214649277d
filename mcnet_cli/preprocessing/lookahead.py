"""Frames with the faces in every n-th of them, searched for in batches where a detector gains by that."""

from collections.abc import Callable, Iterable, Iterator

from mcnet_cli.face import BatchDetector, Detector, Face
from mcnet_cli.media.frames import Frame

MOST_WAITING_BYTES = 256 << 20  # of frames that have been read and not been searched

Numbered = tuple[int, Frame]


def with_faces(
    frames: Iterable[Numbered], detector: Detector, every: int, wanted: Callable[[int], bool]
) -> Iterator[tuple[int, Frame, list[Face] | None]]:
    """Each of the numbered frames (H, W, 3), all of one size, with the faces in it if it was searched.

    Searched are the wanted ones whose number is a multiple of `every`; by a detector that takes one picture
    at a time, none.
    """
    if not isinstance(detector, BatchDetector) or detector.batch_size == 1:
        for number, rgb in frames:
            yield number, rgb, None
        return
    waiting: list[Numbered] = []
    for number, rgb in frames:
        waiting.append((number, rgb))
        if len(waiting) >= min(detector.batch_size * every, max(1, MOST_WAITING_BYTES // rgb.nbytes)):
            yield from _searched(waiting, detector, every, wanted)
            waiting.clear()
    yield from _searched(waiting, detector, every, wanted)


def _searched(
    frames: list[Numbered], detector: BatchDetector, every: int, wanted: Callable[[int], bool]
) -> Iterator[tuple[int, Frame, list[Face] | None]]:
    chosen = {number: rgb for number, rgb in frames if number % every == 0 and wanted(number)}
    faces = dict(zip(chosen, detector.detect_batch([*chosen.values()]) if chosen else [], strict=True))
    for number, rgb in frames:
        yield number, rgb, faces.get(number)

"""How far long work has come: the one type in which every part of the package reports it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of a stage is done.

    stage: what is being done, in words. done: units so far. total: units in all, None where nobody knows.
    unit: what is counted, in words; figures to show beside the count may follow it.

    Example:
        >>> from mcnet_cli import Progress
        >>> Progress("rendering", done=40, total=200)
        Progress(stage='rendering', done=40, total=200, unit='frames')
    """

    stage: str
    done: int
    total: int | None
    unit: str = "frames"


OnProgress = Callable[[Progress], None]


def silent(_progress: Progress) -> None:
    """Ignores progress: for callers that don't ask for it."""

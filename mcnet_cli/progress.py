"""How far long work has come."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of a stage is done.

    stage: what is being done, in words. done: units so far, from 1; which unit it is (frames, clips) depends
    on the stage. total: units in all, None where nobody knows.

    Example:
        >>> from mcnet_cli import Progress
        >>> Progress("rendering", done=40, total=200)
        Progress(stage='rendering', done=40, total=200)
    """

    stage: str
    done: int
    total: int | None


OnProgress = Callable[[Progress], None]


def silent(_progress: Progress) -> None:
    """Progress for nobody."""

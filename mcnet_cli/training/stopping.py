"""Ending a run: Ctrl-C and TERM let the step end and be saved; one process at a time writes to a run."""

import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from mcnet_cli import system
from mcnet_cli.errors import UsageError, shown

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def stop_asked() -> Iterator[Callable[[], int]]:
    """Yields a function that gives the number of the signal that came, or 0.

    A second signal acts at once, and a signal that our parent had us ignore stays ignored.
    """
    asked: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        for which, handler in before.items():
            signal.signal(which, handler)
        asked.append(number)
        logger.warning("finishing the step and saving; once more to stop at once")

    heeded = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) is not signal.SIG_IGN]
    before = {which: signal.signal(which, remember) for which in heeded}
    try:
        yield lambda: asked[0] if asked else 0
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


def stop(number: int) -> None:
    """Ends as the signal `number` wants it."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


@contextlib.contextmanager
def locked(run: Path) -> Iterator[None]:
    """Holds the lock of a run's folder; death releases it. UsageError if another process holds it."""
    try:
        with system.locked(run / ".lock", wait=False):
            yield
    except system.LockHeld as error:
        raise UsageError(
            f"{shown(run)} is in use by {shown(str(error))}", hint="wait for it, or choose another -o"
        ) from error

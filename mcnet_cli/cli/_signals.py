"""Ctrl-C and TERM: the first unwinds the program so that `finally` blocks run, the second ends it at once.

Child processes need no killing here: they end when the pipes to them close.
"""

import os
import signal
from types import FrameType

_received: int | None = None
_unwinding = False


def install() -> None:
    """Starts listening. A signal that our parent had us ignore (nohup, a background job) stays ignored."""
    global _received, _unwinding
    _received, _unwinding = None, False
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)


def end_at_once() -> None:
    """From now on a signal ends the process at once: the work is over or being undone."""
    global _unwinding
    _unwinding = True


def exit_code() -> int | None:
    """130 after Ctrl-C, 143 after TERM, None if neither came."""
    return None if _received is None else 128 + _received


def check() -> None:
    """Raises again what a signal has raised, should a library have swallowed it."""
    if _received is not None:
        _throw(_received)


def _handle(number: int, _frame: FrameType | None) -> None:
    global _received
    if _unwinding or _received is not None:
        os._exit(128 + number)
    _received = number
    _throw(number)


def _throw(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)

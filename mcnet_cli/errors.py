"""Expected failures. Each class carries the exit code that `mcnet` ends with."""

from pathlib import Path
from typing import ClassVar


class McnetError(Exception):
    """An expected failure: one clear message, one exit code.

    The message says what is wrong and names the file; `hint` says what to do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(McnetError):
    """The request contradicts itself or asks for something that does not exist."""

    exit_code = 2


class InputError(McnetError):
    """A file the user gave can't be used."""

    exit_code = 3


class WeightsError(McnetError):
    """A weights file is missing or can't be used."""

    exit_code = 4


class SystemFailure(McnetError):  # noqa: N818 - not an error of ours: disk, memory, ffmpeg
    """The system failed us: disk full, out of memory, ffmpeg missing or broken."""

    exit_code = 5


def shown(path: str | Path) -> str:
    """A file name as one printable line: control characters and undecodable bytes escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in str(path)
    )

"""Expected failures. Each class carries the exit code that `mcnet` ends with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar


class McnetError(Exception):
    """An expected failure: one clear message, one exit code.

    The message says what is wrong and names the file; `hint` says what to do about it.

    Example:
        >>> from mcnet_cli import Animator, McnetError
        >>> try:
        ...     Animator.load("no-such-weights")
        ... except McnetError as error:
        ...     print(type(error).__name__, error.exit_code)
        WeightsError 4
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(McnetError):
    """The request contradicts itself or asks for something that does not exist.

    Example:
        >>> from mcnet_cli import Transfer
        >>> Transfer(strength=-1)
        Traceback (most recent call last):
        mcnet_cli.errors.UsageError: --strength -1: must be at least 0 and at most 10
    """

    exit_code = 2


class InputError(McnetError):
    """A file the user gave can't be used.

    Example:
        >>> from mcnet_cli import Animator
        >>> Animator.load("lite").portrait("no-such-photo.jpg")
        Traceback (most recent call last):
        mcnet_cli.errors.InputError: can't open no-such-photo.jpg: No such file or directory
    """

    exit_code = 3


class WeightsError(McnetError):
    """A weights file is missing or can't be used.

    Example:
        >>> from mcnet_cli import load_model
        >>> load_model("portrait.jpg")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        mcnet_cli.errors.WeightsError: portrait.jpg is not a weights file: ...
    """

    exit_code = 4


class SystemFailure(McnetError):  # noqa: N818 - not an error of ours: disk, memory, ffmpeg
    """The system failed us: disk full, out of memory, ffmpeg missing or broken.

    Example:
        >>> from mcnet_cli import SystemFailure
        >>> SystemFailure("can't write film.mp4: No space left on device").exit_code
        5
    """

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Failure:
    """What any exception means to a user: a line that says what is wrong, and perhaps one on what to do."""

    exit_code: int
    message: str
    hint: str | None = None

    @property
    def is_bug(self) -> bool:
        """Whether nobody expected this: then the traceback is shown."""
        return self.exit_code == 1

    def as_json(self) -> dict[str, Any]:
        """The object that programs get, by `--json` and from `mcnet web`."""
        return {"code": self.exit_code, "message": self.message, "hint": self.hint}


def shown(path: str | Path) -> str:
    """A file name as one printable line: control characters and undecodable bytes escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in str(path)
    )


def counted(number: int, noun: str) -> str:
    """A number of things in words: `1 frame`, `2 frames`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"

"""What an exception means to the user: an exit code and one to three lines."""

import json
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from mcnet_cli import __version__
from mcnet_cli.cli import _signals
from mcnet_cli.cli._console import console
from mcnet_cli.errors import McnetError, shown
from mcnet_cli.files import SYSTEM_ERRNOS
from mcnet_cli.system import lacks_system_library, reader_has_left


@dataclass(frozen=True, slots=True)
class Failure:
    """One line that says what is wrong and where, and perhaps one that says what to do."""

    exit_code: int
    message: str
    hint: str | None = None

    @property
    def is_bug(self) -> bool:
        """Whether nobody expected this: then the traceback is shown."""
        return self.exit_code == 1


def conclude(error: BaseException, words: Sequence[str]) -> int:
    """Shows `error`, which ended the command line `words`, and returns the exit code.

    With `--json` the error is an object on stdout as well: {"version", "error": {"code", "message", "hint"}}.
    """
    if isinstance(error, BrokenPipeError) and _reader_of_stdout_left():
        _forget_stdout()
        return 0
    if _signals.exit_code() is None and isinstance(error, SystemExit) and not isinstance(error.code, str):
        return error.code or 0
    failure = explain(error)
    if failure.is_bug or (console.verbose and isinstance(error, Exception)):
        console.line("".join(traceback.format_exception(error)).rstrip())
    console.line(f"mcnet: {failure.message}")
    if failure.hint:
        console.line(f"  {failure.hint}")
    if console.json or "--json" in words[: words.index("--") if "--" in words else None]:
        details = {"code": failure.exit_code, "message": failure.message, "hint": failure.hint}
        try:
            print(json.dumps({"version": __version__, "error": details}), flush=True)
        except OSError:
            _forget_stdout()
    return failure.exit_code


def explain(error: BaseException) -> Failure:
    """Translates any exception."""
    if code := _signals.exit_code():
        return Failure(code, "interrupted" if code == 130 else "terminated")
    if isinstance(error, KeyboardInterrupt):
        return Failure(130, "interrupted")
    if isinstance(error, McnetError):
        return Failure(error.exit_code, _lines(str(error), 2), error.hint and _lines(error.hint, 1))
    if hasattr(error, "format_message"):  # typer's usage errors; their class has moved between its versions
        context = getattr(error, "ctx", None)
        help_of = context.command_path if context else "mcnet"
        return Failure(2, _lines(error.format_message(), 2), f"see {help_of} --help")
    if _is_out_of_memory(error):
        return Failure(5, "out of memory", "take a smaller --batch-size, or close other programs")
    if isinstance(error, OSError) and (failure := _explain_os_error(error)):
        return failure
    if isinstance(error, ImportError) and lacks_system_library(error):
        return Failure(
            5, f"a system library is missing: {_lines(str(error), 1)}", "install it, then try again"
        )
    name = type(error).__name__
    return Failure(1, f"this is a bug in mcnet ({name}). Please report it with the lines above.")


def _explain_os_error(error: OSError) -> Failure | None:
    reason = error.strerror or str(error)
    if error.errno in SYSTEM_ERRNOS:
        where = f" at {shown(os.fsdecode(error.filename))}" if isinstance(error.filename, str | bytes) else ""
        return Failure(5, f"the system failed us{where}: {_lines(reason, 1)}")
    if isinstance(error, BrokenPipeError):
        return Failure(5, "a program that mcnet works with has ended early")
    if error.errno is not None and isinstance(error.filename, str | bytes | os.PathLike):
        return Failure(
            3, f"can't use {shown(os.fsdecode(error.filename))}: {_lines(reason, 1)}", "check the name"
        )
    return None


def _is_out_of_memory(error: BaseException) -> bool:
    """Also for torch and OpenCV, which have exceptions of their own."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    said = str(error)
    return isinstance(error, Exception) and (
        "DefaultCPUAllocator: can't allocate memory" in said or "Insufficient memory" in said
    )


def _lines(text: str, most: int) -> str:
    """At most `most` printable lines of `text`."""
    lines = [shown(line.rstrip()) for line in text.split("\n") if line.strip()]
    return "\n".join(lines[:most]) or "no reason given"


def _reader_of_stdout_left() -> bool:
    """Whether stdout is a pipe that nobody reads any more (`mcnet ... | head`)."""
    try:
        return reader_has_left(sys.stdout.fileno())
    except (OSError, ValueError):  # stdout is no file
        return True


def _forget_stdout() -> None:
    """Lets the interpreter's last flush of stdout go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

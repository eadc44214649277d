"""All that mcnet says: progress, messages, results, and what an exception means to the user.

Messages go to stderr; stdout is for results alone. Text is never parsed as markup and never wrapped: file
names must come out as they are.
"""

import contextlib
import json
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mcnet_cli import __version__
from mcnet_cli.cli import _signals
from mcnet_cli.errors import Failure, McnetError, shown
from mcnet_cli.files import SYSTEM_ERRNOS
from mcnet_cli.installed import failure_behind
from mcnet_cli.progress import Progress
from mcnet_cli.reports import Report
from mcnet_cli.system import lacks_system_library, reader_has_left

if TYPE_CHECKING:
    from rich.progress import Progress as ProgressBar
    from rich.progress import TaskID

PLAIN_INTERVAL_S = 5.0


class Console:
    """Messages, progress and the report, as --quiet, --verbose and --json want them."""

    def __init__(self) -> None:
        self.quiet = False
        self.verbose = False
        self.json = False
        self._live: ProgressBar | None = None
        self._task: TaskID | None = None
        self._stage: str | None = None
        self._began = self._shown = 0.0

    def reset(self) -> None:
        """Forgets an earlier run's options and listens to the package's loggers."""
        self.quiet = self.verbose = self.json = False
        logger = logging.getLogger("mcnet_cli")
        logger.handlers = [_LogHandler(self)]
        logger.propagate = False
        self._set_levels()

    def set_quiet(self, value: bool) -> bool:
        """Callback of --quiet: no progress, no summary; warnings and errors stay."""
        self.quiet = value
        self._set_levels()
        return value

    def set_verbose(self, value: bool) -> bool:
        """Callback of --verbose: details, libraries' warnings, tracebacks of expected errors."""
        self.verbose = value
        self._set_levels()
        return value

    def set_json(self, value: bool) -> bool:
        """Callback of --json: the report is one JSON object on stdout."""
        self.json = value
        return value

    def _set_levels(self) -> None:
        ours = logging.DEBUG if self.verbose else logging.WARNING if self.quiet else logging.INFO
        logging.getLogger("mcnet_cli").setLevel(ours)
        # What libraries log or warn about helps to find a fault, and would confuse everybody else.
        logging.getLogger().handlers = [_LogHandler(self)] if self.verbose else [logging.NullHandler()]
        warnings.simplefilter("default" if self.verbose else "ignore")

    def line(self, text: str) -> None:
        """One message on stderr, above the progress bar if there is one."""
        with contextlib.suppress(OSError, ValueError):  # stderr may be closed; there is nobody left to tell
            if self._live is not None:
                self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
            else:
                sys.stderr.write(text + "\n")
                sys.stderr.flush()

    def progress(self, progress: Progress) -> None:
        """Shows how far a stage has come: every command hands this to the work that it calls.

        On a terminal a bar with rate and time left, elsewhere a plain line every few seconds. It also stops a
        run whose Ctrl-C a library has swallowed, so long work calls it for each batch.
        """
        _signals.check()
        if self.quiet:
            return
        now = time.monotonic()
        if progress.stage != self._stage:
            self._stage, self._began, self._shown = progress.stage, now, now
            self._task = None
        seconds = now - self._began
        if sys.stderr.isatty():
            self._show_bar(progress, seconds)
        elif now - self._shown >= PLAIN_INTERVAL_S:
            self._shown = now
            done, total = progress.done, progress.total
            left = f", {(total - done) * seconds / done:.0f} s left" if total and 0 < done < total else ""
            self.line(f"{progress.stage}: {_counts(progress, seconds)}{left}")

    def _show_bar(self, progress: Progress, seconds: float) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as ProgressBar

        if self._live is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[counts]}", markup=False),
                TimeRemainingColumn(),
            )
            self._live = ProgressBar(*columns, console=RichConsole(stderr=True))
            self._live.start()
        if self._task is None:
            self._task = self._live.add_task(progress.stage, total=progress.total, counts="")
        self._live.update(
            self._task, completed=progress.done, total=progress.total, counts=_counts(progress, seconds)
        )

    def report(self, report: Report) -> None:
        """The result of a command: as JSON on stdout with --json, else as text on stderr unless --quiet."""
        self.close()
        self.result(report.as_json(), report.as_text())

    def result(self, data: Mapping[str, Any], text: str | None) -> None:
        """One of many results, as it comes: with --json a line of `data` on stdout, else `text` on stderr."""
        if self.json:
            print(json.dumps(data), flush=True)
        elif text is not None and not self.quiet:
            self.line(text)

    def show(self, report: Report, text: str | None = None) -> None:
        """What a command was asked to show, on stdout: as JSON with --json, else as text, its own or this."""
        self.close()
        print(json.dumps(report.as_json()) if self.json else text or report.as_text(), flush=True)

    def close(self) -> None:
        """Ends the progress bar."""
        live, self._live, self._task, self._stage = self._live, None, None, None
        if live is not None:
            live.stop()


def _counts(progress: Progress, seconds: float) -> str:
    """For example `40/200 frames, 8.0/s`."""
    total = f"/{progress.total}" if progress.total else ""
    rate = f", {progress.done / seconds:.1f}/s" if seconds > 0 else ""
    return f"{progress.done}{total} {progress.unit}{rate}"


class _LogHandler(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        prefix = f"{record.levelname.lower()}: " if record.levelno != logging.INFO else ""
        self.console.line(prefix + record.getMessage())


console = Console()


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
        try:
            print(json.dumps({"version": __version__, "error": failure.as_json()}), flush=True)
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
    if failure_of_library := failure_behind(error):
        return explain(failure_of_library)
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

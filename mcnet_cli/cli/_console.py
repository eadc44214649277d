"""All that mcnet says. Messages go to stderr; stdout is for results alone.

Text is never parsed as markup and never wrapped: file names must come out as they are.
"""

import contextlib
import json
import logging
import sys
import time
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mcnet_cli.cli import _signals
from mcnet_cli.progress import Progress

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
        # What libraries log or warn about is for whoever looks into a fault, not for users.
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

    def report(self, data: Mapping[str, Any], text: str) -> None:
        """The result of a command: `data` on stdout with --json, else `text` on stderr unless --quiet."""
        self.close()
        if self.json:
            print(json.dumps(data), flush=True)
        elif not self.quiet:
            self.line(text)

    def show(self, data: Mapping[str, Any], text: str) -> None:
        """What a command was asked to show, on stdout: `data` with --json, else `text`."""
        self.close()
        print(json.dumps(data) if self.json else text, flush=True)

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

"""Running ffmpeg as a child process that never blocks on its own messages and never outlives us."""

import contextlib
import logging
import os
import re
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, cast

from mcnet_cli.errors import SystemFailure, shown
from mcnet_cli.system import child_options, enlarge_pipe, note_memory_of_child

logger = logging.getLogger(__name__)

# A line that `-loglevel level+...` marks as an error: "[h264 @ 0x5581] [error] text". The pattern is anchored
# so that a title inside a file can't pose as an error.
_ERROR_LINE = re.compile(r"^(?:\[[^\]]*\] )*?\[(?:error|fatal|panic)\] (.*)$")
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|_KEY$|^FFREPORT$|^AV_LOG_FORCE", re.IGNORECASE)
_MAX_LINE_BYTES = 8192  # a hostile file can make ffmpeg print very long lines


def child_environment() -> dict[str, str]:
    """The environment without tokens and without variables that make ffmpeg write files or colours."""
    return {name: value for name, value in os.environ.items() if not _SECRET_NAME.search(name)}


@dataclass(slots=True)
class Log:
    """What a child wrote to stderr, in bounded memory.

    pattern: looked for in every line. errors: the first error messages; last: the last ones.
    error_count: how many there were in all. lines: the first lines. matches: the groups of `pattern`, without
    repetitions in a row.
    """

    pattern: re.Pattern[str] | None = None
    errors: list[str] = field(default_factory=list)
    error_count: int = 0
    lines: list[str] = field(default_factory=list)
    last: deque[str] = field(default_factory=lambda: deque(maxlen=8))
    matches: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Takes one line."""
        if len(self.lines) < 300:
            self.lines.append(line)
        if self.pattern and (match := self.pattern.search(line)) and len(self.matches) < 100:
            groups = tuple(match.groups(""))
            if not self.matches or self.matches[-1] != groups:
                self.matches.append(groups)
        if match := _ERROR_LINE.match(line):
            self.error_count += 1
            self.last.append(match[1])
            if len(self.errors) < 30:
                self.errors.append(match[1])

    @property
    def text(self) -> str:
        """The error messages that were kept, one per line."""
        return "\n".join(dict.fromkeys([*self.errors, *self.last]))

    @property
    def reason(self) -> str:
        """The first error message as one printable line."""
        return shown(self.errors[0].strip()) if self.errors else "no reason given"


class Child:
    """A running ffmpeg. Use `running` to start one."""

    def __init__(self, process: subprocess.Popen[bytes], log: Log) -> None:
        self.process = process
        self.log = log
        self._drain = threading.Thread(target=self._read_stderr, daemon=True)
        self._drain.start()

    def _read_stderr(self) -> None:
        stderr = cast(IO[bytes], self.process.stderr)
        with contextlib.suppress(OSError, ValueError):
            while line := stderr.readline(_MAX_LINE_BYTES):
                self.log.add(line.decode("utf-8", "replace").rstrip())

    def read_exactly(self, buffer: memoryview) -> int:
        """Fills `buffer` from the child's stdout; returns the bytes read, fewer than asked at the end."""
        stdout = cast(IO[bytes], self.process.stdout)
        got = 0
        while got < len(buffer):
            count = stdout.readinto(buffer[got:])  # type: ignore[attr-defined]  # a FileIO: unbuffered
            if not count:
                break
            got += count
        return got

    def read(self, count: int) -> bytes:
        """So many bytes of the child's stdout, fewer at its end."""
        buffer = bytearray(count)
        return bytes(buffer[: self.read_exactly(memoryview(buffer))])

    def write_all(self, data: memoryview) -> None:
        """Sends `data`; blocks while the child is busy. BrokenPipeError if it has ended."""
        stdin = cast(IO[bytes], self.process.stdin)
        while data:
            data = data[stdin.write(data) :]

    def finish(self) -> int:
        """Closes stdin, waits for the end, and returns the exit status; the log is complete then."""
        note_memory_of_child(self.process.pid)
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        status = self.process.wait()
        self._drain.join(5)
        return status

    def end(self) -> None:
        """Kills the child if it still runs, and closes its pipes."""
        if self.process.poll() is None:
            self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        self.process.wait()
        _living.discard(self.process)
        self._drain.join(5)
        if not self._drain.is_alive() and self.process.stderr:
            self.process.stderr.close()


_living: set[subprocess.Popen[bytes]] = set()


def end_children() -> None:
    """Kills all children that still run, also one that was started just before a signal came."""
    for process in list(_living):
        process.kill()
        process.wait()
        _living.discard(process)


@contextlib.contextmanager
def running(
    arguments: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    descriptors: tuple[int, ...] = (),
    pattern: re.Pattern[str] | None = None,
) -> Iterator[Child]:
    """Starts ffmpeg with `arguments` (the binary first) and ends it when the block is left.

    A Ctrl-C at the terminal reaches us alone. descriptors: open files that the child inherits.

    Raises SystemFailure if it can't be started.
    """

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            list(arguments),
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=child_environment(),
            **child_options(descriptors),
        )
        for pipe in filter(None, (process.stdin, process.stdout)):
            enlarge_pipe(pipe)
        return process

    try:
        process = _undisturbed(start)
    except OSError as error:
        raise SystemFailure(
            f"can't run ffmpeg ({shown(arguments[0])}): {error.strerror}",
            hint="set MCNET_FFMPEG to a working ffmpeg, or unset it",
        ) from error
    child = Child(process, Log(pattern))
    try:
        yield child
    finally:
        child.end()
        for message in child.log.text.splitlines():
            logger.debug("ffmpeg: %s", shown(message))


def _undisturbed(start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Starts a process in a thread, because a signal handler that raises in Popen would lose the child."""
    made: list[subprocess.Popen[bytes]] = []
    failed: list[OSError] = []
    lock, given_up = threading.Lock(), threading.Event()

    def run() -> None:
        with lock:
            if given_up.is_set():
                return
            try:
                made.append(start())
                _living.add(made[0])
            except OSError as error:
                failed.append(error)

    thread = threading.Thread(target=run)
    try:
        thread.start()
        thread.join()
    except BaseException:
        with lock:  # once the lock is free the thread has either started the process or never will
            given_up.set()
            for process in made:
                process.kill()
                process.wait()
                _living.discard(process)
        raise
    if failed:
        raise failed[0]
    return made[0]

"""Processes of this program's own: how they are started, and the messages between them."""

import contextlib
import logging
import os
import pickle
import sys
from collections.abc import Callable
from logging.handlers import QueueHandler
from typing import IO, Any

PACKAGE_LOGGER = "mcnet_cli"  # all messages for users go through it
LENGTH_BYTES = 8  # before each message: its length


def python_call(function: Callable[[], None]) -> list[str]:
    """The arguments that start a Python of its own, which calls a function of a module.

    It takes the same modules as this one, wherever they came from, and nothing from the current folder.
    """
    module, name = function.__module__, function.__name__
    return [
        sys.executable,
        "-c",
        f"import sys; sys.path[:] = {sys.path!r}; from {module} import {name}; {name}()",
    ]


def answers_on_stdout() -> IO[bytes]:
    """What was stdout, for answers alone: whatever else is printed goes to stderr from now on."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def send(file: IO[bytes], message: Any) -> None:
    """Writes a message whole; OSError if whoever reads is gone."""
    data = memoryview(packed(message))
    while data:
        data = data[file.write(data) :]


def packed(content: Any) -> bytes:
    """What another process has to read to receive this."""
    data = pickle.dumps(content)
    return len(data).to_bytes(LENGTH_BYTES, "little") + data


def received(read: Callable[[int], bytes]) -> Any:
    """The next message, from a process that this one started, or that started it; EOFError if it is gone."""
    length = read(LENGTH_BYTES)
    if len(length) < LENGTH_BYTES:
        raise EOFError
    return pickle.loads(read(int.from_bytes(length, "little")))


def log_level() -> int:
    """From which level on this process shows what the package logs."""
    return logging.getLogger(PACKAGE_LOGGER).getEffectiveLevel()


def send_log(send: Callable[[logging.LogRecord], None], level: int) -> None:
    """From now on has what the package logs, from a level on, sent instead of shown.

    Whoever receives a record shows it by `show_log`. Where nobody does any more, it is lost.
    """
    logger = logging.getLogger(PACKAGE_LOGGER)
    logger.handlers, logger.propagate = [_LogSender(send)], False
    logger.setLevel(level)


def show_log(record: logging.LogRecord) -> None:
    """Logs here what another process has logged and sent."""
    logging.getLogger(record.name).handle(record)


class _LogSender(QueueHandler):
    def __init__(self, send: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(queue=None)  # type: ignore[arg-type]  # `enqueue` needs none
        self._send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        """Sends a record that has been made ready for it."""
        with contextlib.suppress(OSError):
            self._send(record)

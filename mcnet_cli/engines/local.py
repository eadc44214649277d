"""Items of work in this process, or in several of this machine. A process that dies is replaced."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any

from mcnet_cli.engines.work import (
    GRACE_S,
    MAX_ATTEMPTS,
    TICK_S,
    Event,
    Events,
    Item,
    Result,
    State,
    Tell,
    Work,
)
from mcnet_cli.processes import log_level, send_log, show_log
from mcnet_cli.system import release_signals, signals_held

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_is_leaving = False  # whether this process, a worker, is about to end

log = logging.getLogger(__name__)


def run_here(
    work: Work[Item, State, Result], items: Sequence[Item], state: State, on_news: Tell
) -> Events[Item, Result]:
    """Works on the items one after the other in this process. on_news: gets partial results."""
    for item in items:
        yield Event(item, work.do(item, state, on_news))


@dataclass
class _Task:
    """An item, and how often a process has died of it."""

    item: Any
    attempts: int = 0


@dataclass
class _Worker:
    """A process and what it works on."""

    process: SpawnProcess
    pipe: Connection
    task: _Task | None = None


@dataclass
class _Pool:
    work: Work[Any, Any, Any]
    waiting: deque[_Task]
    workers: list[_Worker] = field(default_factory=list)

    def start(self) -> None:
        """Starts a worker.

        Signals are blocked until it is ready to handle them, because a Ctrl-C reaches it too.
        """
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.work, log_level()), daemon=True)
        with signals_held(SIGNALS):
            process.start()
            self.workers.append(_Worker(process, ours))
        theirs.close()

    def feed(self, worker: _Worker) -> None:
        """Gives a worker its next item, or None if there are no more."""
        worker.task = self.waiting.popleft() if self.waiting else None
        with contextlib.suppress(OSError):  # it has died, which `_receive` notices
            worker.pipe.send(worker.task)

    def remove(self, worker: _Worker) -> Event[Any, Any] | None:
        """Removes a worker that has died. Its item is tried again, or given up by the event returned."""
        self.workers.remove(worker)
        worker.pipe.close()
        worker.process.join()
        task = worker.task
        if task is None:
            return None
        task.attempts += 1
        if task.attempts < MAX_ATTEMPTS:
            log.info("a process died (%s); its work is tried again", worker.process.exitcode)
            self.waiting.appendleft(task)
            return None
        return Event(task.item, self.work.note_crash(task.item))

    def end(self) -> None:
        """Asks all workers to undo what they are doing, and kills those that don't."""
        for worker in self.workers:
            worker.process.terminate()
        until = time.monotonic() + GRACE_S
        for worker in self.workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()


def run_locally(work: Work[Item, State, Result], items: Sequence[Item], workers: int) -> Events[Item, Result]:
    """Works on the items in `workers` processes of this machine."""
    pool = _Pool(work, deque(map(_Task, items)))
    try:
        while pool.waiting or any(worker.task for worker in pool.workers):
            busy = sum(worker.task is not None for worker in pool.workers)
            for _ in range(min(workers, busy + len(pool.waiting)) - len(pool.workers)):
                pool.start()
            ready: list[Any] = wait([worker.pipe for worker in pool.workers], timeout=TICK_S)
            yield Event()
            for worker in [worker for worker in pool.workers if worker.pipe in ready]:
                yield from _receive(pool, worker)
    finally:
        pool.end()


def _receive(pool: _Pool, worker: _Worker) -> Iterator[Event[Any, Any]]:
    try:
        message = worker.pipe.recv()
    except (EOFError, OSError):
        if given_up := pool.remove(worker):
            yield given_up
        return
    if isinstance(message, BaseException):
        raise message
    if isinstance(message, logging.LogRecord):
        show_log(message)
        return
    if isinstance(message, Event):
        yield message
        return
    if worker.task is not None:
        yield Event(worker.task.item, message)
    pool.feed(worker)


class _Pipe:
    """A worker's connection to its parent, which its threads share. The package's log goes through it."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def send(self, message: Any) -> None:
        """Sends one message whole."""
        with self._lock:
            self._connection.send(message)


def _serve(connection: Connection, work: Work[Any, Any, Any], level: int) -> None:
    """The main function of a worker: asks for items until there are no more, or the parent is gone.

    level: the lowest level of the log that is sent to the parent.
    """
    global _is_leaving
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent sends SIGTERM
    signal.signal(signal.SIGTERM, _leave)
    release_signals(SIGNALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pipe = _Pipe(connection)
    send_log(pipe.send, level)
    result = None  # sending an item's result asks for the next item
    try:
        state = work.prepare()
        while True:
            pipe.send(result)
            task: _Task | None = connection.recv()
            if task is None:
                return
            result = work.do(task.item, state, lambda news: pipe.send(Event(news=news)))
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send(error)
    finally:
        _is_leaving = True


def _leave(number: int, _frame: FrameType | None) -> None:
    """Ends a worker by a signal. Later signals change nothing, so that cleaning up isn't interrupted.

    That is why it stays the handler: were it replaced by `SIG_IGN`, Python would print a traceback of a
    signal that arrives at that moment.
    """
    global _is_leaving
    if not _is_leaving:
        _is_leaving = True
        raise SystemExit(128 + number)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

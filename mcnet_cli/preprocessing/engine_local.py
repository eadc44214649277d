"""Tasks in processes of this machine. One that dies takes its task along, not the run."""

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

from mcnet_cli.errors import shown
from mcnet_cli.preprocessing.engine import ATTEMPTS, CRASHED, Event, Events
from mcnet_cli.preprocessing.inputs import Source
from mcnet_cli.preprocessing.task import Work
from mcnet_cli.preprocessing.video import Tools
from mcnet_cli.system import release_signals, signals_held

TICK_S = 0.5
GRACE_S = 1.2  # for processes to undo what they were doing
SIGNALS = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger(__name__)


@dataclass
class _Worker:
    """A process and the source that it works on."""

    process: SpawnProcess
    pipe: Connection
    source: Source | None = None


@dataclass
class _Pool:
    work: Work
    waiting: deque[Source]
    workers: list[_Worker] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)

    def start(self) -> None:
        """Starts a worker.

        It is born with signals held back, so that a Ctrl-C, which reaches it too, finds it prepared.
        """
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.work), daemon=True)
        with signals_held(SIGNALS):
            process.start()
            self.workers.append(_Worker(process, ours))
        theirs.close()

    def feed(self, worker: _Worker) -> None:
        """Gives a worker its next task, or lets it go."""
        worker.source = self.waiting.popleft() if self.waiting else None
        with contextlib.suppress(OSError):  # it has died: seen when it is waited for
            worker.pipe.send(worker.source)

    def bury(self, worker: _Worker) -> Source | None:
        """Replaces a worker that has died. Returns its source if that is given up."""
        self.workers.remove(worker)
        worker.pipe.close()
        worker.process.join()
        source = worker.source
        if source is None:
            return None
        self.attempts[source.name] = self.attempts.get(source.name, 0) + 1
        if self.attempts[source.name] < ATTEMPTS:
            log.info("the process for %s died (%s): again", shown(source.path), worker.process.exitcode)
            self.waiting.appendleft(source)
        else:
            self.work.give_up(source, f"{shown(source.path)}: {CRASHED}")
            return source
        return None

    def end(self) -> None:
        """Has all workers undo what they are doing, and ends those that don't."""
        for worker in self.workers:
            worker.process.terminate()
        until = time.monotonic() + GRACE_S
        for worker in self.workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()


def run_locally(work: Work, sources: Sequence[Source], workers: int) -> Events:
    """An engine: see `engine.Engine`."""
    pool = _Pool(work, deque(sources))
    try:
        while pool.waiting or any(worker.source for worker in pool.workers):
            busy = sum(worker.source is not None for worker in pool.workers)
            for _ in range(min(workers, busy + len(pool.waiting)) - len(pool.workers)):
                pool.start()
            ready: list[Any] = wait([worker.pipe for worker in pool.workers], timeout=TICK_S)
            yield Event()
            for worker in [worker for worker in pool.workers if worker.pipe in ready]:
                yield from _hear(pool, worker)
    finally:
        pool.end()


def _hear(pool: _Pool, worker: _Worker) -> Iterator[Event]:
    try:
        said = worker.pipe.recv()
    except (EOFError, OSError):
        if given_up := pool.bury(worker):
            yield Event(finished=given_up)
        return
    if isinstance(said, BaseException):
        raise said
    if isinstance(said, Event):
        yield said
        return
    if worker.source is not None:
        yield Event(finished=worker.source)
    pool.feed(worker)


def _serve(pipe: Connection, work: Work) -> None:
    """The life of a worker: asks for tasks until there are none, or nobody who could give one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # our parent tells us
    signal.signal(signal.SIGTERM, _leave)
    release_signals(SIGNALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tools = Tools(work.settings, work.device)
    told = 0.0

    def tell(frames: int, total: int | None) -> None:
        nonlocal told
        if time.monotonic() - told >= TICK_S:
            told = time.monotonic()
            pipe.send(Event(frames=frames, total=total))

    try:
        work.limit_threads()
        while True:
            pipe.send(None)
            source = pipe.recv()
            if source is None:
                return
            work.do(source, tools, tell)
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send(error)


def _leave(number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what it undoes must not be interrupted
    raise SystemExit(128 + number)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

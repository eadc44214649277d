"""How a run's files are spread over processes: of this machine, or of a Ray cluster.

A process that dies takes its file along, not the run. For Ray every machine needs the videos and the output
folder at the same paths, and mcnet: installed, or where it is on the machine that starts the run.
"""

import contextlib
import functools
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any

from mcnet_cli.errors import McnetError, SystemFailure, UsageError, shown
from mcnet_cli.installed import install_line
from mcnet_cli.preprocessing.clip_maker import MAX_ATTEMPTS, ClipMaker, Networks
from mcnet_cli.preprocessing.inputs import InputFile
from mcnet_cli.preprocessing.request import Settings
from mcnet_cli.system import release_signals, signals_held

TICK_S = 0.5  # longest time without an event
GRACE_S = 1.2  # for processes to undo what they were doing
SIGNALS = (signal.SIGINT, signal.SIGTERM)
RAY_TASKS_PER_SLOT = 2  # tasks handed over for each that can run, so that none waits for us
RAY_STARTS = 3  # attempts to start a local cluster: under load Ray gives up too soon
RAY_START_S = 120  # that a cluster's store may take to start; Ray's default is 30

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """How a run goes on.

    finished: the file that is done, with or without success; None for a sign of life. frames, total: of a
    file that is being worked on.
    """

    finished: InputFile | None = None
    frames: int = 0
    total: int | None = None


# An engine works on all files. Its events end when they are done; closing the generator ends what runs. It
# raises what `ClipMaker.make` raises.
Events = Generator[Event, None, None]
Engine = Callable[[ClipMaker, Sequence[InputFile], int], Events]


@dataclass
class _Worker:
    """A process and the file that it works on."""

    process: SpawnProcess
    pipe: Connection
    file: InputFile | None = None


@dataclass
class _Pool:
    maker: ClipMaker
    waiting: deque[InputFile]
    workers: list[_Worker] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)

    def start(self) -> None:
        """Starts a worker.

        Signals are blocked until it is ready to handle them, because a Ctrl-C reaches it too.
        """
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.maker), daemon=True)
        with signals_held(SIGNALS):
            process.start()
            self.workers.append(_Worker(process, ours))
        theirs.close()

    def feed(self, worker: _Worker) -> None:
        """Gives a worker its next file, or None if there are no more."""
        worker.file = self.waiting.popleft() if self.waiting else None
        with contextlib.suppress(OSError):  # it has died, which `_receive` notices
            worker.pipe.send(worker.file)

    def remove(self, worker: _Worker) -> InputFile | None:
        """Removes a worker that has died. Its file is tried again, or given up and returned."""
        self.workers.remove(worker)
        worker.pipe.close()
        worker.process.join()
        file = worker.file
        if file is None:
            return None
        self.attempts[file.name] = self.attempts.get(file.name, 0) + 1
        if self.attempts[file.name] < MAX_ATTEMPTS:
            log.info("the process for %s died (%s): again", shown(file.path), worker.process.exitcode)
            self.waiting.appendleft(file)
        else:
            self.maker.note_crash(file)
            return file
        return None

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


def run_locally(maker: ClipMaker, files: Sequence[InputFile], workers: int) -> Events:
    """An engine (see `Engine`) that uses `workers` processes of this machine."""
    pool = _Pool(maker, deque(files))
    try:
        while pool.waiting or any(worker.file for worker in pool.workers):
            busy = sum(worker.file is not None for worker in pool.workers)
            for _ in range(min(workers, busy + len(pool.waiting)) - len(pool.workers)):
                pool.start()
            ready: list[Any] = wait([worker.pipe for worker in pool.workers], timeout=TICK_S)
            yield Event()
            for worker in [worker for worker in pool.workers if worker.pipe in ready]:
                yield from _receive(pool, worker)
    finally:
        pool.end()


def _receive(pool: _Pool, worker: _Worker) -> Iterator[Event]:
    try:
        message = worker.pipe.recv()
    except (EOFError, OSError):
        if given_up := pool.remove(worker):
            yield Event(finished=given_up)
        return
    if isinstance(message, BaseException):
        raise message
    if isinstance(message, Event):
        yield message
        return
    if worker.file is not None:
        yield Event(finished=worker.file)
    pool.feed(worker)


def _serve(pipe: Connection, maker: ClipMaker) -> None:
    """The main function of a worker: asks for files until there are no more, or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent sends SIGTERM
    signal.signal(signal.SIGTERM, _leave)
    release_signals(SIGNALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    networks = Networks(maker.settings, maker.device)
    last_report = 0.0

    def report(frames: int, total: int | None) -> None:
        nonlocal last_report
        if time.monotonic() - last_report >= TICK_S:
            last_report = time.monotonic()
            pipe.send(Event(frames=frames, total=total))

    try:
        maker.limit_threads()
        while True:
            pipe.send(None)
            file = pipe.recv()
            if file is None:
                return
            maker.make(file, networks, report)
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send(error)


def _leave(number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # undoing must not be interrupted
    raise SystemExit(128 + number)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def run_on_ray(maker: ClipMaker, files: Sequence[InputFile], workers: int) -> Events:
    """An engine (see `Engine`) that uses the cluster of $RAY_ADDRESS, or a local one for `workers` tasks."""
    try:
        import ray
    except ImportError as error:
        raise UsageError("--engine ray needs Ray", hint=install_line("ray")) from error
    started = not ray.is_initialized()
    if started:
        _connect(workers)
    task = ray.remote(max_retries=MAX_ATTEMPTS - 1, num_cpus=1)(_carried(sys.path))
    slots = max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting = list(reversed(files))
    running: dict[object, InputFile] = {}
    try:
        while waiting or running:
            while waiting and len(running) < RAY_TASKS_PER_SLOT * slots:
                file = waiting.pop()
                running[task.remote(pickle.dumps((maker, file)))] = file
            ready, _ = ray.wait(list(running), timeout=TICK_S)
            yield Event()
            for reference in ready:
                file = running.pop(reference)
                _conclude(maker, file, reference)
                yield Event(finished=file)
    finally:
        for reference in running:
            ray.cancel(reference)
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=GRACE_S)
        if started:
            ray.shutdown()


def _connect(workers: int) -> None:
    import ray

    address = os.environ.get("RAY_ADDRESS")
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", str(RAY_START_S))
    starts = 1 if address else RAY_STARTS
    for attempt in range(1, starts + 1):
        try:
            ray.init(
                address=address or "local",
                num_cpus=None if address else workers,
                include_dashboard=None if address else False,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
            return
        except Exception as error:  # Ray raises plain Exceptions, too
            where = f"the cluster at {shown(address)}" if address else "a local cluster"
            reason = shown(str(error).strip().split("\n")[0] or type(error).__name__)
            if attempt == starts:
                raise SystemFailure(
                    f"Ray can't use {where}: {reason}", hint="try again later, or take --engine local"
                ) from error
            log.info("Ray could not start %s: %s; again", where, reason)
            ray.shutdown()


def _conclude(maker: ClipMaker, file: InputFile, reference: object) -> None:
    """Writes the record of a task that could not write it, and raises what ends the whole run."""
    import ray

    try:
        ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, McnetError):
            raise cause from None
        if isinstance(cause, ModuleNotFoundError):
            raise SystemFailure(
                f"a machine of the Ray cluster lacks {shown(str(cause.name))}",
                hint="install mcnet-cli on all of them, in the same version",
            ) from None
        maker.note_fault(file, cause if isinstance(cause, Exception) else error)
    except ray.exceptions.RayError:
        maker.note_crash(file)


def _carried(path: Sequence[str]) -> Callable[[bytes], None]:
    """A task for processes that may not find mcnet by themselves; Ray sends this function as code.

    path: of imports on this machine. It comes last, so that what a machine has installed is used first.
    """
    folders = [os.path.abspath(folder) for folder in path]  # noqa: PTH100 - symbolic links must stay

    def task(packed: bytes) -> None:
        import pickle
        import sys

        sys.path += [folder for folder in folders if folder not in sys.path]
        maker, file = pickle.loads(packed)
        from mcnet_cli.preprocessing.engines import make_in_ray

        make_in_ray(maker, file)

    return task


def make_in_ray(maker: ClipMaker, file: InputFile) -> None:
    """Makes the clips of a file in a process of Ray's."""
    maker.limit_threads()
    maker.make(file, _networks(maker.settings, maker.device), lambda frames, total: None)


@functools.cache
def _networks(settings: Settings, device: str) -> Networks:
    """The networks of this process, which Ray uses for many files."""
    return Networks(settings, device)


ENGINES: dict[str, Engine] = {"local": run_locally, "ray": run_on_ray}

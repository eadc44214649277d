"""How a run's items are spread over processes: of this machine, or of a Ray cluster.

A process that dies takes its item along, not the run: the item is tried again in another one. For Ray every
machine needs inputs and outputs at the same paths, and mcnet: installed, or where it is on the machine that
starts the run.
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
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any, Generic, TypeVar

from mcnet_cli.errors import McnetError, SystemFailure, UsageError, shown
from mcnet_cli.system import release_signals, signals_held

ENGINES = ("local", "ray")
MAX_ATTEMPTS = 3  # at an item whose process dies
TICK_S = 0.5  # longest time without an event
GRACE_S = 1.2  # for processes to undo what they were doing
SIGNALS = (signal.SIGINT, signal.SIGTERM)
RAY_TASKS_PER_SLOT = 2  # tasks handed over for each that can run, so that none waits for us
RAY_STARTS = 3  # attempts to start a local cluster: under load Ray gives up too soon
RAY_START_S = 120  # that a cluster's store may take to start; Ray's default is 30

Item = TypeVar("Item")
State = TypeVar("State")
Result = TypeVar("Result")
Tell = Callable[[Any], None]  # how work tells news of an item that it hasn't finished

log = logging.getLogger(__name__)


class Work(ABC, Generic[Item, State, Result]):
    """What is done with every item. It holds what all items share, can be hashed and travels to processes.

    What `do` raises ends the whole run, so it keeps an item's own faults to that item.
    """

    @property
    @abstractmethod
    def uses_gpu(self) -> bool:
        """Whether each process needs a GPU: Ray hides them from tasks that don't ask for one."""

    @abstractmethod
    def prepare(self) -> State:
        """What a process keeps from item to item, such as networks. Called once in each process."""

    @abstractmethod
    def do(self, item: Item, state: State, tell: Tell) -> Result:
        """Works on an item; what it returns and tells must be picklable. Ray passes no news on."""

    @abstractmethod
    def note_crash(self, item: Item) -> Result:
        """The result of an item whose process died in every attempt."""

    @abstractmethod
    def note_fault(self, item: Item, error: Exception) -> Result:
        """The result of an item at which mcnet or a library failed where `do` could not catch it."""


@dataclass(frozen=True, slots=True)
class Event(Generic[Item, Result]):
    """How a run goes on. Without any of these it is a sign of life, at least every half second.

    finished: the item that is done, with or without success, and its result. news: what the work tells of an
    item in between.
    """

    finished: Item | None = None
    result: Result | None = None
    news: Any = None


# Events end when all items are done. Closing the generator ends what runs.
Events = Generator[Event[Item, Result], None, None]


def run(
    work: Work[Item, State, Result], items: Sequence[Item], engine: str, workers: int
) -> Events[Any, Any]:
    """Works on all items by one of ENGINES, in `workers` processes. Raises what the work raises."""
    return (run_on_ray if engine == "ray" else run_locally)(work, items, workers)


def run_here(work: Work[Item, State, Result], items: Sequence[Item], on_news: Tell) -> Events[Item, Result]:
    """Works on the items one after the other in this process. on_news: is told what the work tells."""
    state = work.prepare()
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
        process = context.Process(target=_serve, args=(theirs, self.work), daemon=True)
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
    if isinstance(message, Event):
        yield message
        return
    if worker.task is not None:
        yield Event(worker.task.item, message)
    pool.feed(worker)


def _serve(pipe: Connection, work: Work[Any, Any, Any]) -> None:
    """The main function of a worker: asks for items until there are no more, or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent sends SIGTERM
    signal.signal(signal.SIGTERM, _leave)
    release_signals(SIGNALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    result = None  # of the item before, by which the next one is asked for
    try:
        state = work.prepare()
        while True:
            pipe.send(result)
            task: _Task | None = pipe.recv()
            if task is None:
                return
            result = work.do(task.item, state, lambda news: pipe.send(Event(news=news)))
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send(error)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the interpreter ends undisturbed


def _leave(number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # undoing must not be interrupted
    raise SystemExit(128 + number)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def run_on_ray(work: Work[Item, State, Result], items: Sequence[Item], workers: int) -> Events[Item, Result]:
    """Works on the items in the cluster of $RAY_ADDRESS, or in a local one with `workers` processes."""
    try:
        import ray
    except ImportError as error:
        raise UsageError("--engine ray needs Ray", hint="pip install 'mcnet-cli[ray]'") from error
    started = not ray.is_initialized()
    if started:
        _connect(workers)
    gpus = int(work.uses_gpu)
    task = ray.remote(max_retries=MAX_ATTEMPTS - 1, num_cpus=1, num_gpus=gpus)(_carried(sys.path))
    waiting = list(reversed(items))
    running: dict[object, Item] = {}
    try:
        slots = _slots(ray.cluster_resources(), gpus)
        while waiting or running:
            while waiting and len(running) < RAY_TASKS_PER_SLOT * slots:
                item = waiting.pop()
                running[task.remote(pickle.dumps((work, item)))] = item
            ready, _ = ray.wait(list(running), timeout=TICK_S)
            yield Event()
            for reference in ready:
                item = running.pop(reference)
                yield Event(item, _concluded(work, item, reference))
    finally:
        for reference in running:
            ray.cancel(reference)
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=GRACE_S)
        if started:
            ray.shutdown()


def _slots(resources: dict[str, float], gpus: int) -> int:
    """How many tasks a cluster runs at once. SystemFailure if they need GPUs and it has none."""
    slots = max(1, int(resources.get("CPU", 1)))
    if not gpus:
        return slots
    if not (found := int(resources.get("GPU", 0))):
        raise SystemFailure("the Ray cluster has no GPU", hint="take --device cpu")
    return min(slots, found)


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


def _concluded(work: Work[Item, Any, Result], item: Item, reference: object) -> Result:
    """The result of a task, also of one that has none to give; raises what ends the whole run."""
    import ray

    try:
        result: Result = ray.get(reference)
        return result
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, McnetError):
            raise cause from None
        if isinstance(cause, ModuleNotFoundError):
            raise SystemFailure(
                f"a machine of the Ray cluster lacks {shown(str(cause.name))}",
                hint="install mcnet-cli on all of them, in the same version",
            ) from None
        return work.note_fault(item, cause if isinstance(cause, Exception) else error)
    except ray.exceptions.RayError:
        return work.note_crash(item)


def _carried(path: Sequence[str]) -> Callable[[bytes], Any]:
    """A task for processes that may not find mcnet by themselves; Ray sends this function as code.

    path: of imports on this machine. It comes last, so that what a machine has installed is used first.
    """
    folders = [os.path.abspath(folder) for folder in path]  # noqa: PTH100 - symbolic links must stay

    def task(packed: bytes) -> Any:
        import pickle
        import sys

        sys.path += [folder for folder in folders if folder not in sys.path]
        work, item = pickle.loads(packed)
        from mcnet_cli.engines import do_in_ray

        return do_in_ray(work, item)

    return task


def do_in_ray(work: Work[Item, Any, Result], item: Item) -> Result:
    """Works on an item in a process of Ray's."""
    return work.do(item, _prepared(work), lambda _news: None)


@functools.lru_cache(maxsize=1)
def _prepared(work: Work[Any, State, Any]) -> State:
    """What this process, which Ray uses for many items, keeps for them."""
    return work.prepare()

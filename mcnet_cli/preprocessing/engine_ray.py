"""Tasks on a Ray cluster: the one that RAY_ADDRESS names, or a local one.

Every machine needs the videos and the output folder at the same paths, and mcnet: installed, or where it is
on ours.
"""

import functools
import logging
import os
import pickle
import sys
from collections.abc import Callable, Sequence

from mcnet_cli.errors import McnetError, SystemFailure, UsageError, shown
from mcnet_cli.preprocessing.engine import ATTEMPTS, CRASHED, Event, Events
from mcnet_cli.preprocessing.inputs import Source
from mcnet_cli.preprocessing.request import Settings
from mcnet_cli.preprocessing.task import Work
from mcnet_cli.preprocessing.video import Tools

TICK_S = 0.5
GRACE_S = 1.2
AHEAD = 2  # tasks handed over for each that runs, so that none waits for us
STARTS = 3  # of a cluster of our own: under load Ray gives up one too soon
START_S = 120  # that a cluster's store may take to start; Ray's default is 30

log = logging.getLogger(__name__)


def run_on_ray(work: Work, sources: Sequence[Source], workers: int) -> Events:
    """An engine: see `engine.Engine`. workers: tasks at once, where the cluster is one of our own."""
    try:
        import ray
    except ImportError as error:
        raise UsageError("--engine ray needs Ray", hint="pip install 'mcnet-cli[ray]'") from error
    started = not ray.is_initialized()
    if started:
        _connect(workers)
    task = ray.remote(max_retries=ATTEMPTS - 1, num_cpus=1)(_carried(sys.path))
    slots = max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting = list(reversed(sources))
    running: dict[object, Source] = {}
    try:
        while waiting or running:
            while waiting and len(running) < AHEAD * slots:
                source = waiting.pop()
                running[task.remote(pickle.dumps((work, source)))] = source
            ready, _ = ray.wait(list(running), timeout=TICK_S)
            yield Event()
            for reference in ready:
                source = running.pop(reference)
                _conclude(work, source, reference)
                yield Event(finished=source)
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
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", str(START_S))
    starts = 1 if address else STARTS
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
        except Exception as error:  # Ray raises bare ones, too
            where = f"the cluster at {shown(address)}" if address else "a local cluster"
            reason = shown(str(error).strip().split("\n")[0] or type(error).__name__)
            if attempt == starts:
                raise SystemFailure(
                    f"Ray can't use {where}: {reason}", hint="try again later, or take --engine local"
                ) from error
            log.info("Ray could not start %s: %s; again", where, reason)
            ray.shutdown()


def _conclude(work: Work, source: Source, reference: object) -> None:
    """Writes the record that a task could not write itself; raises what ends the whole run."""
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
        work.note_fault(source, cause if isinstance(cause, Exception) else error)
    except ray.exceptions.RayError:
        work.give_up(source, f"{shown(source.path)}: {CRASHED}")


def _carried(path: Sequence[str]) -> Callable[[bytes], None]:
    """`work_on` for processes that may not find mcnet by themselves: Ray carries this function as code.

    path: where we import from. It comes last, so that what a machine has installed goes first.
    """
    folders = [os.path.abspath(folder) for folder in path]  # noqa: PTH100 - links stay

    def task(packed: bytes) -> None:
        import pickle
        import sys

        sys.path += [folder for folder in folders if folder not in sys.path]
        work, source = pickle.loads(packed)
        from mcnet_cli.preprocessing.engine_ray import work_on

        work_on(work, source)

    return task


def work_on(work: Work, source: Source) -> None:
    """A task, in the process that does it."""
    work.limit_threads()
    work.do(source, _tools(work.settings, work.device), lambda frames, total: None)


@functools.cache
def _tools(settings: Settings, device: str) -> Tools:
    """Ray keeps its processes: they load the networks once."""
    return Tools(settings, device)

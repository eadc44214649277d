"""Items of work on a Ray cluster, which replaces processes and machines that die.

Every machine needs inputs and outputs at the same paths, and mcnet: installed, or where it is on the machine
that starts the run.
"""

import functools
import logging
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Any

from mcnet_cli.engines.work import GRACE_S, MAX_ATTEMPTS, TICK_S, Event, Events, Item, Result, State, Work
from mcnet_cli.errors import McnetError, SystemFailure, UsageError, shown
from mcnet_cli.installed import install_line

RAY_TASKS_PER_SLOT = 2  # tasks handed over for each that can run, so that none waits for us
RAY_STARTS = 3  # attempts to start a local cluster: under load Ray gives up too soon
RAY_START_S = 120  # that a cluster's store may take to start; Ray's default is 30

log = logging.getLogger(__name__)


def run_on_ray(work: Work[Item, State, Result], items: Sequence[Item], workers: int) -> Events[Item, Result]:
    """Works on the items in the cluster of $RAY_ADDRESS, or in a local one with `workers` processes."""
    try:
        import ray
    except ImportError as error:
        raise UsageError("--engine ray needs Ray", hint=install_line("ray")) from error
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
    here = os.getcwd()  # noqa: PTH109 - likewise; relative names of files start there

    def task(packed: bytes) -> Any:
        import contextlib
        import os
        import pickle
        import sys

        with contextlib.suppress(OSError):
            os.chdir(here)
        sys.path += [folder for folder in folders if folder not in sys.path]
        work, item = pickle.loads(packed)
        from mcnet_cli.engines.on_ray import do_in_ray

        return do_in_ray(work, item)

    return task


def do_in_ray(work: Work[Item, Any, Result], item: Item) -> Result:
    """Works on an item in a process of Ray's."""
    return work.do(item, _prepared(work), lambda _news: None)


@functools.lru_cache(maxsize=1)
def _prepared(work: Work[Any, State, Any]) -> State:
    """What this process, which Ray uses for many items, keeps for them."""
    return work.prepare()

"""How a run's items are spread over processes: of this machine, or of a Ray cluster.

A process that dies takes its item along, not the run: the item is tried again in another one.
"""

from collections.abc import Sequence
from typing import Any

from mcnet_cli.engines.local import run_here, run_locally
from mcnet_cli.engines.on_ray import run_on_ray
from mcnet_cli.engines.work import MAX_ATTEMPTS, TICK_S, Event, Events, Item, Result, State, Tell, Work
from mcnet_cli.system import processor_count

ENGINES = ("local", "ray")

__all__ = [
    "ENGINES",
    "MAX_ATTEMPTS",
    "TICK_S",
    "Event",
    "Events",
    "Tell",
    "Work",
    "default_workers",
    "run",
    "run_here",
    "run_locally",
    "run_on_ray",
    "threads_of",
]


def default_workers() -> int:
    """One process for every second processor, because decoders and encoders need some too."""
    return max(1, processor_count() // 2)


def threads_of(engine: str, workers: int) -> int:
    """How many threads each process may use: on Ray one, here its share of the processors."""
    return 1 if engine == "ray" else max(1, processor_count() // workers)


def run(
    work: Work[Item, State, Result], items: Sequence[Item], engine: str, workers: int
) -> Events[Any, Any]:
    """Works on all items by one of ENGINES, in `workers` processes. Raises what the work raises."""
    return (run_on_ray if engine == "ray" else run_locally)(work, items, workers)

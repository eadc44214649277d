"""How a run's items are spread over processes: of this machine, or of a Ray cluster.

A process that dies takes its item along, not the run: the item is tried again in another one.
"""

from collections.abc import Sequence
from typing import Any

from mcnet_cli.engines.local import run_here, run_locally
from mcnet_cli.engines.on_ray import run_on_ray
from mcnet_cli.engines.work import MAX_ATTEMPTS, TICK_S, Event, Events, Item, Result, State, Tell, Work

ENGINES = ("local", "ray")

__all__ = [
    "ENGINES",
    "MAX_ATTEMPTS",
    "TICK_S",
    "Event",
    "Events",
    "Tell",
    "Work",
    "run",
    "run_here",
    "run_locally",
    "run_on_ray",
]


def run(
    work: Work[Item, State, Result], items: Sequence[Item], engine: str, workers: int
) -> Events[Any, Any]:
    """Works on all items by one of ENGINES, in `workers` processes. Raises what the work raises."""
    return (run_on_ray if engine == "ray" else run_locally)(work, items, workers)

"""How a run's tasks are spread: what all engines have in common."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from mcnet_cli.preprocessing.inputs import Source
from mcnet_cli.preprocessing.task import Work

ATTEMPTS = 3  # of a task whose process dies
CRASHED = f"the process that worked on it died, {ATTEMPTS} times"


@dataclass(frozen=True, slots=True)
class Event:
    """How a run goes on.

    finished: the source that is done, whatever came of it; None if this is only a sign of life.
    frames, total: of a source that is being worked on.
    """

    finished: Source | None = None
    frames: int = 0
    total: int | None = None


# Does all tasks. Ends when they are done; leaving it early ends what runs. Raises what `Work.do` raises.
Events = Generator[Event, None, None]
Engine = Callable[[Work, Sequence[Source], int], Events]


def find_engine(name: str) -> Engine:
    """The engine `local` or `ray`. UsageError if it isn't installed."""
    if name == "ray":
        from mcnet_cli.preprocessing.engine_ray import run_on_ray

        return run_on_ray
    from mcnet_cli.preprocessing.engine_local import run_locally

    return run_locally

"""Where in a run a step is."""

from dataclasses import dataclass

from torch import Tensor

Terms = dict[str, Tensor]  # the terms of a loss by their names, weighted


@dataclass(frozen=True, slots=True)
class Moment:
    """The number of a step, and the share of the run that has passed; seed: the run's."""

    seed: int
    step: int
    progress: float

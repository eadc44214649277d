"""Training: clips in, a run folder with checkpoints and a weights file out."""

from mcnet_cli.training.config import RunConfig
from mcnet_cli.training.plan import TrainPlan, plan
from mcnet_cli.training.request import ClipTable, TrainReport, TrainRequest
from mcnet_cli.training.run import check_data, initial_weights, train
from mcnet_cli.training.settings import configure
from mcnet_cli.training.world import Launch

__all__ = [
    "ClipTable",
    "Launch",
    "RunConfig",
    "TrainPlan",
    "TrainReport",
    "TrainRequest",
    "check_data",
    "configure",
    "initial_weights",
    "plan",
    "train",
]

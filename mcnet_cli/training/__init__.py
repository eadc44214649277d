"""Training: clips in, a run folder with checkpoints and a weights file out."""

from mcnet_cli.training.config import RunConfig
from mcnet_cli.training.plan import ClipTable, TrainPlan, check_data, plan
from mcnet_cli.training.process_group import Launch
from mcnet_cli.training.settings import configure
from mcnet_cli.training.train import TrainReport, TrainRequest, initial_weights, train

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

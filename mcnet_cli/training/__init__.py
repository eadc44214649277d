"""Training: clips in, a run folder with checkpoints and a weights file out."""

from mcnet_cli.training.config import RunConfig
from mcnet_cli.training.run import TrainReport, TrainRequest, train

__all__ = ["RunConfig", "TrainReport", "TrainRequest", "train"]

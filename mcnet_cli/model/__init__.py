"""The network of MCNet and nothing else."""

from mcnet_cli.model.config import PRESETS, ModelConfig
from mcnet_cli.model.generator import Canvas, Rendering, SourceState
from mcnet_cli.model.geometry import Keypoints
from mcnet_cli.model.mcnet import MCNet
from mcnet_cli.model.transfer import transfer_motion

__all__ = [
    "PRESETS",
    "Canvas",
    "Keypoints",
    "MCNet",
    "ModelConfig",
    "Rendering",
    "SourceState",
    "transfer_motion",
]

"""The network of MCNet and nothing else.

The paper's network is in `config`, `geometry`, `windows`, `blocks`, `motion`, `memory` and `generator`. What
`lite` adds to it is in `landmark_networks`, `face_parts` and `outlines`, and in `detail_painter`,
`detail_shape`, `mouth_shape` and `eye_shape`, which those do not import. `mcnet` puts a network together as
its config says; `presets` are the configs that have names. `optimisation` makes of a network a faster one of
the same results, with `winograd`'s convolutions on a CPU; `replays` records what a GPU does for a batch.
"""

from mcnet_cli.model.config import ModelConfig, PainterConfig
from mcnet_cli.model.generator import Rendering, SourceState
from mcnet_cli.model.geometry import Keypoints, transfer_motion
from mcnet_cli.model.mcnet import MCNet
from mcnet_cli.model.optimisation import optimised
from mcnet_cli.model.presets import PRESETS

__all__ = [
    "PRESETS",
    "Keypoints",
    "MCNet",
    "ModelConfig",
    "PainterConfig",
    "Rendering",
    "SourceState",
    "optimised",
    "transfer_motion",
]

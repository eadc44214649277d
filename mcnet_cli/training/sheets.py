"""Sample sheets: what the network makes of a few pairs, to be looked at."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from mcnet_cli.model import Rendering
from mcnet_cli.training.augment import Batch


def write_sheet(path: Path, batch: Batch, rendering: Rendering) -> None:
    """One row a pair: source, driving, result, decoder's picture, warped source, occlusion."""
    size = batch.source.shape[-1]
    occlusion = torch.nn.functional.interpolate(rendering.motion.occlusion, (size, size)).expand(-1, 3, -1, -1)
    columns = [batch.source, batch.driving, rendering.prediction, rendering.decoded, rendering.deformed, occlusion]
    sheet = np.concatenate([_column(c) for c in columns], axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _column(pictures: Tensor) -> np.ndarray:
    """(B, 3, H, W) in [0, 1] to (B·H, W, 3) uint8."""
    levels = (pictures.float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1)
    return levels.reshape(-1, *levels.shape[2:]).cpu().numpy()

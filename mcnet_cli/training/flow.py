"""Optical flow between the frames of a pair: what dense motion should have found, where that can be seen."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mcnet_cli.model.geometry import coordinate_grid

FLOW_PX = 128
# Forwards and back again must end within so many pixels, and that share of the way more.
TOLERANCE_PX, TOLERANCE_SHARE = 1.3, 0.1


@dataclass(frozen=True, slots=True)
class FlowTarget:
    """deformation: (B, S, S, 2) where in the source each position of the driving comes from, in [-1, 1].

    trust: (B, S, S), 0 where the way there and the way back disagree: hidden, flat or too far.
    """

    deformation: Tensor
    trust: Tensor


def flow_target(source: Tensor, driving: Tensor, size: int) -> FlowTarget:
    """Flow from (B, 3, H, W) driving frames back to their sources, on a `size`² grid, on their device."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    before, after = _grey(source), _grey(driving)
    offsets = np.empty((len(before), FLOW_PX, FLOW_PX, 2), np.float32)
    trust = np.empty((len(before), FLOW_PX, FLOW_PX), np.float32)
    grid = np.stack(np.meshgrid(*[np.arange(FLOW_PX, dtype=np.float32)] * 2), axis=-1)
    for row, (here, there) in enumerate(zip(before, after, strict=True)):
        way = offsets[row] = search.calc(there, here, None)
        back = search.calc(here, there, None)
        back = cv2.remap(back, grid + way, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        allowed = TOLERANCE_PX + TOLERANCE_SHARE * np.linalg.norm(way, axis=-1)
        trust[row] = np.linalg.norm(way + back, axis=-1) < allowed
    pooled, sure = (
        F.adaptive_avg_pool2d(torch.from_numpy(values).to(source.device), size)
        for values in (offsets.transpose(0, 3, 1, 2), trust)
    )
    moved = coordinate_grid(size, size, like=pooled) + pooled.permute(0, 2, 3, 1) * (2 / (FLOW_PX - 1))
    return FlowTarget(moved, (sure == 1).to(moved.dtype))


def flow_distance(deformation: Tensor, target: FlowTarget) -> Tensor:
    """Mean absolute distance of a (B, S, S, 2) deformation to the flow, where it can be trusted."""
    distance = (deformation - target.deformation).abs().mean(-1)
    return (distance * target.trust).sum() / target.trust.sum().clamp_min(1)


def _grey(frames: Tensor) -> np.ndarray:
    weights = frames.new_tensor([0.299, 0.587, 0.114])[:, None, None]
    grey = (F.adaptive_avg_pool2d(frames.float(), FLOW_PX) * weights).sum(1)
    return (255 * grey).round().clamp(0, 255).byte().cpu().numpy()

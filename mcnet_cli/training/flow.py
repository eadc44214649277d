"""Optical flow between the frames of a pair, and how sure it is."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mcnet_cli.model.geometry import coordinate_grid
from mcnet_cli.training.frames import Array

FLOW_PX = 128
# Forwards and back again must end within so many pixels, and that share of the way more.
TOLERANCE_PX, TOLERANCE_SHARE = 1.3, 0.1
TEXTURE = 1e-4  # the smaller eigenvalue of the structure: in flat places flow is a guess


@dataclass(frozen=True, slots=True)
class Flow:
    """Where each pixel of one FLOW_PX² frame lies in another.

    offsets: (FLOW_PX, FLOW_PX, 2) pixels. sure: (FLOW_PX, FLOW_PX) where there is texture, and the way back
    leads to where it came from.
    """

    offsets: Array
    sure: Array


def optical_flow(here: Array, there: Array) -> Flow:
    """The flow from `here` to `there`, grey uint8 pictures of FLOW_PX²."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    way = np.asarray(search.calc(here, there, None))  # type: ignore[call-overload]
    back = search.calc(there, here, None)  # type: ignore[call-overload]
    grid = np.stack(np.meshgrid(*[np.arange(FLOW_PX, dtype=np.float32)] * 2), axis=-1)
    back = cv2.remap(back, grid + way, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    allowed = TOLERANCE_PX + TOLERANCE_SHARE * np.linalg.norm(way, axis=-1)
    agreed = np.linalg.norm(way + back, axis=-1) < allowed
    return Flow(way, agreed & (cv2.cornerMinEigenVal(here, 7) > TEXTURE))


@dataclass(frozen=True, slots=True)
class FlowTarget:
    """deformation: (B, S, S, 2) where in the source each position of the driving comes from, in [-1, 1].

    trust: (B, S, S), 1 where that is sure, else 0.
    """

    deformation: Tensor
    trust: Tensor


def flow_target(source: Tensor, driving: Tensor, size: int) -> FlowTarget:
    """Flow from (B, 3, H, W) driving frames back to their sources, on a `size`² grid, on their device."""
    pairs = zip(_grey(driving), _grey(source), strict=True)
    flows = [optical_flow(here, there) for here, there in pairs]
    offsets, sure = (
        F.adaptive_avg_pool2d(torch.from_numpy(np.stack(values)).to(source), size)
        for values in ([f.offsets.transpose(2, 0, 1) for f in flows], [f.sure[None] for f in flows])
    )
    moved = coordinate_grid(size, size, like=offsets) + offsets.permute(0, 2, 3, 1) * (2 / (FLOW_PX - 1))
    return FlowTarget(moved, (sure[:, 0] == 1).to(moved.dtype))


def flow_distance(deformation: Tensor, target: FlowTarget) -> Tensor:
    """Mean absolute distance of a (B, S, S, 2) deformation to the flow, where it can be trusted."""
    distance = (deformation - target.deformation).abs().mean(-1)
    return (distance * target.trust).sum() / target.trust.sum().clamp_min(1)


def _grey(frames: Tensor) -> Array:
    weights = frames.new_tensor([0.299, 0.587, 0.114])[:, None, None]
    grey = (F.adaptive_avg_pool2d(frames.float(), FLOW_PX) * weights).sum(1)
    return np.asarray((255 * grey).round().clamp(0, 255).byte().cpu())

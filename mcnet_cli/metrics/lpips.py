"""LPIPS, version 0.1, with AlexNet (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features")."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from mcnet_cli.checkpoint.safetensors_file import read_tensors
from mcnet_cli.errors import WeightsError, shown
from mcnet_cli.files import asset, require_regular_file

HEADS = "metrics/lpips-alex.safetensors"
Pictures = NDArray[np.uint8]
# AlexNet's convolutions by their number among torchvision's `features`: in, out, kernel, stride, padding.
CONVOLUTIONS = {
    0: (3, 64, 11, 4, 2),
    3: (64, 192, 5, 1, 2),
    6: (192, 384, 3, 1, 1),
    8: (384, 256, 3, 1, 1),
    10: (256, 256, 3, 1, 1),
}
POOLED_BEFORE = (3, 6)


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
    heads = read_tensors(asset(HEADS), [f"lin{number}" for number in range(len(CONVOLUTIONS))])
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

"""The convolution blocks that every part is made of, and the hourglass."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcnet_cli.model.config import HourglassConfig


class Same(nn.Module):
    """Convolution, batch norm, ReLU: (B, i, H, W) to (B, o, H, W)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.norm(self.conv(x)))  # in place: a fiftieth of the time, and memory in training


class Down(Same):
    """`Same`, then average pooling: (B, i, H, W) to (B, o, H/2, W/2)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(super().forward(x), 2)


class Up(Same):
    """Nearest doubling, then `Same`: (B, i, H, W) to (B, o, 2H, 2W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Res(nn.Module):
    """A pre-activation residual block of two 3×3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu_(self.norm1(x)))
        residual: Tensor = self.conv2(F.relu_(self.norm2(y)))
        return x + residual


class _Encoder(nn.Module):
    def __init__(self, inputs: int, config: HourglassConfig) -> None:
        super().__init__()
        width = [min(config.cap, config.expansion << level) for level in range(config.blocks + 1)]
        self.down_blocks = nn.ModuleList(
            Down(inputs if level == 0 else width[level], width[level + 1]) for level in range(config.blocks)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [x]
        for block in self.down_blocks:
            features.append(block(features[-1]))
        return features


class _Decoder(nn.Module):
    def __init__(self, config: HourglassConfig) -> None:
        super().__init__()
        width = [min(config.cap, config.expansion << level) for level in range(config.blocks + 1)]
        self.up_blocks = nn.ModuleList(
            # after the first, each input is the previous output beside the encoder's feature of that level
            Up(width[level + 1] * (1 if level == config.blocks - 1 else 2), width[level])
            for level in reversed(range(config.blocks))
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        y = features.pop()
        for block in self.up_blocks:
            y = torch.cat([block(y), features.pop()], dim=1)
        return y


class Hourglass(nn.Module):
    """(B, i, H, W) to (B, `channels`, H, W), seen at `config.blocks` smaller sizes on the way."""

    def __init__(self, inputs: int, config: HourglassConfig) -> None:
        super().__init__()
        self.encoder = _Encoder(inputs, config)
        self.decoder = _Decoder(config)
        self.channels = config.expansion + inputs

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.decoder(self.encoder(x))
        return result

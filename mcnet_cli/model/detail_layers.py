"""The layers that the detail painters are made of: convolutions without norms, and memory as tokens."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

SLOPE = 0.1  # of leaky ReLUs
HEADS = 4  # of attention


class TokenMemory(nn.Module):
    """Compensates features from tokens: a learned bank, styled by the source, and the source's own.

    bank: (T, C); T = 0 leaves the source's tokens alone.
    """

    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__()
        self.bank = nn.Parameter(torch.randn(tokens, channels)) if tokens else None
        self.conditioned = nn.Linear(channels, 2 * channels) if tokens else None
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.read = nn.Linear(channels, channels)

    def forward(self, feature: Tensor, tokens: Tensor, style: Tensor) -> Tensor:
        """(B, C, h, w) compensated; tokens: (B, N, C) the source's; style: (B, C)."""
        height = feature.shape[2]
        if self.bank is not None and self.conditioned is not None:
            scale, shift = self.conditioned(style)[:, None].chunk(2, -1)
            tokens = torch.cat([self.bank * (1 + scale) + shift, tokens], 1)
        query = self.query(rearrange(feature, "b c h w -> b (h w) c"))
        heads = [
            rearrange(x, "b n (k c) -> b k n c", k=HEADS)
            for x in (query, *self.key_value(tokens).chunk(2, -1))
        ]
        found = rearrange(F.scaled_dot_product_attention(*heads), "b k n c -> b n (k c)")
        compensated: Tensor = feature + rearrange(self.read(found), "b (h w) c -> b c h w", h=height)
        return compensated


class Residual(nn.Module):
    """x plus two 3×3 convolutions of it; `styled`: a style scales and shifts what the first one gives."""

    def __init__(self, channels: int, *, styled: bool = False) -> None:
        super().__init__()
        self.first, self.second = convolution(channels, channels), convolution(channels, channels, 0.3)
        self.modulation = nn.Linear(channels, 2 * channels) if styled else None

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        y = self.first(F.leaky_relu(x, SLOPE))
        if self.modulation is not None and style is not None:
            scale, shift = self.modulation(style)[..., None, None].chunk(2, 1)
            y = y * (1 + scale) + shift
        return x + self.second(active(y))  # type: ignore[no-any-return]


def active(x: Tensor) -> Tensor:
    """Leaky ReLU, in place: a tenth of the time, and memory in training."""
    return F.leaky_relu_(x, SLOPE)


def convolution(inputs: int, outputs: int, gain: float = 1.0) -> nn.Conv2d:
    """A convolution of 3×3 with padding; `gain`: of its initial weights."""
    return scaled(nn.Conv2d(inputs, outputs, 3, padding=1), gain)


def strided(inputs: int, outputs: int) -> nn.Conv2d:
    """A convolution of 3×3 that halves a picture's sides."""
    return scaled(nn.Conv2d(inputs, outputs, 3, 2, padding=1), 1.0)


def scaled(layer: nn.Conv2d, gain: float) -> nn.Conv2d:
    """Initial weights that keep the size of features, which no norm does here; times `gain`."""
    size = nn.init.calculate_gain("leaky_relu", SLOPE) / math.sqrt(layer.weight[0].numel())
    nn.init.normal_(layer.weight, std=gain * size)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer

"""3×3 convolutions with a quarter of the multiplications, by Winograd's algorithm; for float32 on a CPU.

F(4×4, 3×3) of Lavin and Gray (Fast Algorithms for Convolutional Neural Networks, CVPR 2016): tiles of 6×6
inputs give 4×4 outputs by 36 products a pair of channels, where the plain convolution takes 144. Results
differ from it by rounding, whose error is about five times as large.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mcnet_cli.model.memory import DynamicConv

TILE = 4  # outputs on a side
# Tiles times channels computed at once. With more, what is computed between the steps leaves a processor's
# cache; with fewer, kernels are read from memory too often.
VALUES_AT_ONCE = 1 << 15
# Output channels whose kernels are mixed, transformed and used while they are in the cache.
OUTPUTS_AT_ONCE = 64

_INPUT = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float64,
)
_KERNEL = torch.tensor(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=torch.float64
).div(24)
_OUTPUT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=torch.float64
)

# What transforms whole tiles, flattened: rows and columns at once.
_INPUTS, _KERNELS, _OUTPUTS = (torch.kron(m, m).float() for m in (_INPUT, _KERNEL, _OUTPUT))


def transformed_kernels(weight: Tensor) -> Tensor:
    """(36, i, o) of a convolution's kernels (o, i, 3, 3), computed in float64."""
    kernels = torch.kron(_KERNEL, _KERNEL) @ rearrange(weight.double(), "o i k l -> (k l) (i o)")
    return kernels.float().view(-1, weight.shape[1], weight.shape[0])


class WinogradConv(nn.Module):
    """Computes what a 3×3 convolution with padding 1 does: (B, i, H, W) to (B, o, H, W)."""

    kernels: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias
        self.register_buffer("kernels", transformed_kernels(conv.weight), persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return winograd_conv(x, self.kernels, self.bias)


class WinogradDynamicConv(nn.Module):
    """Computes what a `DynamicConv` of several experts does.

    experts: (E, o / OUTPUTS_AT_ONCE · 9 · i · OUTPUTS_AT_ONCE), in the order in which they are used.
    """

    experts: Tensor

    def __init__(self, plain: DynamicConv) -> None:
        super().__init__()
        assert plain.attention is not None
        self.attention, self.bias = plain.attention, plain.bias
        experts = rearrange(plain.weight, "e (n o) i k l -> e (n k l i o)", o=OUTPUTS_AT_ONCE)
        self.register_buffer("experts", experts.contiguous(), persistent=False)

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        """Convolves x (B, C, H, W) with the kernel that `feature` (B, C, h, w) chooses."""
        shares = self.attention(feature)
        kernels = rearrange(
            shares @ self.experts, "b (n k c) -> b n k c", k=9, c=x.shape[1] * OUTPUTS_AT_ONCE
        )
        biases = rearrange(shares @ self.bias, "b (n o) -> b n o", o=OUTPUTS_AT_ONCE)
        return torch.stack([self._convolved(*each) for each in zip(x, kernels, biases, strict=True)])

    @staticmethod
    def _convolved(x: Tensor, kernels: Tensor, biases: Tensor) -> Tensor:
        """One sample, (C, H, W). Kernels are mixed before they are transformed: that makes them fourfold."""
        picture = rearrange(x, "c h w -> h w c")
        down, across = _tiles_of(picture)
        tiles = _transformed(picture, range(down))
        made = []
        for kernel, bias in zip(kernels, biases, strict=True):
            products = torch.bmm(tiles, (_KERNELS @ kernel).view(len(tiles), tiles.shape[2], -1))
            made.append(_transformed_back(products, across) + bias)
        whole = rearrange(torch.cat(made, dim=-1), "h y w x c -> c (h y) (w x)")
        return whole[:, : x.shape[1], : x.shape[2]]


def winograd_conv(x: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
    """The convolution of x (B, i, H, W) by transformed kernels (36, i, o), plus a bias (o,)."""
    pictures = rearrange(x, "b c h w -> b h w c")
    down, across = _tiles_of(pictures[0])
    result = x.new_empty(len(x), down, TILE, across, TILE, len(bias))
    step = max(1, VALUES_AT_ONCE // (across * x.shape[1]))
    for picture, target in zip(pictures, result, strict=True):
        for first in range(0, down, step):
            rows = range(first, min(first + step, down))
            products = torch.bmm(_transformed(picture, rows), kernels)
            torch.add(_transformed_back(products, across), bias, out=target[rows.start : rows.stop])
    whole = rearrange(result, "b h y w x c -> b c (h y) (w x)")
    return whole[:, :, : x.shape[2], : x.shape[3]]


def _tiles_of(picture: Tensor) -> tuple[int, int]:
    """How many tiles an (H, W, C) picture has, down and across."""
    return -(-picture.shape[0] // TILE), -(-picture.shape[1] // TILE)


def _transformed(picture: Tensor, rows: range) -> Tensor:
    """(36, N, C): the tiles in some rows of those of an (H, W, C) picture."""
    height, width, channels = picture.shape
    # with the pixels around them; beyond the picture are zeros, as many as fill the last tiles
    top, bottom = rows.start * TILE - 1, rows.stop * TILE + 1
    right = _tiles_of(picture)[1] * TILE + 1 - width
    part = F.pad(picture[max(top, 0) : bottom], (0, 0, 1, right, max(-top, 0), max(bottom - height, 0)))
    tiles = part.unfold(0, TILE + 2, TILE).unfold(1, TILE + 2, TILE)
    flat = rearrange(tiles, "h w c y x -> (y x) (h w c)")
    return (_INPUTS @ flat).view(len(flat), -1, channels)


def _transformed_back(products: Tensor, across: int) -> Tensor:
    """(h, 4, w, 4, C): pictures of h by w tiles, of (36, N, C) products."""
    made = (_OUTPUTS @ products.flatten(1)).view(TILE, TILE, -1, across, products.shape[2])
    return rearrange(made, "y x h w c -> h y w x c")

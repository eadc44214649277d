"""3×3 convolutions with a quarter of the multiplications, by Winograd's algorithm; for float32 on a CPU.

F(4×4, 3×3) of Lavin and Gray (Fast Algorithms for Convolutional Neural Networks, CVPR 2016): tiles of 6×6
inputs give 4×4 outputs by 36 products a pair of channels, where the plain convolution takes 144. Results differ
from it by rounding, whose error is about five times as large.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mcnet_cli.model.modulation import DynamicConv

TILE = 4  # outputs on a side
# Tiles computed at once. With more, what is computed between the steps leaves a processor's cache; with fewer,
# kernels are read from memory too often.
TILES_AT_ONCE = 128

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
    """Computes what a `DynamicConv` of several experts does."""

    experts: Tensor

    def __init__(self, plain: DynamicConv) -> None:
        super().__init__()
        assert plain.attention is not None
        self.attention, self.bias = plain.attention, plain.bias
        experts = rearrange(plain.weight, "e o i k l -> e (k l i o)").contiguous()
        self.register_buffer("experts", experts, persistent=False)

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        """Convolves x (B, C, H, W) with the kernel that `feature` (B, C, h, w) chooses."""
        shares = self.attention(feature)
        # experts are mixed before they are transformed, as that makes them four times as large
        mixed = rearrange(shares @ self.experts, "b (k i o) -> b k i o", k=9, i=x.shape[1])
        made = []
        for each, kernel, bias in zip(x, mixed, shares @ self.bias, strict=True):
            kernels = (_KERNELS @ kernel.flatten(1)).view(-1, *kernel.shape[1:])
            made.append(winograd_conv(each[None], kernels, bias))
        return torch.cat(made)


def winograd_conv(x: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
    """The convolution of x (B, i, H, W) by transformed kernels (36, i, o), plus a bias (o,)."""
    batch, inputs, height, width = x.shape
    outputs = kernels.shape[2]
    down, across = -(-height // TILE), -(-width // TILE)
    # a pixel of zeros around the picture, and beyond it as many as fill the last tiles
    margins = (0, 0, 1, 1 + across * TILE - width, 1, 1 + down * TILE - height)
    padded = F.pad(rearrange(x, "b c h w -> b h w c"), margins)
    tiles = rearrange(
        padded.unfold(1, TILE + 2, TILE).unfold(2, TILE + 2, TILE), "b h w c y x -> b y x h w c"
    )
    result = x.new_empty(batch, down, TILE, across, TILE, outputs)
    rows = max(1, TILES_AT_ONCE // across)
    for sample in range(batch):
        for row in range(0, down, rows):
            part = (_INPUTS @ tiles[sample, :, :, row : row + rows].reshape(len(_INPUTS), -1))
            products = torch.bmm(part.view(len(kernels), -1, inputs), kernels)
            made = (_OUTPUTS @ products.flatten(1)).view(TILE, TILE, -1, across, outputs)
            made = rearrange(made, "y x h w c -> h y w x c")
            torch.add(made, bias, out=result[sample, row : row + rows])
    return rearrange(result, "b h y w x c -> b c (h y) (w x)")[:, :, :height, :width]

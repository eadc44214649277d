"""The network as films are rendered with it: the same results, but for rounding, by fewer operations.

Training, and tests of what happens inside, take the network as `mcnet` puts it together. This changes one:

- Batch norm is folded into the convolution before it.
- Doubling a picture and convolving it become one transposed convolution, whose 4×4 kernels hold the sums of
  those weights that meet the same pixel: 4/9 of the multiplications.
- The last convolution makes 2×2 pixels at each second place: three output channels would leave most of a
  vector or matrix unit idle.
- The memory's 1×1 convolutions that follow each other become one (`_MergedMemory`).
- On a CPU, wide 3×3 convolutions are computed by Winograd's algorithm (`winograd`).
"""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mcnet_cli.model.blocks import Res, Same, Up
from mcnet_cli.model.mcnet import MCNet
from mcnet_cli.model.memory import MemoryTrace, MemoryUnit
from mcnet_cli.model.modulation import DynamicConv, ModulatedConv
from mcnet_cli.model.winograd import WinogradConv, WinogradDynamicConv

# Channels of inputs from which on Winograd's algorithm is faster. Of 96 it takes 0.6 to 1 of the time, of 64 as
# long as a plain convolution (measured on a Xeon with AVX-512, pictures of 32² to 128²).
WIDE = 128
# Which of three weights meet the same pixel of a picture before it was doubled, for each tap of four.
_DOUBLED = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=torch.float64)


@torch.no_grad()
def optimised(model: MCNet) -> MCNet:
    """Changes a network in evaluation mode into one that computes the same sooner, and returns it.

    Afterwards it can't be trained, nor saved, nor moved to another kind of device. The `residual` of its
    `MemoryTrace`s is None.
    """
    generator = model.generator
    for parent in list(model.modules()):
        for name, block in list(parent.named_children()):
            if isinstance(block, Same):
                block.conv, block.norm = fuse_conv_bn_eval(block.conv, block.norm), nn.Identity()
                if isinstance(block, Up):
                    parent.add_module(name, nn.Sequential(_doubling(block.conv), nn.ReLU(inplace=True)))
            elif isinstance(block, Res):
                block.conv1, block.norm2 = fuse_conv_bn_eval(block.conv1, block.norm2), nn.Identity()
    generator.mbUnit = _MergedMemory(generator.mbUnit)
    if generator.config.generator.stem_stride == 1:
        generator.final = _in_blocks(generator.final)
    if next(model.parameters()).device.type == "cpu":
        _compute_by_winograd(generator.resblock)
        _compute_by_winograd(generator.mbUnit)
    return model.channels_last()


def _doubling(conv: nn.Conv2d) -> nn.ConvTranspose2d:
    """What doubles a picture by repeating pixels, then applies a convolution of 3×3 to it."""
    made = nn.ConvTranspose2d(conv.in_channels, conv.out_channels, 4, stride=2, padding=1)
    sums = _DOUBLED.to(conv.weight.device)
    taps = torch.einsum("yk, xl, oikl -> ioyx", sums, sums, conv.weight.double())
    made.weight, made.bias = nn.Parameter(taps.float()), conv.bias
    return made


def _in_blocks(conv: nn.Conv2d) -> nn.Sequential:
    """The same convolution of pictures with even sides, 2×2 pixels at a time."""
    outputs, inputs, kernel, _ = conv.weight.shape
    made = nn.Conv2d(inputs, 4 * outputs, kernel + 1, stride=2, padding=kernel // 2)
    shifted = [F.pad(conv.weight, (right, 1 - right, down, 1 - down)) for down in (0, 1) for right in (0, 1)]
    made.weight = nn.Parameter(rearrange(shifted, "p o i k l -> (o p) i k l"))
    made.bias = None if conv.bias is None else nn.Parameter(conv.bias.repeat_interleave(4))
    return nn.Sequential(made, nn.PixelShuffle(2))


class _MergedMemory(nn.Module):
    """The memory unit with linear layers put together.

    linear: by size, one 1×1 convolution from what is to be compensated to the projection, the query, and the
    projection's part of `diff_conv`. That layer's other part, of what attention reads, is applied to the values
    before they are read: attention is linear in them, and there are fewer values than places.
    """

    def __init__(self, unit: MemoryUnit) -> None:
        super().__init__()
        self.unit = unit
        self.linear = nn.ModuleDict()
        for name, projection in list(unit.named_children()):
            if name.startswith("feat_forward_proj_"):
                parts = [projection, *(_composed(projection, by) for by in (unit.query_conv, unit.diff_conv))]
                self.linear[name.rpartition("_")[2]] = _side_by_side(parts)
                delattr(unit, name)
        unit.diff_conv.bias = None  # it is in `linear`
        if unit.condition != "none":
            unit.styleconv.modulated_conv = _FixedModulatedConv(unit.styleconv.modulated_conv)

    def forward(
        self, feature: Tensor, size: int, source_values: Tensor, noise: Tensor | None = None
    ) -> MemoryTrace:
        """As for `MemoryUnit`."""
        unit = self.unit
        projected, query, change = self.linear[str(size)](feature[:, 1::2]).chunk(3, dim=1)
        pooled = projected.mean((2, 3), keepdim=True)
        styled = unit.styled_memory(pooled, source_values, noise)
        key, value = F.relu(unit.conv_kv(styled, pooled)).chunk(2, dim=1)
        query = F.relu(query)
        change = change - unit.attend(query, key, unit.diff_conv(value))
        after = unit.merged(feature, projected + F.relu(change), size)
        return MemoryTrace(feature, projected, styled, key, value, query, None, after)


class _FixedModulatedConv(nn.Module):
    """`ModulatedConv` whose weights don't change: what depends on them alone is computed once."""

    powers: Tensor

    def __init__(self, plain: ModulatedConv) -> None:
        super().__init__()
        self.modulation = plain.modulation
        weight = plain.weight[0] / math.sqrt(plain.weight[0][0].numel())
        self.conv = nn.Conv2d(*weight.shape[1::-1], 3, padding=1, bias=False)
        self.conv.weight = nn.Parameter(weight)
        self.register_buffer("powers", weight.square().sum((2, 3)).T, persistent=False)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(1 or B, C, H, W) and a style (B, C) to (B, C, H, W)."""
        scale = self.modulation(style)
        y: Tensor = self.conv(x * scale[:, :, None, None])
        return y * torch.rsqrt(scale.square() @ self.powers + 1e-8)[:, :, None, None]


def _composed(first: nn.Conv2d, then: nn.Conv2d) -> nn.Conv2d:
    """One 1×1 convolution for two in a row."""
    assert first.bias is not None and then.bias is not None
    made = nn.Conv2d(first.in_channels, then.out_channels, 1)
    matrix = then.weight.flatten(1).double()
    made.weight = nn.Parameter((matrix @ first.weight.flatten(1).double()).float()[..., None, None])
    made.bias = nn.Parameter((matrix @ first.bias.double() + then.bias).float())
    return made


def _side_by_side(parts: list[nn.Conv2d]) -> nn.Conv2d:
    """One 1×1 convolution whose output channels are those of all parts."""
    made = nn.Conv2d(parts[0].in_channels, sum(part.out_channels for part in parts), 1)
    made.weight = nn.Parameter(torch.cat([part.weight for part in parts]))
    made.bias = nn.Parameter(torch.cat([part.bias for part in parts if part.bias is not None]))
    return made


def _compute_by_winograd(whole: nn.Module) -> None:
    """Replaces all wide 3×3 convolutions with padding 1, and those that mix experts."""
    for parent in list(whole.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) and layer.in_channels >= WIDE:
                parent.add_module(name, WinogradConv(layer))
            elif isinstance(layer, DynamicConv) and layer.attention and layer.weight.shape[2] >= WIDE:
                parent.add_module(name, WinogradDynamicConv(layer))

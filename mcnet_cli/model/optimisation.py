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
from mcnet_cli.model.memory import ATTENTION_SCALE, DynamicConv, MemoryUnit, ModulatedConv
from mcnet_cli.model.winograd import OUTPUTS_AT_ONCE, WinogradConv, WinogradDynamicConv

# Channels of inputs and outputs from which on Winograd's algorithm is faster. With 96 it takes 0.6 to 1 of
# the time, with 64 as long as a plain convolution (measured on a Xeon with AVX-512, pictures of 32² to 128²).
WIDE = 128
# Places whose memory a CPU reads at once: more would leave its cache between the steps.
PLACES_AT_ONCE = 2048
# Kernels up to this size (inputs times outputs) are worth doubling: larger ones convolve such small pictures
# that reading them takes longer than computing.
LARGEST_DOUBLED = 1 << 17
# Which of three weights meet the same pixel of a picture before it was doubled, for each tap of four.
_DOUBLED = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=torch.float64)


@torch.no_grad()
def optimised(model: MCNet, *, by_winograd: bool = True) -> MCNet:
    """Changes a network in evaluation mode into one that computes the same sooner, and returns it.

    Afterwards it can't be trained or saved, and what it generates holds no memory traces.

    Args:
        model: on the CPU, in float32; it can be moved afterwards.
        by_winograd: whether wide convolutions are computed by Winograd's algorithm: on a CPU and in float32
            alone.
    """
    generator = model.generator
    for parent in list(model.modules()):
        for name, block in list(parent.named_children()):
            if isinstance(block, Same):
                block.conv = fuse_conv_bn_eval(block.conv, block.norm)
                block.add_module("norm", nn.Identity())
                kernels = block.conv.in_channels * block.conv.out_channels
                if isinstance(block, Up) and kernels <= LARGEST_DOUBLED:
                    parent.add_module(name, nn.Sequential(_doubling(block.conv), nn.ReLU(inplace=True)))
            elif isinstance(block, Res):
                block.conv1 = fuse_conv_bn_eval(block.conv1, block.norm2)
                block.add_module("norm2", nn.Identity())
    generator.add_module("mbUnit", _MergedMemory(generator.mbUnit))
    if generator.config.generator.stem_stride == 1:
        generator.add_module("final", _in_blocks(generator.final))
    if by_winograd:
        _compute_by_winograd(generator.resblock)
        _compute_by_winograd(generator.mbUnit)
    return model.channels_last()


def _doubling(conv: nn.Conv2d) -> nn.ConvTranspose2d:
    """What doubles a picture by repeating pixels, then applies a convolution of 3×3 to it."""
    made = nn.ConvTranspose2d(conv.in_channels, conv.out_channels, 4, stride=2, padding=1)
    taps = torch.einsum("yk, xl, oikl -> ioyx", _DOUBLED, _DOUBLED, conv.weight.double())
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
    """The memory unit with linear layers put together; it returns the compensated feature alone.

    linear: by size, one layer from what is to be compensated to the projection, the query, and the part of
    the projection in `diff_conv`. That layer's other part, of what attention reads, is applied to the values
    before they are read: attention is linear in them, and there are fewer values than places.
    """

    def __init__(self, unit: MemoryUnit) -> None:
        super().__init__()
        self.unit = unit
        self.linear = nn.ModuleDict()
        for name, projection in list(unit.named_children()):
            if name.startswith("feat_forward_proj_") and isinstance(projection, nn.Conv2d):
                size = name.rpartition("_")[2]
                self.linear[size] = _merged(projection, unit.query_conv, unit.diff_conv)
                delattr(unit, name)
        del unit.query_conv
        if unit.condition != "none":
            fixed = _FixedModulatedConv(unit.styleconv.modulated_conv)
            unit.styleconv.add_module("modulated_conv", fixed)

    def forward(
        self, feature: Tensor, size: int, source_values: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """As for `MemoryUnit`."""
        unit, linear = self.unit, self.linear[str(size)]
        places = rearrange(feature[:, 1::2], "b c h w -> b (h w) c")
        pooled = linear(places.mean(1)).chunk(3, dim=1)[0][..., None, None]
        styled = unit.styled_memory(pooled, source_values, noise)
        key, value = rearrange(F.relu_(unit.conv_kv(styled, pooled)), "b (n c) h w -> n b 1 (h w) c", n=2)
        key = key.contiguous()  # attention is slow without
        value = value @ unit.diff_conv.weight[:, :, 0, 0].T
        parts = -(-places.shape[1] // PLACES_AT_ONCE) if places.device.type == "cpu" else 1
        compensated = [_compensated(linear(part), key, value) for part in places.chunk(parts, dim=1)]
        whole = rearrange(torch.cat(compensated, dim=1), "b (h w) c -> b c h w", h=feature.shape[2])
        return unit.merged(feature, whole, size)


def _compensated(said: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(B, N, C) compensated places, of what the linear layer says of them, (B, N, 3·C).

    key, value: (B, 1, M, C).
    """
    projected, query, change = said.chunk(3, dim=-1)
    query = F.relu_(query)[:, None]
    change = change - F.scaled_dot_product_attention(query, key, value, scale=ATTENTION_SCALE)[:, 0]
    return F.relu_(change).add_(projected)


class _FixedModulatedConv(nn.Module):
    """`ModulatedConv` whose weights don't change: what depends on them alone is computed once."""

    powers: Tensor

    def __init__(self, plain: ModulatedConv) -> None:
        super().__init__()
        self.modulation = plain.modulation
        weight = plain.weight[0] / math.sqrt(plain.weight[0][0].numel())
        self.conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, bias=False)
        self.conv.weight = nn.Parameter(weight)
        self.register_buffer("powers", weight.square().sum((2, 3)).T, persistent=False)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(1 or B, C, H, W) and a style (B, C) to (B, C, H, W)."""
        scale = self.modulation(style)
        y: Tensor = self.conv(x * scale[:, :, None, None])
        return y * torch.rsqrt(scale.square() @ self.powers + 1e-8)[:, :, None, None]


def _merged(projection: nn.Conv2d, *others: nn.Conv2d) -> nn.Linear:
    """One layer for a 1×1 convolution and others that follow it; outputs are those of all, side by side."""
    assert projection.bias is not None
    matrix, bias = projection.weight.flatten(1).double(), projection.bias.double()
    matrices, biases = [matrix], [bias]
    for other in others:
        assert other.bias is not None
        matrices.append(other.weight.flatten(1).double() @ matrix)
        biases.append(other.weight.flatten(1).double() @ bias + other.bias)
    made = nn.Linear(projection.in_channels, sum(map(len, matrices)))
    made.weight, made.bias = (nn.Parameter(torch.cat(parts).float()) for parts in (matrices, biases))
    return made


def _compute_by_winograd(whole: nn.Module) -> None:
    """Replaces all wide 3×3 convolutions with padding 1, those that mix experts among them."""
    for parent in list(whole.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                if min(layer.in_channels, layer.out_channels) >= WIDE:
                    parent.add_module(name, WinogradConv(layer))
            elif isinstance(layer, DynamicConv) and layer.attention is not None:
                inputs = layer.weight.shape[2]  # and twice as many outputs
                if inputs >= WIDE and inputs % OUTPUTS_AT_ONCE == 0:
                    parent.add_module(name, WinogradDynamicConv(layer))

"""The implicit scale conditioned memory compensation unit, the paper's contribution (sec. 3.2 and 3.3).

Its convolutions come first: their kernels depend on the sample, modulated by a style or mixed from experts.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mcnet_cli.model.config import MemoryConfig

ATTENTION_SCALE = 1 / 4  # the official 4, not the square root of the width


class EqualisedLinear(nn.Module):
    """A linear layer whose weights are N(0, 1) and scaled by 1/√inputs when used."""

    def __init__(self, inputs: int, outputs: int, bias: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.full((outputs,), bias))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight / math.sqrt(self.weight.shape[1]), self.bias)


class ModulatedConv(nn.Module):
    """A 3×3 convolution, its inputs scaled by a style, its outputs demodulated (StyleGAN2, sec. 2.2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, channels, channels, 3, 3))
        self.modulation = EqualisedLinear(channels, channels, bias=1.0)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(1 or B, C, H, W) and a style (B, C) to (B, C, H, W)."""
        scale = self.modulation(style)
        weight = self.weight[0] / math.sqrt(self.weight[0][0].numel())
        # scaling inputs and outputs equals scaling each sample's kernel, without a kernel a sample
        power = scale.square() @ weight.square().sum((2, 3)).T
        y = F.conv2d(x * scale[:, :, None, None], weight, padding=1)
        return y * torch.rsqrt(power + 1e-8)[:, :, None, None]


class BiasedLeakyReLU(nn.Module):
    """Bias, leaky ReLU of slope 0.2, times √2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.bias[:, None, None], 0.2) * math.sqrt(2)


class StyledConv(nn.Module):
    """`ModulatedConv`, noise of a learned gain, bias and activation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv(channels)
        self.weight = nn.Parameter(torch.zeros(1))
        self.activate = BiasedLeakyReLU(channels)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None = None) -> Tensor:
        """noise: (B, 1, H, W); without it results repeat."""
        y = self.modulated_conv(x, style)
        if noise is not None:
            y = y + self.weight * noise
        activated: Tensor = self.activate(y)
        return activated


class ExpertAttention(nn.Module):
    """Mixing weights of the experts from a pooled feature, at a temperature that keeps them nearly even."""

    TEMPERATURE = 34

    def __init__(self, channels: int, experts: int) -> None:
        super().__init__()
        hidden = channels // 4 + 1
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.fc2 = nn.Conv2d(hidden, experts, 1)
        for layer in (self.fc1, self.fc2):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, experts) that sum to 1."""
        logits: Tensor = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return (logits.flatten(1) / self.TEMPERATURE).softmax(dim=1)


class DynamicConv(nn.Module):
    """A 3×3 convolution whose kernel each sample mixes from experts (Chen et al., CVPR 2020)."""

    def __init__(self, inputs: int, outputs: int, experts: int) -> None:
        super().__init__()
        bound = math.sqrt(6 / (inputs * 9))
        self.weight = nn.Parameter(torch.empty(experts, outputs, inputs, 3, 3).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(experts, outputs))
        self.attention = ExpertAttention(inputs, experts) if experts > 1 else None

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        """Convolves x (B, C, H, W) with the kernel that `feature` (B, C, h, w) chooses."""
        if self.attention is None:
            return F.conv2d(x, self.weight[0], self.bias[0], padding=1)
        batch = x.shape[0]
        shares = self.attention(feature)
        kernels = torch.einsum("be,eoikl->boikl", shares, self.weight)
        y = F.conv2d(
            rearrange(x, "b c h w -> 1 (b c) h w"),
            rearrange(kernels, "b o i k l -> (b o) i k l"),
            (shares @ self.bias).flatten(),
            padding=1,
            groups=batch,
        )
        return rearrange(y, "1 (b c) h w -> b c h w", b=batch)


@dataclass(frozen=True, slots=True)
class MemoryTrace:
    """Intermediates of one compensation. C is the memory's width, M its side.

    before, after: (B, c, s, s) the feature and its compensation. projected, query, residual: (B, C, s, s).
    styled_memory, key, value: (B, C, M, M).
    """

    before: Tensor
    projected: Tensor
    styled_memory: Tensor
    key: Tensor
    value: Tensor
    query: Tensor
    residual: Tensor
    after: Tensor


class MemoryUnit(nn.Module):
    """One memory bank that compensates warped features of several sizes.

    channels: of the feature at each nominal size.
    """

    def __init__(self, config: MemoryConfig, channels: dict[int, int], keypoints: int) -> None:
        super().__init__()
        width, side = config.width, config.bank_size
        self.condition = config.condition
        bound = math.sqrt(6 / (width * side * side))
        self.mb = nn.Parameter(torch.empty(1, width, side, side).uniform_(-bound, bound))
        for size, count in channels.items():
            half = count // 2
            self.add_module(f"feat_forward_proj_{size}", nn.Conv2d(half, width, 1))
            self.add_module(f"conv_{size}", nn.Conv2d(width, half, 3, padding=1))
            self.add_module(f"norm_{size}", nn.InstanceNorm2d(half, affine=True))
        self.query_conv = nn.Conv2d(width, width, 1)
        self.diff_conv = nn.Conv2d(width, width, 1)
        self.conv_kv = DynamicConv(width, 2 * width, config.experts)
        if self.condition != "none":
            inputs = {"both": width + 2 * keypoints, "features": width, "keypoints": 2 * keypoints}[
                self.condition
            ]
            self.style_route = nn.Sequential(
                nn.Linear(inputs, config.style_width), nn.ReLU(), nn.Linear(config.style_width, width)
            )
            self.styleconv = StyledConv(width)

    def forward(
        self, feature: Tensor, size: int, source_values: Tensor, noise: Tensor | None = None
    ) -> MemoryTrace:
        """Compensates a warped and occluded feature.

        feature: (B, c, s, s), size: its nominal side, source_values: (B, K, 2) keypoints of the source.
        noise: (B, 1, M, M), added to the conditioned bank with a learned gain.
        """
        projected = self.get_submodule(f"feat_forward_proj_{size}")(feature[:, 1::2])
        styled = self.styled_memory(projected, source_values, noise)
        key, value = F.relu(self.conv_kv(styled, projected)).chunk(2, dim=1)
        query = F.relu(self.query_conv(projected))
        residual = self._attend(query, key, value)
        compensated = projected + F.relu(self.diff_conv(projected - residual))
        after = self.merged(feature, compensated, size)
        return MemoryTrace(feature, projected, styled, key, value, query, residual, after)

    def merged(self, feature: Tensor, compensated: Tensor, size: int) -> Tensor:
        """The feature (B, c, s, s), every second channel replaced by what is compensated (B, C, s, s)."""
        compensated = self.get_submodule(f"conv_{size}")(compensated)
        compensated = F.relu(self.get_submodule(f"norm_{size}")(compensated))
        # in this order, as the convolutions that follow want channels last in memory
        parts = (rearrange(x, "b c h w -> b h w c") for x in (feature[:, 0::2], compensated))
        return rearrange(torch.stack([*parts], dim=-1).flatten(-2), "b h w c -> b c h w")

    def styled_memory(self, projected: Tensor, source_values: Tensor, noise: Tensor | None = None) -> Tensor:
        """The bank conditioned by the implicit scale (identity) representation, (B, C, M, M)."""
        if self.condition == "none":
            return self.mb.expand(projected.shape[0], -1, -1, -1)
        pooled, points = projected.mean((2, 3)), source_values.flatten(1).to(projected.dtype)
        parts = {"both": [pooled, points], "features": [pooled], "keypoints": [points]}[self.condition]
        styled: Tensor = self.styleconv(self.mb, self.style_route(torch.cat(parts, dim=1)), noise)
        return styled

    @staticmethod
    def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        height = query.shape[2]
        q, k, v = (rearrange(x, "b c h w -> b 1 (h w) c") for x in (query, key, value))
        read = F.scaled_dot_product_attention(q, k, v, scale=ATTENTION_SCALE)
        return rearrange(read, "b 1 (h w) c -> b c h w", h=height)

"""Convolutions whose kernels depend on the sample: modulated by a style, or mixed from experts."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


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

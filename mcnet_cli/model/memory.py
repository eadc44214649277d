"""The implicit scale conditioned memory compensation unit, the paper's contribution (sec. 3.2 and 3.3)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mcnet_cli.model.config import MemoryConfig
from mcnet_cli.model.modulation import DynamicConv, StyledConv

ATTENTION_SCALE = 1 / 4  # the official 4, not the square root of the width


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

"""The keypoint detector (ICCV 2023, sec. 3.1; after FOMM, NeurIPS 2019)."""

import torch
from einops import einsum, rearrange
from torch import Tensor, nn

from mcnet_cli.model.blocks import Hourglass
from mcnet_cli.model.config import KeypointConfig
from mcnet_cli.model.geometry import Keypoints, band_limited_downsample, coordinate_grid, full_precision

MOTION_SIZE = 64  # keypoints and dense motion see the picture at this side
TEMPERATURE = 0.1


class KeypointDetector(nn.Module):
    """A picture (B, 3, H, W) in [0, 1] to its keypoints, by softmax over heatmaps."""

    def __init__(self, config: KeypointConfig) -> None:
        super().__init__()
        self.predictor = Hourglass(3, config.hourglass)
        padding = config.kernel // 2 if config.padded else 0
        self.kp = nn.Conv2d(self.predictor.channels, config.count, config.kernel, padding=padding)
        self.jacobian: nn.Conv2d | None = None
        if config.jacobians:
            self.jacobian = nn.Conv2d(
                self.predictor.channels, 4 * config.count, config.kernel, padding=padding
            )
            nn.init.zeros_(self.jacobian.weight)
            with torch.no_grad():
                assert self.jacobian.bias is not None
                self.jacobian.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 1.0] * config.count))

    def forward(self, image: Tensor) -> Keypoints:
        features = self.predictor(band_limited_downsample(image, image.shape[-1] // MOTION_SIZE))
        maps = self.kp(features)
        height, width = maps.shape[2:]
        logits = rearrange(maps, "b k h w -> b k (h w)").float() / TEMPERATURE
        heatmaps = rearrange(logits.softmax(-1), "b k (h w) -> b k h w", h=height)
        with full_precision(heatmaps):
            values = einsum(
                heatmaps, coordinate_grid(height, width, like=heatmaps), "b k h w, h w c -> b k c"
            )
        if self.jacobian is None:
            return Keypoints(values)
        maps = rearrange(self.jacobian(features).float(), "b (k c) h w -> b k c h w", c=4)
        with full_precision(heatmaps):
            jacobians = einsum(heatmaps, maps, "b k h w, b k c h w -> b k c")
        return Keypoints(values, rearrange(jacobians, "b k (i j) -> b k i j", i=2))

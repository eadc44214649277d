"""What a detail painter has painted: its finish, and the network that enlarges it for large mouths."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcnet_cli.model.detail_layers import Residual, active, convolution

# Sharpening: how far paint is taken from its mean over `SHARPENED_PX`² pixels, as sampling softens it. More
# makes haloes: 1.0 brings gradients from 0.78 to 0.81 of real mouths', at an error a hundredth larger.
SHARPENED, SHARPENED_PX = 0.5, 5
# What paint is convolved by along both sides, from the middle on: nothing passes of what alternates from one
# pixel to the next, a grid that pixel shuffling leaves, and nearly all of what is coarser than three pixels.
GRID_FILTER = (10 / 16, 4 / 16, -1 / 16)
INPUTS = 9  # channels of what the enlarger sees: the source's colours, the paint and its share, two distances


@dataclass(frozen=True, slots=True)
class Painted:
    """What is painted in a window of squares: colours (B, 3, h, w) in [0, 1], their share (B, 1, h, w)."""

    colours: Tensor
    share: Tensor

    @property
    def layers(self) -> Tensor:
        """(B, 4, h, w): colours and share."""
        return torch.cat([self.colours, self.share], 1)

    def finished(self) -> "Painted":
        """Without the grid that pixel shuffling leaves; colours with stronger edges."""
        colours, share = without_grid(self.layers).tensor_split([3], 1)
        soft = F.avg_pool2d(colours, SHARPENED_PX, 1, SHARPENED_PX // 2, count_include_pad=False)
        return Painted((colours + SHARPENED * (colours - soft)).clamp(0, 1), share.clamp(0, 1))


class DetailEnlarger(nn.Module):
    """Doubles what a painter paints, for mouths that are larger in a photo than in the painter's squares.

    It adds light, which edges of teeth and lips are made of; chromas are enlarged as they are.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(4 * INPUTS, channels)
        self.blocks = nn.Sequential(*(Residual(channels) for _ in range(2)))
        self.out = nn.Conv2d(channels, 4, 3, padding=1)
        for values in (self.out.weight, self.out.bias):  # it begins with nothing to add
            nn.init.zeros_(values)  # type: ignore[arg-type]

    def forward(self, paint: Painted, warped: Tensor, distances: Tensor) -> Painted:
        """The paint (B, ·, h, w) at twice the size.

        warped: (B, 3, 2·h, 2·w) in [0, 1], the warped source there. distances: (B, 2, 2·h, 2·w) from both
        outlines, over `FAR`.
        """
        layers = F.interpolate(paint.layers, scale_factor=2.0, mode="bicubic", align_corners=False)
        colours, share = layers.clamp(0, 1).tensor_split([3], 1)
        seen = torch.cat([2 * warped - 1, 2 * colours - 1, share, distances], 1)
        x = F.pixel_unshuffle(seen, 2).to(self.out.weight.dtype)
        x = self.blocks(active(self.first(x.contiguous(memory_format=torch.channels_last))))
        light = without_grid(F.pixel_shuffle(self.out(active(x)), 2).float())
        return Painted((colours + light).clamp(0, 1), share)


def without_grid(layers: Tensor) -> Tensor:
    """(B, C, h, w) without what alternates from one pixel to the next."""
    middle, near, far = GRID_FILTER
    for dimension, pad in ((2, (0, 0, 2, 2)), (3, (2, 2, 0, 0))):
        padded = F.pad(layers, pad, mode="replicate")
        taps = [padded.narrow(dimension, start, layers.shape[dimension]) for start in range(5)]
        layers = middle * taps[2] + near * (taps[1] + taps[3]) + far * (taps[0] + taps[4])
    return layers

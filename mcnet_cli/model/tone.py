"""A source of but one hue: what is painted into a black-and-white photo has no colours either."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mcnet_cli.model.geometry import full_precision, ramp

# How far colours are from a line, in a tint and in a picture in colours: noise of a scan, and a little less
# than in the least colourful of some ninety portraits (0.019).
APART = 0.008, 0.016
BRIGHTNESS = 0.299, 0.587, 0.114  # of red, green and blue: ITU-R BT.601


@dataclass(frozen=True, slots=True)
class Tone:
    """Colours as they follow from brightness.

    offset, slope: (B, 3, 1, 1). share: (B, 1, 1, 1), 1 for a source of one hue, 0 for one in colours.
    """

    offset: Tensor
    slope: Tensor
    share: Tensor

    @classmethod
    def of(cls, image: Tensor) -> "Tone | None":
        """Of sources (B, 3, H, W) in [0, 1]: the line through their colours; None if all are in colours.

        Small pictures will do, and have less noise.
        """
        with full_precision(image):
            image = image.float()
            light = brightness(image)
            colour, middle = image.mean((2, 3), keepdim=True), light.mean((2, 3), keepdim=True)
            spread = (light - middle).square().mean((2, 3), keepdim=True).clamp_min(1e-6)
            slope = ((image - colour) * (light - middle)).mean((2, 3), keepdim=True) / spread
            offset = colour - slope * middle
            apart = (image - (offset + slope * light)).square().sum(1).mean((1, 2)).sqrt()
            share = 1 - ramp(apart, *APART)[:, None, None, None]
            return cls(offset, slope, share) if share.any() else None

    def expand(self, batch: int) -> "Tone":
        """For `batch` frames; no copy is made."""
        return Tone(*(x.expand(batch, *x.shape[1:]) for x in (self.offset, self.slope, self.share)))

    def __call__(self, frames: Tensor) -> Tensor:
        """(B, 3, H, W) frames in the source's hue, if it has but one; else as they are."""
        return torch.lerp(frames, (self.offset + self.slope * brightness(frames)).clamp(0, 1), self.share)


def brightness(image: Tensor) -> Tensor:
    """(B, 1, H, W) of (B, 3, H, W)."""
    red, green, blue = (weight * image[:, i : i + 1] for i, weight in enumerate(BRIGHTNESS))
    return red + green + blue

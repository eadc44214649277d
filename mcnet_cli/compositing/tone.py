"""The hue of a photo that has but one: what is painted into black and white, or sepia, has it too."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mcnet_cli.model.detail_painter import BRIGHTNESS
from mcnet_cli.model.geometry import full_precision, ramp

# Root mean square distance of a picture's colours from the line through them. Below 0.008, the noise of a
# scan, the photo has one hue; above 0.016 it is in colours. The least colourful of some ninety portraits in
# colours has 0.019.
FROM_ONE_HUE = 0.008, 0.016


@dataclass(frozen=True, slots=True)
class Tone:
    """Colours of photos of one hue (black and white, sepia) as a line: colour = offset + slope · brightness.

    offset, slope: (B, 3, 1, 1). share: (B, 1, 1, 1) in [0, 1]: 1 for a source of one hue, 0 for one in
    colours.
    """

    offset: Tensor
    slope: Tensor
    share: Tensor

    @classmethod
    def of(cls, image: Tensor) -> "Tone | None":
        """The tone of sources (B, 3, H, W) in [0, 1], or None if all of them are in colours.

        Small pictures do: they have less noise.
        """
        with full_precision(image):
            image = image.float()
            light = brightness(image)
            colour, middle = image.mean((2, 3), keepdim=True), light.mean((2, 3), keepdim=True)
            spread = (light - middle).square().mean((2, 3), keepdim=True).clamp_min(1e-6)
            slope = ((image - colour) * (light - middle)).mean((2, 3), keepdim=True) / spread
            offset = colour - slope * middle
            distance = (image - (offset + slope * light)).square().sum(1).mean((1, 2)).sqrt()
            share = 1 - ramp(distance, *FROM_ONE_HUE)[:, None, None, None]
            return cls(offset, slope, share) if share.any() else None

    def expand(self, batch: int) -> "Tone":
        """The same for `batch` frames; no copy is made."""
        return Tone(*(x.expand(batch, *x.shape[1:]) for x in (self.offset, self.slope, self.share)))

    def __call__(self, frames: Tensor) -> Tensor:
        """(B, 3, H, W) frames in the source's hue if it has only one; frames of sources in colours stay."""
        return torch.lerp(frames, (self.offset + self.slope * brightness(frames)).clamp(0, 1), self.share)


def brightness(image: Tensor) -> Tensor:
    """(B, 1, H, W) of (B, 3, H, W)."""
    red, green, blue = (weight * image[:, i : i + 1] for i, weight in enumerate(BRIGHTNESS))
    return red + green + blue

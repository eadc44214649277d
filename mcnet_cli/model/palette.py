"""The colours of a mouth's inside: teeth are about as white as the portrait's skin lets white be."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from mcnet_cli.model.geometry import full_precision, ramp
from mcnet_cli.model.tone import brightness

TEETH = 0.3  # their chroma, of the skin's: both have the light's, and teeth little besides
RED = 0.3, 0.6  # of the lips' chroma: up to where something is teeth or darkness, from where tongue or gums
SKIN, LIPS = 0.03, 0.01  # around a place that are looked at, in pictures of side 2
DARK = 0.05  # brightness below which chroma is noise
PALE = 0.05  # chroma of lips below which nothing is told by it


@dataclass(frozen=True, slots=True)
class Palette:
    """Chroma of a source's lips and teeth, (B, 3, 1, 1): their colours less the brightness, over it."""

    lips: Tensor
    teeth: Tensor

    @classmethod
    def of(cls, image: Tensor, skin: Tensor, lips: Tensor) -> "Palette":
        """Of sources (B, 3, H, W) with skin and lips at (B, N, 2) places."""
        with full_precision(image):
            red, pale = (
                _chroma(_around(image, places, reach).mean((2, 3), keepdim=True))
                for places, reach in ((lips, LIPS), (skin, SKIN))
            )
            return cls(red, TEETH * pale)

    def expand(self, batch: int) -> "Palette":
        """For `batch` frames; no copy is made."""
        return Palette(*(x.expand(batch, *x.shape[1:]) for x in (self.lips, self.teeth)))

    def between_lips(self, frames: Tensor, share: Tensor) -> Tensor:
        """(B, 3, h, w) frames whose inside of a mouth, a (B, 1, h, w) share, is as red as lips or else pale.

        A small network paints teeth in the colours of those that it has seen, yellow or green under the light
        of another picture.
        """
        chroma = _chroma(frames)
        strength = self.lips.square().sum(1, keepdim=True).clamp_min(PALE**2)
        redness = (chroma * self.lips).sum(1, keepdim=True) / strength
        pale = share * (1 - ramp(redness, *RED))
        light = brightness(frames)
        return torch.lerp(frames, (light + light * self.teeth).clamp(0, 1), pale)


def _chroma(colours: Tensor) -> Tensor:
    light = brightness(colours)
    return (colours - light) / light.clamp_min(DARK)


def _around(image: Tensor, places: Tensor, reach: float) -> Tensor:
    """(B, 3, N, 9) colours of and around (B, N, 2) places."""
    steps = torch.tensor([-reach, 0.0, reach], device=places.device)
    offsets = torch.cartesian_prod(steps, steps)
    spots = rearrange(places, "b n c -> b n 1 c") + offsets
    return F.grid_sample(image, spots, padding_mode="border", align_corners=True)

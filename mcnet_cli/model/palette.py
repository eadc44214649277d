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
REDDEST = 0.7  # chroma of lips that tongues and gums are measured by: lipstick has more
PALE = 0.05, 0.1  # chroma of lips that tells nothing, and all, of what is red
SKIN, LIPS = 0.03, 0.01  # around a place that are looked at, in pictures of side 2
DARK = 0.05  # brightness below which chroma is noise


@dataclass(frozen=True, slots=True)
class Palette:
    """What a source says of the inside of its mouth. Chroma: colours less their brightness, over it.

    red: (B, 3, 1, 1), whose product with a chroma is 1 for what is as red as the lips. told: (B, 1, 1, 1),
    how far that can be relied on. teeth: (B, 3, 1, 1) chroma.
    """

    red: Tensor
    told: Tensor
    teeth: Tensor

    @classmethod
    def of(cls, image: Tensor, skin: Tensor, lips: Tensor) -> "Palette":
        """Of sources (B, 3, H, W) with skin and lips at (B, N, 2) places."""
        with full_precision(image):
            image, skin, lips = image.float(), skin.float(), lips.float()
            lip, cheek = (
                _chroma(_around(image, places, reach).mean((2, 3), keepdim=True))
                for places, reach in ((lips, LIPS), (skin, SKIN))
            )
            strength = _length(lip)
            red = lip / (strength.clamp_min(PALE[0]) * strength.clamp(PALE[0], REDDEST))
            return cls(red, ramp(strength, *PALE), TEETH * cheek)

    def expand(self, batch: int) -> "Palette":
        """For `batch` frames; no copy is made."""
        return Palette(*(x.expand(batch, *x.shape[1:]) for x in (self.red, self.told, self.teeth)))

    def between_lips(self, frames: Tensor, share: Tensor) -> Tensor:
        """(B, 3, h, w) frames whose inside of a mouth, a (B, 1, h, w) share, is as red as lips or else pale.

        A small network paints teeth in the colours of those that it has seen, yellow or green under the light
        of another picture.
        """
        chroma, light = _chroma(frames), brightness(frames)
        pale = 1 - self.told * ramp((chroma * self.red).sum(1, keepdim=True), *RED)
        # nor more colourful than they are painted: brown skin has more than the light's chroma
        teeth = self.teeth * (_length(chroma) / _length(self.teeth).clamp_min(1e-4)).clamp_max(1)
        return torch.lerp(frames, (light + light * teeth).clamp(0, 1), (share * pale).to(frames.dtype))


def _length(chroma: Tensor) -> Tensor:
    length: Tensor = chroma.norm(dim=1, keepdim=True)
    return length


def _chroma(colours: Tensor) -> Tensor:
    light = brightness(colours)
    return (colours - light) / light.clamp_min(DARK)


def _around(image: Tensor, places: Tensor, reach: float) -> Tensor:
    """(B, 3, N, 9) colours of and around (B, N, 2) places."""
    steps = torch.tensor([-reach, 0.0, reach], device=places.device)
    offsets = torch.cartesian_prod(steps, steps)
    spots = rearrange(places, "b n c -> b n 1 c") + offsets
    return F.grid_sample(image, spots, padding_mode="border", align_corners=True)

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
    """Chroma of a source's lips and teeth, (B, 3, 1, 1): their colours less the brightness, over it."""

    lips: Tensor
    teeth: Tensor

    @classmethod
    def of(cls, image: Tensor, skin: Tensor, lips: Tensor) -> "Palette":
        """Of sources (B, 3, H, W) with skin and lips at (B, N, 2) places."""
        with full_precision(image):
            image, skin, lips = image.float(), skin.float(), lips.float()
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
        chroma, light = _chroma(frames), brightness(frames)
        colourful = _length(self.lips)
        redness = (chroma * self.lips).sum(1, keepdim=True)
        redness = redness / (colourful * colourful.clamp(PALE[0], REDDEST)).clamp_min(PALE[0] ** 2)
        pale = 1 - ramp(redness, *RED) * ramp(colourful, *PALE)
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

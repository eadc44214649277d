"""The colours of what the decoder paints: pale teeth in the portrait's light, photos of one hue in that hue.

A small network paints in the colours of the faces that it was trained on: yellow or green teeth under the
light of another picture, pink lips in a black-and-white photo. Chroma here is a colour minus its brightness,
divided by the
brightness: (B, 3, H, W), 0 for grey.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from mcnet_cli.model.geometry import full_precision, grid_sample, ramp

# Weights of red, green and blue in the brightness: ITU-R BT.601.
BRIGHTNESS = 0.299, 0.587, 0.114
# Brightness below which chroma is divided by this instead: in the dark it is mostly noise.
DARK = 0.05

# Chroma of teeth over that of the skin. Both have the tint of the light; teeth have little colour of their
# own.
TEETH = 0.3
# Redness of a painted pixel, 1 being as red as the lips. Below 0.3 it is teeth or darkness and is made pale;
# above 0.6 it is tongue or gums and stays.
RED = 0.3, 0.6
# Largest chroma of lips that redness is measured by. Lipstick has more; tongues and gums would seem pale
# beside it.
REDDEST_LIPS = 0.7
# Chroma of the lips: below 0.05 they are grey (stone, a black-and-white photo) and tell nothing of what is
# red, above 0.1 they can be relied on.
COLOURED_LIPS = 0.05, 0.1
# Reach of the nine samples around a place on the skin or the lips, in coordinates (the picture's side is 2).
SKIN_REACH, LIPS_REACH = 0.03, 0.01

# Root mean square distance of a picture's colours from the line through them. Below 0.008, the noise of a
# scan, the photo has one hue; above 0.016 it is in colours. The least colourful of some ninety portraits in
# colours has 0.019.
FROM_ONE_HUE = 0.008, 0.016


@dataclass(frozen=True, slots=True)
class Palette:
    """What a source tells of the colours inside its mouth.

    red: (B, 3, 1, 1). Redness axis: the sum of `chroma · red` is 1 at the colour of the lips.
    confidence: (B, 1, 1, 1) in [0, 1]: whether the lips have enough colour to tell what is red.
    teeth: (B, 3, 1, 1), the chroma of teeth.
    """

    red: Tensor
    confidence: Tensor
    teeth: Tensor

    @classmethod
    def of(cls, image: Tensor, skin: Tensor, lips: Tensor) -> "Palette":
        """The palette of sources (B, 3, H, W) in [0, 1] with skin and lips at (B, N, 2) coordinates."""
        with full_precision(image):
            image, skin, lips = image.float(), skin.float(), lips.float()
            lip, cheek = (
                chroma(_samples(image, places, reach).mean((2, 3), keepdim=True))
                for places, reach in ((lips, LIPS_REACH), (skin, SKIN_REACH))
            )
            strength = _length(lip)
            lowest = COLOURED_LIPS[0]
            red = lip / (strength.clamp_min(lowest) * strength.clamp(lowest, REDDEST_LIPS))
            return cls(red, ramp(strength, *COLOURED_LIPS), TEETH * cheek)

    def expand(self, batch: int) -> "Palette":
        """The same for `batch` frames; no copy is made."""
        return Palette(*(x.expand(batch, *x.shape[1:]) for x in (self.red, self.confidence, self.teeth)))

    def between_lips(self, frames: Tensor, share: Tensor) -> Tensor:
        """(B, 3, h, w) frames in which what isn't red inside the mouth is as pale as teeth.

        share: (B, 1, h, w) in [0, 1], the inside of the mouth.
        """
        colour, light = chroma(frames), brightness(frames)
        pale = 1 - self.confidence * ramp((colour * self.red).sum(1, keepdim=True), *RED)
        # never more colourful than it was painted: brown skin has more chroma than the light alone
        teeth = self.teeth * (_length(colour) / _length(self.teeth).clamp_min(1e-4)).clamp_max(1)
        return torch.lerp(frames, (light + light * teeth).clamp(0, 1), (share * pale).to(frames.dtype))


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


def chroma(colours: Tensor) -> Tensor:
    """(B, 3, H, W) of (B, 3, H, W): the colour beyond its brightness, over the brightness."""
    light = brightness(colours)
    return (colours - light) / light.clamp_min(DARK)


def _length(vectors: Tensor) -> Tensor:
    length: Tensor = vectors.norm(dim=1, keepdim=True)
    return length


def _samples(image: Tensor, places: Tensor, reach: float) -> Tensor:
    """(B, 3, N, 9) colours at (B, N, 2) places and at eight points around each."""
    steps = torch.tensor([-reach, 0.0, reach], device=places.device)
    offsets = torch.cartesian_prod(steps, steps)
    spots = rearrange(places, "b n c -> b n 1 c") + offsets
    return grid_sample(image, spots, padding_mode="border", align_corners=True)

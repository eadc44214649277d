"""What a head uncovers that moves away: the source's own background, filled in from around the person."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mcnet_cli.model.geometry import full_precision, ramp, warp

KNOWN = 0.25  # of what moves with the keypoints, from where on nothing is known of the background behind it
# From not at all to fully: how much of what background would show is the person, for it to be filled in.
UNCOVERED = 0.5, 0.85


@dataclass(frozen=True, slots=True)
class Backdrop:
    """A source without its person.

    foreground: (B, 1, 64, 64) in [0, 1], what moves with the keypoints. picture: (B, 3, H, W) in [0, 1].
    """

    foreground: Tensor
    picture: Tensor

    @classmethod
    def behind(cls, foreground: Tensor, image: Tensor) -> "Backdrop":
        """Of a source (B, 3, H, W)."""
        wide = F.max_pool2d(foreground, 3, 1, 1)
        wide = F.interpolate(wide, image.shape[2:], mode="bilinear", align_corners=True)
        return cls(foreground, filled(image, (1 - wide / KNOWN).clamp(0, 1)))

    def expand(self, batch: int) -> "Backdrop":
        """For `batch` frames; no copy is made."""
        return Backdrop(*(maps.expand(batch, *maps.shape[1:]) for maps in (self.foreground, self.picture)))

    def behind_moved(self, prediction: Tensor, background: Tensor, deformation: Tensor) -> Tensor:
        """(B, 3, H, W) frames with the backdrop where their background would show the person once more.

        background: (B, 1, 64, 64) share of it in the frames. deformation: (B, 64, 64, 2).
        """
        with full_precision(background):
            doubled = background * warp(self.foreground, deformation, "border")
            share = ramp(doubled, *UNCOVERED)
            share = F.interpolate(share, prediction.shape[2:], mode="bilinear", align_corners=True)
            frames: Tensor = prediction * (1 - share) + self.picture * share
        return frames.to(prediction.dtype)


def filled(image: Tensor, known: Tensor) -> Tensor:
    """(B, C, H, W) with what isn't known, by a (B, 1, H, W) share, taken from ever smaller pictures."""
    if image.shape[2] % 2 or image.shape[3] % 2:
        total: Tensor = (image * known).sum((2, 3), keepdim=True)
        mean = total / known.sum((2, 3), keepdim=True).clamp_min(1e-4)
        return image * known + mean * (1 - known)
    share = F.avg_pool2d(known, 2)
    smaller = filled(F.avg_pool2d(image * known, 2) / share.clamp_min(1e-4), (4 * share).clamp(0, 1))
    around = F.interpolate(smaller, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.lerp(around, image, known)

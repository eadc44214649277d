"""What a head uncovers that moves away: the source's own background, filled in from around the person."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from mcnet_cli.model.geometry import full_precision, ramp, warp

KNOWN = 0.25  # foreground from where on, cells beside it included, nothing is known of what is behind
PERSON = 0.1, 0.35  # foreground that isn't the person at all, and that wholly is; a chest has 0.4
# Sides by which a motion without the background's share differs: not at all a person's edge, and wholly.
APART = 0.006, 0.018
UNLIKE = 0.1  # a person's colours and its backdrop's, in the channel that differs most
CROWN = 0.35  # height of what a photo cuts off of a head, in halves of the head's width there


@dataclass(frozen=True, slots=True)
class Backdrop:
    """A source without its person.

    foreground: (B, 1, 64, 64) in [0, 1], what moves with the keypoints. picture: (B, 3, H, W) in [0, 1].
    """

    foreground: Tensor
    picture: Tensor

    @classmethod
    def of(cls, foreground: Tensor, image: Tensor) -> "Backdrop":
        """Of a source (B, 3, H, W)."""
        wide = F.max_pool2d(foreground, 3, 1, 1)
        around = filled(image, 1 - ramp(_at_size_of(image, wide), 0, KNOWN))
        return cls(foreground, torch.lerp(image, around, ramp(_at_size_of(image, foreground), *PERSON)))

    def expand(self, batch: int) -> "Backdrop":
        """For `batch` frames; no copy is made."""
        return Backdrop(*(maps.expand(batch, *maps.shape[1:]) for maps in (self.foreground, self.picture)))

    def parted(self, deformation: Tensor, person: Tensor) -> tuple[Tensor, Tensor]:
        """Where in the source frames are from, (B, 64, 64, 2), and the backdrop's share, (B, 1, 64, 64).

        A person that moves before a background that doesn't has an edge, over which motions aren't blended:
        a blend of both would show hair once more beside the head. Arguments as in `MotionField`.
        """
        with full_precision(deformation):
            apart = (person - deformation).norm(dim=-1, keepdim=True) / 2
            moves = ramp(apart, *APART)
            outside = 1 - ramp(warp(self.foreground, person, "border"), *PERSON)
            uncovered = outside * rearrange(moves, "b h w 1 -> b 1 h w")
            return torch.lerp(deformation, person, moves), uncovered

    def behind(self, frames: Tensor, share: Tensor) -> Tensor:
        """(B, 3, H, W) frames with this share of the backdrop, (B, 1, h, w)."""
        share = _at_size_of(frames, share)
        return frames * (1 - share) + self.picture * share

    def crowned(self, image: Tensor, top: int) -> Tensor:
        """A source (1, 3, H, W) whose rows above `top` lie beyond the photo: a head cut off there is rounded.

        image: as the picture, or with the same margin on each side.
        """
        side, margin = self.picture.shape[-1], (image.shape[-1] - self.picture.shape[-1]) // 2
        top = min(top, image.shape[-2] - 1)
        row = min(max(top - margin, 0), side - 1)
        person = _at_size_of(self.picture, self.foreground)[0, 0, row]
        behind = self.picture[:, :, row : row + 1]
        unlike = (image[0, :, top, margin : margin + side] - behind[0, :, 0]).abs().amax(0)
        inside = ((person > PERSON[1]) & (unlike > UNLIKE)).nonzero()[:, 0]
        if top <= 0 or not len(inside):
            return image
        middle, half = (inside[0] + inside[-1]) / 2 + margin, (inside[-1] - inside[0] + 1) / 2
        across = torch.arange(image.shape[-1], device=image.device)
        height = CROWN * half * (1 - ((across - middle) / half).square())
        above = top - torch.arange(top, device=image.device)
        head = ramp(height - above[:, None], -1, 1)
        behind = F.pad(behind, (margin, margin, 0, 0), mode="replicate")
        return torch.cat([torch.lerp(behind, image[:, :, :top], head), image[:, :, top:]], dim=2)


def _at_size_of(image: Tensor, maps: Tensor) -> Tensor:
    return F.interpolate(maps, image.shape[2:], mode="bilinear", align_corners=True)


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

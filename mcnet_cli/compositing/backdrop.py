"""What squares show around a person: the background behind, and what the photo has beyond the square.

The background is filled in from around the person, and shown where the person moves away. What lies beyond
the network's square is sampled where a motion brings it into view.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from mcnet_cli.model.config import Border
from mcnet_cli.model.geometry import full_precision, ramp, resized, sample_picture, warp

# Foreground share: below 0.1 is background, above 0.35 is person. Chests score about 0.4.
PERSON = 0.1, 0.35
# Foreground share, the cells beside a pixel included, from which on the pixel may show the person, so that
# nothing of it goes into the fill. At 0 the pixel is background and goes in wholly; in between in part.
KNOWN_UP_TO = 0.25
# Distance between foreground-only and blended motion, in picture sides, over which a pixel turns from
# background (and the blended motion) to person (and the foreground-only motion).
APART = 0.006, 0.018
# Width of the margin around the network's square, as a share of the square's side. Where a motion leads
# further, the margin's last pixels are repeated; a head that moves that far is lost in any case.
MARGIN = 0.25
# Height of the round crown above a head that the photo's upper edge cuts, over half the head's width at that
# edge. 1 would be as high as half a circle.
CROWN_HEIGHT = 0.35
# Difference between photo and backdrop, in the channel that differs most, above which a pixel at the photo's
# upper edge belongs to the head. The network's foreground map alone is wider than the head.
HEAD_DIFFERS = 0.1


@dataclass(frozen=True, slots=True)
class Backdrop:
    """A source without its person.

    foreground: (B, 1, 64, 64) in [0, 1], the share of each cell that moves with the keypoints.
    picture: (B, 3, H, W) in [0, 1], the source with the person replaced by what is around.
    """

    foreground: Tensor
    picture: Tensor

    @classmethod
    def of(cls, foreground: Tensor, image: Tensor) -> "Backdrop":
        """The backdrop of sources (B, 3, H, W) in [0, 1]; foreground as in the class."""
        wide = F.max_pool2d(foreground, 3, 1, 1)
        around = filled(image, 1 - ramp(_at_size_of(image, wide), 0, KNOWN_UP_TO))
        return cls(foreground, torch.lerp(image, around, ramp(_at_size_of(image, foreground), *PERSON)))

    def expand(self, batch: int) -> "Backdrop":
        """The same for `batch` frames; no copy is made."""
        return Backdrop(*(maps.expand(batch, *maps.shape[1:]) for maps in (self.foreground, self.picture)))

    def parted(self, deformation: Tensor, person: Tensor) -> tuple[Tensor, Tensor]:
        """The deformation that frames are warped by, and the share of the backdrop in them.

        Between a moving person and a background at rest the network's deformation is a blend of both motions,
        which would show hair a second time beside the head. Here a pixel takes the person's motion as soon as
        the two differ, and the backdrop is shown where that leads to no part of the person.

        deformation, person: (B, 64, 64, 2), `MotionField.deformation` and `MotionField.person`.
        Returns (B, 64, 64, 2) and (B, 1, 64, 64) in [0, 1].
        """
        with full_precision(deformation):
            apart = (person - deformation).norm(dim=-1, keepdim=True) / 2
            moves = ramp(apart, *APART)
            outside = 1 - ramp(warp(self.foreground, person, "border"), *PERSON)
            uncovered = outside * rearrange(moves, "b h w 1 -> b 1 h w")
            return torch.lerp(deformation, person, moves), uncovered

    def behind(self, frames: Tensor, share: Tensor) -> Tensor:
        """(B, 3, H, W) frames in which the backdrop has a (B, 1, h, w) share."""
        share = _at_size_of(frames, share)
        return frames * (1 - share) + self.picture * share


def _at_size_of(image: Tensor, maps: Tensor) -> Tensor:
    return F.interpolate(maps, image.shape[2:], mode="bilinear", align_corners=True)


def filled(image: Tensor, known: Tensor) -> Tensor:
    """(B, C, H, W) pictures whose unknown pixels are taken from around, by ever smaller pictures.

    known: (B, 1, H, W) in [0, 1], 1 where a pixel is kept. Sides are halved until one of them is odd; what is
    then still unknown gets the mean of the known pixels, or 0 if there is none.
    """
    if image.shape[2] % 2 or image.shape[3] % 2:
        total: Tensor = (image * known).sum((2, 3), keepdim=True)
        mean = total / known.sum((2, 3), keepdim=True).clamp_min(1e-4)
        return image * known + mean * (1 - known)
    share = F.avg_pool2d(known, 2)
    smaller = filled(F.avg_pool2d(image * known, 2) / share.clamp_min(1e-4), (4 * share).clamp(0, 1))
    around = F.interpolate(smaller, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.lerp(around, image, known)


def warp_beyond(
    image: Tensor, deformation: Tensor, margin: int, border: Border, cubic: float = 0.0
) -> Tensor:
    """(B, 3, H, W) pictures warped from a (B, 3, H + 2·margin, W + 2·margin) image, as `geometry.warp` does.

    deformation: (B, h, w, 2), -1 and 1 being the edges of the inner square. margin: in pixels.
    """
    height, width = (side - 2 * margin for side in image.shape[2:])
    deformation = resized(deformation, (height, width))
    if margin:
        inner = torch.tensor([width - 1, height - 1], device=image.device)
        deformation = deformation * (inner / (inner + 2 * margin))
    return sample_picture(image, deformation, border, cubic)


def with_crown(image: Tensor, backdrop: Backdrop, top: int) -> Tensor:
    """A source picture (1, 3, H, W) in which a head that the photo's upper edge cuts is rounded above.

    image: the backdrop's source, or the same with an equally wide margin on each side. top: how many of its
    rows lie above the photo; they repeat the photo's first row, which would show a cut head as a column.
    """
    side, margin = backdrop.picture.shape[-1], (image.shape[-1] - backdrop.picture.shape[-1]) // 2
    top = min(top, image.shape[-2] - 1)
    row = min(max(top - margin, 0), side - 1)
    person = F.interpolate(
        backdrop.foreground, backdrop.picture.shape[2:], mode="bilinear", align_corners=True
    )[0, 0, row]
    behind = backdrop.picture[:, :, row : row + 1]
    difference = (image[0, :, top, margin : margin + side] - behind[0, :, 0]).abs().amax(0)
    head = ((person > PERSON[1]) & (difference > HEAD_DIFFERS)).nonzero()[:, 0]
    if top <= 0 or not len(head):
        return image
    middle, half = (head[0] + head[-1]) / 2 + margin, (head[-1] - head[0] + 1) / 2
    across = torch.arange(image.shape[-1], device=image.device)
    height = CROWN_HEIGHT * half * (1 - ((across - middle) / half).square())  # a parabola
    above = top - torch.arange(top, device=image.device)
    crown = ramp(height - above[:, None], -1, 1)
    behind = F.pad(behind, (margin, margin, 0, 0), mode="replicate")
    return torch.cat([torch.lerp(behind, image[:, :, :top], crown), image[:, :, top:]], dim=2)

"""What a photo shows beyond the network's square: sampled where a motion brings it into view."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mcnet_cli.compositing.backdrop import PERSON, Backdrop
from mcnet_cli.model.config import Border
from mcnet_cli.model.geometry import ramp, resized, sample_picture

# Width of the margin around the network's square, as a share of the square's side. Where a motion leads
# further, the margin's last pixels are repeated; a head that moves that far is lost in any case.
MARGIN = 0.25
# Height of the round crown above a head that the photo's upper edge cuts, over half the head's width at that
# edge. 1 would be as high as half a circle.
CROWN_HEIGHT = 0.35
# Difference between photo and backdrop, in the channel that differs most, above which a pixel at the photo's
# upper edge belongs to the head. The network's foreground map alone is wider than the head.
HEAD_DIFFERS = 0.1


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

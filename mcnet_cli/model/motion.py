"""Dense motion: sparse motions blended into one deformation, and an occlusion map (sec. 3.1)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from mcnet_cli.model.blocks import Hourglass
from mcnet_cli.model.config import ModelConfig
from mcnet_cli.model.geometry import Keypoints, full_precision, gaussian_heatmaps, sample, sparse_motions


@dataclass(frozen=True, slots=True)
class MotionField:
    """What dense motion says of one batch, at 64². Of N sparse motions the first is the background's.

    deformation: (B, 64, 64, 2) where in the source each position is taken from, the blend of all motions.
    occlusion: (B, 1, 64, 64), 1 where the warped source can be trusted.
    mask: (B, N, 64, 64) the share of each sparse motion in the blend. logits: the same before the softmax.
    sparse_motions: (B, N, 64, 64, 2). sparse_deformed: (B, M, 3, 64, 64) the source moved by those of them
    whose pictures the network sees.
    features: (B, C, 64, 64) the hourglass's output.
    """

    deformation: Tensor
    occlusion: Tensor
    mask: Tensor
    logits: Tensor
    sparse_motions: Tensor
    sparse_deformed: Tensor
    features: Tensor

    def without_background(self) -> Tensor:
        """(B, 64, 64, 2) the deformation by all motions but the background's: that of the person."""
        return _blended(self.sparse_motions[:, 1:], self.logits[:, 1:].softmax(dim=1))


class DenseMotionNetwork(nn.Module):
    """From a small source picture and both keypoints to a `MotionField`.

    Subclasses may add sparse motions, change what decides between them and refine the result: they override
    the methods below `forward`.
    """

    variances: Tensor

    def __init__(self, config: ModelConfig, more_motions: int = 0) -> None:
        """more_motions: how many sparse motions there are besides the background's and the keypoints'."""
        super().__init__()
        count, motion = config.keypoints.count, config.motion
        self.border = motion.border
        self.more_motions = more_motions
        motions = 1 + count + more_motions
        self.sees_each = motion.pictures == "each"
        inputs = 4 * motions if self.sees_each else count + 3 * (1 + more_motions)
        self.hourglass = Hourglass(inputs, motion.hourglass)
        channels, kernel = self.hourglass.channels, motion.kernel
        self.mask = nn.Conv2d(channels, motions, kernel, padding=kernel // 2)
        self.occlusion = nn.Conv2d(channels, 1, kernel, padding=kernel // 2)
        variances = motion.heatmap_variances  # one for all, or one each
        variances = variances * (count // len(variances))
        self.register_buffer("variances", torch.tensor(variances), persistent=False)

    def forward(self, source_image: Tensor, source: Keypoints, driving: Keypoints) -> MotionField:
        """source_image: (B, 3, 64, 64); keypoints of batch B."""
        size = (source_image.shape[2], source_image.shape[3])
        motions = self.sparse_motions(source, driving, size)
        heatmaps = gaussian_heatmaps(driving.values, size, self.variances)
        heatmaps = heatmaps - gaussian_heatmaps(source.values, size, self.variances)
        if self.sees_each:
            deformed = self._deform(source_image, motions)
            # zeros for motions of no keypoint
            heatmaps = F.pad(heatmaps, (0, 0, 0, 0, 1, self.more_motions)).to(deformed.dtype)
            inputs = torch.cat([heatmaps[:, :, None], deformed], dim=2)
            inputs = rearrange(inputs, "b k c h w -> b (k c) h w")
        else:
            of_no_keypoint = [0, *range(1 + heatmaps.shape[1], motions.shape[1])]
            deformed = self._deform(source_image, motions[:, of_no_keypoint])
            pictures = rearrange(deformed, "b k c h w -> b (k c) h w")
            inputs = torch.cat([heatmaps.to(deformed.dtype), pictures], dim=1)
        features = self.hourglass(inputs.contiguous(memory_format=torch.channels_last))
        decided = self._decided(features).float()
        logits = self.mask_logits(decided[:, :-1], driving, size)
        mask = logits.softmax(dim=1)
        deformation = _blended(motions, mask)
        occlusion = self.refined_occlusion(torch.sigmoid(decided[:, -1:]), source, driving)
        return MotionField(deformation, occlusion, mask, logits, motions, deformed, features)

    def sparse_motions(self, source: Keypoints, driving: Keypoints, size: tuple[int, int]) -> Tensor:
        """(B, N, H, W, 2) the motions to choose from."""
        return sparse_motions(source, driving, size)

    def mask_logits(self, decided: Tensor, driving: Keypoints, size: tuple[int, int]) -> Tensor:
        """(B, N, H, W) logits of the mask, of those that the network decided on."""
        return decided

    def refined_occlusion(self, decided: Tensor, source: Keypoints, driving: Keypoints) -> Tensor:
        """The occlusion map, (B, 1, 64, 64) in [0, 1], of the one that the network decided on."""
        return decided

    def refined_deformation(
        self, deformation: Tensor, source: Keypoints, driving: Keypoints, size: tuple[int, int]
    ) -> Tensor:
        """The (B, h, w, 2) deformation that warps the source's picture of `size`; any h and w."""
        return deformation

    def _decided(self, features: Tensor) -> Tensor:
        """(B, N + 1, 64, 64) logits of mask and occlusion, in one convolution, which is faster."""
        weight = torch.cat([self.mask.weight, self.occlusion.weight])
        bias = torch.cat([_bias(self.mask), _bias(self.occlusion)])
        return F.conv2d(features, weight, bias, padding=self.mask.padding)

    def _deform(self, image: Tensor, motions: Tensor) -> Tensor:
        count = motions.shape[1]
        images = repeat(image, "b c h w -> (b k) c h w", k=count)
        grids = rearrange(motions, "b k h w c -> (b k) h w c")
        # align_corners=False on a grid made for True: the official weights expect it
        deformed = sample(images, grids, self.border, align_corners=False)
        return rearrange(deformed, "(b k) c h w -> b k c h w", k=count)


def _blended(motions: Tensor, shares: Tensor) -> Tensor:
    """(B, N, H, W, 2) motions by (B, N, H, W) shares."""
    with full_precision(shares):
        # by `einsum`, which makes small matrices of it, it takes four times as long
        blended: Tensor = (shares[..., None] * motions).sum(1)
    return blended


def _bias(convolution: nn.Conv2d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias

"""Dense motion: sparse motions blended into one deformation, and an occlusion map (sec. 3.1)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from mcnet_cli.model.blocks import Hourglass
from mcnet_cli.model.config import ModelConfig
from mcnet_cli.model.geometry import (
    Keypoints,
    full_precision,
    gaussian_heatmaps,
    sample,
    sparse_motions,
    squared_offsets,
)
from mcnet_cli.model.parts import Parts
from mcnet_cli.model.spline import spline_motion


@dataclass(frozen=True, slots=True)
class MotionField:
    """What dense motion says of one batch, at 64².

    deformation: (B, 64, 64, 2) where in the source each position is taken from.
    person: (B, 64, 64, 2) the same by all motions but the background's; None without geometry's say
        and in training.
    occlusion: (B, 1, 64, 64), 1 where the warped source can be trusted.
    mask: (B, N, 64, 64) share of each sparse motion: the background, K keypoints, the spline if there is one.
    sparse_deformed: (B, N, 3, 64, 64) the source moved by each sparse motion.
    features: (B, C, 64, 64) the last features.
    """

    deformation: Tensor
    person: Tensor | None
    occlusion: Tensor
    mask: Tensor
    sparse_deformed: Tensor
    features: Tensor


class DenseMotionNetwork(nn.Module):
    """From a small source picture and both keypoints to a `MotionField`."""

    variances: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        count, motion = config.keypoints.count, config.motion
        self.border = motion.border
        self.parts = Parts(motion.mouth, motion.eyes) if motion.mouth else None
        self.spline = motion.spline
        motions = 1 + count + self.spline
        self.hourglass = Hourglass(4 * motions, motion.hourglass)
        channels, kernel = self.hourglass.channels, motion.kernel
        self.mask = nn.Conv2d(channels, motions, kernel, padding=kernel // 2)
        self.occlusion = nn.Conv2d(channels, 1, kernel, padding=kernel // 2)
        variances = motion.heatmap_variances  # one for all, or one each
        variances = variances * (count // len(variances))
        self.register_buffer("variances", torch.tensor(variances), persistent=False)
        self.locality: LocalityPrior | None = None
        if motion.locality:
            self.locality = LocalityPrior(motion.locality)
            nn.init.normal_(self.mask.weight, std=0.003)  # at first the prior decides

    def forward(self, source_image: Tensor, source: Keypoints, driving: Keypoints) -> MotionField:
        """source_image: (B, 3, 64, 64); keypoints of batch B."""
        size = (source_image.shape[2], source_image.shape[3])
        motions = sparse_motions(source, driving, size)
        if self.spline:
            motions = torch.cat([motions, spline_motion(source, driving, size)[:, None]], dim=1)
        deformed = self._deform(source_image, motions)
        heatmaps = gaussian_heatmaps(driving.values, size, self.variances)
        heatmaps = heatmaps - gaussian_heatmaps(source.values, size, self.variances)
        heatmaps = F.pad(heatmaps, (0, 0, 0, 0, 1, int(self.spline)))  # zeros for what no keypoint is
        inputs = torch.cat([heatmaps[:, :, None].to(deformed.dtype), deformed], dim=2)
        inputs = rearrange(inputs, "b k c h w -> b (k c) h w").contiguous(memory_format=torch.channels_last)
        features = self.hourglass(inputs)
        decided = self._decided(features).float()
        logits = self._logits(decided[:, :-1], driving.values, size)
        mask, person = logits.softmax(dim=1), None
        deformation = _blended(motions, mask)
        occlusion = torch.sigmoid(decided[:, -1:])
        if self.parts is not None:
            if not self.training:
                person = _blended(motions[:, 1:], logits[:, 1:].softmax(dim=1))
            occlusion = self.parts.occlusion(occlusion, source.values, driving.values)
        return MotionField(deformation, person, occlusion, mask, deformed, features)

    def foreground(self, source_image: Tensor, source: Keypoints) -> Tensor:
        """(B, 1, 64, 64) in [0, 1]: what of a source moves with its keypoints. Arguments as for `forward`."""
        field: MotionField = self(source_image, source, source)
        return 1 - field.mask[:, :1]

    def _logits(self, decided: Tensor, driving: Tensor, size: tuple[int, int]) -> Tensor:
        """The mask's, by what the network decided, and by how near the keypoints are."""
        shifts = decided[:, :-1] if self.spline else decided
        if self.locality is not None:
            shifts = shifts + self.locality(driving, size)
        if self.spline:  # which takes from the keypoints together, not from the background
            background, shifts, spline = shifts[:, :1], shifts[:, 1:], decided[:, -1:]
            foreground = shifts.logsumexp(dim=1, keepdim=True) + F.logsigmoid(spline)
            shifts = torch.cat([background, shifts + F.logsigmoid(-spline), foreground], dim=1)
        return shifts

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


class LocalityPrior(nn.Module):
    """Mask logits that fall with the distance to the keypoint: an untrained network interpolates."""

    deviations: Tensor

    def __init__(self, deviations: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("deviations", torch.tensor(deviations), persistent=False)
        self.factor = nn.Parameter(torch.ones(len(deviations)))
        self.background = nn.Parameter(torch.tensor(-2.5))

    def forward(self, driving: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, K, 2) driving positions to (B, K + 1, H, W) logits, the background first."""
        scale = self.factor / (2 * self.deviations.square())
        across, down = (-square * scale[:, None] for square in squared_offsets(driving, size))
        logits = down[..., :, None] + across[..., None, :]
        background = self.background.expand(logits.shape[0], 1, *size).to(logits.dtype)
        return torch.cat([background, logits], dim=1)

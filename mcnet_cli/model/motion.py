"""Keypoints, and dense motion: sparse motions blended into one deformation, and occlusion (sec. 3.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, repeat
from torch import Tensor, nn

from mcnet_cli.model.blocks import Hourglass
from mcnet_cli.model.config import KeypointConfig, ModelConfig
from mcnet_cli.model.geometry import (
    Keypoints,
    affine_motions,
    band_limited_downsample,
    coordinate_grid,
    full_precision,
    gaussian_heatmaps,
    sample,
)

MOTION_SIZE = 64  # keypoints and dense motion see the picture at this side
TEMPERATURE = 0.1


class KeypointDetector(nn.Module):
    """A picture (B, 3, H, W) in [0, 1] to its keypoints, by softmax over heatmaps."""

    def __init__(self, config: KeypointConfig) -> None:
        super().__init__()
        self.predictor = Hourglass(3, config.hourglass)
        padding = config.kernel // 2 if config.padded else 0
        self.kp = nn.Conv2d(self.predictor.channels, config.count, config.kernel, padding=padding)
        self.jacobian: nn.Conv2d | None = None
        if config.jacobians:
            self.jacobian = nn.Conv2d(
                self.predictor.channels, 4 * config.count, config.kernel, padding=padding
            )
            nn.init.zeros_(self.jacobian.weight)
            with torch.no_grad():
                assert self.jacobian.bias is not None
                self.jacobian.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 1.0] * config.count))

    def forward(self, image: Tensor) -> Keypoints:
        features = self.predictor(band_limited_downsample(image, image.shape[-1] // MOTION_SIZE))
        maps = self.kp(features)
        height, width = maps.shape[2:]
        logits = rearrange(maps, "b k h w -> b k (h w)").float() / TEMPERATURE
        heatmaps = rearrange(logits.softmax(-1), "b k (h w) -> b k h w", h=height)
        with full_precision(heatmaps):
            values = einsum(
                heatmaps, coordinate_grid(height, width, like=heatmaps), "b k h w, h w c -> b k c"
            )
        if self.jacobian is None:
            return Keypoints(values)
        maps = rearrange(self.jacobian(features).float(), "b (k c) h w -> b k c h w", c=4)
        with full_precision(heatmaps):
            jacobians = einsum(heatmaps, maps, "b k h w, b k c h w -> b k c")
        return Keypoints(values, rearrange(jacobians, "b k (i j) -> b k i j", i=2))


@dataclass(frozen=True, slots=True)
class MotionField:
    """What dense motion says of one batch, at 64². Of N sparse motions the first is the background's.

    deformation: (B, 64, 64, 2) where in the source each position is taken from, the blend of all motions.
    person: (B, 64, 64, 2) the same by all motions but the background's: that of the person.
    occlusion: (B, 1, 64, 64), 1 where the warped source can be trusted.
    shares: of the sparse motions in the blend. sparse_deformed: (B, M, 3, 64, 64) the source moved by those
    of them whose pictures the network sees.
    features: (B, C, 64, 64) the hourglass's output.
    """

    deformation: Tensor
    person: Tensor
    occlusion: Tensor
    shares: "Shares"
    sparse_deformed: Tensor
    features: Tensor

    def __getitem__(self, rows: slice) -> "MotionField":
        """That of some frames of the batch."""
        return MotionField(
            self.deformation[rows],
            self.person[rows],
            self.occlusion[rows],
            Shares(self.shares.background[rows], self.shares.others[rows]),
            self.sparse_deformed[rows],
            self.features[rows],
        )

    @property
    def mask(self) -> Tensor:
        """(B, N, 64, 64) the share of each sparse motion in the blend of all."""
        background, others = self.shares
        return torch.cat([background, (1 - background) * others], dim=1)


class Shares(NamedTuple):
    """What decides between the sparse motions.

    background: (B, 1, 64, 64) the background's share. others: (B, N - 1, 64, 64) those of the other motions
    among themselves.
    """

    background: Tensor
    others: Tensor

    @classmethod
    def of(cls, background: Tensor, others: Tensor) -> Self:
        """By a softmax of all logits, (B, 1, H, W) and (B, N - 1, H, W)."""
        largest = others.amax(dim=1, keepdim=True).detach()
        powers = torch.exp(others - largest)
        total = powers.sum(dim=1, keepdim=True)
        return cls(torch.sigmoid(background - largest - total.log()), powers / total)


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
        grid = coordinate_grid(*size, like=driving.values)
        motions, more = affine_motions(source, driving), self.more_sparse_motions(source, driving, size)
        heatmaps = gaussian_heatmaps(driving.values, size, self.variances)
        heatmaps = heatmaps - gaussian_heatmaps(source.values, size, self.variances)
        background = grid.expand(len(motions), 1, *grid.shape)
        if self.sees_each:
            grids = torch.cat([background, _at(motions, grid), *more], dim=1)
            deformed = self._deform(source_image, grids)
            # zeros for motions of no keypoint
            heatmaps = F.pad(heatmaps, (0, 0, 0, 0, 1, self.more_motions)).to(deformed.dtype)
            inputs = torch.cat([heatmaps[:, :, None], deformed], dim=2)
            inputs = rearrange(inputs, "b k c h w -> b (k c) h w")
        else:
            deformed = self._deform(source_image, torch.cat([background, *more], dim=1))
            pictures = rearrange(deformed, "b k c h w -> b (k c) h w")
            inputs = torch.cat([heatmaps.to(deformed.dtype), pictures], dim=1)
        features = self.hourglass(inputs.contiguous(memory_format=torch.channels_last))
        decided = self._decided(features)
        decided = decided.to(driving.values.dtype, memory_format=torch.contiguous_format)
        shares = self.shares(decided[:, :-1], driving, size)
        person = _blended(motions, more, shares.others, grid)
        deformation = torch.lerp(person, grid, rearrange(shares.background, "b 1 h w -> b h w 1"))
        occlusion = self.refined_occlusion(torch.sigmoid(decided[:, -1:]), source, driving)
        return MotionField(deformation, person, occlusion, shares, deformed, features)

    def more_sparse_motions(
        self, source: Keypoints, driving: Keypoints, size: tuple[int, int]
    ) -> list[Tensor]:
        """(B, 1, H, W, 2) each: the motions to choose from besides the background's and the keypoints'."""
        return []

    def shares(self, decided: Tensor, driving: Keypoints, size: tuple[int, int]) -> Shares:
        """The shares of all motions, of the (B, N, H, W) logits that the network decided on."""
        return Shares.of(decided[:, :1], decided[:, 1:])

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


def _at(motions: Tensor, grid: Tensor) -> Tensor:
    """(B, K, H, W, 2): where (B, K, 2, 3) affine motions take the positions of an (H, W, 2) grid."""
    with full_precision(motions):
        moved = torch.einsum("bkij,hwj->bkhwi", motions[..., :2], grid)
        placed: Tensor = moved + motions[:, :, None, None, :, 2]
    return placed


def _blended(motions: Tensor, more: Sequence[Tensor], shares: Tensor, grid: Tensor) -> Tensor:
    """(B, H, W, 2): the blend of (B, K, 2, 3) affine motions and of `more`, by (B, N - 1, H, W) shares.

    A blend of affine motions is affine: it is their coefficients that are blended.
    """
    with full_precision(shares):
        count = motions.shape[1]
        blend = rearrange(motions, "b k i j -> b (i j) k") @ shares[:, :count].flatten(2)
        blend = rearrange(blend, "b (i j) (h w) -> b i j h w", i=2, h=grid.shape[0])
        x, y = grid.unbind(-1)
        person = torch.stack([row[:, 0] * x + row[:, 1] * y + row[:, 2] for row in blend.unbind(1)], dim=-1)
        for number, motion in enumerate(more, count):
            person = person + shares[:, number, ..., None] * motion[:, 0]
    return person


def _bias(convolution: nn.Conv2d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias

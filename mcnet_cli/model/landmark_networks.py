"""What networks add to the paper's whose keypoints are landmarks of a face, as `lite`'s are.

To dense motion:

1. One more sparse motion, a smooth one by all keypoints together: a blend of the keypoints' own shifts has
   seams half way between them, where chins and cheeks break when a head turns.
2. A prior that ties each keypoint's mask to its neighbourhood: even an untrained network interpolates.
3. Lids and lips by their keypoints' geometry (`face_parts`), because they are smaller than dense motion's
   cells.

To the decoder's inputs:

1. Dense motion's last features, reduced to a few channels, at their own size.
2. Narrow heatmaps of some driving keypoints (lids and lips), there and at the finest size: where mouths and
   eyes are, more exactly than features of 64² can tell.
"""

import torch
import torch.nn.functional as F
from einops import einsum
from torch import Tensor, nn

from mcnet_cli.model.blocks import Same
from mcnet_cli.model.config import ModelConfig
from mcnet_cli.model.face_parts import FaceParts
from mcnet_cli.model.generator import Canvas, Generator
from mcnet_cli.model.geometry import (
    Keypoints,
    coordinate_grid,
    full_precision,
    gaussian_heatmaps,
    inverse,
    picked,
    squared_offsets,
)
from mcnet_cli.model.motion import MOTION_SIZE, DenseMotionNetwork, MotionField, Shares

# Scale of the spline's kernel in coordinates (the picture's side is 2): at this distance from a keypoint 48 %
# of its motion is felt. The shorter, the less goes along between keypoints; the longer, the more of the
# picture does.
SPLINE_REACH = 2.0
# Variance of noise in the keypoints, in squared coordinates. Without it two keypoints that meet, such as lips
# and lids, but move apart would bend everything around them.
SPLINE_NOISE = 1e-3
# Squared distance below which the kernel is flat: the slope of a root is infinite at 0.
LEAST_SQUARE = 1e-12
# Logit of the background's mask before training; a keypoint's is 0 at its place.
BACKGROUND_LOGIT = -2.5
# Standard deviation of the mask's initial weights, so small that the prior decides before training.
INITIAL_MASK_WEIGHT = 0.003


class LandmarkMotionNetwork(DenseMotionNetwork):
    """Dense motion with the spline, the locality prior and the face parts that `config.motion` asks for."""

    def __init__(self, config: ModelConfig, parts: FaceParts | None) -> None:
        """parts: where lips and lids are among the keypoints; None leaves them to the network."""
        super().__init__(config, more_motions=int(config.motion.spline))
        self.parts, self.spline = parts, config.motion.spline
        self.locality: LocalityPrior | None = None
        if config.motion.locality:
            self.locality = LocalityPrior(config.motion.locality)
            nn.init.normal_(self.mask.weight, std=INITIAL_MASK_WEIGHT)

    def more_sparse_motions(
        self, source: Keypoints, driving: Keypoints, size: tuple[int, int]
    ) -> list[Tensor]:
        """The spline's."""
        return [spline_motion(source, driving, size)[:, None]] if self.spline else []

    def shares(self, decided: Tensor, driving: Keypoints, size: tuple[int, int]) -> Shares:
        """What the network decided, shifted by the prior; the spline takes its share from keypoints alone.

        The network's last map is the logit of the spline's share of the foreground.
        """
        spline = torch.sigmoid(decided[:, -1:]) if self.spline else None
        background, keypoints = decided[:, :1], decided[:, 1:-1] if self.spline else decided[:, 1:]
        if self.locality is not None:
            background = background + self.locality.background
            keypoints = keypoints + self.locality(driving.values, size)
        shares = Shares.of(background, keypoints)
        if spline is None:
            return shares
        return Shares(shares.background, torch.cat([shares.others * (1 - spline), spline], dim=1))

    def refined_occlusion(self, decided: Tensor, source: Keypoints, driving: Keypoints) -> Tensor:
        """The network's occlusion, with lips, mouth and eyes as geometry has them."""
        if self.parts is None:
            return decided
        return self.parts.occlusion(decided, source.values, driving.values)

    def refined_deformation(
        self, deformation: Tensor, source: Keypoints, driving: Keypoints, size: tuple[int, int]
    ) -> Tensor:
        """The deformation at full size, lids and lips taken from where the source has them."""
        if self.parts is None:
            return deformation
        return self.parts.corrected(deformation, source.values, driving.values, size)


class LocalityPrior(nn.Module):
    """Mask logits that fall with the distance to the keypoint, by a Gaussian whose width is learned.

    deviations: the initial standard deviation of each keypoint's, in coordinates.
    """

    deviations: Tensor

    def __init__(self, deviations: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("deviations", torch.tensor(deviations), persistent=False)
        self.factor = nn.Parameter(torch.ones(len(deviations)))
        self.background = nn.Parameter(torch.tensor(BACKGROUND_LOGIT))

    def forward(self, driving: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, K, 2) driving positions to (B, K, H, W) logits of the keypoints; `background` is its own."""
        scale = self.factor / (2 * self.deviations.square())
        across, down = (-square * scale[:, None] for square in squared_offsets(driving, size))
        return down[..., :, None] + across[..., None, :]


def spline_motion(source: Keypoints, driving: Keypoints, size: tuple[int, int]) -> Tensor:
    """(B, H, W, 2): where in the source each position comes from, bent as little as the keypoints allow.

    Regression by a Gaussian process with a Matérn kernel of smoothness 3/2 (Rasmussen and Williams, Gaussian
    Processes for Machine Learning, sec. 2.2 and 4.2). Far from all keypoints the motion dies away, where a
    thin-plate spline's would go on growing. Jacobians are not used.
    """
    places = driving.values
    with full_precision(places):
        noise = torch.full_like(places[..., 0], SPLINE_NOISE)
        shifts = smooth_shifts(places, source.values - places, noise, size)
        motion: Tensor = coordinate_grid(*size, like=places) + shifts
    return motion


def smooth_shifts(places: Tensor, shifts: Tensor, noise: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, H, W, 2) shifts of a picture, of those (B, K, 2) that are known at (B, K, 2) places.

    noise: (B, K) the variance of what is known, in squared coordinates.
    """
    near = _kernel((places[:, :, None] - places[:, None]).square().sum(-1))
    # not by `solve`, which the oldest torch that we take lacks on Apple's GPUs
    covariance = near + torch.diag_embed(noise)
    if covariance.device.type != "mps":  # which has no float64; float32 is too coarse where places meet
        covariance = covariance.double()
    weights = (inverse(covariance) @ shifts.to(covariance)).to(shifts)
    across, down = squared_offsets(places, size)
    alike = _kernel(down[..., :, None] + across[..., None, :])
    everywhere: Tensor = einsum(alike, weights, "b k h w, b k c -> b h w c")
    return everywhere


def _kernel(squares: Tensor) -> Tensor:
    """Correlation of the motions of two positions, 1 to 0, of their squared distance."""
    distance = squares.clamp_min(LEAST_SQUARE).sqrt() * (3**0.5 / SPLINE_REACH)
    alike: Tensor = (1 + distance) * torch.exp(-distance)
    return alike


class HintedGenerator(Generator):
    """The generator with the hints that `config.generator` asks for.

    hint: reduces dense motion's features. join: back to the width without hints.
    """

    hint: nn.Conv2d

    def _join_at(self, level: int, channels: int) -> int:
        setting, size = self.config.generator, self.config.feature_sizes[level]
        width, detail = setting.channels[level], len(setting.detail_keypoints)
        if level and size == MOTION_SIZE and setting.hint_channels:
            self.hint = nn.Conv2d(self.dense_motion_network.hourglass.channels, setting.hint_channels, 1)
            inputs = channels + setting.hint_channels + detail
            self.join[str(size)] = Same(inputs, width, setting.hint_kernel)
            return width
        if not level and detail:
            self.join[str(size)] = Same(channels + detail, width)
        return channels

    def _hint(self, level: int, feature: Tensor, motion: MotionField, driving: Keypoints) -> Tensor | None:
        setting = self.config.generator
        if str(self.config.feature_sizes[level]) not in self.join:
            return None
        shape = (feature.shape[2], feature.shape[3])
        found = []
        if level:
            found.append(self.hint(motion.features))
            if found[0].shape[2:] != shape:  # training works at a smaller size
                found[0] = F.adaptive_avg_pool2d(found[0], shape)
        values = picked(driving.values, setting.detail_keypoints)
        maps = gaussian_heatmaps(values, shape, setting.detail_variance)
        found.append(maps.contiguous(memory_format=torch.channels_last))
        return torch.cat([part.to(found[0].dtype) for part in found], dim=1)

    def _joined(self, y: Tensor, canvas: Canvas, step: int) -> Tensor:
        hint = canvas.hints[step]
        if hint is None:
            return y
        size = self.config.feature_sizes[::-1][step]
        joined: Tensor = self.join[str(size)](torch.cat([y, hint], dim=1))
        return joined

"""Training as in the paper: its loss terms, their sum, and the modules that several processes share.

Keypoints are learned without landmarks: they have to follow random smooth transforms of the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcnet_cli.metrics import PerceptualDistance
from mcnet_cli.model import Keypoints, MCNet, ModelConfig, Rendering
from mcnet_cli.model.geometry import band_limited_downsample, coordinate_grid, full_precision, grid_sample
from mcnet_cli.model.memory import MemoryTrace
from mcnet_cli.training.augment import Batch
from mcnet_cli.training.discriminator import Discriminator
from mcnet_cli.training.objective_config import PaperLossWeights
from mcnet_cli.training.sampling import TrainingContext, rng_of

Terms = dict[str, Tensor]  # loss terms by name, weighted

PYRAMID = (1, 2, 4, 8)  # factors by which pictures shrink for the perceptual loss
MIN_PYRAMID_PX = 16  # the perceptual networks halve the picture four times
MIN_SEPARATION = 0.2  # distance of keypoints in [-1, 1] coordinates, below which they are pushed apart


@dataclass(frozen=True, slots=True)
class RandomTransform:
    """An affine map plus a thin-plate bend, one for each picture of a batch.

    T(z) = θ[:, :2]·z + θ[:, 2] + Σ_i w_i d_i² log(d_i + 1e-6), the same bend on x and y, where d_i is the
    L1 distance to the i-th of n·n control points over [-1, 1]², row-major with x fastest.

    theta: (B, 2, 3), near the identity. weights: (B, n²), near zero.
    """

    theta: Tensor
    weights: Tensor

    @classmethod
    def draw(
        cls,
        batch: int,
        rng: np.random.Generator,
        *,
        affine: float = 0.05,
        bend: float = 0.005,
        points: int = 5,
    ) -> Self:
        """Transforms of `batch` pictures.

        affine, bend: standard deviations of θ - I and of the weights. points: control points a side.
        """
        theta = np.eye(2, 3) + rng.normal(0, affine, (batch, 2, 3))
        weights = rng.normal(0, bend, (batch, points**2))
        return cls(torch.from_numpy(theta).float(), torch.from_numpy(weights).float())

    def to(self, device: torch.device) -> "RandomTransform":
        """The transforms on another device."""
        return RandomTransform(self.theta.to(device), self.weights.to(device))

    def warp_points(self, points: Tensor) -> Tensor:
        """T of (B, N, 2) points, or of (1, N, 2) for all pictures alike: (B, N, 2)."""
        side = round(self.weights.shape[1] ** 0.5)
        controls = coordinate_grid(side, side, like=points).flatten(0, 1)
        distances = (points[:, :, None] - controls).abs().sum(-1)
        bends = distances.square() * torch.log(distances + 1e-6)
        with full_precision(points):
            moved = points @ self.theta[:, :, :2].mT + self.theta[:, None, :, 2]
            return moved + bends @ self.weights[:, :, None]

    def transform_frames(self, frames: Tensor) -> Tensor:
        """T∘frame: (B, C, H, W) sampled at T(grid), mirrored at the borders."""
        height, width = frames.shape[2:]
        grid = coordinate_grid(height, width, like=self.theta).reshape(1, -1, 2)
        places = self.warp_points(grid).reshape(-1, height, width, 2)
        return grid_sample(frames, places, padding_mode="reflection", align_corners=False)

    def jacobian(self, points: Tensor) -> Tensor:
        """∂T_i/∂z_j at (B, N, 2) points: (B, N, 2, 2). Gradient flows through it to the points."""
        warped, pull_back = torch.func.vjp(self.warp_points, points)  # type: ignore[misc]
        axes = torch.eye(2, dtype=warped.dtype, device=warped.device)
        return torch.stack([pull_back(axis.expand_as(warped))[0] for axis in axes], dim=-2)


def perceptual_pyramid(network: PerceptualDistance, prediction: Tensor, target: Tensor) -> Tensor:
    """Difference of features of (B, 3, H, W) pictures, summed over layers and scales (FOMM, sec. 3.3).

    Scales are 1, 1/2, 1/4 and 1/8, as far as the picture keeps 16 pixels a side.
    """
    factors = [factor for factor in PYRAMID if target.shape[-1] // factor >= MIN_PYRAMID_PX]
    levels = [
        [band_limited_downsample(image, factor) for image in (prediction, target)] for factor in factors
    ]
    return torch.stack([network.differences([made], wanted).sum() for made, wanted in levels]).sum()


def equivariance_value(driving: Keypoints, transformed: Keypoints, transform: RandomTransform) -> Tensor:
    """Keypoints move with the picture: driving's against T of those of T∘driving (FOMM, sec. 3.3)."""
    return (driving.values - transform.warp_points(transformed.values)).abs().mean()


def equivariance_jacobian(driving: Keypoints, transformed: Keypoints, transform: RandomTransform) -> Tensor:
    """Jacobians turn with the picture: I - J(driving)⁻¹·∂T·J(T∘driving) (FOMM, sec. 3.3).

    ∂T is taken at the transformed picture's keypoints. ValueError for keypoints without jacobians.
    """
    if driving.jacobians is None or transformed.jacobians is None:
        raise ValueError("these keypoints have no jacobians")
    with full_precision(driving.jacobians):
        carried = transform.jacobian(transformed.values) @ transformed.jacobians
        product = torch.linalg.inv(driving.jacobians) @ carried
    error: Tensor = torch.eye(2, dtype=product.dtype, device=product.device) - product
    return error.abs().mean()


def keypoint_separation(keypoints: Keypoints, *, official: bool = False) -> Tensor:
    """The paper's keypoint distance: max(0, 0.2 - d) averaged over all ordered pairs.

    The hinge is that of face-vid2vid's keypoint prior (CVPR 2021). official: the published code's
    1 - sign(d - 0.2), which has no gradient anywhere.
    """
    offsets = keypoints.values[:, :, None] - keypoints.values[:, None]
    distances = torch.sqrt(offsets.square().sum(-1) + 1e-8)
    # a keypoint is not its own neighbour
    beyond = (
        distances - MIN_SEPARATION + MIN_SEPARATION * torch.eye(distances.shape[-1], device=distances.device)
    )
    return (1 - torch.sign(beyond)).mean() if official else F.relu(-beyond).mean()


def generator_gan(scores: Tensor) -> Tensor:
    """The generator's side of least squares: the prediction's scores towards 1 (Mao et al., ICCV 2017)."""
    return (1 - scores).square().mean()


def discriminator_gan(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's side: real scores towards 1, predictions' towards 0 (Mao et al., ICCV 2017)."""
    return ((1 - real).square() + fake.square()).mean()


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Features of a prediction towards the real frame's, summed over maps (pix2pixHD, CVPR 2018)."""
    return torch.stack([(goal - made).abs().mean() for goal, made in zip(real, fake, strict=True)]).sum()


def feature_consistency(memory: tuple[MemoryTrace, ...]) -> Tensor:
    """Memory values towards the projected features they stand for (ICCV 2023, sec. 3.4)."""
    terms = []
    for trace in memory:
        size = trace.value.shape[2:]
        goal = F.interpolate(trace.projected, size, mode="bilinear", align_corners=True).detach()
        terms.append((goal - trace.value).abs().mean())
    return torch.stack(terms).sum()


@dataclass(frozen=True, slots=True)
class Objective:
    """One step's loss: its weighted terms by name, and what they were computed from.

    rendering, source, driving: what the network made, from which keypoints.
    """

    terms: dict[str, Tensor]
    rendering: Rendering
    source: Keypoints
    driving: Keypoints

    @property
    def total(self) -> Tensor:
        """The sum of the terms: what generator and keypoint detector minimise."""
        return torch.stack(list(self.terms.values())).sum()


def draw_noise(config: ModelConfig, batch: int, rng: np.random.Generator) -> Tensor:
    """The memory's N(0, 1) noise of `batch` pictures, (B, S, M, M): a map for each size that it serves."""
    side = config.memory.bank_size
    shape = (batch, len(config.memory.sizes), side, side)
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


class PaperObjective(nn.Module):
    """The loss of `model` on a batch, term by term; `last` is what it was computed from.

    Terms are left out whose weight is 0, or for want of `perceptual` or of jacobians. A weight of the GAN
    term over 0 needs a discriminator (ValueError).
    """

    last: Objective

    def __init__(
        self,
        model: MCNet,
        discriminator: Discriminator | None,
        weights: PaperLossWeights,
        perceptual: PerceptualDistance | None,
    ) -> None:
        super().__init__()
        if weights.gan and discriminator is None:
            raise ValueError("the GAN term needs a discriminator")
        self.model, self.weights, self.perceptual = model, weights, perceptual
        # In a tuple, so that its parameters aren't this module's: `DiscriminatorObjective` trains them.
        self._critic = (discriminator,)

    def forward(self, batch: Batch, context: TrainingContext) -> Terms:
        """The weighted terms; those of weight 0 are left out."""
        device = batch.driving.device
        rngs = [rng_of(context.seed, number, 5) for number in batch.numbers.tolist()]
        draws = [RandomTransform.draw(1, rng) for rng in rngs]
        transform = RandomTransform(
            torch.cat([d.theta for d in draws]), torch.cat([d.weights for d in draws])
        )
        noise = torch.cat([draw_noise(self.model.config, 1, rng) for rng in rngs])
        return self.compute(batch.source, batch.driving, transform.to(device), noise.to(device)).terms

    def compute(
        self, source: Tensor, driving: Tensor, transform: RandomTransform, noise: Tensor | None = None
    ) -> Objective:
        """The paper's loss terms (ICCV 2023, sec. 3.4; FOMM, NeurIPS 2019, sec. 3.3); sets `last`.

        source, driving: (B, 3, H, W) in [0, 1], the driving being what the prediction should look like.
        transform: of B pictures. noise: the memory's, as `draw_noise` gives it; without it its gain learns
        nothing. The discriminator gets no gradient.
        """
        model, weights, (discriminator,) = self.model, self.weights, self._critic
        state, found = model.encode_source(source), model.detect_keypoints(driving)
        rendering: Rendering = model(state, found, noise)
        terms: dict[str, Tensor] = {}

        def add(name: str, value: Tensor) -> None:
            terms[name] = getattr(weights, name) * value.float()

        if self.perceptual is not None and weights.perceptual:
            add("perceptual", perceptual_pyramid(self.perceptual, rendering.prediction, driving))
        if weights.equivariance_value or weights.equivariance_jacobian:
            # on its own: batch norm's statistics are those of one kind of picture, as in the published run
            transformed = model.detect_keypoints(transform.transform_frames(driving))
            if weights.equivariance_value:
                add("equivariance_value", equivariance_value(found, transformed, transform))
            if weights.equivariance_jacobian and found.jacobians is not None:
                add("equivariance_jacobian", equivariance_jacobian(found, transformed, transform))
        if weights.separation:
            both = [keypoint_separation(k, official=weights.official) for k in (state.keypoints, found)]
            add("separation", both[0] + both[1])
        if weights.consistency:
            add("consistency", feature_consistency(rendering.memory))
        if weights.gan and discriminator is not None:
            fake = discriminator.as_critic(rendering.prediction, found)
            add("gan", generator_gan(fake.scores))
            if weights.feature_matching:
                with torch.no_grad():
                    real = discriminator.as_critic(driving, found)
                add("feature_matching", feature_matching(real.features, fake.features))
        self.last = Objective(terms, rendering, state.keypoints, found)
        return self.last


class DiscriminatorObjective(nn.Module):
    """What the discriminator minimises after the generator's step; only the discriminator gets gradient."""

    def __init__(self, discriminator: Discriminator) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, driving: Tensor, objective: Objective) -> Tensor:
        """The loss on the real frames `driving`, (B, 3, H, W), and on what `objective` made of them."""
        real = self.discriminator(driving, objective.driving)
        fake = self.discriminator(objective.rendering.prediction.detach(), objective.driving)
        return discriminator_gan(real.scores.float(), fake.scores.float())

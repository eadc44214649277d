"""The paper's objective: every loss term of one step, and the discriminator's side of it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mcnet_cli.metrics import PerceptualDistance
from mcnet_cli.model import Keypoints, MCNet, ModelConfig, Rendering
from mcnet_cli.training import losses
from mcnet_cli.training.discriminator import Discriminator
from mcnet_cli.training.equivariance import RandomTransform
from mcnet_cli.training.objective_config import PaperLossWeights


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


def paper_objective(
    model: MCNet,
    discriminator: Discriminator | None,
    perceptual: PerceptualDistance | None,
    source: Tensor,
    driving: Tensor,
    transform: RandomTransform,
    weights: PaperLossWeights,
    noise: Tensor | None = None,
) -> Objective:
    """The paper's loss terms (ICCV 2023, sec. 3.4; FOMM, NeurIPS 2019, sec. 3.3).

    source, driving: (B, 3, H, W) in [0, 1], the driving being what the prediction should look like.
    transform: of B pictures. Terms are left out for want of `perceptual`, or of jacobians.
    noise: the memory's, as `draw_noise` gives it; None for none, and then its gain learns nothing.
    The discriminator gets no gradient; `weights.gan` over 0 needs one (ValueError).
    """
    if weights.gan and discriminator is None:
        raise ValueError("the GAN term needs a discriminator")
    state, found = model.encode_source(source), model.detect_keypoints(driving)
    rendering: Rendering = model(state, found, noise)
    terms: dict[str, Tensor] = {}

    def add(name: str, value: Tensor) -> None:
        terms[name] = getattr(weights, name) * value.float()

    if perceptual is not None and weights.perceptual:
        add("perceptual", losses.perceptual_pyramid(perceptual, rendering.prediction, driving))
    if weights.equivariance_value or weights.equivariance_jacobian:
        # on its own: batch norm's statistics are those of one kind of picture, as in the published run
        transformed = model.detect_keypoints(transform.transform_frames(driving))
        if weights.equivariance_value:
            add("equivariance_value", losses.equivariance_value(found, transformed, transform))
        if weights.equivariance_jacobian and found.jacobians is not None:
            add("equivariance_jacobian", losses.equivariance_jacobian(found, transformed, transform))
    if weights.separation:
        both = [losses.keypoint_separation(k, official=weights.official) for k in (state.keypoints, found)]
        add("separation", both[0] + both[1])
    if weights.consistency:
        add("consistency", losses.feature_consistency(rendering.memory))
    if weights.gan and discriminator is not None:
        fake = discriminator.as_critic(rendering.prediction, found)
        add("gan", losses.generator_gan(fake.scores))
        if weights.feature_matching:
            with torch.no_grad():
                real = discriminator.as_critic(driving, found)
            add("feature_matching", losses.feature_matching(real.features, fake.features))
    return Objective(terms, rendering, state.keypoints, found)


def discriminator_objective(discriminator: Discriminator, driving: Tensor, objective: Objective) -> Tensor:
    """What the discriminator minimises after the generator's step; only the discriminator gets gradient.

    driving: (B, 3, H, W), the real frames of the step that made `objective`.
    """
    real = discriminator(driving, objective.driving)
    fake = discriminator(objective.rendering.prediction.detach(), objective.driving)
    return losses.discriminator_gan(real.scores.float(), fake.scores.float())

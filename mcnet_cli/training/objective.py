"""The paper's objective: every loss term of one step, and the discriminator's side of it."""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from mcnet_cli.model import Keypoints, MCNet, Rendering
from mcnet_cli.training import losses
from mcnet_cli.training.discriminator import Discriminator
from mcnet_cli.training.equivariance import RandomTransform
from mcnet_cli.training.perceptual import PerceptualDistance


@dataclass(frozen=True, slots=True)
class PaperLossWeights:
    """Factors of the paper's loss terms; 0 leaves a term out. The defaults are those of the published run.

    perceptual: for each of VGG19's five layers at each of four scales.
    equivariance_value, equivariance_jacobian: keypoints follow a random transform of the picture.
    separation: keypoints keep apart (the paper's keypoint distance).
    consistency: memory values to projected features.
    gan: least squares against the discriminator; only over 0 is there a discriminator at all.
    feature_matching: for each of the discriminator's four feature maps; only where gan is over 0.
    official: terms as in the published code where that is a fault: the separation has no gradient.
    """

    perceptual: float = 10.0
    equivariance_value: float = 10.0
    equivariance_jacobian: float = 10.0
    separation: float = 10.0
    consistency: float = 10.0
    gan: float = 0.0
    feature_matching: float = 10.0
    official: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{field.name} = {value!r}: must be 0 or more")


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


def paper_objective(
    model: MCNet,
    discriminator: Discriminator | None,
    perceptual: PerceptualDistance | None,
    source: Tensor,
    driving: Tensor,
    transform: RandomTransform,
    weights: PaperLossWeights,
) -> Objective:
    """The paper's loss terms (ICCV 2023, sec. 3.4; FOMM, NeurIPS 2019, sec. 3.3).

    source, driving: (B, 3, H, W) in [0, 1], the driving being what the prediction should look like.
    transform: of B pictures. Terms are left out for want of `perceptual`, or of jacobians.
    The discriminator gets no gradient; `weights.gan` over 0 needs one (ValueError).
    """
    if weights.gan and discriminator is None:
        raise ValueError("the GAN term needs a discriminator")
    state, found = model.encode_source(source), model.detect_keypoints(driving)
    rendering: Rendering = model(state, found)
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

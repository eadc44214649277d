"""A training step's losses and gradients against the official ones, for the same weights and batch."""

from dataclasses import dataclass

import pytest
import torch
from parity_tools import assert_close, goldens, picture, rebuilt_model, rebuilt_weights
from torch import Tensor, nn

from mcnet_cli.model import MCNet
from mcnet_cli.training.discriminator import Discriminator
from mcnet_cli.training.objective_config import PaperLossWeights
from mcnet_cli.training.paper_objective import (
    DiscriminatorObjective,
    Objective,
    PaperObjective,
    RandomTransform,
)
from mcnet_cli.training.perceptual import VGG19

pytestmark = pytest.mark.slow
OFFICIAL_NAMES = {
    "perceptual": "perceptual",
    "equivariance_value": "equivariance_value",
    "equivariance_jacobian": "equivariance_jacobian",
    "separation": "kp_distance",
    "consistency": "feat_consistent",
    "gan": "gen_gan",
    "feature_matching": "feature_matching",
}


@dataclass(frozen=True, slots=True)
class Step:
    """A step after both backward passes."""

    model: MCNet
    discriminator: Discriminator
    driving: Tensor
    transform: RandomTransform
    objective: Objective
    discriminator_loss: Tensor


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return goldens()


@pytest.fixture(scope="module")
def step(golden: dict[str, Tensor]) -> Step:
    model, discriminator, perceptual = rebuilt_model(), Discriminator(15), VGG19()
    prefix = "discriminator."
    weights = rebuilt_weights(prefix)
    discriminator.load_state_dict({name.removeprefix(prefix): value for name, value in weights.items()})
    perceptual.load_state_dict(
        {name.replace("features.", "layers."): value for name, value in rebuilt_weights("vgg19.").items()}
    )
    first, second = picture("source"), picture("driving")
    source, driving = torch.cat([first, second]), torch.cat([second, first.flip(-1)])
    transform = RandomTransform(golden["train.tps_theta"], golden["train.tps_control_params"].flatten(1))
    weights = PaperLossWeights(gan=1.0, official=True)
    objective = PaperObjective(model, discriminator, weights, perceptual).compute(source, driving, transform)
    objective.total.backward()
    loss = DiscriminatorObjective(discriminator)(driving, objective)
    loss.backward()
    return Step(model, discriminator, driving, transform, objective, loss)


@pytest.mark.parametrize("term", OFFICIAL_NAMES)
def test_a_loss_equals_the_official_one(term: str, step: Step, golden: dict[str, Tensor]) -> None:
    expected = golden[f"train.loss.{OFFICIAL_NAMES[term]}"].item()
    assert step.objective.terms[term].item() == pytest.approx(expected, rel=1e-3)


def test_the_total_is_the_official_one_with_no_term_besides(step: Step, golden: dict[str, Tensor]) -> None:
    assert step.objective.total.item() == pytest.approx(golden["train.loss.total"].item(), rel=1e-3)
    assert set(step.objective.terms) == set(OFFICIAL_NAMES)


def test_the_discriminator_loss_equals_the_official_one(step: Step, golden: dict[str, Tensor]) -> None:
    assert step.discriminator_loss.item() == pytest.approx(
        golden["train.loss.discriminator"].item(), rel=1e-3
    )


@pytest.mark.parametrize(
    "part, accuracy",
    [
        ("discriminator", 1e-3),
        ("memory", 1e-3),
        ("kp_detector", 1e-2),
        ("dense_motion", 1e-2),
        ("generator", 1e-2),
    ],
)
def test_a_gradient_norm_equals_the_official_one(
    part: str, accuracy: float, step: Step, golden: dict[str, Tensor]
) -> None:
    modules: dict[str, nn.Module] = {
        "discriminator": step.discriminator,
        "memory": step.model.generator.mbUnit,
        "kp_detector": step.model.kp_detector,
        "dense_motion": step.model.generator.dense_motion_network,
        "generator": step.model.generator,
    }
    # in double precision: float32 sums of 25 million squares are off by two thousandths
    norms = [p.grad.double().norm() for p in modules[part].parameters() if p.grad is not None]
    assert torch.stack(norms).norm().item() == pytest.approx(
        golden[f"train.grad_norm.{part}"].item(), rel=accuracy
    )


def test_the_step_predicts_the_official_pictures(step: Step, golden: dict[str, Tensor]) -> None:
    prediction = step.objective.rendering.prediction.detach()
    assert_close(prediction[..., ::4, ::4], golden["train.prediction"], 1e-3, 1e-5)


def test_the_transformed_driving_and_its_keypoints_equal_the_official_ones(
    step: Step, golden: dict[str, Tensor]
) -> None:
    with torch.inference_mode():
        transformed = step.transform.transform_frames(step.driving)
        values = step.model.detect_keypoints(transformed).values
    assert_close(transformed[..., ::4, ::4], golden["train.transformed_driving"], 1e-4)
    assert_close(values, golden["train.transformed_keypoints.value"], 1e-5)

"""The objective that the paper's loss terms add up to, on a tiny network."""

import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from mcnet_cli.model import MCNet, ModelConfig
from mcnet_cli.model.config import (
    Condition,
    GeneratorConfig,
    HourglassConfig,
    KeypointConfig,
    MemoryConfig,
    MotionConfig,
)
from mcnet_cli.training.discriminator import Discriminator
from mcnet_cli.training.equivariance import RandomTransform
from mcnet_cli.training.objective import (
    Objective,
    PaperLossWeights,
    discriminator_objective,
    draw_noise,
    paper_objective,
)
from mcnet_cli.training.perceptual import VGG19


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def vgg19() -> VGG19:
    torch.manual_seed(0)
    return VGG19()


def tiny_model(*, jacobians: bool = True, condition: Condition = "both") -> MCNet:
    torch.manual_seed(1)
    config = ModelConfig(
        size=64,
        keypoints=KeypointConfig(8, jacobians, HourglassConfig(4, 16, 2)),
        motion=MotionConfig(HourglassConfig(4, 16, 2)),
        memory=MemoryConfig(
            sizes=(64, 128), width=8, style_width=4, bank_size=8, experts=2, condition=condition
        ),
        generator=GeneratorConfig(channels=(4, 8, 8), residual_blocks=(1, 1)),
    )
    return MCNet(config)


Compute = Callable[..., Objective]


@pytest.fixture
def compute(vgg19: VGG19) -> Compute:
    """The objective of two random pairs."""

    def compute(
        model: MCNet | None = None,
        discriminator: Discriminator | None = None,
        network: VGG19 | None = vgg19,
        noise: Tensor | None = None,
        **weights: float,
    ) -> Objective:
        return paper_objective(
            model or tiny_model(),
            discriminator,
            network,
            random(2, 3, 64, 64),
            random(2, 3, 64, 64, seed=1),
            RandomTransform.draw(2, np.random.default_rng(0)),
            PaperLossWeights(**weights),
            noise,
        )

    return compute


PLAIN_TERMS = ["perceptual", "equivariance_value", "equivariance_jacobian", "separation", "consistency"]


def test_the_published_run_has_five_terms_of_weight_ten(compute: Compute) -> None:
    objective, once = compute(), compute(**dict.fromkeys(PLAIN_TERMS, 1.0))
    assert list(objective.terms) == PLAIN_TERMS
    for name, term in once.terms.items():
        assert objective.terms[name].item() == pytest.approx(10 * term.item(), rel=1e-5) and term.item() > 0
    assert objective.total.item() == pytest.approx(sum(term.item() for term in objective.terms.values()))


def test_a_weight_of_zero_leaves_a_term_out_and_changes_no_other(compute: Compute) -> None:
    assert list(compute(perceptual=0.0).terms) == PLAIN_TERMS[1:]
    whole = compute(network=None).terms
    for name in PLAIN_TERMS[1:]:
        reduced = compute(network=None, **{name: 0.0}).terms
        assert list(reduced) == [term for term in PLAIN_TERMS[1:] if term != name]
        assert all(torch.equal(value, whole[term]) for term, value in reduced.items())


def test_without_a_perceptual_network_or_jacobians_their_terms_are_missing(compute: Compute) -> None:
    assert list(compute(network=None).terms) == PLAIN_TERMS[1:]
    terms = compute(tiny_model(jacobians=False), network=None).terms
    assert list(terms) == ["equivariance_value", "separation", "consistency"]


def test_the_official_form_changes_the_separation_alone(compute: Compute) -> None:
    ours, official = (compute(network=None, official=form).terms for form in (False, True))
    assert [name for name in ours if not torch.equal(ours[name], official[name])] == ["separation"]
    assert official["separation"].requires_grad and ours["separation"].requires_grad


def test_the_gan_adds_two_terms_and_the_total_does_not_teach_the_discriminator(compute: Compute) -> None:
    model, discriminator = tiny_model(), Discriminator(8, (8, 8))
    objective = compute(model, discriminator, network=None, gan=1.0)
    assert list(objective.terms) == [*PLAIN_TERMS[1:], "gan", "feature_matching"]
    objective.total.backward()
    assert all(parameter.grad is None for parameter in discriminator.parameters())


def test_the_discriminators_step_teaches_the_discriminator_alone(compute: Compute) -> None:
    model, discriminator = tiny_model(), Discriminator(8, (8, 8))
    objective = compute(model, discriminator, network=None, gan=1.0)
    discriminator_objective(discriminator, random(2, 3, 64, 64, seed=1), objective).backward()
    assert all(parameter.grad is not None for parameter in discriminator.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_gan_without_a_discriminator_is_refused(compute: Compute) -> None:
    with pytest.raises(ValueError, match="discriminator"):
        compute(gan=1.0)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_weights_are_finite_and_not_negative(value: float) -> None:
    with pytest.raises(ValueError, match="consistency"):
        PaperLossWeights(consistency=value)


CONDITIONS: tuple[Condition, ...] = get_args(Condition)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_parameter_learns_under_each_memory_condition(condition: Condition, compute: Compute) -> None:
    model = tiny_model(condition=condition)
    noise = draw_noise(model.config, 2, np.random.default_rng(0))
    objective = compute(model, Discriminator(8, (8, 8)), network=None, noise=noise, gan=1.0)
    objective.total.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_noise_differs_from_size_to_size_and_acts_by_its_gain(compute: Compute) -> None:
    model = tiny_model().eval()
    noise = draw_noise(model.config, 2, np.random.default_rng(0))
    assert noise.shape == (2, 2, 8, 8)
    plain = compute(model, network=None).rendering
    noisy = compute(model, network=None, noise=noise).rendering
    assert torch.equal(noisy.prediction, plain.prediction)  # the gain starts at 0
    torch.nn.init.ones_(model.generator.mbUnit.styleconv.weight)
    noisy = compute(model, network=None, noise=noise).rendering
    assert torch.equal(noisy.prediction, compute(model, network=None, noise=noise).rendering.prediction)
    changes = [a.styled_memory - b.styled_memory for a, b in zip(noisy.memory, plain.memory, strict=True)]
    assert all(change.abs().mean() > 0.1 for change in changes)
    assert not torch.allclose(changes[0], changes[1], atol=0.1)


def test_steps_down_the_objective_lower_it(compute: Compute) -> None:
    model = tiny_model()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3, betas=(0.5, 0.999))
    totals = []
    for _ in range(8):
        objective = compute(model, network=None)
        totals.append(objective.total.item())
        optimizer.zero_grad()
        objective.total.backward()
        optimizer.step()
    assert min(totals[-3:]) < 0.9 * totals[0]


def test_terms_stay_float32_and_alike_under_autocast(compute: Compute) -> None:
    discriminator = Discriminator(8, (8, 8))
    exact = compute(tiny_model(), discriminator, gan=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        rough = compute(tiny_model(), discriminator, gan=1.0)
        loss = discriminator_objective(discriminator, random(2, 3, 64, 64, seed=1), rough)
    rough.total.backward()
    assert loss.dtype == torch.float32
    for name, value in rough.terms.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(exact.terms[name].item(), rel=0.1), name

"""The paper's loss terms one by one, and what they add up to on a tiny network."""

import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from mcnet_cli.model import Keypoints, MCNet, ModelConfig
from mcnet_cli.model.config import (
    Condition,
    GeneratorConfig,
    HourglassConfig,
    KeypointConfig,
    MemoryConfig,
    MotionConfig,
)
from mcnet_cli.model.geometry import band_limited_downsample
from mcnet_cli.model.memory import MemoryTrace
from mcnet_cli.training.discriminator import Discriminator
from mcnet_cli.training.objective_config import PaperLossWeights
from mcnet_cli.training.paper_objective import (
    DiscriminatorObjective,
    Objective,
    PaperObjective,
    RandomTransform,
    discriminator_gan,
    draw_noise,
    equivariance_jacobian,
    equivariance_value,
    feature_consistency,
    feature_matching,
    generator_gan,
    keypoint_separation,
    perceptual_pyramid,
)
from mcnet_cli.training.perceptual import VGG19

STILL = RandomTransform(torch.eye(2, 3)[None], torch.zeros(1, 25))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def vgg19() -> VGG19:
    torch.manual_seed(0)
    return VGG19()


# The perceptual pyramid


def test_the_pyramid_adds_up_five_layers_at_four_scales(vgg19: VGG19) -> None:
    prediction, target = random(1, 3, 128, 128), random(1, 3, 128, 128, seed=1)
    expected = 0.0
    for factor in (1, 2, 4, 8):
        made, wanted = (
            vgg19.features(band_limited_downsample(image, factor)) for image in (prediction, target)
        )
        expected += sum((a - b).abs().mean().item() for a, b in zip(made, wanted, strict=True))
    assert perceptual_pyramid(vgg19, prediction, target).item() == pytest.approx(expected, rel=1e-4)


def test_the_pyramid_of_equal_pictures_is_zero_and_of_a_small_one_has_fewer_scales(vgg19: VGG19) -> None:
    picture = random(2, 3, 32, 32)
    assert perceptual_pyramid(vgg19, picture, picture).item() == 0
    other = random(2, 3, 32, 32, seed=1)
    both = [
        vgg19.differences([band_limited_downsample(other, f)], band_limited_downsample(picture, f))
        for f in (1, 2)
    ]
    expected = sum(difference.sum().item() for difference in both)
    assert perceptual_pyramid(vgg19, other, picture).item() == pytest.approx(expected, rel=1e-5)


def test_the_pyramid_teaches_the_prediction_alone(vgg19: VGG19) -> None:
    prediction = random(1, 3, 32, 32).requires_grad_()
    target = random(1, 3, 32, 32, seed=1).requires_grad_()
    perceptual_pyramid(vgg19, prediction, target).backward()
    assert prediction.grad is not None and prediction.grad.abs().max() > 0
    assert target.grad is None
    assert all(parameter.grad is None for parameter in vgg19.parameters())


# Equivariance


def test_keypoints_that_follow_the_transform_cost_nothing() -> None:
    transform = RandomTransform.draw(2, np.random.default_rng(0))
    transformed = Keypoints(random(2, 5, 2) - 0.5)
    driving = Keypoints(transform.warp_points(transformed.values))
    assert equivariance_value(driving, transformed, transform).item() == 0
    shifted = Keypoints(driving.values + torch.tensor([0.1, 0.3]))
    assert equivariance_value(shifted, transformed, transform).item() == pytest.approx(0.2, rel=1e-5)


def test_jacobians_that_turn_with_an_affine_transform_cost_nothing() -> None:
    affine = torch.tensor([[[0.9, 0.2, 0.1], [-0.3, 1.1, 0.0]]])
    transform = RandomTransform(affine, torch.zeros(1, 25))
    jacobians = torch.eye(2) + 0.3 * random(1, 5, 2, 2)
    transformed = Keypoints(random(1, 5, 2), jacobians)
    driving = Keypoints(random(1, 5, 2), affine[:, None, :, :2] @ jacobians)
    assert equivariance_jacobian(driving, transformed, transform).item() == pytest.approx(0, abs=1e-6)


def test_jacobians_are_compared_with_the_identity() -> None:
    eye = torch.eye(2).expand(1, 3, 2, 2)
    points = random(1, 3, 2)
    twice = equivariance_jacobian(Keypoints(points, 2 * eye), Keypoints(points, eye), STILL)
    assert twice.item() == pytest.approx(0.25)  # the mean of 0.5 on the diagonal and 0 beside it


def test_the_jacobian_term_teaches_positions_too() -> None:
    transform = RandomTransform.draw(1, np.random.default_rng(0))
    values = random(1, 3, 2).requires_grad_()
    eye = torch.eye(2).expand(1, 3, 2, 2)
    equivariance_jacobian(Keypoints(values, eye), Keypoints(values, eye), transform).backward()
    assert values.grad is not None and values.grad.abs().min() > 0


def test_keypoints_without_jacobians_have_no_jacobian_term() -> None:
    points = Keypoints(random(1, 3, 2))
    with pytest.raises(ValueError, match="no jacobians"):
        equivariance_jacobian(points, points, STILL)


# Separation

NEAR = Keypoints(torch.tensor([[[0.0, 0.0], [0.1, 0.0]]]))
FAR = Keypoints(torch.tensor([[[0.0, 0.0], [0.0, 0.21]]]))


def test_near_keypoints_are_pushed_apart_by_what_they_lack() -> None:
    values = NEAR.values.clone().requires_grad_()
    loss = keypoint_separation(Keypoints(values))
    assert loss.item() == pytest.approx(2 * 0.1 / 4, rel=1e-4)  # two ordered pairs of four
    loss.backward()
    assert values.grad is not None
    assert values.grad[0, 0, 0] > 0 > values.grad[0, 1, 0]  # descent moves them away from each other


def test_the_official_form_counts_near_pairs_and_teaches_nothing() -> None:
    values = NEAR.values.clone().requires_grad_()
    loss = keypoint_separation(Keypoints(values), official=True)
    assert loss.item() == pytest.approx(2 * 2 / 4)
    loss.backward()
    assert values.grad is not None and not values.grad.any()


@pytest.mark.parametrize("official", [False, True])
def test_keypoints_far_enough_apart_cost_nothing(official: bool) -> None:
    assert keypoint_separation(FAR, official=official).item() == 0


def test_keypoints_at_one_place_have_a_finite_gradient() -> None:
    values = torch.zeros(1, 4, 2, requires_grad=True)
    keypoint_separation(Keypoints(values)).backward()
    assert values.grad is not None and values.grad.isfinite().all()


# Memory and landmarks


def trace(projected: Tensor, value: Tensor) -> MemoryTrace:
    return MemoryTrace(*[projected] * 4, value, *[projected] * 3)


def test_consistency_adds_up_sizes_and_teaches_memory_values_alone() -> None:
    projected = torch.full((1, 4, 16, 16), 0.5, requires_grad=True)
    value = torch.full((1, 4, 8, 8), 0.2, requires_grad=True)
    loss = feature_consistency((trace(projected, value), trace(projected, value)))
    assert loss.item() == pytest.approx(0.6)
    loss.backward()
    assert projected.grad is None and value.grad is not None and value.grad.max() < 0


def test_consistency_resizes_features_with_corners_kept() -> None:
    ramp = torch.linspace(0, 1, 9).expand(1, 1, 9, 9)
    small = torch.linspace(0, 1, 5).expand(1, 1, 5, 5)
    assert feature_consistency((trace(ramp, small),)).item() == pytest.approx(0, abs=1e-6)


# The discriminator's terms


def test_least_squares_pull_scores_to_one_for_real_and_zero_for_fake() -> None:
    one, zero, half = torch.ones(2, 1, 3, 3), torch.zeros(2, 1, 3, 3), torch.full((2, 1, 3, 3), 0.5)
    assert generator_gan(one).item() == 0
    assert generator_gan(half).item() == pytest.approx(0.25)
    assert discriminator_gan(real=one, fake=zero).item() == 0
    assert discriminator_gan(real=zero, fake=one).item() == pytest.approx(2)
    assert discriminator_gan(real=half, fake=zero).item() == pytest.approx(0.25)


def test_feature_matching_adds_up_the_means_of_the_maps() -> None:
    real = [torch.zeros(1, 2, 8, 8), torch.zeros(1, 4, 2, 2)]
    fake = [torch.full((1, 2, 8, 8), 0.5), torch.full((1, 4, 2, 2), -0.25)]
    assert feature_matching(real, fake).item() == pytest.approx(0.75)


# The whole objective


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
        objective = PaperObjective(model or tiny_model(), discriminator, PaperLossWeights(**weights), network)
        transform = RandomTransform.draw(2, np.random.default_rng(0))
        return objective.compute(random(2, 3, 64, 64), random(2, 3, 64, 64, seed=1), transform, noise)

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
    DiscriminatorObjective(discriminator)(random(2, 3, 64, 64, seed=1), objective).backward()
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
        loss = DiscriminatorObjective(discriminator)(random(2, 3, 64, 64, seed=1), rough)
    rough.total.backward()
    assert loss.dtype == torch.float32
    for name, value in rough.terms.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(exact.terms[name].item(), rel=0.1), name

"""The random transforms that keypoints have to follow."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mcnet_cli.model.geometry import gaussian_heatmaps
from mcnet_cli.training.paper_objective import RandomTransform


@pytest.fixture
def transform() -> RandomTransform:
    return RandomTransform.draw(2, np.random.default_rng(3), affine=0.2, bend=0.05)


@pytest.fixture
def points() -> Tensor:
    return torch.rand(2, 7, 2, generator=torch.Generator().manual_seed(5)) * 1.8 - 0.9


def plainly_warped(transform: RandomTransform, number: int, point: tuple[float, float]) -> list[float]:
    """The specification's formula, one number at a time."""
    theta, weights = transform.theta[number].tolist(), transform.weights[number].tolist()
    bend = 0.0
    for row in range(5):
        for column in range(5):
            control = (-1 + column / 2, -1 + row / 2)
            distance = abs(point[0] - control[0]) + abs(point[1] - control[1])
            bend += weights[5 * row + column] * distance**2 * math.log(distance + 1e-6)
    return [line[0] * point[0] + line[1] * point[1] + line[2] + bend for line in theta]


def test_points_are_warped_as_the_formula_says(transform: RandomTransform, points: Tensor) -> None:
    warped = transform.warp_points(points)
    for number in range(2):
        for point, found in zip(points[number].tolist(), warped[number].tolist(), strict=True):
            assert found == pytest.approx(plainly_warped(transform, number, tuple(point)), abs=1e-5)


def test_points_given_once_are_warped_for_each_picture(transform: RandomTransform, points: Tensor) -> None:
    once = transform.warp_points(points[:1])
    torch.testing.assert_close(once, transform.warp_points(points[:1].expand(2, -1, -1)))
    assert not torch.allclose(once[0], once[1], atol=0.01)


def test_a_transformed_frame_shows_at_z_what_was_at_t_of_z() -> None:
    transform = RandomTransform.draw(2, np.random.default_rng(4))
    place = torch.tensor([[[0.3, -0.2]], [[-0.4, 0.1]]])
    frames = gaussian_heatmaps(transform.warp_points(place), (256, 256), 0.001)
    brightest = transform.transform_frames(frames).flatten(1).argmax(1)
    found = torch.stack([brightest % 256, brightest // 256], dim=1) * 2 / 255 - 1
    assert (transform.warp_points(place) - place).norm(dim=-1).min() > 0.05
    # a pixel and a half: the official sampling takes the grid of pixel centres for one of pixel areas
    torch.testing.assert_close(found, place[:, 0], atol=0.012, rtol=0)


def test_outside_the_frame_the_picture_is_mirrored() -> None:
    shifted = RandomTransform(torch.tensor([[[1.0, 0, 0.5], [0, 1, 0]]]), torch.zeros(1, 25))
    ramp = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    row = shifted.transform_frames(ramp)[0, 0, 32]
    assert row[46:49].min() > 0.97  # the right border is three quarters across
    assert row[63] == pytest.approx(0.75, abs=0.02)  # T(1) = 1.5, mirrored to 0.5


def test_the_jacobian_is_the_slope_of_the_warp(transform: RandomTransform, points: Tensor) -> None:
    transform = RandomTransform(transform.theta.double(), transform.weights.double())
    points, step = points.double(), 1e-6
    jacobian = transform.jacobian(points)
    for axis, offset in enumerate(torch.eye(2, dtype=torch.float64) * step):
        slope = (transform.warp_points(points + offset) - transform.warp_points(points - offset)) / (2 * step)
        torch.testing.assert_close(jacobian[..., axis], slope, atol=1e-6, rtol=0)


def test_gradient_flows_through_the_jacobian_to_the_points(
    transform: RandomTransform, points: Tensor
) -> None:
    transform = RandomTransform(transform.theta.double(), transform.weights.double())
    assert torch.autograd.gradcheck(transform.jacobian, points.double().requires_grad_())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_jacobian_needs_no_recorded_gradients(
    mode: type[torch.no_grad], transform: RandomTransform, points: Tensor
) -> None:
    expected = transform.jacobian(points)
    with mode():
        torch.testing.assert_close(transform.jacobian(points), expected)


def test_equal_seeds_draw_equal_transforms() -> None:
    first, again, other = (RandomTransform.draw(3, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.theta, again.theta) and torch.equal(first.weights, again.weights)
    assert not torch.equal(first.theta, other.theta) and not torch.equal(first.weights, other.weights)


def test_transforms_vary_as_much_as_the_papers() -> None:
    many = RandomTransform.draw(4000, np.random.default_rng(0))
    assert many.theta.shape == (4000, 2, 3) and many.weights.shape == (4000, 25)
    torch.testing.assert_close(many.theta.mean(0), torch.eye(2, 3), atol=0.005, rtol=0)
    torch.testing.assert_close(many.theta.std(0), torch.full((2, 3), 0.05), atol=0.004, rtol=0)
    assert many.weights.std().item() == pytest.approx(0.005, rel=0.03)


def test_coordinates_keep_their_precision_under_autocast(transform: RandomTransform, points: Tensor) -> None:
    expected = transform.warp_points(points)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(transform.warp_points(points), expected)

"""The smooth motion between keypoints, and how dense motion of landmarks blends it in."""

import dataclasses
import json

import pytest
import torch
from torch import Tensor

from mcnet_cli.model import PRESETS, Keypoints, MCNet, ModelConfig
from mcnet_cli.model.landmark_networks import LandmarkMotionNetwork, spline_motion

SIZE = 33


def at(motion: Tensor, x: float, y: float) -> Tensor:
    return motion[0, round((y + 1) / 2 * (SIZE - 1)), round((x + 1) / 2 * (SIZE - 1))]


def keypoints(*places: tuple[float, float]) -> Keypoints:
    return Keypoints(torch.tensor([places]))


def test_it_takes_all_keypoints_along() -> None:
    driving = keypoints((-0.5, -0.5), (0.5, -0.5), (0, 0.5))
    source = keypoints((-0.4, -0.5), (0.5, -0.3), (-0.2, 0.4))
    motion = spline_motion(source, driving, (SIZE, SIZE))
    assert motion.shape == (1, SIZE, SIZE, 2)
    for goal, (x, y) in zip(source.values[0], driving.values[0].tolist(), strict=True):
        assert torch.allclose(at(motion, x, y), goal, atol=5e-3)


def test_between_two_keypoints_it_goes_over_from_one_to_the_other_without_a_seam() -> None:
    motion = spline_motion(keypoints((-0.5, 0), (0.5, 0.2)), keypoints((-0.5, 0), (0.5, 0)), (SIZE, SIZE))
    shifts = motion[0, SIZE // 2, SIZE // 4 : 3 * SIZE // 4 + 1, 1]
    steps = shifts.diff()
    assert (steps > 0).all()
    assert steps.max() < 1.5 * steps.mean()


def test_nothing_moves_where_no_keypoint_does_and_less_does_far_away() -> None:
    still = keypoints((-0.3, 0.1), (0.4, 0.2))
    grid = spline_motion(still, still, (SIZE, SIZE))
    assert torch.allclose(at(grid, 0.5, -0.25), torch.tensor([0.5, -0.25]), atol=1e-6)
    moved = spline_motion(keypoints((-0.9, -0.7)), keypoints((-0.9, -0.9)), (SIZE, SIZE)) - grid
    assert at(moved, 1, 1)[1].abs() < 0.5 * at(moved, -1, -1)[1].abs()


@pytest.mark.parametrize("gap", [0.0, 1e-7, 0.004])
def test_lips_that_meet_and_go_apart_bend_nothing_wildly(gap: float) -> None:
    driving = keypoints((-0.4, 0), (0.4, 0), (0, -gap / 2), (0, gap / 2))
    source = keypoints((-0.4, 0), (0.4, 0), (0, -0.05), (0, 0.05))
    moved = spline_motion(source, driving, (SIZE, SIZE)) - spline_motion(driving, driving, (SIZE, SIZE))
    assert moved.abs().max() < 0.1


def small(*, spline: bool) -> LandmarkMotionNetwork:
    lite = PRESETS["lite"]
    torch.manual_seed(0)
    config = dataclasses.replace(lite, motion=dataclasses.replace(lite.motion, spline=spline))
    return LandmarkMotionNetwork(config, parts=None).eval()


@torch.no_grad()
def test_a_network_learns_how_much_of_it_to_take_from_the_keypoints_and_never_from_the_background() -> None:
    count = PRESETS["lite"].keypoints.count
    picture = torch.rand(1, 3, 64, 64)
    source = Keypoints(torch.rand(1, count, 2) - 0.5)
    driving = source.map(lambda values: values + 0.05 * torch.randn_like(values))
    network = small(spline=True)
    network.mask.weight[-1] = 0
    fields = []
    for share in (0.5, 1e-6):
        network.mask.bias[-1] = torch.tensor(share).logit()
        fields.append(network(picture, source, driving))
    half, none = (field.mask for field in fields)
    assert half.shape[1] == count + 2
    assert torch.allclose(half.sum(1), torch.ones(1, 64, 64))
    assert torch.allclose(half[:, 0], none[:, 0], atol=1e-5)
    assert torch.allclose(half[:, 1:-1], none[:, 1:-1] / 2, atol=1e-5)
    assert none[:, -1].max() < 1e-5
    assert small(spline=False)(picture, source, driving).mask.shape[1] == count + 1


def test_gradients_are_finite_where_keypoints_meet() -> None:
    values = torch.tensor([[[0.0, 0.0], [0.0, 0.0], [0.5, 0.5]]], requires_grad=True)
    source = Keypoints(torch.tensor([[[0.1, 0.0], [0.1, 0.0], [0.5, 0.4]]]))
    spline_motion(source, Keypoints(values), (SIZE, SIZE)).square().sum().backward()
    assert values.grad is not None
    assert values.grad.isfinite().all()


def slim() -> ModelConfig:
    lite = PRESETS["lite"]
    return dataclasses.replace(
        lite,
        motion=dataclasses.replace(lite.motion, pictures="shared"),
        generator=dataclasses.replace(lite.generator, hint_kernel=1, final_kernel=3),
    )


def test_it_can_do_without_a_picture_for_each_keypoint() -> None:
    torch.manual_seed(0)
    network = LandmarkMotionNetwork(slim(), parts=None).eval()
    count = slim().keypoints.count
    source, driving = (Keypoints(torch.rand(2, count, 2) - 0.5) for _ in range(2))
    image = torch.rand(2, 3, 64, 64)
    field = network(image, source, driving)
    assert field.deformation.shape == (2, 64, 64, 2)
    assert field.sparse_deformed.shape == (2, 2, 3, 64, 64)  # unmoved, and moved by the spline
    other = network(image.flip(3), source, driving)
    assert (other.mask - field.mask).abs().max() > 1e-4  # it does look at them


def test_smaller_networks_have_smaller_layers_and_say_so() -> None:
    assert ModelConfig.from_json(slim().to_json()) == slim()
    weights = {name: tuple(x.shape) for name, x in MCNet(slim()).state_dict().items()}
    assert weights["generator.final.weight"][2:] == (3, 3)
    assert weights["generator.join.64.conv.weight"][2:] == (1, 1)
    assert weights["generator.join.128.conv.weight"][2:] == (3, 3)


def test_networks_of_old_are_described_as_ever() -> None:
    described = json.loads(PRESETS["mcnet"].to_json())
    assert "pictures" not in described["motion"]
    assert not {"hint_kernel", "final_kernel"} & described["generator"].keys()


def test_kernels_are_odd() -> None:
    generator = PRESETS["lite"].generator
    with pytest.raises(ValueError, match=r"generator\.final_kernel = 4: must be odd"):
        dataclasses.replace(generator, final_kernel=4)

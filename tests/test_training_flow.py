"""Optical flow as a goal of dense motion."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from mcnet_cli.model import geometry
from mcnet_cli.training.flow import FlowTarget, flow_distance, flow_target

SIZE = 64


def textured(seed: int = 0) -> Tensor:
    noise = np.random.default_rng(seed).uniform(0, 1, (128, 128, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return torch.from_numpy(smooth).permute(2, 0, 1)[None]


def shifted(frames: Tensor, right_px: int, down_px: int) -> Tensor:
    return torch.roll(frames, (down_px, right_px), (2, 3))


@pytest.mark.parametrize("scale", [1, 2])
def test_a_shift_is_found_at_any_size(scale: int) -> None:
    source = textured()
    driving = shifted(source, 6, -4)
    if scale > 1:
        source, driving = (torch.nn.functional.interpolate(x, scale_factor=scale) for x in (source, driving))
    found = flow_target(source, driving, SIZE)
    grid = geometry.coordinate_grid(SIZE, SIZE, like=source)
    inner = (slice(None), slice(12, -12), slice(12, -12))
    wanted = grid + torch.tensor([-6.0, 4.0]) * 2 / 127
    assert found.trust[inner].mean() > 0.95
    sure = found.trust[inner] > 0
    assert (found.deformation[inner] - wanted[12:-12, 12:-12])[sure].abs().max() < 0.5 * 2 / 127


def test_warping_by_the_flow_brings_the_driving_back() -> None:
    source = textured()
    driving = shifted(source, 5, 3)
    found = flow_target(source, driving, SIZE)
    warped = geometry.warp(source, found.deformation, "border")
    inner = (..., slice(16, -16), slice(16, -16))
    error = (warped - driving)[inner].abs().mean()
    assert error < 0.2 * (source - driving)[inner].abs().mean()


def test_what_is_hidden_is_trusted_less() -> None:
    source = textured()
    driving = source.clone()
    driving[..., 40:90, 40:90] = textured(seed=1)[..., 40:90, 40:90]
    trust = flow_target(source, driving, SIZE).trust[0]
    assert trust[:16].mean() > 0.95
    assert trust[24:41, 24:41].mean() < 0.75  # chance lets some of it pass


def test_only_trusted_positions_count() -> None:
    deformation = torch.zeros(1, 2, 2, 2, requires_grad=True)
    wanted = torch.tensor([[[0.1, 0.3], [9.0, 9.0]], [[9.0, 9.0], [0.2, 0.2]]])[None]
    target = FlowTarget(wanted, torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]))
    loss = flow_distance(deformation, target)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(0.2)
    assert deformation.grad is not None
    assert (deformation.grad.abs().sum(-1) > 0).tolist() == [[[True, False], [False, True]]]


def test_nothing_trusted_is_no_loss() -> None:
    target = FlowTarget(torch.ones(1, 2, 2, 2), torch.zeros(1, 2, 2))
    assert flow_distance(torch.zeros(1, 2, 2, 2), target).item() == 0

"""How frames are put together: without landmarks of a face they are the paper's."""

import pytest
import torch
from animation_tools import tiny_config
from torch import Tensor

from mcnet_cli.compositing import Compositor
from mcnet_cli.model import PRESETS, Keypoints, MCNet


def made(model: MCNet, side: int) -> tuple[Tensor, Keypoints]:
    """A source and keypoints of two frames to move it to."""
    torch.manual_seed(1)
    image = torch.rand(1, 3, side, side)
    found = model.detect_keypoints(image)
    return image, found.map(lambda x: x.expand(2, *x.shape[1:]) + 0.05 * torch.randn(2, *x.shape[1:]))


@pytest.fixture(scope="module")
def lite() -> MCNet:
    torch.manual_seed(0)
    return MCNet(PRESETS["lite"]).eval()


@torch.inference_mode()
@pytest.mark.parametrize("jacobians", [True, False])
def test_frames_of_a_network_without_landmarks_are_the_papers_prediction(jacobians: bool) -> None:
    torch.manual_seed(0)
    model = MCNet(tiny_config(jacobians=jacobians)).eval()
    compositor, (image, motion) = Compositor(model), made(model, 64)
    state = model.encode_source(image)
    layers = compositor.layers(state)
    assert compositor.margin == 0
    assert torch.equal(compositor.frames(state, layers, motion), model.render(state, motion))


@torch.inference_mode()
def test_layers_of_one_source_serve_any_number_of_frames(lite: MCNet) -> None:
    compositor, (image, motion) = Compositor(lite), made(lite, 256)
    state = lite.encode_source(image)
    layers = compositor.layers(state)
    together = compositor.frames(state, layers, motion)
    alone = torch.cat([compositor.frames(state, layers, motion[row]) for row in range(2)])
    assert together.shape == (2, 3, 256, 256)
    torch.testing.assert_close(together, alone, atol=2e-3, rtol=0)


@torch.inference_mode()
def test_a_margin_shows_where_a_motion_leads_beyond_the_square(lite: MCNet) -> None:
    compositor, (image, _) = Compositor(lite), made(lite, 256)
    state, margin = lite.encode_source(image), compositor.margin
    wide = torch.nn.functional.pad(image, (margin,) * 4, mode="replicate")
    wide[..., :margin, :] = 1
    sunk = Keypoints(state.keypoints.values + torch.tensor([0.0, 0.2]))
    narrow, around = (compositor.layers(state, picture) for picture in (None, wide))
    assert around.margin == margin == 64
    first, second = (compositor.compose(state, layers, sunk).warped for layers in (narrow, around))
    assert (second[..., :8, :] > 0.99).float().mean() > 0.9 > (first[..., :8, :] > 0.99).float().mean()
    torch.testing.assert_close(first[..., 128:, :], second[..., 128:, :], atol=2e-3, rtol=0)


def test_frames_can_be_fitted(lite: MCNet) -> None:
    compositor, (image, motion) = Compositor(lite), made(lite, 256)
    state = lite.encode_source(image)
    moved = motion.values.detach().requires_grad_()
    compositor.frames(state, compositor.layers(state), Keypoints(moved)).mean().backward()
    assert moved.grad is not None
    assert moved.grad.abs().max() > 0

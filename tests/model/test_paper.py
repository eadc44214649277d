"""The network's own result is the paper's: one formula for every config, in training and after it."""

import pytest
import torch
import torch.nn.functional as F
from animation_tools import tiny_config
from torch import nn

from mcnet_cli.model import PRESETS, Keypoints, MCNet, ModelConfig, Rendering, SourceState
from mcnet_cli.model.geometry import coordinate_grid

CONFIGS = {"paper": tiny_config(), "lite": PRESETS["lite"]}


def rendered(model: MCNet, config: ModelConfig) -> tuple[SourceState, Rendering]:
    """A source and its rendering with the keypoints of another picture."""
    torch.manual_seed(1)
    source, driving = torch.rand(2, 1, 3, config.size, config.size)
    state = model.encode_source(source)
    return state, model(state, model.detect_keypoints(driving))


@torch.inference_mode()
@pytest.mark.parametrize("name", CONFIGS)
def test_the_prediction_is_what_is_decoded_and_what_is_warped_mixed_by_the_occlusion(name: str) -> None:
    torch.manual_seed(0)
    model = MCNet(CONFIGS[name]).eval()
    _, made = rendered(model, CONFIGS[name])
    size = made.prediction.shape[2:]
    occlusion = F.interpolate(made.motion.occlusion, size, mode="bilinear", align_corners=True)
    expected = made.decoded * (1 - occlusion) + made.deformed * occlusion
    assert torch.equal(made.prediction, expected)
    assert torch.equal(made.decoded, model.generator.decode(made.canvas))


@torch.inference_mode()
def test_the_papers_network_warps_the_source_by_its_deformation_as_it_is() -> None:
    torch.manual_seed(0)
    model = MCNet(CONFIGS["paper"]).eval()
    state, made = rendered(model, CONFIGS["paper"])
    grid = F.interpolate(
        made.motion.deformation.permute(0, 3, 1, 2), (64, 64), mode="bilinear", align_corners=True
    ).permute(0, 2, 3, 1)
    expected = F.grid_sample(state.image, grid, padding_mode="zeros", align_corners=True)
    torch.testing.assert_close(made.deformed, expected)


@torch.inference_mode()
@pytest.mark.parametrize("name", CONFIGS)
def test_training_and_evaluation_compute_the_same_but_for_batch_norm(name: str) -> None:
    torch.manual_seed(0)
    model = MCNet(CONFIGS[name]).eval()
    _, evaluated = rendered(model, CONFIGS[name])
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    _, trained = rendered(model, CONFIGS[name])
    for part in ("prediction", "decoded", "deformed"):
        assert torch.equal(getattr(trained, part), getattr(evaluated, part)), part
    assert torch.equal(trained.motion.person, evaluated.motion.person)


WINDOWS = {"inside": (0.4, 0.5, 0.35, 0.6), "in a corner": (0, 0.03, 0.9, 1), "all": (0, 1, 0, 1)}


@torch.inference_mode()
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("name", CONFIGS)
def test_a_part_of_what_is_painted_is_painted_alone(name: str, window: tuple[float, ...]) -> None:
    torch.manual_seed(0)
    config = CONFIGS[name]
    model = MCNet(config).eval()
    state, _ = rendered(model, config)
    top, bottom, left, right = (round(share * config.size) for share in window)
    part = slice(top, bottom), slice(left, right)
    driving = Keypoints(0.9 * state.keypoints.values, state.keypoints.jacobians)
    made = model.generator.generate(state, driving)
    alone = model.generator.painted_part(state, driving, made.motion, part)
    torch.testing.assert_close(alone, made.decoded[:, :, *part], atol=2e-5, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("name", CONFIGS)
def test_without_the_background_the_other_motions_keep_their_shares(name: str) -> None:
    torch.manual_seed(0)
    _, made = rendered(MCNet(CONFIGS[name]).eval(), CONFIGS[name])
    motion = made.motion
    background = motion.mask[:, 0, ..., None]
    still = coordinate_grid(64, 64, like=background)
    whole = background * still + (1 - background) * motion.person
    torch.testing.assert_close(whole, motion.deformation, atol=1e-5, rtol=1e-4)

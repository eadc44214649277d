"""The optimised network computes what the plain one does, within float32's rounding."""

import copy
import dataclasses

import pytest
import torch
from parity_tools import assert_close, goldens, picture, rebuilt_model
from torch import Tensor, nn

from mcnet_cli.model import PRESETS, MCNet, ModelConfig, optimised
from mcnet_cli.model.config import (
    GeneratorConfig,
    HourglassConfig,
    KeypointConfig,
    MemoryConfig,
    MotionConfig,
    PainterConfig,
)
from mcnet_cli.model.winograd import WinogradConv, WinogradDynamicConv

# The paper's network in small: all its parts, some of them wide enough for Winograd's algorithm.
PAPERS_KIND = ModelConfig(
    size=64,
    keypoints=KeypointConfig(5, True, HourglassConfig(8, 16, 2), 7),
    motion=MotionConfig(HourglassConfig(8, 16, 2)),
    memory=MemoryConfig(sizes=(64, 128), width=128, style_width=16, bank_size=6, experts=3),
    generator=GeneratorConfig(channels=(8, 128, 256), residual_blocks=(1, 1)),
)
CONDITIONS = {
    f"its memory conditioned on {condition}": dataclasses.replace(
        PAPERS_KIND, memory=dataclasses.replace(PAPERS_KIND.memory, condition=condition)
    )
    for condition in ("none", "features", "keypoints")
}
# Without an enlarger, which isn't rendered here; with one, other weights would be drawn.
LITE = dataclasses.replace(PRESETS["lite"], painter=PainterConfig(size=128))
CONFIGS = {"the paper's kind": PAPERS_KIND, "lite": LITE, **CONDITIONS}
FORMS = [*((name, True) for name in CONFIGS), ("the paper's kind", False)]


def trained(config: ModelConfig) -> MCNet:
    """A network whose norms have statistics and weights far from their initial ones, as after training."""
    torch.manual_seed(0)
    model = MCNet(config).eval().requires_grad_(False).channels_last()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
            for values, low, high in ((module.weight, 0.5, 1.5), (module.bias, -0.3, 0.3)):
                nn.init.uniform_(values, low, high)
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    return model


@torch.inference_mode()
@pytest.mark.parametrize(("name", "by_winograd"), FORMS)
def test_an_optimised_network_computes_what_the_plain_one_does(name: str, by_winograd: bool) -> None:
    plain = trained(CONFIGS[name])
    fast = optimised(copy.deepcopy(plain), by_winograd=by_winograd)
    source, *drivings = torch.rand(3, 1, 3, plain.config.size, plain.config.size)
    found, expected = (model.encode_source(source) for model in (fast, plain))
    motion = plain.detect_keypoints(torch.cat(drivings))
    assert_same(fast.detect_keypoints(torch.cat(drivings)).values, motion.values)
    for feature, other in zip(found.features, expected.features, strict=True):
        assert_same(feature, other)
    made, rendering = fast(found, motion), plain(expected, motion)
    for part in ("decoded", "prediction", "deformed"):
        assert_same(getattr(made, part), getattr(rendering, part))
    for part in ("deformation", "occlusion", "mask"):
        assert_same(getattr(made.motion, part), getattr(rendering.motion, part))


def assert_same(actual: Tensor, expected: Tensor) -> None:
    """Equal but for float32's rounding, which the layers add up; and not because there is nothing to see."""
    assert expected.std() > 0.003
    torch.testing.assert_close(actual, expected, atol=2e-4, rtol=0)


@pytest.mark.slow
@torch.inference_mode()
def test_an_optimised_network_equals_the_official_one() -> None:
    fast = optimised(rebuilt_model())
    golden = goldens()
    driving = fast.detect_keypoints(picture("driving"))
    assert_close(driving.values, golden["keypoints.driving.value"], 2e-5)
    made = fast(fast.encode_source(picture("source")), driving)
    assert_close(made.motion.deformation, golden["dense_motion.deformation"], 3e-4)
    assert_close(made.prediction, golden["generator.prediction"], 5e-3, 5e-5)


@torch.inference_mode()
@pytest.mark.parametrize("size", [(4, 4), (7, 10), (16, 33)])
def test_winograds_algorithm_computes_a_convolution(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(160, 40, 3, padding=1)
    x = torch.randn(2, 160, *size)
    torch.testing.assert_close(WinogradConv(conv)(x), conv(x), atol=1e-4, rtol=0)


@torch.inference_mode()
def test_winograds_algorithm_mixes_experts_for_each_sample() -> None:
    torch.manual_seed(0)
    plain = MCNet(PAPERS_KIND).generator.mbUnit.conv_kv
    nn.init.normal_(plain.bias)
    nn.init.normal_(plain.attention.fc2.weight, std=100)  # so that samples choose different experts
    x, feature = torch.randn(2, 128, 9, 9), torch.randn(2, 128, 4, 4)
    expected = plain(x, feature)
    assert not torch.allclose(expected, plain(x, feature.flip(0)), atol=0.1)
    torch.testing.assert_close(WinogradDynamicConv(plain)(x, feature), expected, atol=1e-4, rtol=0)

"""What an untrained network starts from: the published initial values."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from mcnet_cli.model import PRESETS, MCNet
from mcnet_cli.model.config import KeypointConfig, MemoryConfig
from mcnet_cli.model.memory import MemoryUnit
from mcnet_cli.model.motion import KeypointDetector
from mcnet_cli.training.discriminator import Discriminator


@pytest.fixture(scope="module")
def memory() -> MemoryUnit:
    torch.manual_seed(0)
    return MemoryUnit(MemoryConfig(), {32: 512, 64: 256, 128: 128}, keypoints=15)


def assert_uniform(values: Tensor, bound: float) -> None:
    assert values.abs().max().item() <= bound * 1.000001
    assert values.abs().max().item() > 0.97 * bound
    assert abs(values.mean().item()) < 0.05 * bound
    assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)


def assert_normal(values: Tensor, deviation: float) -> None:
    assert values.std().item() == pytest.approx(deviation, rel=0.05)
    assert abs(values.mean().item()) < 0.1 * deviation
    assert values.abs().max().item() > 3 * deviation


def test_the_bank_is_uniform(memory: MemoryUnit) -> None:
    assert_uniform(memory.mb, math.sqrt(6 / (512 * 32 * 32)))


def test_the_modulated_convolution_is_normal_and_its_style_neutral(memory: MemoryUnit) -> None:
    convolution = memory.styleconv.modulated_conv
    assert_normal(convolution.weight, 1)
    assert_normal(convolution.modulation.weight, 1)
    assert (convolution.modulation.bias == 1).all()
    assert not memory.styleconv.weight.any()
    assert not memory.styleconv.activate.bias.any()


def test_each_expert_is_uniform_and_has_no_bias(memory: MemoryUnit) -> None:
    assert len(memory.conv_kv.weight) == 4
    for expert in memory.conv_kv.weight:
        assert_uniform(expert, math.sqrt(6 / (512 * 9)))
    assert not memory.conv_kv.bias.any()


def test_the_experts_attention_is_normal_over_its_outputs(memory: MemoryUnit) -> None:
    attention = memory.conv_kv.attention
    assert attention is not None
    assert_normal(attention.fc1.weight, math.sqrt(2 / 129))
    assert_normal(attention.fc2.weight, math.sqrt(2 / 4))


def test_jacobians_start_as_the_identity_everywhere() -> None:
    detector = KeypointDetector(KeypointConfig())
    jacobians = detector.eval()(torch.rand(2, 3, 256, 256)).jacobians
    assert jacobians is not None
    torch.testing.assert_close(jacobians, torch.eye(2).expand(2, 15, 2, 2))


def layers() -> Iterator[tuple[str, nn.Module]]:
    """All others of the generator's, the detector's and the discriminator's layers, and the memory's."""
    torch.manual_seed(0)
    parts = {
        "generator": MCNet(PRESETS["lite"]).generator,
        "detector": KeypointDetector(KeypointConfig()),
    }
    parts["discriminator"] = Discriminator(15)
    parts["memory"] = MemoryUnit(MemoryConfig(), {32: 512}, keypoints=15)
    special = ("detector.jacobian", "attention.fc1", "attention.fc2", "dense_motion_network.mask")
    for part, network in parts.items():
        for name, module in network.named_modules(prefix=part):
            if not name.endswith(special):
                yield name, module


def test_everything_else_starts_at_torchs_defaults() -> None:
    for name, module in layers():
        if isinstance(module, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(module.weight[0].numel())
            assert module.weight.abs().max().item() <= bound, name
            assert module.weight.abs().max().item() > 0.9 * bound, name
            assert module.bias is not None and module.bias.abs().max().item() <= bound, name
            assert module.bias.any(), name
        elif isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
            assert (module.weight == 1).all() and not module.bias.any(), name

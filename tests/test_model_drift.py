"""The network against what it computed when this golden was made: a guard where the official ones are absent.

After a wanted change: python tests/test_model_drift.py
"""

import dataclasses
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from animation_tools import tiny_config
from safetensors.torch import load_file, save_file
from torch import Tensor

from mcnet_cli.compositing import Compositor
from mcnet_cli.model import MCNet, ModelConfig, geometry, transfer_motion

GOLDEN = Path(__file__).parent / "data" / "drift.safetensors"
CONDITIONS = ("both", "keypoints", "features", "none")


def configs() -> dict[str, ModelConfig]:
    """Networks that take every path: the paper's with each condition of its memory, and `lite`."""
    tiny = tiny_config()
    found = {
        condition: dataclasses.replace(tiny, memory=dataclasses.replace(tiny.memory, condition=condition))
        for condition in CONDITIONS
    }
    return found | {"lite": ModelConfig.preset("lite")}


def rebuilt(config: ModelConfig) -> MCNet:
    """A network whose parameters follow from their names alone, whatever torch's generators do."""
    model = MCNet(config).eval()
    for name, entry in model.state_dict().items():
        if not entry.is_floating_point():
            continue
        chance = np.random.RandomState(zlib.crc32(name.encode()))
        reach = 2.5 / entry[0].numel() ** 0.5 if entry.ndim > 1 and not name.endswith(".mb") else 0.5
        value = torch.from_numpy(chance.uniform(-reach, reach, entry.shape).astype(np.float32))
        entry.copy_(value + 1 if name.endswith(("running_var", "norm.weight", "modulation.bias")) else value)
    return model


def computed(config: ModelConfig) -> dict[str, Tensor]:
    """Some of everything on the way from two pictures to a frame."""
    side = config.size
    y, x = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    source = torch.stack([x, y, (x * 9).sin() * (y * 7).cos() / 2 + 0.5])[None]
    driving = source.roll((side // 16, side // 8), dims=(2, 3))
    with torch.inference_mode():
        model = rebuilt(config)
        state, found = model.encode_source(source), model.detect_keypoints(driving)
        motion = transfer_motion(found, state.keypoints, state.keypoints, 1.5)
        made, compositor = model(state, motion), Compositor(model)
        frame = compositor.frames(state, compositor.layers(state), motion)
    step = side // 16
    composited = {"frame": frame[..., ::step, ::step].contiguous()} if model.parts else {}
    return composited | {
        "keypoints": found.values,
        "deformation": made.motion.deformation[:, ::8, ::8].contiguous(),
        "occlusion": made.motion.occlusion[..., ::8, ::8].contiguous(),
        "value": made.memory[0].value[..., :2, :2].contiguous(),
        "compensated": made.memory[0].after[..., ::8, ::8].contiguous(),
        "decoded": made.decoded[..., ::step, ::step].contiguous(),
        "prediction": made.prediction[..., ::step, ::step].contiguous(),
    }


@pytest.mark.parametrize("name", configs())
def test_the_network_computes_what_it_always_did(name: str) -> None:
    golden = load_file(GOLDEN)
    for part, value in computed(configs()[name]).items():
        torch.testing.assert_close(
            value, golden[f"{name}.{part}"], atol=2e-4, rtol=1e-3, msg=f"{name}: {part}"
        )


def test_a_network_can_be_trained_after_one_of_its_kind_was_used_for_inference() -> None:
    geometry._gaussian_kernel.cache_clear()
    config = configs()["lite"]
    computed(config)
    image = torch.rand(1, 3, 256, 256, requires_grad=True)
    MCNet(config).detect_keypoints(image).values.sum().backward()
    assert image.grad is not None


def test_the_conditions_of_the_memory_differ() -> None:
    golden = load_file(GOLDEN)
    values = [golden[f"{condition}.value"] for condition in CONDITIONS]
    for number, value in enumerate(values):
        assert all((value - other).abs().max() > 1e-3 for other in values[:number])


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    save_file({f"{n}.{k}": v for n, c in configs().items() for k, v in computed(c).items()}, GOLDEN)

"""The official network's goldens, and the weights they were made with, which a recipe rebuilds."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mcnet_cli.model import MCNet, ModelConfig

PARITY = Path(__file__).resolve().parents[2] / "shared" / "parity"
needs_goldens = pytest.mark.skipif(
    not PARITY.is_dir(), reason="the parity goldens are not beside the project"
)


def rebuilt_weights(*prefixes: str) -> dict[str, Tensor]:
    """The entries whose official names start so, with those names; VGG19's have torchvision's."""
    manifest = json.loads((PARITY / "manifest.json").read_text())
    state = {}
    for entry in manifest["parameters"]:
        name, shape = entry["name"], entry["shape"]
        if entry.get("kept") or not name.startswith(prefixes):
            continue
        chance = np.random.RandomState((zlib.crc32(name.encode()) + manifest["salt"]) % 2**32)
        value = chance.uniform(entry["low"], entry["high"], size=shape).astype(np.float32)
        if "offset" in entry:
            value += np.resize(np.float32(entry["offset"]), shape)
        state[entry.get("torchvision_name", name)] = torch.from_numpy(value)
    return state


def rebuilt_model() -> MCNet:
    """The paper's network with the goldens' weights, in evaluation mode."""
    model = MCNet(ModelConfig.preset("mcnet")).eval()
    problems = model.load_state_dict(rebuilt_weights("generator.", "kp_detector."), strict=False)
    assert not problems.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in problems.missing_keys)
    return model


def goldens() -> dict[str, Tensor]:
    return load_file(PARITY / "golden.safetensors")


def picture(golden: dict[str, Tensor], name: str) -> Tensor:
    """The goldens' "source" or "driving": (1, 3, 256, 256) in [0, 1]."""
    return golden[f"input.{name}"].permute(2, 0, 1)[None].float() / 255


def assert_close(actual: Tensor, expected: Tensor, largest: float, mean: float | None = None) -> None:
    error = (actual - expected).abs()
    assert actual.shape == expected.shape
    assert error.max().item() < largest
    if mean is not None:
        assert error.mean().item() < mean

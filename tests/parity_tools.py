"""Goldens of the official network, made with weights that a recipe rebuilds.

`data/parity` is a part of a larger collection: `manifest.json` is the recipe, the two pictures are the inputs
(the example portrait, as it is and turned), and `golden.safetensors` holds every 37th value of what is large.
To make it again from the whole: PYTHONPATH=. python tests/parity_tools.py FOLDER
"""

import json
import shutil
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from places import DATA
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mcnet_cli.media import read_image, write_image
from mcnet_cli.model import PRESETS, MCNet

PARITY = DATA / "parity"
PICTURES = ("source", "driving")
LARGE = 4096
STEP = 37  # has no factor in common with widths, heights and channels, so that all of each are seen


class KeepDouble(TorchFunctionMode):
    """A context in which `Tensor.float`, where the network asks for no less than float32, keeps float64."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is Tensor.float and args[0].dtype == torch.float64:
            return args[0]
        return func(*args, **(kwargs or {}))


def recipe() -> dict[str, Any]:
    """`salt`, and `parameters`: name, shape and range of each. The names are the official ones."""
    manifest: dict[str, Any] = json.loads((PARITY / "manifest.json").read_text())
    return manifest


def rebuilt_weights(*prefixes: str) -> dict[str, Tensor]:
    """The entries whose official names start so, with those names; VGG19's have torchvision's."""
    manifest = recipe()
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
    model = MCNet(PRESETS["mcnet"]).eval()
    problems = model.load_state_dict(rebuilt_weights("generator.", "kp_detector."), strict=False)
    assert not problems.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in problems.missing_keys)
    return model


def goldens() -> dict[str, Tensor]:
    """What the official network computed; large tensors are thinned out."""
    return load_file(PARITY / "golden.safetensors")


def picture(name: str, dtype: torch.dtype = torch.float32) -> Tensor:
    """The goldens' "source" or "driving": (1, 3, 256, 256) in [0, 1]."""
    return torch.from_numpy(read_image(PARITY / f"{name}.png")).permute(2, 0, 1)[None].to(dtype) / 255


def thinned(tensor: Tensor) -> Tensor:
    """What of a tensor is kept among the goldens."""
    return tensor if tensor.numel() <= LARGE else tensor.flatten()[::STEP]


def assert_close(actual: Tensor, golden: Tensor, largest: float, mean: float | None = None) -> None:
    """Bounds on the largest and mean absolute error of a whole tensor; `golden` is thinned out already."""
    actual = thinned(actual)
    assert actual.shape == golden.shape
    error = (actual - golden).abs()
    assert error.max().item() < largest
    if mean is not None:
        assert error.mean().item() < mean


def main(folder: Path) -> None:
    """Make `data/parity` from a folder with the whole `golden.safetensors` and `manifest.json`."""
    whole = load_file(folder / "golden.safetensors")
    for mode in ("absolute", "relative"):  # tests don't render these: the motions prove as much
        del whole[f"motion.{mode}.prediction"]
    PARITY.mkdir(exist_ok=True)
    for name in PICTURES:
        write_image(PARITY / f"{name}.png", whole.pop(f"input.{name}").numpy(), overwrite=True)
    save_file(
        {name: thinned(value).contiguous() for name, value in whole.items()}, PARITY / "golden.safetensors"
    )
    shutil.copyfile(folder / "manifest.json", PARITY / "manifest.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

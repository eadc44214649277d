"""A run's checkpoints: folders that are renamed into place when they are whole, and what they keep.

A damaged checkpoint is passed over when a run is resumed. The result of a run is a moving average of weights.
"""

import json
import logging
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mcnet_cli.checkpoint.safetensors_file import write_tensors
from mcnet_cli.errors import InputError, shown
from mcnet_cli.files import system_failure
from mcnet_cli.system import sync_file, sync_folder

logger = logging.getLogger(__name__)
WEIGHTS, STATE, FACTS = "weights.safetensors", "state.safetensors", "facts.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that the next step of a run depends on.

    weights: of the networks. state: of the optimizers, the moving average and the random generators. facts:
    JSON, with at least `step`; `score` where there is validation, lower being better.
    """

    weights: dict[str, Tensor]
    state: dict[str, Tensor]
    facts: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Writes `folder`/step-NNNNNNNN; then removes all but the last `keep` and the best.

    InputError if a weight isn't finite, SystemFailure if the disk fails; earlier checkpoints stay.
    """
    final = folder / f"step-{checkpoint.facts['step']:08d}"
    part = folder / f".{final.name}.part"
    for name, tensor in checkpoint.weights.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InputError(
                f"{name} is not finite at step {checkpoint.facts['step']}: no checkpoint was written"
            )
    try:
        remove_partial(folder)
        part.mkdir(parents=True)
        write_tensors(part / WEIGHTS, checkpoint.weights, {})
        write_tensors(part / STATE, checkpoint.state, {})
        (part / FACTS).write_text(json.dumps(checkpoint.facts), encoding="ascii")
        for name in (WEIGHTS, STATE, FACTS):
            sync_file(part / name)
        sync_folder(part)
        aside = folder / f".{final.name}.old.part"
        if final.exists():  # torn, or of the same step before the last stage
            final.rename(aside)
        part.rename(final)
        sync_folder(folder)
    except OSError as error:
        raise system_failure(error, final) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    remove_partial(folder)
    for old in _dispensable(folder, keep):
        shutil.rmtree(old, ignore_errors=True)
    return final


def remove_partial(folder: Path) -> None:
    """Removes what a killed run has left half written."""
    for part in folder.glob(".step-*.part"):
        shutil.rmtree(part, ignore_errors=True)


def saved_steps(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, newest first."""
    return sorted((path for path in folder.glob("step-*") if path.name[5:].isdecimal()), reverse=True)


def _dispensable(folder: Path, keep: int) -> list[Path]:
    saved = saved_steps(folder)
    scores = {path: score for path in saved if (score := _score(path)) is not None}
    best = min(scores, key=scores.__getitem__, default=None)
    return [path for path in saved[keep:] if path != best]


def _score(path: Path) -> float | None:
    try:
        score = json.loads((path / FACTS).read_text(encoding="ascii")).get("score")
    except (OSError, ValueError):
        return None
    return None if score is None else float(score)


def load_latest(folder: Path) -> Checkpoint | None:
    """The newest complete checkpoint; None if there is none. InputError if there are some, all damaged."""
    saved = saved_steps(folder)
    for path in saved:
        try:
            facts: dict[str, Any] = json.loads((path / FACTS).read_text(encoding="ascii"))
            facts["step"] += 0  # a number
            return Checkpoint(load_file(path / WEIGHTS), load_file(path / STATE), facts)
        except (FileNotFoundError, ValueError, KeyError, TypeError, SafetensorError) as error:
            logger.warning(
                "checkpoint %s is damaged (%s); trying the one before", path.name, type(error).__name__
            )
    if saved:
        raise InputError(f"no checkpoint in {shown(folder)} can be read", hint="start again with another -o")
    return None


def tensors_below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, decay: float, step: int) -> None:
    """Moves the exponential moving average of a module's weights on by a step; it adapts faster at first."""
    decay = min(decay, (1 + step) / (10 + step))
    for kept, now in zip(average.state_dict().values(), module.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(now, 1 - decay)
        else:
            kept.copy_(now)


def optimizer_tensors(name: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's moments and step counts."""
    entries = optimizer.state_dict()["state"].items()
    return {
        f"optimizer.{name}.{number}.{key}": value for number, entry in entries for key, value in entry.items()
    }


def restore_optimizer(name: str, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts `optimizer_tensors` back."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors_below(f"optimizer.{name}.", tensors).items():
        number, entry = key.split(".")
        state.setdefault(int(number), {})[entry] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def seed_random(seed: int) -> None:
    """Begins the sequences of the generators of Python, numpy, torch and CUDA."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_tensors() -> dict[str, Tensor]:
    """The states of the generators of Python, numpy, torch and CUDA."""
    version, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    states = {
        "random.python": torch.tensor([version, *words]),
        "random.numpy": torch.tensor([*map(int, keys), position, has_gauss]),
        "random.gauss": torch.tensor(
            [float("-inf") if gauss is None else gauss, cached], dtype=torch.float64
        ).view(torch.int64),
        "random.torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["random.cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random(tensors: Mapping[str, Tensor]) -> None:
    """Puts `random_tensors` back."""
    version, *words = tensors["random.python"].tolist()
    gauss, cached = tensors["random.gauss"].view(torch.float64).tolist()
    random.setstate((version, tuple(words), None if gauss == float("-inf") else gauss))
    *keys, position, has_gauss = tensors["random.numpy"].tolist()
    np.random.set_state(("MT19937", np.array(keys, np.uint32), position, has_gauss, cached))
    torch.set_rng_state(tensors["random.torch"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])

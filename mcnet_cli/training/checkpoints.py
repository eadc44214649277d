"""A run's checkpoints: whole folders, renamed into place; a torn one is passed over."""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mcnet_cli.files import sync_folder, system_failure

logger = logging.getLogger(__name__)
KEEP = 2


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"optimizer.{i}.{key}": value for i, entry in state.items() for key, value in entry.items()}


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        _, number, key = name.split(".")
        state.setdefault(int(number), {})[key] = value
    whole = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})


def save_checkpoint(
    folder: Path, model: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer, facts: dict[str, Any]
) -> Path:
    """Writes `folder`/step-NNNNNNNN and removes all but the last two. facts: JSON with at least "step".

    SystemFailure if the disk fails; earlier checkpoints stay.
    """
    final = folder / f"step-{facts['step']:08d}"
    part = folder / f".{final.name}.{os.getpid()}.part"
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"ema.{k}": v for k, v in ema.state_dict().items()}
    tensors |= _optimizer_tensors(optimizer)
    tensors["random.torch"] = torch.get_rng_state()
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, part / "state.safetensors")
        (part / "facts.json").write_text(json.dumps(facts))
        for name in ("state.safetensors", "facts.json"):
            with open(part / name, "rb") as file:
                os.fsync(file.fileno())
        if final.exists():
            shutil.rmtree(final)
        part.rename(final)
        sync_folder(folder)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise system_failure(error, final) from error
    except SafetensorError as error:  # how the library reports a full disk
        shutil.rmtree(part, ignore_errors=True)
        raise system_failure(OSError(str(error)), final) from error
    for old in sorted(folder.glob("step-*"))[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def load_latest(
    folder: Path, model: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any] | None:
    """Restores the newest complete checkpoint and returns its facts; None if there is none."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            tensors = load_file(path / "state.safetensors")
            facts: dict[str, Any] = json.loads((path / "facts.json").read_text())
            parts = {
                kind: {k.removeprefix(f"{kind}."): v for k, v in tensors.items() if k.startswith(f"{kind}.")}
                for kind in ("model", "ema")
            }
            model.load_state_dict(parts["model"])
            ema.load_state_dict(parts["ema"])
            _restore_optimizer(optimizer, {k: v for k, v in tensors.items() if k.startswith("optimizer.")})
            torch.set_rng_state(tensors["random.torch"])
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            logger.warning("checkpoint %s is damaged (%s); trying the one before", path.name, type(error).__name__)
            continue
        return facts
    return None

"""`train`: from a folder of clips to a run folder whose weights file `mcnet animate` takes."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mcnet_cli import __version__
from mcnet_cli.checkpoint import Weights, read_weights, write_weights
from mcnet_cli.devices import Compute, choose
from mcnet_cli.errors import UsageError, shown
from mcnet_cli.training.checkpoints import remove_partial, saved_steps
from mcnet_cli.training.clips import find_clips
from mcnet_cli.training.config import FRAMING, RunConfig
from mcnet_cli.training.dataset import Dataset, load_dataset
from mcnet_cli.training.learner import Learner
from mcnet_cli.training.loop import Training
from mcnet_cli.training.perceptual import choose_perceptual
from mcnet_cli.training.request import ClipTable, TrainReport, TrainRequest
from mcnet_cli.training.settings import write_config
from mcnet_cli.training.stopping import locked
from mcnet_cli.training.world import World
from mcnet_cli.weights import resolve_weights

logger = logging.getLogger(__name__)
Progress = Callable[[str, int, int, str], None]  # stage, done, total, unit


def train(request: TrainRequest, on_progress: Progress | None = None) -> TrainReport:
    """Trains, or goes on with what `request.run` holds. Raises the children of McnetError."""
    compute = _compute(request)
    with World(request.launch, compute.device) as world:
        if not world.is_main:
            logging.getLogger("mcnet_cli").setLevel(logging.ERROR)  # one voice is enough
            return _train(request, compute, world, None)
        request.run.mkdir(parents=True, exist_ok=True)
        with locked(request.run):
            return _train(request, compute, world, on_progress)


def _train(request: TrainRequest, compute: Compute, world: World, on_progress: Progress | None) -> TrainReport:
    config, run = request.config, request.run
    weights = _initial_weights(request)
    with world.main_first():
        data, held_out = _data(request, run, on_progress)
    perceptual = choose_perceptual(None)
    learner = Learner(config, compute, world, perceptual, weights and weights.state)
    training = Training(config, data, held_out, run, learner, world)
    if not training.resume() and request.resume:
        raise UsageError(f"{shown(run)} holds no checkpoint to go on with", hint="leave out --resume")
    target = run / "weights.safetensors"
    if world.is_main:
        remove_partial(run / "checkpoints")
        write_config(run / "config.toml", config)
    world.barrier()
    training.train(on_progress and (lambda row: on_progress("training", *training.done(), _unit(row))))
    if world.is_main:
        card = _card(request, training, weights, "none" if perceptual is None else perceptual.name)
        framing = FRAMING if weights is None or weights.framing is None else weights.framing
        write_weights(target, learner.ema.state_dict(), config.model, framing=framing, smooth=None, card=card)
    state = training.state
    return TrainReport(
        target,
        state.step,
        state.elapsed_s,
        len(data.clips),
        len(data.bad) + len(state.bad_clips),
        state.skipped,
        "none" if perceptual is None else perceptual.name,
        training.figures,
    )


def check_data(request: TrainRequest, on_progress: Progress | None = None) -> ClipTable:
    """What can be used of the clips, and why not of the others; no network is built."""
    request.run.mkdir(parents=True, exist_ok=True)
    return ClipTable(_data(request, request.run, on_progress, strict=False)[0])

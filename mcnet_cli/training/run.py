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
from mcnet_cli.media.clips import find_clips
from mcnet_cli.model import ModelConfig, PainterConfig
from mcnet_cli.model.config import PAINTERS
from mcnet_cli.training.checkpoints import remove_partial, saved_steps
from mcnet_cli.training.config import FRAMING
from mcnet_cli.training.dataset import Dataset, load_dataset
from mcnet_cli.training.learner import Learner
from mcnet_cli.training.loop import Training
from mcnet_cli.training.perceptual import choose_perceptual
from mcnet_cli.training.request import ClipTable, TrainReport, TrainRequest
from mcnet_cli.training.settings import write_config
from mcnet_cli.training.stopping import locked
from mcnet_cli.training.synthetic_clips import synthetic_clips
from mcnet_cli.training.world import World
from mcnet_cli.weights import NEVER, Fetch, cached_path, registry, resolve_file, resolve_weights

logger = logging.getLogger(__name__)
Progress = Callable[[str, int, int, str], None]  # stage, done, total, unit


def train(request: TrainRequest, on_progress: Progress | None = None) -> TrainReport:
    """Trains, or goes on with what `request.run` holds. Raises the children of McnetError."""
    compute = choose_compute(request)
    if request.clips is not None:
        find_clips(request.clips)  # a wrong folder leaves nothing behind
    with World(request.launch, compute.device) as world:
        if not world.is_main:
            logging.getLogger("mcnet_cli").setLevel(logging.ERROR)  # one voice is enough
            return _train(request, compute, world, None)
        request.run.mkdir(parents=True, exist_ok=True)
        with locked(request.run):
            return _train(request, compute, world, on_progress)


def _train(
    request: TrainRequest, compute: Compute, world: World, on_progress: Progress | None
) -> TrainReport:
    config, run = request.config, request.run
    weights = request.init
    if weights is not None and not _fits(weights.config, config.model):
        raise UsageError(f"{shown(weights.path)} is of another architecture than the settings ask for")
    with world.main_first():
        data, held_out = _data(request, on_progress)
        perceptual = choose_perceptual(_vgg19(request)) if config.losses.wants_perceptual else None
    learner = Learner(config, compute, world, perceptual, None if weights is None else weights.state)
    training = Training(config, data, held_out, run, learner, world)
    if saved_steps(run / "checkpoints") and request.resume is False:
        raise UsageError(
            f"{shown(run)} holds a run already", hint="choose another -o, or go on with it by --resume"
        )
    if not training.resume() and request.resume:
        raise UsageError(f"{shown(run)} holds no checkpoint to go on with", hint="leave out --resume")
    target = run / "weights.safetensors"
    if world.is_main:
        remove_partial(run / "checkpoints")
        write_config(run / "config.toml", config)
    world.barrier()
    training.train(on_progress)
    if world.is_main:
        card = _card(request, training, weights, "none" if perceptual is None else perceptual.name)
        framing = FRAMING if weights is None or weights.framing is None else weights.framing
        write_weights(
            target,
            learner.ema.state_dict(),
            config.model,
            framing=framing,
            smooth=None if weights is None else weights.smooth,
            card=card,
        )
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


def _fits(initial: ModelConfig, wanted: ModelConfig) -> bool:
    """Whether weights of the architecture `initial` can begin a run of `wanted`.

    They may lack detail painters.
    """
    painters: dict[str, Any] = {name: PainterConfig() for name in PAINTERS}  # whatever those of size 0 are
    painters |= {name: getattr(wanted, name) for name in initial.painters}
    return initial == dataclasses.replace(wanted, **painters)


def initial_weights(name: str, fetch: Fetch = NEVER) -> Weights:
    """Weights to begin with: a name, a hub address, or a file. WeightsError if they can't be used."""
    return read_weights(resolve_weights(name, fetch=fetch))


def _vgg19(request: TrainRequest) -> Path | None:
    """VGG19's weights if they are here, or if fetching them for the paper's losses is agreed to."""
    path = cached_path("vgg19")
    papers = request.config.keypoints.supervision == "none"
    if path is None and papers and request.fetch.agree(registry()["vgg19"]):
        agreed = dataclasses.replace(request.fetch, agree=lambda _entry: True)
        path = resolve_file("vgg19", fetch=agreed)
    return path


def check_data(request: TrainRequest, on_progress: Progress | None = None) -> ClipTable:
    """What can be used of the clips, and why not of the others; computes landmarks where there are none."""
    if request.clips is None:
        raise UsageError("there are no clips to check", hint="give their folder")
    request.run.mkdir(parents=True, exist_ok=True)
    return ClipTable(_opened(request, request.clips, on_progress))


def choose_compute(request: TrainRequest) -> Compute:
    """Where this process computes: of several GPUs its own."""
    device = request.device
    if request.launch.size > 1 and device in ("auto", "cuda") and torch.cuda.is_available():
        device = f"cuda:{request.launch.local_rank}"
    compute = choose(device, request.precision, training=True)
    if compute.dtype == torch.float16:
        raise UsageError("training in fp16 would lose small gradients", hint="take --precision bf16 or fp32")
    return compute


def _data(request: TrainRequest, on_progress: Progress | None) -> tuple[Dataset, Dataset | None]:
    """Clips to train on, and those held out."""
    data = _opened(request, request.clips, on_progress)
    if request.clips is not None:
        data.require_most(request.clips)
    show = _shower("drawing heads", on_progress)
    heads = synthetic_clips(request.synthetic, request.config, request.run, show)
    data = Dataset([*data.clips, *heads], data.reports)
    if request.held_out is None:
        return data, None
    whole = dataclasses.replace(request.config.data, frames_per_clip=0)
    config = dataclasses.replace(request.config, data=whole)
    held_out = _opened(dataclasses.replace(request, config=config), request.held_out, on_progress)
    held_out.require_most(request.held_out)
    return data, held_out


def _opened(request: TrainRequest, folder: Path | None, on_progress: Progress | None) -> Dataset:
    if folder is None:
        return Dataset([], [])
    show = _shower("reading clips", on_progress)
    return load_dataset(find_clips(folder), request.config, request.run, show)


def _shower(stage: str, on_progress: Progress | None) -> Callable[[int, int], None] | None:
    return on_progress and (lambda done, total: on_progress(stage, done, total, "clips"))


def _card(
    request: TrainRequest, training: Training, weights: Weights | None, perceptual: str
) -> dict[str, Any]:
    """What the weights say of themselves. No clock: the same run makes the same bytes."""
    schedule, timed = request.config.schedule, training.total_steps is None
    return (
        {
            "trained_by": f"mcnet {__version__}",
            "command": request.command,
            "steps": training.state.step,
            "samples": training.state.samples,
            "clips": len(training.data.clips) - request.synthetic,
            "synthetic_clips": request.synthetic,
            "keypoints": request.config.keypoints.supervision,
            "perceptual": perceptual,
        }
        | ({"minutes": schedule.minutes} if timed else {})
        | ({"init": weights.path.name} if weights else {})
        | ({"validation": training.figures} if training.figures else {})
    )

"""`train`: from a folder of clips to a run folder whose weights file `mcnet animate` takes."""

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mcnet_cli import __version__, system
from mcnet_cli.checkpoint import Weights, read_weights, write_weights
from mcnet_cli.devices import Compute, choose
from mcnet_cli.errors import UsageError, counted, shown
from mcnet_cli.media.clips import Split, find_clips, split_of
from mcnet_cli.model import ModelConfig, PainterConfig
from mcnet_cli.model.config import PAINTERS
from mcnet_cli.progress import OnProgress, silent
from mcnet_cli.training.checkpoints import remove_partial, saved_steps
from mcnet_cli.training.config import FRAMING, RunConfig
from mcnet_cli.training.dataset import Dataset, load_dataset, synthetic_clips
from mcnet_cli.training.learner import Learner
from mcnet_cli.training.loop import Training
from mcnet_cli.training.painter_data import taught_parts
from mcnet_cli.training.perceptual import choose_perceptual
from mcnet_cli.training.process_group import Launch, ProcessGroup
from mcnet_cli.training.settings import write_config
from mcnet_cli.weights import NEVER, Fetch, cached_path, registry, resolve_file, resolve_weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What `mcnet train` is asked to do.

    clips: a folder, or None for synthetic heads alone; of one that holds train/ and test/ alone (see
    `split_of`) the latter is held out. run: the folder that the run fills. init: weights to
    begin with. held_out: clips for validation. synthetic: how many procedural heads to add. resume: True to
    go on with a run, False to begin one, None for whatever fits. command: for the weights' card. fetch: what
    to do about missing weights.
    """

    clips: Path | None
    run: Path
    config: RunConfig = field(default_factory=RunConfig)
    init: Weights | None = None
    held_out: Path | None = None
    synthetic: int = 0
    resume: bool | None = None
    device: str = "auto"
    precision: str = "auto"
    launch: Launch = field(default_factory=Launch)
    command: str = "mcnet train"
    fetch: Fetch = NEVER

    def __post_init__(self) -> None:
        if self.clips is None and not self.synthetic:
            raise UsageError("there is nothing to train on", hint="give a folder of clips, or --synthetic N")

    @property
    def split(self) -> Split | None:
        """The folders of clips to train on and to measure on; None without clips."""
        if self.clips is None:
            return None
        split = split_of(self.clips)
        return split if self.held_out is None else dataclasses.replace(split, held_out=self.held_out)


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What was done. figures: of the validation, by name."""

    weights: Path
    steps: int
    seconds: float
    clips: int
    bad_clips: int
    skipped: int
    perceptual: str
    figures: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "version": __version__,
            "weights": str(self.weights),
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
            "clips": self.clips,
            "bad_clips": self.bad_clips,
            "skipped_steps": self.skipped,
            "perceptual": self.perceptual,
            "validation": self.figures,
        }

    def as_text(self) -> str:
        """A few lines for people."""
        work = f"{counted(self.steps, 'step')} on {counted(self.clips, 'clip')}"
        lines = [f"{work} in {self.seconds / 60:.1f} minutes"]
        if self.bad_clips or self.skipped:
            left_out, skipped = counted(self.bad_clips, "clip"), counted(self.skipped, "step")
            lines.append(f"{left_out} left out, {skipped} skipped: see log.jsonl")
        if self.figures:
            figures = (f"{name} {value:.3f}" for name, value in self.figures.items())
            lines.append(f"validation: {', '.join(figures)}")
        return "\n".join([*lines, shown(self.weights)])


def train(request: TrainRequest, on_progress: OnProgress = silent) -> TrainReport:
    """Trains, or goes on with what `request.run` holds. Raises the children of McnetError."""
    compute = choose_compute(request)
    if (split := request.split) is not None:
        find_clips(split.train)  # a wrong folder leaves nothing behind
    with ProcessGroup(request.launch, compute.device) as group:
        if not group.is_main:
            logging.getLogger("mcnet_cli").setLevel(logging.ERROR)  # one voice is enough
            return _train(request, compute, group, silent)
        request.run.mkdir(parents=True, exist_ok=True)
        with _locked(request.run):
            return _train(request, compute, group, on_progress)


def _train(
    request: TrainRequest, compute: Compute, group: ProcessGroup, on_progress: OnProgress
) -> TrainReport:
    config, run = request.config, request.run
    weights = request.init
    if weights is not None and not _fits(weights.config, config.model):
        raise UsageError(f"{shown(weights.path)} is of another architecture than the settings ask for")
    with group.main_first():
        data, held_out = _data(request, on_progress)
        perceptual = choose_perceptual(_vgg19(request)) if config.losses.wants_perceptual else None
    learner = Learner(config, compute, group, perceptual, None if weights is None else weights.state)
    training = Training(config, data, held_out, run, learner, group)
    if saved_steps(run / "checkpoints") and request.resume is False:
        raise UsageError(
            f"{shown(run)} holds a run already", hint="choose another -o, or go on with it by --resume"
        )
    if not training.resume() and request.resume:
        raise UsageError(f"{shown(run)} holds no checkpoint to go on with", hint="leave out --resume")
    target = run / "weights.safetensors"
    if group.is_main:
        remove_partial(run / "checkpoints")
        write_config(run / "config.toml", config)
    group.barrier()
    training.train(on_progress)
    if group.is_main:
        card = _card(request, training, weights, "none" if perceptual is None else perceptual.name)
        framing = FRAMING if weights is None or weights.framing is None else weights.framing
        state_dict, model = _without_untrained(learner.ema.state_dict(), config, data, weights)
        write_weights(
            target,
            state_dict,
            model,
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


@contextlib.contextmanager
def _locked(run: Path) -> Iterator[None]:
    """Holds the lock of a run's folder, which the death of this process releases.

    UsageError if another process holds it.
    """
    try:
        with system.locked(run / ".lock", wait=False):
            yield
    except system.LockHeld as error:
        raise UsageError(
            f"{shown(run)} is in use by {shown(str(error))}", hint="wait for it, or choose another -o"
        ) from error


def _without_untrained(
    state_dict: dict[str, Tensor], config: RunConfig, data: Dataset, initial: Weights | None
) -> tuple[dict[str, Tensor], ModelConfig]:
    """Parameters and architecture without detail painters that never learned: theirs are random.

    initial: the weights that the run began with, whose painters have learned before.
    """
    learned: set[str] = {part.painter for part in taught_parts(data.clips, config)}
    learned |= set() if initial is None else {*initial.config.painters}
    untrained = [name for name in config.model.painters if name not in learned]
    kept = {name: values for name, values in state_dict.items() if name.partition(".")[0] not in untrained}
    none: dict[str, Any] = dict.fromkeys(untrained, PainterConfig())
    return kept, dataclasses.replace(config.model, **none)


def _fits(initial: ModelConfig, wanted: ModelConfig) -> bool:
    """Whether weights of the architecture `initial` can begin a run of `wanted`.

    They may lack detail painters.
    """
    painters: dict[str, Any] = {
        name: PainterConfig() for name in PAINTERS
    }  # all but their size doesn't matter where there are none
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


def choose_compute(request: TrainRequest) -> Compute:
    """Where this process computes: of several GPUs its own."""
    device = request.device
    if request.launch.size > 1 and device in ("auto", "cuda") and torch.cuda.is_available():
        device = f"cuda:{request.launch.local_rank}"
    compute = choose(device, request.precision, training=True)
    if compute.dtype == torch.float16:
        raise UsageError("training in fp16 would lose small gradients", hint="take --precision bf16 or fp32")
    return compute


def _data(request: TrainRequest, on_progress: OnProgress) -> tuple[Dataset, Dataset | None]:
    """Clips to train on, and those held out."""
    split = request.split
    data, held_out = Dataset([], []), request.held_out
    if split is not None:
        if split.why is not None:
            level = logging.WARNING if split.train == request.clips else logging.INFO
            logger.log(level, "%s: %s", shown(str(request.clips)), split.why)
        data, held_out = open_clips(request, split.train, on_progress), split.held_out
        data.require_most(split.train)
    heads = synthetic_clips(request.synthetic, request.config, request.run, on_progress)
    data = Dataset([*data.clips, *heads], data.reports)
    if held_out is None:
        return data, None
    whole = dataclasses.replace(request.config.data, frames_per_clip=0)
    config = dataclasses.replace(request.config, data=whole)
    measured = open_clips(dataclasses.replace(request, config=config), held_out, on_progress)
    measured.require_most(held_out)
    return data, measured


def open_clips(request: TrainRequest, folder: Path, on_progress: OnProgress) -> Dataset:
    """The clips in `folder`, as the request wants them."""
    return load_dataset(find_clips(folder), request.config, request.run, on_progress)


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

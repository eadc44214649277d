"""What a run would be: `--check-data` lists its clips, `--dry-run` measures its speed and memory."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from mcnet_cli import __version__
from mcnet_cli.errors import UsageError, shown
from mcnet_cli.face.topology import ALL_POINTS
from mcnet_cli.media.clips import Split, find_clips
from mcnet_cli.progress import OnProgress, Progress, silent
from mcnet_cli.reports import aligned
from mcnet_cli.system import peak_memory_mb
from mcnet_cli.training.augment import augment
from mcnet_cli.training.config import SMALL_PX, RunConfig
from mcnet_cli.training.dataset import Dataset, expected_frames
from mcnet_cli.training.learner import Learner
from mcnet_cli.training.perceptual import choose_perceptual
from mcnet_cli.training.process_group import Launch, ProcessGroup
from mcnet_cli.training.sampling import Pair, TrainingContext
from mcnet_cli.training.train import TrainRequest, choose_compute, open_clips
from mcnet_cli.weights import cached_path

TIMED_STEPS = 3  # after one that isn't timed
IDENTITIES = "identity: the folder that a clip lies in; right in the folder of clips, its name up to #"


@dataclass(frozen=True, slots=True)
class ClipTable:
    """What `--check-data` found.

    data: the clips to train on. held_out: those to measure on, if any. split: where they are.
    """

    data: Dataset
    held_out: Dataset | None
    split: Split

    @property
    def is_enough(self) -> bool:
        """Whether enough clips can be used for training to begin."""
        return len(self.data.clips) >= max(1, len(self.data.bad))

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        counts = {"usable": len(self.data.clips), "bad": len(self.data.bad)}
        split = {"train": str(self.split.train), "held_out": self.split.held_out and str(self.split.held_out)}
        held_out = [] if self.held_out is None else self.held_out.reports
        return {
            "version": __version__,
            **counts,
            "folders": split,
            "clips": [asdict(row) for row in self.data.reports],
            "held_out": [asdict(row) for row in held_out],
        }

    def as_text(self) -> str:
        """A table for each folder, and how the folders were understood."""
        lines = [*_table(self.data)]
        if self.held_out is not None and self.split.held_out is not None:
            lines += ["", f"held out, in {shown(self.split.held_out)}:", *_table(self.held_out)]
        lines += ["", IDENTITIES]
        if self.split.why is not None:
            lines.append(f"folders: {self.split.why}")
        return "\n".join(lines)


def _table(data: Dataset) -> Iterator[str]:
    """Lines that list the clips of one folder, and count them."""
    rows = [("clip", "identity", "frames", "size", "landmarks", "problem")]
    for r in data.reports:
        cells = shown(r.name), shown(r.identity), str(r.frames), f"{r.side}²", r.landmarks or "-"
        rows.append((*cells, r.problem or ""))
    yield from aligned(rows)
    identities = len({clip.identity for clip in data.clips})
    yield f"{len(data.clips)} usable clips of {identities} identities, {len(data.bad)} not usable"


def check_data(request: TrainRequest, on_progress: OnProgress = silent) -> ClipTable:
    """Tells which clips can be used, and why the others can't; computes landmarks where there are none."""
    split = request.split
    if split is None:
        raise UsageError("there are no clips to check", hint="give their folder")
    request.run.mkdir(parents=True, exist_ok=True)
    data = open_clips(request, split.train, on_progress)
    held_out = None if split.held_out is None else open_clips(request, split.held_out, on_progress)
    return ClipTable(data, held_out, split)


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """What a run would be.

    parameters: of the network. clips, identities, frames: counted by names and headers. seconds_a_step:
    measured at full size. memory_mb: the peak of the process in those steps (on a GPU, of torch there),
    without the clips' frames; None where the system doesn't tell. frames_mb: what all frames take in memory.
    steps, hours: estimates from that, without the painters' stages, which take painter_steps.
    """

    device: str
    precision: str
    parameters: int
    clips: int
    identities: int
    frames: int
    seconds_a_step: float
    steps: int
    hours: float
    memory_mb: int | None
    frames_mb: int
    painter_steps: int

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {"version": __version__, **asdict(self)}

    def as_text(self) -> str:
        """Lines for people."""
        millions = self.parameters / 1e6
        memory = "not" if self.memory_mb is None else f"{self.memory_mb} MB"
        lines = (
            f"network     {millions:.1f} million parameters, on {self.device} in {self.precision}",
            f"clips       {self.clips} of {self.identities} identities, about {self.frames} frames",
            f"memory      {memory} measured, and {self.frames_mb} MB for frames that are kept",
            f"speed       {self.seconds_a_step:.2f} s a step, measured on {TIMED_STEPS} steps of noise",
            f"length      {self.steps} steps in {self.hours:.1f} hours, estimated from that",
            f"painter     {self.painter_steps} steps after all, on details" if self.painter_steps else "",
        )
        return "\n".join(filter(None, lines))


def plan(request: TrainRequest, on_progress: OnProgress = silent) -> TrainPlan:
    """Reads the clips' headers and times a few steps on noise; writes nothing."""
    config, compute = request.config, choose_compute(request)
    found = [] if request.split is None else find_clips(request.split.train)
    frames = request.synthetic * config.data.synthetic_frames
    for number, clip in enumerate(found):
        frames += expected_frames(clip, config)
        on_progress(Progress("reading headers", number + 1, len(found), "clips"))
    learner = Learner(
        config, compute, ProcessGroup(Launch(), compute.device), choose_perceptual(cached_path("vgg19"))
    )
    full = _seconds_a_step(learner, config.model.size, config.batch_size)
    share, small = config.schedule.small_share, full
    if share and config.model.size > SMALL_PX:
        small = _seconds_a_step(learner, SMALL_PX, config.schedule.small_batch)
    identities = len({clip.identity for clip in found}) + request.synthetic
    steps, seconds = _length(config, identities * config.data.repeats, share, small, full)
    return TrainPlan(
        str(compute.device),
        compute.precision,
        sum(parameter.numel() for parameter in learner.model.parameters()),
        len(found) + request.synthetic,
        identities,
        frames,
        round(full, 3),
        steps,
        round(seconds / 3600, 2),
        _peak_mb(compute.device),
        frames * 3 * config.model.size**2 >> 20,
        config.painter.after(steps).steps * len(config.painters),
    )


def _length(config: RunConfig, epoch: int, share: float, small: float, full: float) -> tuple[int, float]:
    """Steps and seconds of the run, if a step takes `small` seconds in its first `share`, then `full`."""
    if config.painter.only:
        return 0, 0.0
    if steps := config.total_steps(epoch):
        return steps, steps * (share * small + (1 - share) * full)
    seconds = 60 * config.schedule.minutes
    return round(seconds * (share / small + (1 - share) / full)), seconds


def _seconds_a_step(learner: Learner, size: int, batch: int) -> float:
    rng, config = np.random.default_rng(0), learner.config

    def noise(number: int) -> Pair:
        frames = rng.integers(0, 255, (2, config.model.size, config.model.size, 3), np.uint8)
        points = rng.uniform(0, config.model.size, (2, ALL_POINTS, 2)).astype(np.float32)
        return Pair(number, "noise", frames[0], frames[1], points[0], points[1])

    pairs = [noise(number) for number in range(batch)]
    for step in range(TIMED_STEPS + 1):
        batches = [
            augment(pairs, size, config.augment, config.seed, learner.compute.device)
            for _ in range(config.optimizer.accumulate)
        ]
        learner.update(
            batches, TrainingContext(config.seed, step, 0.5)
        )  # it ends with numbers on the CPU: all is done by then
        if step == 0:
            began = time.monotonic()
    return (time.monotonic() - began) / TIMED_STEPS


def _peak_mb(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) >> 20
    peak = peak_memory_mb(with_children=False)
    return None if peak is None else int(peak)

"""The training loop, in the order in which it happens. Ctrl-C and TERM let a step end and be saved."""

import contextlib
import dataclasses
import logging
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.progress import OnProgress, Progress, silent
from mcnet_cli.system import interrupts_noted
from mcnet_cli.training.augment import Batch, augment
from mcnet_cli.training.checkpoints import load_latest, save_checkpoint
from mcnet_cli.training.config import SMALL_PX, RunConfig
from mcnet_cli.training.dataset import Dataset
from mcnet_cli.training.learner import Learner, Step
from mcnet_cli.training.painter_data import parts_of, taught_parts
from mcnet_cli.training.painters import train_painters
from mcnet_cli.training.process_group import ProcessGroup
from mcnet_cli.training.reporting import RunLog, validation_figures, write_contact_sheet, write_sheet
from mcnet_cli.training.sampling import Draw, PairSampler, TrainingContext, stream, workers_watched

logger = logging.getLogger(__name__)
MAX_BAD_STEPS = 3  # steps in a row that aren't finite, after which a run ends


@dataclass(slots=True)
class State:
    """How far a run has come: what checkpoints keep besides tensors.

    samples: pairs that all processes have used. skipped: steps whose loss or gradient was not finite;
    bad_in_a_row: how many of the last ones in a row. bad_clips: names of clips that failed while they were
    read. painter: whether the stages of the detail painters are over.
    """

    step: int = 0
    samples: int = 0
    elapsed_s: float = 0.0
    skipped: int = 0
    bad_in_a_row: int = 0
    bad_clips: list[str] = field(default_factory=list)
    painter: bool = False


class Training:
    """A run in progress: data, networks, and how far it has come."""

    def __init__(
        self,
        config: RunConfig,
        data: Dataset,
        held_out: Dataset | None,
        run: Path,
        learner: Learner,
        group: ProcessGroup,
    ) -> None:
        self.config, self.data, self.held_out, self.run = config, data, held_out, run
        self.learner, self.group, self.state = learner, group, State()
        self.figures: dict[str, float] = {}
        self._measured_at, self._last_row = -1, (time.monotonic(), 0)
        self._sample_clips = (held_out or data).clips
        self.sampler = PairSampler(
            data.clips,
            config.seed,
            repeats=config.data.repeats,
            expressive_share=config.data.expressive_share,
            time_flip=config.augment.time_flip,
        )

    @property
    def total_steps(self) -> int | None:
        """The length in steps; None where it is in minutes."""
        return self.config.total_steps(self.sampler.epoch_length, self.group.size)

    @property
    def progress(self) -> float:
        """The share of the run that is done, in [0, 1]; the stages of the painters don't count."""
        if self.config.painter.only:
            return 1.0
        if self.total_steps:
            return min(1.0, self.state.step / self.total_steps)
        return min(1.0, self.state.elapsed_s / (60 * self.config.schedule.minutes))

    def resume(self) -> bool:
        """Goes on from the newest complete checkpoint, if there is one."""
        found = load_latest(self.run / "checkpoints")
        if found is None:
            return False
        if found.facts["model"] != self.config.model.to_json():
            raise UsageError(
                f"{shown(self.run)} holds a run of another architecture",
                hint="choose another -o, or the same --config",
            )
        if found.facts["optimizers"] != self.learner.trained:
            raise UsageError(
                f"{shown(self.run)} holds a run that trains something else",
                hint="choose another -o, or the same --config",
            )
        self.learner.restore(found)
        known = {name: value for name, value in found.facts["state"].items() if name in State.__slots__}
        self.state = State(**known)
        self.figures = found.facts["figures"]
        self._last_row = time.monotonic(), self.state.samples
        return True

    def train(self, on_progress: OnProgress = silent) -> None:
        """Runs to the end. Ctrl-C and TERM save a checkpoint first and are then raised."""
        config, state, log = self.config, self.state, RunLog(self.run, writes=self.group.is_main)
        log.forget_after(state.step or -1)
        for report in self.data.bad if not state.step else ():
            log.write({"step": 0, "bad_clip": report.name, "reason": report.problem})
        began = dataclasses.replace(state)
        if config.painters and not state.painter:
            self._require_painter_data()  # now, not after hours of training
        draws = stream(self.sampler, state.samples + self.group.rank, self.group.size, config.data.workers)
        with (
            interrupts_noted(_say_that_it_stops) as came,
            workers_watched(),
            contextlib.closing(draws),
            contextlib.closing(log),
        ):
            while self.progress < 1:
                started = time.monotonic()
                batches = [self._next_batch(draws, log) for _ in range(config.optimizer.accumulate)]
                step = self.learner.update(batches, TrainingContext(config.seed, state.step, self.progress))
                self._count_step(step, batches, log)
                seconds = state.elapsed_s + time.monotonic() - started
                stopped, state.elapsed_s = self.group.largest(
                    _first(came), seconds if self.group.is_main else 0
                )
                self._show(on_progress, began, log)
                if state.step % config.output.log_every == 0:
                    log.write(self._row() | log.means())
                if state.step % config.output.sheet_every == 0:
                    self.write_sheet()
                if stopped:
                    self.save()
                    _stop(int(stopped))
                if state.step % config.checkpoint_every == 0 and self.progress < 1:
                    self.validate(log)
                    self.save()

            def show(progress: Progress) -> None:
                if stopped := _first(came):
                    self.save()
                    _stop(stopped)
                on_progress(progress)

            if config.painters and not state.painter:
                self._train_painters(show, log)
            if state != began:
                self.validate(log)
                self.save()
                self.write_sheet()
                self.write_contact_sheet()

    def _require_painter_data(self) -> None:
        """Warns of painters that no clip teaches; InputError if nothing else is to be trained."""
        taught = taught_parts(self.data.clips, self.config)
        for part in parts_of(self.config):
            if part not in taught:
                problem = f"no clip shows {part.name} that open wide enough for their detail painter to learn"
                if self.config.painter.only and not taught:
                    raise InputError(problem, hint="add clips in which people talk and blink")
                logger.warning("%s: it is left as it is", problem)

    def _train_painters(self, on_progress: OnProgress, log: RunLog) -> None:
        """One process trains the detail painters; their checkpoints and data lie in a folder of their own."""
        if self.group.is_main:
            learner, folder = self.learner, self.run / "painter"
            config = dataclasses.replace(self.config, painter=self.config.painter.after(self.state.step))
            found = train_painters(
                learner.ema, self.data.clips, config, learner.compute, learner.perceptual, folder, on_progress
            )
            log.write({"step": self.state.step} | {f"painter_{k}": value for k, value in found.items()})
        self.group.barrier()
        self.state.painter = True

    def _next_batch(self, draws: Iterator[Draw], log: RunLog) -> Batch:
        config, full = self.config, self.config.model.size
        small = self.progress < config.schedule.small_share and full > SMALL_PX
        pairs = []
        for draw in islice(draws, config.schedule.small_batch if small else config.batch_size):
            for name, reason in draw.problems.items():
                self._note_bad_clip(name, reason, log)
            if draw.pair is None:
                raise draw.error or InputError("no clip can be read")
            pairs.append(draw.pair)
        return augment(
            pairs,
            SMALL_PX if small else full,
            config.augment,
            config.seed,
            self.learner.compute.device,
            people=config.losses.wants_people,
        )

    def _note_bad_clip(self, name: str, reason: str, log: RunLog) -> None:
        bad = self.state.bad_clips
        if name in bad:
            return
        bad.append(name)
        logger.warning("left out %s: %s", shown(name), reason)
        log.write({"step": self.state.step, "bad_clip": name, "reason": reason})
        if 2 * len(bad) > len(self.data.clips):
            raise InputError(f"{len(bad)} of {len(self.data.clips)} clips can't be read: more than half")

    def _count_step(self, step: Step, batches: Sequence[Batch], log: RunLog) -> None:
        """Counts a step, whatever became of it; InputError after three in a row that weren't finite."""
        state, clips = self.state, [name for batch in batches for name in batch.clips]
        state.step, state.painter = state.step + 1, False
        state.samples += len(clips) * self.group.size
        if step.bad is None:
            state.bad_in_a_row = 0
            log.gather(step.terms)
            return
        state.skipped += 1
        state.bad_in_a_row += 1
        logger.warning("step %d skipped: %s is not finite", state.step, step.bad)
        log.write({"step": state.step, "skipped": state.skipped, "bad_term": step.bad, "clips": clips})
        if state.bad_in_a_row >= MAX_BAD_STEPS:
            raise InputError(
                f"{MAX_BAD_STEPS} steps in a row were not finite; the first bad term is {step.bad}",
                hint="lower learning_rate, or look at the clips that log.jsonl names",
            )

    def _show(self, on_progress: OnProgress, began: State, log: RunLog) -> None:
        """Reports steps done of all in this call; their number is estimated if the length is in minutes."""
        done, total = self.state.step - began.step, self.total_steps
        if total is None:
            seconds, whole_s = self.state.elapsed_s, 60 * self.config.schedule.minutes
            left = done * (whole_s - seconds) / max(seconds - began.elapsed_s, 1e-6)
            total = self.state.step + max(0, round(left))
        figures = f"loss {log.mean('total'):.3f}, {self._samples_per_s():.1f} samples/s"
        on_progress(Progress("training", done, total - began.step, f"steps, {figures}"))

    def _samples_per_s(self) -> float:
        since, samples = self._last_row
        return (self.state.samples - samples) / max(time.monotonic() - since, 1e-6)

    def _row(self) -> dict[str, Any]:
        """A row of the log without the losses: where the run is and how fast."""
        state, speed = self.state, self._samples_per_s()
        self._last_row = time.monotonic(), state.samples
        return {
            "step": state.step,
            "progress": round(self.progress, 4),
            "elapsed_s": round(state.elapsed_s, 1),
            "skipped": state.skipped,
            "bad_clips": len(self.data.bad) + len(state.bad_clips),
            "samples_per_s": round(speed, 2),
        }

    def validate(self, log: RunLog) -> None:
        """Measures the moving average of the weights on held-out clips, if there are any."""
        if self.held_out is None or not self.group.is_main:
            return
        self.figures = validation_figures(self.learner, self.held_out.clips)
        self._measured_at = self.state.step
        log.write({"step": self.state.step} | {f"validation_{k}": v for k, v in self.figures.items()})

    def save(self) -> None:
        """Writes a checkpoint."""
        if not self.group.is_main:
            return
        facts = {
            "step": self.state.step,
            "state": asdict(self.state),
            "model": self.config.model.to_json(),
            "optimizers": self.learner.trained,
            "figures": self.figures,
            "score": self.figures.get("error_over_copy") if self._measured_at == self.state.step else None,
        }
        save_checkpoint(
            self.run / "checkpoints", self.learner.checkpoint(facts), keep=self.config.output.keep
        )

    def write_sheet(self) -> None:
        """Writes a sheet of what the moving average makes of six pairs, the same ones every time."""
        if self.group.is_main:
            sampler = PairSampler(self._sample_clips, 1, expressive_share=0.8)
            write_sheet(self.run / "samples" / f"{self.state.step:08d}.png", self.learner, sampler)

    def write_contact_sheet(self) -> None:
        """Writes a sheet of clips over time, each animated from its first frame."""
        if self.group.is_main:
            write_contact_sheet(self.run / "samples" / "contact.png", self.learner, self._sample_clips)


def _say_that_it_stops() -> None:
    logger.warning("finishing the step and saving; once more to stop at once")


def _first(came: Sequence[int]) -> int:
    """The first signal that came, 0 if none did."""
    return came[0] if came else 0


def _stop(number: int) -> None:
    """Ends the run as the signal `number` would have ended it at once."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)

"""What a training run is asked for, and what it says it did."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcnet_cli import __version__
from mcnet_cli.checkpoint import Weights
from mcnet_cli.errors import UsageError, shown
from mcnet_cli.training.config import RunConfig
from mcnet_cli.training.dataset import Dataset
from mcnet_cli.training.world import ALONE, Launch
from mcnet_cli.weights import NEVER, Fetch


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What `mcnet train` is asked to do.

    clips: a folder, or None for synthetic heads alone. run: the folder that the run fills. init: weights to
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
    launch: Launch = ALONE
    command: str = "mcnet train"
    fetch: Fetch = NEVER

    def __post_init__(self) -> None:
        if self.clips is None and not self.synthetic:
            raise UsageError("there is nothing to train on", hint="give a folder of clips, or --synthetic N")


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
        lines = [f"{self.steps} steps on {self.clips} clips in {self.seconds / 60:.1f} minutes"]
        if self.bad_clips or self.skipped:
            lines.append(f"{self.bad_clips} clips left out, {self.skipped} steps skipped: see log.jsonl")
        lines += [
            f"validation: {', '.join(f'{name} {value:.3f}' for name, value in self.figures.items())}"
        ] * bool(self.figures)
        return "\n".join([*lines, shown(self.weights)])


@dataclass(frozen=True, slots=True)
class ClipTable:
    """What `--check-data` found."""

    data: Dataset

    @property
    def is_enough(self) -> bool:
        """Whether training would take these clips."""
        return len(self.data.clips) >= max(1, len(self.data.bad))

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        rows = [{name: getattr(row, name) for name in row.__slots__} for row in self.data.reports]
        return {
            "version": __version__,
            "usable": len(self.data.clips),
            "bad": len(self.data.bad),
            "clips": rows,
        }

    def as_text(self) -> str:
        """A table."""
        head = ("clip", "identity", "frames", "size", "landmarks", "problem")
        rows = [
            (
                shown(r.name),
                shown(r.identity),
                str(r.frames),
                f"{r.side}²",
                r.landmarks or "-",
                r.problem or "",
            )
            for r in self.data.reports
        ]
        widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [head, *rows]
        ]
        identities = len({clip.identity for clip in self.data.clips})
        lines.append(
            f"{len(self.data.clips)} usable clips of {identities} identities, {len(self.data.bad)} not usable"
        )
        return "\n".join(lines)

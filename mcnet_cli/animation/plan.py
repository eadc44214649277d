"""What a run would do, found out without rendering anything (--dry-run)."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mcnet_cli import __version__
from mcnet_cli.animation.engine import suitable_batch_size
from mcnet_cli.animation.extraction import motion_for, open_driving
from mcnet_cli.animation.job import Job
from mcnet_cli.animation.outputs import Output
from mcnet_cli.animation.rendering import output_size
from mcnet_cli.animation.request import is_motion_file
from mcnet_cli.checkpoint import detector_digest
from mcnet_cli.errors import shown


@dataclass(frozen=True, slots=True)
class PlannedDriving:
    """size: (width, height), None for a motion file. frames: by its header, None if that doesn't say."""

    path: Path
    size: tuple[int, int] | None
    crop: str
    frames: int | None
    rate: Fraction
    sound: bool

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "path": str(self.path),
            "size": self.size and list(self.size),
            "crop": self.crop,
            "frames": self.frames,
            "rate": str(self.rate),
            "sound": self.sound,
        }

    def as_text(self) -> str:
        """One line."""
        size = "{} x {}, ".format(*self.size) if self.size else ""
        count = f"about {self.frames}" if self.frames is not None else "an unknown number of"
        return (
            f"driving: {shown(self.path)}: {size}{count} frames at {float(self.rate):.5g} frames/s, "
            f"{'with' if self.sound else 'without'} sound, crop {self.crop}"
        )


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """A source, the boxes (x, y, width, height) that would be cropped from it, and what it would become."""

    path: Path
    size: tuple[int, int]
    crops: tuple[tuple[float, float, float, float], ...]
    output: str
    output_size: tuple[int, int]

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "source": str(self.path),
            "size": list(self.size),
            "crops": [list(box) for box in self.crops],
            "output": self.output,
            "output_size": list(self.output_size),
        }

    def as_text(self) -> str:
        """One line."""
        boxes = " and ".join(",".join(f"{side:.0f}" for side in box) for box in self.crops) or "none"
        return (
            f"source: {shown(self.path)}: {self.size[0]} x {self.size[1]}, crop {boxes}; "
            f"result: {shown(self.output)}, {self.output_size[0]} x {self.output_size[1]}"
        )


@dataclass(frozen=True, slots=True)
class AnimationPlan:
    """A run that didn't happen. why: for the precision. detector: of faces, None if none would run."""

    device: str
    precision: str
    why: str
    weights: Path
    detector: str | None
    batch_size: int
    driving: PlannedDriving
    sources: tuple[PlannedSource, ...]

    def as_json(self) -> dict[str, Any]:
        """The object that `--dry-run --json` prints."""
        return {
            "version": __version__,
            "dry_run": True,
            "device": self.device,
            "precision": self.precision,
            "why": self.why,
            "weights": str(self.weights),
            "detector": self.detector,
            "batch_size": self.batch_size,
            "driving": self.driving.as_json(),
            "results": [source.as_json() for source in self.sources],
        }

    def as_text(self) -> str:
        """One line a fact."""
        return "\n".join(
            [
                f"weights: {shown(self.weights)}",
                f"device: {self.device} in {self.precision} ({self.why}), {self.batch_size} frames at a time",
                f"faces: {self.detector or 'no detection'}",
                self.driving.as_text(),
                *(source.as_text() for source in self.sources),
                "nothing was rendered (dry run)",
            ]
        )


def make_plan(job: Job, outputs: tuple[Output, ...]) -> AnimationPlan:
    """Looks for the sources' faces and reads the driving's header."""
    request, compute, weights = job.request, job.compute, job.weights
    sources = [job.look_at(path) for path in request.sources]
    return AnimationPlan(
        device=str(compute.device),
        precision=compute.precision,
        why=compute.why,
        weights=weights.path,
        detector=job.detector_name,
        batch_size=request.batch_size
        or suitable_batch_size(weights.config, compute, compiled=request.compile),
        driving=_planned_driving(job),
        sources=tuple(
            PlannedSource(
                path=source.path,
                size=source.size,
                crops=tuple((b.x, b.y, b.width, b.height) for b in source.boxes),
                output=output.target,
                output_size=output_size(request, source, weights.config.size),
            )
            for source, output in zip(sources, outputs, strict=True)
        ),
    )


def _planned_driving(job: Job) -> PlannedDriving:
    request = job.request
    if is_motion_file(request.driving):
        motion = motion_for(request, job.weights.config, detector_digest(job.weights))
        return PlannedDriving(request.driving, None, "none", len(motion), motion.rate, False)
    with open_driving(request) as frames:
        return PlannedDriving(
            path=request.driving,
            size=(frames.width, frames.height),
            crop=request.driving_crop,
            frames=frames.frame_count_hint,
            rate=frames.frame_rate,
            sound=frames.audio is not None,
        )

"""What `animate` would do, found out without rendering anything (--dry-run)."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mcnet_cli import __version__
from mcnet_cli.animation.animator import framing_of
from mcnet_cli.animation.crops import Crops
from mcnet_cli.animation.driving import read_motion_file
from mcnet_cli.animation.frames import film_size
from mcnet_cli.animation.motion import is_motion_file
from mcnet_cli.animation.outputs import Output, plan_outputs
from mcnet_cli.animation.renderer import suitable_batch_size
from mcnet_cli.animation.request import AnimationRequest, open_driving, require_inputs
from mcnet_cli.animation.source import FaceFinder, find_faces
from mcnet_cli.checkpoint import Weights, detector_digest, read_weights
from mcnet_cli.devices import choose
from mcnet_cli.errors import shown
from mcnet_cli.media import read_image
from mcnet_cli.weights import resolve_weights


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
    """A run that didn't happen, from `plan`.

    Attributes:
        device, precision: what the network would run on and compute with; `why` says why.
        weights: the file.
        detector: what would find faces, None for nothing.
        batch_size: frames computed at once.
        driving, sources: what was found out about the inputs.

    Example:
        >>> from pathlib import Path
        >>> from mcnet_cli import AnimationRequest, plan
        >>> request = AnimationRequest(sources=(Path("portrait.jpg"),), driving=Path("driving.mp4"))
        >>> plan(request).driving.frames
        100
    """

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


def plan(request: AnimationRequest) -> AnimationPlan:
    """What `animate` would do: looks for the sources' faces and reads the driving's header.

    Nothing is rendered or written. Raises as `animate` does, as far as faults show up that early.

    Example:
        >>> from pathlib import Path
        >>> from mcnet_cli import AnimationRequest, plan
        >>> request = AnimationRequest(sources=(Path("portrait.jpg"),), driving=Path("driving.mp4"))
        >>> [source.output_size for source in plan(request).sources]
        [(512, 512)]
    """
    outputs = plan_outputs(request)
    require_inputs(request)
    crops = Crops(request.crop_json, request.source_crop, request.driving_crop)
    compute = choose(request.device, request.precision)
    weights = read_weights(resolve_weights(request.weights, fetch=request.fetch))
    finder = FaceFinder(request.detector, str(compute.device)) if request.uses_detector else None
    return AnimationPlan(
        device=str(compute.device),
        precision=compute.precision,
        why=compute.why,
        weights=weights.path,
        detector=None if finder is None else finder.detector.name,
        batch_size=request.batch_size
        or suitable_batch_size(weights.config, compute, compiled=request.compile),
        sources=tuple(
            _planned_source(request, path, film, crops, weights, finder)
            for path, film in zip(request.sources, outputs.films, strict=True)
        ),
        driving=_planned_driving(request, weights),
    )


def _planned_source(
    request: AnimationRequest,
    path: Path,
    film: Output,
    crops: Crops,
    weights: Weights,
    finder: FaceFinder | None,
) -> PlannedSource:
    photo, framing = read_image(path), framing_of(weights)
    faces = find_faces(
        photo, finder, framing, name=shown(path), face=request.face, crop_to=crops.source(path)
    )
    size = photo.shape[1], photo.shape[0]
    box, network = faces[0].box, weights.config.size
    boxes = [face.box for face in faces if face.box is not None]
    return PlannedSource(
        path=path,
        size=size,
        crops=tuple((b.x, b.y, b.width, b.height) for b in boxes),
        output=film.target,
        output_size=film_size(request, film.kind, size, box, network),
    )


def _planned_driving(request: AnimationRequest, weights: Weights) -> PlannedDriving:
    path = request.driving
    if is_motion_file(path):
        digest = detector_digest(weights)
        motion = read_motion_file(path, weights.config, digest, span=request.span, fps=request.fps).motion
        return PlannedDriving(path, None, "none", len(motion), motion.rate, False)
    with open_driving(request) as frames:
        crop = request.driving_crop
        return PlannedDriving(
            path=path,
            size=(frames.width, frames.height),
            crop=crop if isinstance(crop, str) else str(crop),
            frames=frames.frame_count_hint,
            rate=frames.frame_rate,
            sound=frames.audio is not None,
        )

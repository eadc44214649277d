"""What `animate` did or, in a dry run, would do: as JSON values for programs, as text for people."""

import functools
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mcnet_cli import __version__
from mcnet_cli.errors import counted, shown
from mcnet_cli.files import stamp_of
from mcnet_cli.reports import json_values
from mcnet_cli.weights.store import sha256_of

DIGEST_DIGITS = 12  # of weights, in the comment of a film


@dataclass(frozen=True, slots=True)
class AnimationResult:
    """One source's film.

    Attributes:
        source, driving: the files it was made from; the names of several drivings are joined by +.
        output: the file, `-` for stdout.
        frames: how many the film has.
        rate: frames a second, exact.
        codec, quality: how frames are stored; quality is None where there is only one.
        seconds: from the start of the work on it; reading the driving counts for the first source.
        damaged: whether the driving could be read only in part.
        no_face: driving frames without a face.
        bridged: driving frames whose face is hidden for a moment, such as by a hand, so that the film moves
            from the pose before to the one after. 0 for a motion file, in which that has been done.
        peak_memory_mb: of this process and its largest child so far; None where nobody knows.

    Example:
        >>> from fractions import Fraction
        >>> from pathlib import Path
        >>> from mcnet_cli import AnimationResult
        >>> result = AnimationResult(
        ...     source=Path("a.jpg"),
        ...     driving=Path("b.mp4"),
        ...     output="film.mp4",
        ...     frames=100,
        ...     rate=Fraction(25),
        ...     codec="h264",
        ...     quality="high",
        ...     seconds=8.0,
        ...     damaged=False,
        ...     no_face=0,
        ...     bridged=0,
        ...     peak_memory_mb=700.0,
        ... )
        >>> print(result.as_text())
        film.mp4: 100 frames at 25 frames/s
          8.0 s, 12.5 frames/s, 0.50 times real time, 700 MB of memory at most
    """

    source: Path
    driving: Path
    output: str
    frames: int
    rate: Fraction
    codec: str
    quality: str | None
    seconds: float
    damaged: bool
    no_face: int
    bridged: int
    peak_memory_mb: float | None

    def as_json(self) -> dict[str, Any]:
        """JSON values; the exact rate is text, such as `30000/1001`."""
        return json_values(self) | {"seconds": round(self.seconds, 3)}

    def as_text(self) -> str:
        """Two lines."""
        speed = self.frames / self.seconds if self.seconds else 0.0
        real_time = f"{speed / float(self.rate):.2f} times real time"
        memory = f", {self.peak_memory_mb:.0f} MB of memory at most" if self.peak_memory_mb else ""
        missing = f", {counted(self.no_face, 'frame')} without a face" if self.no_face else ""
        hidden = f", {self.bridged} bridged over a hidden face" if self.bridged else ""
        where = "stdout" if self.output == "-" else shown(self.output)
        return (
            f"{where}: {counted(self.frames, 'frame')} at {float(self.rate):.5g} frames/s{missing}{hidden}\n"
            f"  {self.seconds:.1f} s, {speed:.1f} frames/s, {real_time}{memory}"
        )


@dataclass(frozen=True, slots=True)
class AnimationReport:
    """A finished run of `animate`.

    Attributes:
        device, precision: what the network ran on and computed with; `why` says why.
        weights: the file.
        detector: what found faces, None if nothing was looked for.
        results: one a source, in their order.
        command: the `mcnet animate` line that makes the same; None for what only the API can ask for.

    Example:
        >>> from pathlib import Path
        >>> from mcnet_cli import AnimationReport
        >>> report = AnimationReport("cpu", "fp32", "as asked for", Path("w.safetensors"), None, ())
        >>> print(report.as_text())
        on cpu in fp32 (as asked for), no face detection
    """

    device: str
    precision: str
    why: str
    weights: Path
    detector: str | None
    results: tuple[AnimationResult, ...]
    command: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        values = json_values(self) | {"results": [result.as_json() for result in self.results]}
        del values["why"]
        return {"version": __version__} | values

    def as_text(self) -> str:
        """The summary that people see."""
        faces = f"faces by {self.detector}" if self.detector else "no face detection"
        how = f"on {self.device} in {self.precision} ({self.why}), {faces}"
        return "\n".join([*(result.as_text() for result in self.results), how])


@dataclass(frozen=True, slots=True)
class PlannedDriving:
    """size: (width, height), None for a motion file. frames: by its header, None if that doesn't say."""

    path: Path
    size: tuple[int, int] | None
    crop: str
    frames: int | None
    rate: Fraction
    sound: bool

    def as_text(self) -> str:
        """One line."""
        size = "{} x {}, ".format(*self.size) if self.size else ""
        count = (
            "an unknown number of frames" if self.frames is None else f"about {counted(self.frames, 'frame')}"
        )
        return (
            f"driving: {shown(self.path)}: {size}{count} at {float(self.rate):.5g} frames/s, "
            f"{'with' if self.sound else 'without'} sound, crop {self.crop}"
        )


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """A source, the boxes (x, y, width, height) that would be cropped from it, and what it would become.

    codec, quality: how frames would be stored; quality is None where there is only one.
    """

    path: Path
    size: tuple[int, int]
    crops: tuple[tuple[float, float, float, float], ...]
    output: str
    output_size: tuple[int, int]
    codec: str
    quality: str | None

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        values = json_values(self)
        return {"source": values.pop("path")} | values

    def as_text(self) -> str:
        """One line."""
        boxes = " and ".join(",".join(f"{side:.0f}" for side in box) for box in self.crops) or "none"
        return (
            f"source: {shown(self.path)}: {self.size[0]} x {self.size[1]}, crop {boxes}; "
            f"result: {shown(self.output)}, {self.output_size[0]} x {self.output_size[1]}, "
            f"{self.codec}{f' in {self.quality} quality' if self.quality else ''}"
        )


@dataclass(frozen=True, slots=True)
class AnimationPlan:
    """A run that didn't happen, from `plan`.

    Attributes:
        device, precision: what the network would run on and compute with; `why` says why.
        weights: the file.
        detector: what would find faces, None for nothing.
        batch_size: frames computed at once.
        driving, sources: what was found out about the inputs. other_drivings: those of further faces, where
            each has its own.

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
    other_drivings: tuple[PlannedDriving, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The object that `--dry-run --json` prints."""
        values = json_values(self) | {"results": [source.as_json() for source in self.sources]}
        del values["sources"]
        return {"version": __version__, "dry_run": True} | values

    def as_text(self) -> str:
        """One line a fact."""
        return "\n".join(
            [
                f"weights: {shown(self.weights)}",
                f"device: {self.device} in {self.precision} ({self.why}), "
                f"{counted(self.batch_size, 'frame')} at a time",
                f"faces: {self.detector or 'no detection'}",
                *(driving.as_text() for driving in (self.driving, *self.other_drivings)),
                *(source.as_text() for source in self.sources),
                "nothing was rendered (dry run)",
            ]
        )


def made_by(weights: Path) -> str:
    """What a film says of itself, in ASCII: the tool, its version, and the weights by name and digest."""
    text = (
        f"AI-generated: a still portrait, animated by mcnet {__version__} with the weights "
        f"{weights.name} (SHA-256 {_digest(weights, stamp_of(weights))[:DIGEST_DIGITS]})"
    )
    return shown(text).encode("ascii", "backslashreplace").decode()


@functools.lru_cache(maxsize=4)
def _digest(path: Path, _stamp: object) -> str:
    """The digest of a file as it is now; `_stamp` tells when it has changed."""
    return sha256_of(path)

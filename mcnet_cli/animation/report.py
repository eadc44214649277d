"""What was done, for people and for programs."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mcnet_cli import __version__
from mcnet_cli.errors import shown


@dataclass(frozen=True, slots=True)
class AnimationResult:
    """One source's film.

    Attributes:
        source, driving: the files it was made from.
        output: the file, `-` for stdout.
        frames: how many the film has.
        rate: frames a second, exact.
        seconds: from the start of the work on it; reading the driving counts for the first source.
        damaged: whether the driving could be read only in part.
        no_face: driving frames without a face.
        peak_memory_mb: of this process and its largest child so far; None where nobody knows.

    Example:
        >>> from fractions import Fraction
        >>> from pathlib import Path
        >>> from mcnet_cli import AnimationResult
        >>> result = AnimationResult(
        ...     Path("a.jpg"), Path("b.mp4"), "film.mp4", 100, Fraction(25), 8.0, False, 0, 700.0
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
    seconds: float
    damaged: bool
    no_face: int
    peak_memory_mb: float | None

    def as_json(self) -> dict[str, Any]:
        """JSON values; the exact rate is text, such as `30000/1001`."""
        return {
            "source": str(self.source),
            "driving": str(self.driving),
            "output": self.output,
            "frames": self.frames,
            "rate": str(self.rate),
            "seconds": round(self.seconds, 3),
            "damaged": self.damaged,
            "no_face": self.no_face,
            "peak_memory_mb": self.peak_memory_mb,
        }

    def as_text(self) -> str:
        """Two lines."""
        speed = self.frames / self.seconds if self.seconds else 0.0
        real_time = f"{speed / float(self.rate):.2f} times real time"
        memory = f", {self.peak_memory_mb:.0f} MB of memory at most" if self.peak_memory_mb else ""
        missing = f", {self.no_face} frames without a face" if self.no_face else ""
        where = "stdout" if self.output == "-" else shown(self.output)
        return (
            f"{where}: {self.frames} frames at {float(self.rate):.5g} frames/s{missing}\n"
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

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "version": __version__,
            "device": self.device,
            "precision": self.precision,
            "weights": str(self.weights),
            "detector": self.detector,
            "results": [result.as_json() for result in self.results],
        }

    def as_text(self) -> str:
        """The summary that people see."""
        faces = f"faces by {self.detector}" if self.detector else "no face detection"
        how = f"on {self.device} in {self.precision} ({self.why}), {faces}"
        return "\n".join([*(result.as_text() for result in self.results), how])

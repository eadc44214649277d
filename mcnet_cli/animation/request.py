"""What to animate, and how."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mcnet_cli.errors import UsageError
from mcnet_cli.weights import NEVER, Fetch

MOTIONS = ("relative", "absolute")
DETECTORS = ("blazeface", "face-alignment")
NO_FACE_POLICIES = ("hold", "skip", "source", "fail")
MOTION_SUFFIX = ".motion"
SIZE_LIMITS = (16, 4096)
BATCH_LIMIT = 1024
SMOOTH_LIMIT = 100.0
STRENGTH_LIMIT = 10.0


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` frames (None: nobody knows) of a stage."""

    stage: str
    done: int
    total: int | None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class AnimationRequest:
    """The options of `mcnet animate`; UsageError where they make no sense.

    sources: portraits. driving: a video, gif, folder of images, image or .motion file.
    output: as typed (a trailing slash means a folder, `-` stdout); None: `SOURCE--DRIVING.mp4` here.
    weights: a name, path or hub address; None: the environment's, else the bundled default.
    fetch: whether weights that are missing may be downloaded; it isn't by default.
    reference: `best`, `first` or a frame number. strength: factor on the displacement from it.
    smooth: sigma in frames, None for what the weights ask for. face: `largest`, `all` or a number.
    source_crop, driving_crop: `auto`, `none` or `X,Y,W,H` in pixels.
    size: side in pixels of the square result, None for the network's. fps: of a folder's pictures, or what
    a video is resampled to. batch_size: None for automatic.
    """

    sources: tuple[Path, ...]
    driving: Path
    output: str | None = None
    weights: str | None = None
    fetch: Fetch = NEVER
    device: str = "auto"
    precision: str = "auto"
    motion: str = "relative"
    adapt_scale: bool = True
    reference: str = "best"
    strength: float = 1.0
    smooth: float | None = None
    save_motion: Path | None = None
    detector: str = "blazeface"
    source_crop: str = "auto"
    driving_crop: str = "auto"
    face: str = "largest"
    crop_json: Path | None = None
    on_no_face: str = "hold"
    paste_back: bool = False
    compare: bool = False
    size: int | None = None
    start_s: float = 0.0
    end_s: float | None = None
    max_frames: int | None = None
    fps: Fraction | None = None
    audio: bool = True
    batch_size: int | None = None
    compile: bool = False
    strict: bool = False
    overwrite: bool = False
    dry_run: bool = False

    def __post_init__(self) -> None:
        _among("--motion", self.motion, MOTIONS)
        _among("--detector", self.detector, DETECTORS)
        _among("--on-no-face", self.on_no_face, NO_FACE_POLICIES)
        if not (self.reference in ("best", "first") or _is_number(self.reference)):
            raise UsageError(f"--reference {self.reference}: must be best, first or a frame's number from 0")
        if not (self.face in ("largest", "all") or _is_number(self.face)):
            raise UsageError(f"--face {self.face}: must be largest, all or a number from 0, left to right")
        _bounded("--strength", self.strength, 0, STRENGTH_LIMIT)
        _bounded("--smooth", self.smooth, 0, SMOOTH_LIMIT)
        _bounded("--size", self.size, *SIZE_LIMITS)
        _bounded("--batch-size", self.batch_size, 1, BATCH_LIMIT)
        _bounded("--max-frames", self.max_frames, 1, None)
        _bounded("--start", self.start_s, 0, None)
        _bounded("--fps", self.fps, Fraction(1, 100), 1000)
        if self.end_s is not None and not self.end_s > self.start_s:
            raise UsageError(f"--end {self.end_s:g}: must be after --start {self.start_s:g}")
        if self.save_motion is not None and not is_motion_file(self.save_motion):
            raise UsageError(f"--save-motion: the file's name must end with {MOTION_SUFFIX}")
        if self.compare and is_motion_file(self.driving):
            raise UsageError("--compare: a motion file holds no picture to compare with")


def is_motion_file(path: Path) -> bool:
    """Whether a driving's name says that it is a motion file."""
    return path.suffix.lower() == MOTION_SUFFIX


def parse_rate(text: str) -> Fraction:
    """A frame rate such as `25`, `29.97` or `30000/1001`; UsageError otherwise."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9}|/[0-9]{1,9})?", text):
        raise UsageError(f"--fps {text}: must be a rate such as 25, 29.97 or 30000/1001")
    try:
        return Fraction(text)
    except ZeroDivisionError:
        raise UsageError(f"--fps {text}: the denominator is 0") from None


def parse_time(text: str) -> float:
    """Seconds from `83.5`, `1:23.5` or `0:01:23.5`; UsageError otherwise."""
    if not re.fullmatch(r"([0-9]{1,6}:){0,2}[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise UsageError(f"{text}: must be a time in seconds or as H:MM:SS, such as 83.5 or 1:23.5")
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def parse_batch_size(text: str) -> int | None:
    """`auto` (None) or a number; UsageError otherwise."""
    if text == "auto":
        return None
    if not _is_number(text):
        raise UsageError(f"--batch-size {text}: must be auto or a number")
    return int(text)


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,9}", text))


def _among(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} {value}: must be {', '.join(allowed[:-1])} or {allowed[-1]}")


def _bounded(name: str, value: float | Fraction | None, low: float | Fraction, high: float | None) -> None:
    """Also refuses NaN."""
    if value is None or (low <= value and (high is None or value <= high) and value != float("inf")):
        return
    most = "" if high is None else f" and at most {high:g}"
    raise UsageError(f"{name} {value}: must be at least {float(low):g}{most}")

"""What to preprocess, and how."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

from mcnet_cli.errors import UsageError
from mcnet_cli.face import Framing
from mcnet_cli.options import DETECTORS, RATE_LIMITS, require_among, require_between

RULES = ("framing", "paper")
FORMATS = ("mp4", "png")
ALIGNMENTS = ("none", "eyes")
ENGINES = ("local", "ray")
PAPER_LEAST_PX = 256  # of the tube's box (VoxCeleb preprocessing), where nothing else is asked for
LEAST_FACE_PX = 64


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides about the bytes of the results; UsageError where it makes no sense.

    rule: `framing`, as weights want it, or `paper`, as VoxCeleb is cropped for the paper. framing: how the
    square relates to the face (see `choose_framing`); with `paper` always the paper's. size: of the clips'
    sides in pixels. format: `mp4` or `png`. fps: None for each video's own. align: `eyes` turns clips so that
    the eyes are level; follow: in each frame anew. detect_every: frames from one search for new faces to the
    next. min_frames: of a tube. min_face: pixels in the source, of the median face's height (framing) or of
    the tube's longer side (paper). min_score: mean chance of being a face. min_sharpness: see `sharpness`.
    """

    rule: str = "framing"
    framing: Framing = field(default_factory=Framing)
    size: int = 256
    format: str = "mp4"
    fps: Fraction | None = None
    align: str = "none"
    follow: bool = False
    detector: str = "blazeface"
    detect_every: int = 5
    min_frames: int = 64
    min_face: int | None = None
    min_score: float = 0.8
    min_sharpness: float = 12.0

    def __post_init__(self) -> None:
        require_among("--rule", self.rule, RULES)
        if self.rule == "paper":
            object.__setattr__(self, "framing", Framing.PAPER)
        require_among("--format", self.format, FORMATS)
        require_among("--align", self.align, ALIGNMENTS)
        require_among("--detector", self.detector, DETECTORS)
        require_between("--size", self.size, 16, 2048)
        if self.size % 2:
            raise UsageError(f"--size {self.size}: must be even, as videos want it")
        require_between("--fps", self.fps, *RATE_LIMITS)
        require_between("--detect-every", self.detect_every, 1, 1000)
        require_between("--min-frames", self.min_frames, 1, 1024)
        require_between("--min-face", self.min_face, 1, 10_000)
        require_between("--min-score", self.min_score, 0, 1)
        require_between("--min-sharpness", self.min_sharpness, 0, 1e6)
        if self.follow and self.align == "none":
            raise UsageError("--follow: needs --align eyes")

    @property
    def least_face_px(self) -> int:
        """The smallest face that is kept."""
        if self.min_face is not None:
            return self.min_face
        return PAPER_LEAST_PX if self.rule == "paper" else LEAST_FACE_PX

    @property
    def digest(self) -> str:
        """Sixteen hex digits that change with any setting."""
        text = json.dumps(asdict(self), default=str, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class PreprocessRequest:
    """The options of `mcnet preprocess`; UsageError where they make no sense.

    inputs: files, folders, patterns, metadata tables (.csv), as typed. videos: the folder that the tables'
    videos are in. device: where face-alignment computes; blazeface knows the CPU only. workers: processes,
    None for as many as suit the machine. shard: (i, n), the i-th of n equal parts, from 0. strict: whether an
    input that can't be used, or only in part, is an error at the end.
    """

    inputs: tuple[str, ...]
    output: Path
    settings: Settings
    videos: Path | None = None
    device: str = "auto"
    engine: str = "local"
    workers: int | None = None
    shard: tuple[int, int] | None = None
    resume: bool = True
    preview: bool = False
    strict: bool = False
    dry_run: bool = False

    def __post_init__(self) -> None:
        require_among("--engine", self.engine, ENGINES)
        require_between("--workers", self.workers, 1, 1024)
        if not self.inputs or "" in self.inputs:
            raise UsageError("an input is needed", hint="mcnet preprocess videos/ -o clips")
        if str(self.output) in ("", "."):
            raise UsageError("-o: give a folder of its own for the clips")
        if self.output.exists() and not self.output.is_dir():
            raise UsageError(f"-o {self.output}: is a file, not a folder")
        if self.device not in ("auto", "cpu") and self.settings.detector == "blazeface":
            raise UsageError(
                f"--device {self.device}: blazeface computes on the CPU",
                hint="take --detector face-alignment",
            )
        tables = [name for name in self.inputs if is_table(name)]
        if tables and self.videos is None:
            raise UsageError(f"{tables[0]}: a metadata table needs --videos, the folder of its videos")
        if self.videos is not None and not tables:
            raise UsageError("--videos: needs a metadata table (.csv) among the inputs")


def is_table(name: str) -> bool:
    """Whether an input's name says that it is a metadata table."""
    return Path(name).suffix.lower() == ".csv"

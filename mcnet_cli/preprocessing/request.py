"""What to preprocess, and how: the settings, the request, and the framing that weights want."""

import hashlib
import json
import logging
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

from mcnet_cli.engines import ENGINES
from mcnet_cli.errors import UsageError, shown
from mcnet_cli.face import Framing
from mcnet_cli.options import DETECTORS, RATE_LIMITS, require_among, require_between
from mcnet_cli.weights import NEVER, Fetch, resolve_weights, weights_framing

RULES = ("framing", "paper")
FORMATS = ("mp4", "png")
ALIGNMENTS = ("none", "eyes")
MIN_FACE_PX = 64  # default for the height of the median face
PAPER_MIN_FACE_PX = 256  # default for the longer side of the tube's box (VoxCeleb preprocessing)

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides about the bytes of the results; UsageError for values out of range.

    rule: `framing`, as weights want it, or `paper`, as VoxCeleb is cropped for the paper. framing: how
    the square relates to the face (see `choose_framing`); with `paper` always the paper's. size: side of
    the clips in pixels. format: `mp4` or `png`. fps: None for each video's own. align: `eyes` turns clips
    so that the eyes are level. follow: whether each frame is aligned by itself. detect_every: frames from
    one search for new faces to the next, while some are followed; while none is, at most 5. min_frames:
    of a tube. min_face: pixels in the video, of the median face's height (framing) or of the tube's
    longer side (paper). min_score: mean of the landmarks' scores. min_sharpness: see `tube.sharpness`.
    """

    rule: str = "framing"
    framing: Framing = field(default_factory=Framing)
    size: int = 256
    format: str = "mp4"
    fps: Fraction | None = None
    align: str = "none"
    follow: bool = False
    detector: str = "blazeface"
    detect_every: int = 15
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
    def min_face_px(self) -> int:
        """The smallest face that is kept."""
        if self.min_face is not None:
            return self.min_face
        return PAPER_MIN_FACE_PX if self.rule == "paper" else MIN_FACE_PX

    @property
    def digest(self) -> str:
        """Sixteen hex digits that change with any setting."""
        text = json.dumps(asdict(self), default=str, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class PreprocessRequest:
    """The options of `mcnet preprocess`; UsageError for values out of range and for contradictions.

    inputs: files, folders, patterns, metadata tables (.csv), as typed. videos: the folder with the tables'
    videos. device: where face-alignment computes; blazeface always uses the CPU. workers: number of
    processes, None for half the processors. shard: (i, n), the i-th of n equal parts, from 0. strict: whether
    an input that can't be used, or only in part, is an error at the end.
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


def choose_framing(rule: str, weights: str | None = None, fetch: Fetch = NEVER) -> Framing:
    """The framing for a crop rule.

    weights: the name or path of the weights whose framing the rule `framing` takes; None for
    `$MCNET_WEIGHTS`, else `lite`. For weights that don't say how faces were cropped for them, it is the
    paper's, as in `mcnet animate`. UsageError for weights with the rule `paper`, WeightsError if they can't
    be used.
    """
    if rule == "paper":
        if weights is not None:
            raise UsageError("--rule paper: crops the same for all weights", hint="leave out --weights")
        return Framing.PAPER
    path = resolve_weights(weights, fetch=fetch)
    framing = weights_framing(path)
    if framing is None:
        log.warning("%s doesn't say how it wants faces cropped: the paper's square is taken", shown(path))
        return Framing.PAPER
    return Framing(**framing)

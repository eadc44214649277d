"""What is asked of an evaluation, and the metrics that there are."""

from dataclasses import dataclass
from pathlib import Path

from mcnet_cli.errors import UsageError
from mcnet_cli.weights import NEVER, Fetch

RECONSTRUCTION, REENACTMENT = "reconstruction", "reenactment"
PROTOCOLS = (RECONSTRUCTION, REENACTMENT)
DETECTORS = ("blazeface", "face-alignment")


@dataclass(frozen=True, slots=True)
class Metric:
    """needs_truth: whether it compares with real frames, which exist only where a clip drives itself.

    better: 1 if more is better, -1 if less is. default_for: protocols that measure it without being asked.
    """

    unit: str
    better: int
    needs_truth: bool
    default_for: tuple[str, ...] = PROTOCOLS


METRICS = {
    "l1": Metric("of the range of values", -1, True, (RECONSTRUCTION,)),
    "psnr": Metric("dB", 1, True, (RECONSTRUCTION,)),
    "ssim": Metric("1 is equal", 1, True, (RECONSTRUCTION,)),
    "lpips": Metric("0 is equal", -1, True, (RECONSTRUCTION,)),
    "akd": Metric("pixels at 256 x 256", -1, True, (RECONSTRUCTION,)),
    "mouth": Metric("correlation of the mouth's opening with the driving's", 1, False, (REENACTMENT,)),
    "eyes": Metric("correlation of the lids' opening with the driving's", 1, False, (REENACTMENT,)),
    "aed": Metric("distance of identity embeddings", -1, False),
    "csim": Metric("cosine of identity embeddings", 1, False),
}
COPY = "error_over_copy"  # comes with l1
FIGURES = {**METRICS, COPY: Metric("L1 over that of showing the source unmoved", -1, True)}


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """The options of `mcnet evaluate`; UsageError where they make no sense.

    clips: a folder of square face clips, as training takes them. pairs: a CSV file with the columns source
    and driving, for reenactment. metrics: names, None for the protocol's own. output: the report's folder.
    every: each N-th frame is made and measured. max_frames: at most so many frames of a clip are read.
    detector: of faces; with face-alignment its 68 landmarks are compared, otherwise the mesh's 468.
    """

    clips: Path
    protocol: str = RECONSTRUCTION
    pairs: Path | None = None
    metrics: tuple[str, ...] | None = None
    output: Path | None = None
    overwrite: bool = False
    weights: str | None = None
    fetch: Fetch = NEVER
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    detector: str = "blazeface"
    every: int = 1
    max_frames: int | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise UsageError(f"--protocol {self.protocol}: must be {' or '.join(PROTOCOLS)}")
        if self.detector not in DETECTORS:
            raise UsageError(f"--detector {self.detector}: must be {' or '.join(DETECTORS)}")
        if self.pairs is not None and self.protocol != REENACTMENT:
            raise UsageError("--pairs: only reenactment has pairs", hint=f"add --protocol {REENACTMENT}")
        for name in self.metrics or ():
            if name not in METRICS:
                raise UsageError(f"--metrics: there is no {name!r}", hint=f"there are {', '.join(METRICS)}")
        if self.metrics == ():
            raise UsageError("--metrics: none is named", hint=f"there are {', '.join(METRICS)}")
        if self.every < 1:
            raise UsageError(f"--every {self.every}: must be at least 1")
        if self.max_frames is not None and self.max_frames < 2:
            raise UsageError(f"--max-frames {self.max_frames}: must be at least 2")

    @property
    def wanted(self) -> tuple[str, ...]:
        """The metrics asked for."""
        if self.metrics is not None:
            return tuple(dict.fromkeys(self.metrics))
        return tuple(name for name, metric in METRICS.items() if self.protocol in metric.default_for)

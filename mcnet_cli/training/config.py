"""The configuration of a training run. `RunConfig` is the whole; its defaults are the recipe of `lite`."""

from dataclasses import dataclass, field
from typing import Literal

from mcnet_cli.framing import Framing
from mcnet_cli.model import PRESETS, ModelConfig
from mcnet_cli.model.config import PAINTERS
from mcnet_cli.training.objective_config import (
    PART_LANDMARKS,
    KeypointTraining,
    LandmarkLossWeights,
    PainterTraining,
    PaperLossWeights,
    check_mirrored,
    require,
    require_within,
)

# How clips are cropped that `mcnet preprocess` makes: `animate` crops the same way.
FRAMING = Framing().as_json()
# What `painter.part` names.
PAINTERS_OF = {
    "all": PAINTERS,
    "mouths": ("painter",),
    "eyes": ("eye_painter",),
    "enlarger": ("painter",),
}
SMALL_PX = 128  # side of the pictures in the first part of a run


@dataclass(frozen=True, slots=True)
class ScheduleConfig:
    """The run's length without the painters' stages, and what changes on the way.

    minutes, epochs: the length where `steps` gives none; if both are given, epochs count. An epoch shows
        every identity `data.repeats` times.
    warmup_steps: steps in which the learning rate rises.
    decay_from: share of the run after which the learning rate falls. final_rate: the factor that it falls to.
        decay: "linear" until the end, or in one "step".
    small_share: the first share of the run, on pictures of 128² in batches of `small_batch`.
    """

    minutes: float = 80.0
    epochs: float = 0.0
    warmup_steps: int = 50
    decay: Literal["linear", "step"] = "linear"
    decay_from: float = 0.6
    final_rate: float = 0.04
    small_share: float = 0.4
    small_batch: int = 12

    def __post_init__(self) -> None:
        require_within(self, 0, 1e6, "minutes", "epochs", "warmup_steps")
        require_within(self, 0, 1, "decay_from", "final_rate", "small_share")
        require_within(self, 1, 4096, "small_batch")

    def rate(self, step: int, progress: float) -> float:
        """The factor of the learning rate at a step, `progress` (0 to 1) into the run."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        if self.decay == "step":
            return warm * (self.final_rate if progress >= self.decay_from else 1.0)
        late = max(0.0, progress - self.decay_from) / max(1 - self.decay_from, 1e-6)
        return warm * (1 - late * (1 - self.final_rate))


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """How gradients are clipped before Adam's steps and weights averaged after them.

    clip_norm: the norm that each optimizer's gradient is clipped to. accumulate: batches in a step.
    ema: decay of the weights' moving average, which is the result; 0 for the weights themselves.
    """

    clip_norm: float = 20.0
    accumulate: int = 1
    ema: float = 0.998

    def __post_init__(self) -> None:
        require_within(self, 1e-6, 1e9, "clip_norm")
        require_within(self, 1, 1024, "accumulate")
        require_within(self, 0, 0.999999, "ema")


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Where frames come from.

    frames: "memory" decodes all clips once; "disk" too, into `cache` (by default the run's folder), for the
        next run as well; "seek" decodes the frames that are wanted when they are; "auto" takes "memory" up
        to `memory_gb` (for each process), else "seek".
    frames_per_clip: at most so many, every n-th; 0 for all. repeats: of each identity in an epoch.
    workers: processes that read ahead; 0 reads in between.
    synthetic_frames: of each synthetic clip.
    expressive_share: share of pairs whose second frame is chosen: of six, that with the most different
        expression.
    """

    frames: Literal["auto", "memory", "disk", "seek"] = "auto"
    cache: str = ""
    memory_gb: float = 8.0
    frames_per_clip: int = 300
    repeats: int = 1
    workers: int = 0
    synthetic_frames: int = 100
    expressive_share: float = 0.6

    def __post_init__(self) -> None:
        require_within(self, 0, 1, "expressive_share")
        require_within(self, 0, 1e6, "memory_gb", "frames_per_clip")
        require_within(self, 1, 1e6, "repeats")
        require_within(self, 0, 256, "workers")
        require_within(self, 2, 100_000, "synthetic_frames")


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """Random changes that both frames of a pair share, but for `separate_share` of the affines.

    rotation_deg, scale, anisotropy, shear, shift: standard deviations of a random affine.
    shape: standard deviation of a point's shift by smooth waves, which make a few people look like many.
    colour: standard deviation of a random colour matrix, from which gain, offset and gamma follow.
    faded: share of pairs whose colours fade, some nearly to grey: what is painted has to suit the picture.
    jitter: the reach of brightness, contrast, saturation and hue in random order (the paper's is 0.1).
    flip, time_flip: shares of pairs that are mirrored, and that run backwards.
    """

    rotation_deg: float = 9.0
    scale: float = 0.10
    anisotropy: float = 0.05
    shear: float = 0.05
    shift: float = 0.07
    shape: float = 0.03
    colour: float = 0.08
    faded: float = 0.3
    jitter: float = 0.0
    separate_share: float = 0.0
    flip: float = 0.5
    time_flip: float = 0.5

    def __post_init__(self) -> None:
        require_within(
            self, 0, 1, "separate_share", "flip", "time_flip", "scale", "anisotropy", "shear", "shift"
        )
        require_within(self, 0, 1, "shape", "colour", "faded")
        require_within(self, 0, 0.5, "jitter")
        require_within(self, 0, 180, "rotation_deg")

    @property
    def is_geometric(self) -> bool:
        """Whether points move, but for the mirroring."""
        return any((self.rotation_deg, self.scale, self.anisotropy, self.shear, self.shift, self.shape))


@dataclass(frozen=True, slots=True)
class OutputConfig:
    """What the run's folder gets: rows of the log and sample sheets every so many steps, checkpoints kept."""

    log_every: int = 20
    sheet_every: int = 400
    keep: int = 2

    def __post_init__(self) -> None:
        require_within(self, 1, 1e9, "log_every", "sheet_every")
        require(self.keep >= 2, f"keep = {self.keep}: the last one may be torn, so at least 2")


@dataclass(frozen=True, slots=True)
class RunConfig:
    """A training run.

    steps: its length, if over 0; otherwise `schedule` says it.
    losses: of the kind that `keypoints.supervision` calls for, the paper's for "none".
    """

    seed: int = 0
    steps: int = 0
    batch_size: int = 6
    learning_rate: float = 6e-4
    checkpoint_every: int = 200
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    keypoints: KeypointTraining = field(default_factory=KeypointTraining)
    losses: LandmarkLossWeights | PaperLossWeights = field(default_factory=LandmarkLossWeights)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    painter: PainterTraining = field(default_factory=PainterTraining)
    output: OutputConfig = field(default_factory=OutputConfig)
    model: ModelConfig = PRESETS["lite"]

    def __post_init__(self) -> None:
        require_within(self, 0, 2**31, "seed", "steps")
        require_within(self, 1, 4096, "batch_size")
        require_within(self, 1, 1e9, "checkpoint_every")
        require_within(self, 0, 1, "learning_rate")
        length = self.steps or self.schedule.epochs or self.schedule.minutes
        require(length > 0, "give the run a length: steps, schedule.epochs or schedule.minutes")
        with_landmarks = self.keypoints.supervision == "landmarks"
        require(
            with_landmarks == isinstance(self.losses, LandmarkLossWeights),
            f"losses are not those of keypoints.supervision = {self.keypoints.supervision}",
        )
        require(
            not self.painter.only or bool(self.painters),
            "painter.only needs painter.steps, and model.painter.size or model.eye_painter.size over 0",
        )
        landmarks = self.model.keypoints.landmarks
        require(
            with_landmarks == bool(landmarks),
            "keypoints.supervision = landmarks needs model.keypoints.landmarks; otherwise set it to none"
            if with_landmarks
            else "keypoints.supervision = none needs model.keypoints.landmarks to be empty",
        )
        check_mirrored(landmarks)
        for name, wanted in PART_LANDMARKS.items():
            part = getattr(self.model.motion, name)
            found = tuple(landmarks[number] for number in part) if with_landmarks else None
            require(
                not part or found == wanted,
                f"model.motion.{name} must name the keypoints that are landmarks {wanted}, or be empty",
            )

    @property
    def painters(self) -> tuple[str, ...]:
        """The detail painters that learn: those of the model that `painter.part` names."""
        wanted = PAINTERS_OF[self.painter.part] if self.painter.steps else ()
        return tuple(name for name in self.model.painters if name in wanted)

    def total_steps(self, epoch: int, processes: int = 1) -> int | None:
        """The length in steps, where an epoch has so many pairs; None where it is in minutes."""
        if self.steps or not self.schedule.epochs:
            return self.steps or None
        per_step = self.batch_size * self.optimizer.accumulate * processes
        return max(1, round(self.schedule.epochs * epoch / per_step))

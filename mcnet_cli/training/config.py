"""The configuration of a training run. `RunConfig` is the whole; its defaults are the recipe of `lite`."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from mcnet_cli.model import PRESETS, ModelConfig
from mcnet_cli.training.loss_weights import LandmarkLossWeights, PaperLossWeights

# The landmarks that keypoints can be trained to be.
LANDMARKS = PRESETS["lite"].keypoints.landmarks
# Landmarks that change places when a picture is mirrored; those in the middle of the face stay what they are.
MIRRORED = {234: 454, 105: 334, 159: 386, 33: 263, 61: 291, 145: 374, 50: 280, 172: 397, 149: 378}
MIRRORED |= {468: 472, 469: 471, 473: 474, 476: 477}
# What the keypoints in `model.motion.mouth` and `model.motion.eyes` must be, in the order of `FaceParts`.
PARTS = {"mouth": (61, 291, 13, 14, 0, 17), "eyes": (159, 145, 33, 386, 374, 263)}
# How clips are cropped that `mcnet preprocess` makes: `animate` crops the same way.
FRAMING = {"face_height": 0.53, "center_x": 0.50, "center_y": 0.54}
SMALL = 128  # the side of pictures in the first part of a run


def mirror_order(landmarks: tuple[int, ...] = LANDMARKS) -> list[int]:
    """For each of the landmarks, the place of the one that it becomes in a mirrored picture."""
    twin = MIRRORED | {right: left for left, right in MIRRORED.items()}
    return [landmarks.index(twin.get(point, point)) for point in landmarks]


def _check_mirrored(landmarks: tuple[int, ...]) -> None:
    """ValueError unless pictures with these landmarks can be mirrored: each is known, and with its twin."""
    known = ", ".join(map(str, LANDMARKS))
    for point in landmarks:
        _require(point in LANDMARKS, f"model.keypoints.landmarks: {point} is none of {known}")
    try:
        mirror_order(landmarks)
    except ValueError:
        raise ValueError("model.keypoints.landmarks: a point on one side needs its twin") from None


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(rule)


def _within(config: Any, low: float, high: float, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _require(low <= value <= high, f"{name} = {value}: must be between {low:g} and {high:g}")


@dataclass(frozen=True, slots=True)
class ScheduleConfig:
    """The run's length, without its last stage, and what changes on the way.

    minutes, epochs: the length where `steps` gives none; if both are given, epochs count. An epoch shows
        every identity `data.repeats` times.
    warmup_steps: over which the learning rate rises.
    decay, decay_from, final_rate: from that share of the run on the learning rate falls to that share of
        itself, "linear" to the end or in one "step".
    small_share: of the run on pictures of 128², with `small_batch` instead of `batch_size`.
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
        _within(self, 0, 1e6, "minutes", "epochs", "warmup_steps")
        _within(self, 0, 1, "decay_from", "final_rate", "small_share")
        _within(self, 1, 4096, "small_batch")

    def rate(self, step: int, progress: float) -> float:
        """The factor of the learning rate at a step, `progress` (0 to 1) into the run."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        if self.decay == "step":
            return warm * (self.final_rate if progress >= self.decay_from else 1.0)
        late = max(0.0, progress - self.decay_from) / max(1 - self.decay_from, 1e-6)
        return warm * (1 - late * (1 - self.final_rate))


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """How gradients are clipped and weights averaged around Adam.

    clip_norm: longest gradient of each optimizer. accumulate: batches to a step.
    ema: decay of the weights' moving average, which is the result; 0 for the weights themselves.
    """

    clip_norm: float = 20.0
    accumulate: int = 1
    ema: float = 0.998

    def __post_init__(self) -> None:
        _within(self, 1e-6, 1e9, "clip_norm")
        _within(self, 1, 1024, "accumulate")
        _within(self, 0, 0.999999, "ema")


@dataclass(frozen=True, slots=True)
class KeypointTraining:
    """How keypoints are learned.

    supervision: "landmarks" ties them to `model.keypoints.landmarks`, "none" is the paper's way, by
        equivariance.
    detector_from, detector_share: from that share of the run on, in that share of the steps the other parts
        see the detector's keypoints, otherwise the landmarks themselves.
    freeze: leaves the detector as it is.
    """

    supervision: Literal["landmarks", "none"] = "landmarks"
    detector_from: float = 0.3
    detector_share: float = 0.2
    freeze: bool = False

    def __post_init__(self) -> None:
        _within(self, 0, 1, "detector_from", "detector_share")


@dataclass(frozen=True, slots=True)
class PainterTraining:
    """The stages in which the detail painters learn, after all others: those that the model has.

    part: which of them learn: "mouths", "eyes" or "all".
    steps: of each painter; 0 leaves it as it is. alone: of those, the first ones, without a discriminator.
        Both are at most the run's own steps, so that a trial run stays short.
    only: the run is this stage alone; the rest of the network is that of the weights it begins with.
    per_clip: pairs of frames that are collected of a clip, whose mouths or eyes are wide enough; each takes
        0.1 MB. batch_size: mouths or eyes in a step. learning_rate: of the painter, twice that in the steps
        alone.
    discriminator_rate: of the discriminator. decay_from, final_rate: as in the schedule. ema: decay of the
        weights' moving average, which is the result.
    pixel, perceptual, gan, feature_matching, roughness: loss weights: L1 inside, differences to the
        perceptual network, adversarial, feature matching, R1 penalty.
    faded, colour, blurred: as in augmentation; the share of pairs that are made softer.
    """

    part: Literal["all", "mouths", "eyes"] = "all"
    steps: int = 3500
    alone: int = 350
    only: bool = False
    per_clip: int = 28
    batch_size: int = 8
    learning_rate: float = 5e-4
    discriminator_rate: float = 6e-4
    decay_from: float = 0.6
    final_rate: float = 0.05
    ema: float = 0.998
    pixel: float = 8.0
    perceptual: float = 1.0
    gan: float = 0.5
    feature_matching: float = 2.0
    roughness: float = 0.03
    faded: float = 0.35
    colour: float = 0.12
    blurred: float = 0.35

    def __post_init__(self) -> None:
        _within(self, 0, 1e6, "steps", "alone", "pixel", "perceptual", "gan", "feature_matching", "roughness")
        _within(self, 1, 1e6, "per_clip", "batch_size")
        _within(self, 0, 1, "learning_rate", "discriminator_rate", "decay_from", "final_rate", "ema")
        _within(self, 0, 1, "faded", "colour", "blurred")

    def after(self, steps: int) -> "PainterTraining":
        """The stage after a run of so many steps."""
        if self.only:
            return self
        return replace(self, steps=min(self.steps, steps), alone=min(self.alone, steps))

    def rate(self, step: int) -> float:
        """The factor of the learning rates at a step."""
        late = max(0.0, step / max(self.steps, 1) - self.decay_from) / max(1 - self.decay_from, 1e-6)
        return 1 - late * (1 - self.final_rate)


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Where frames come from.

    frames: "memory" decodes all clips once; "disk" too, into `cache` (by default the run's folder), for the
        next run as well; "seek" decodes the frames that are wanted when they are; "auto" takes "memory" up
        to `memory_gb` (for each process), else "seek".
    frames_per_clip: at most so many, every n-th; 0 for all. repeats: of each identity in an epoch.
    workers: processes that read ahead; 0 reads in between.
    synthetic_frames: of each synthetic clip.
    expressive_share: of the pairs whose second frame is the one of six with the most different expression.
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
        _within(self, 0, 1, "expressive_share")
        _within(self, 0, 1e6, "memory_gb", "frames_per_clip")
        _within(self, 1, 1e6, "repeats")
        _within(self, 0, 256, "workers")
        _within(self, 2, 100_000, "synthetic_frames")


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """Random changes that both frames of a pair share, but for `separate_share` of the affines.

    rotation_deg, scale, anisotropy, shear, shift: standard deviations of a random affine.
    shape: of the shift of a point by smooth waves, which makes a few people look like many.
    colour: of a random colour matrix, gain, offset and gamma.
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
        _within(self, 0, 1, "separate_share", "flip", "time_flip", "scale", "anisotropy", "shear", "shift")
        _within(self, 0, 1, "shape", "colour", "faded")
        _within(self, 0, 0.5, "jitter")
        _within(self, 0, 180, "rotation_deg")

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
        _within(self, 1, 1e9, "log_every", "sheet_every")
        _require(self.keep >= 2, f"keep = {self.keep}: the last one may be torn, so at least 2")


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
        _within(self, 0, 2**31, "seed", "steps")
        _within(self, 1, 4096, "batch_size")
        _within(self, 1, 1e9, "checkpoint_every")
        _within(self, 0, 1, "learning_rate")
        length = self.steps or self.schedule.epochs or self.schedule.minutes
        _require(length > 0, "give the run a length: steps, schedule.epochs or schedule.minutes")
        with_landmarks = self.keypoints.supervision == "landmarks"
        _require(
            with_landmarks == isinstance(self.losses, LandmarkLossWeights),
            f"losses are not those of keypoints.supervision = {self.keypoints.supervision}",
        )
        _require(
            not self.painter.only or bool(self.painter.steps and self.model.painters),
            "painter.only needs painter.steps, and model.painter.size or model.eye_painter.size over 0",
        )
        landmarks = self.model.keypoints.landmarks
        _require(
            with_landmarks == bool(landmarks),
            "keypoints.supervision = landmarks needs model.keypoints.landmarks; otherwise set it to none"
            if with_landmarks
            else "keypoints.supervision = none needs model.keypoints.landmarks to be empty",
        )
        _check_mirrored(landmarks)
        for name, wanted in PARTS.items():
            part = getattr(self.model.motion, name)
            found = tuple(landmarks[number] for number in part) if with_landmarks else None
            _require(
                not part or found == wanted,
                f"model.motion.{name} must name the keypoints that are landmarks {wanted}, or be empty",
            )

    def total_steps(self, epoch: int, processes: int = 1) -> int | None:
        """The length in steps, where an epoch has so many pairs; None where it is in minutes."""
        if self.steps or not self.schedule.epochs:
            return self.steps or None
        per_step = self.batch_size * self.optimizer.accumulate * processes
        return max(1, round(self.schedule.epochs * epoch / per_step))


# What the recipes change in RunConfig's defaults, in the form of a configuration file.
RECIPES: dict[str, dict[str, Any]] = {
    "lite": {},
    "mcnet": {  # the paper's: 8 pictures on each of 8 GPUs (ICCV 2023, sec. 4.1)
        "batch_size": 8,
        "learning_rate": 2e-4,
        "checkpoint_every": 1000,
        "schedule": {
            "minutes": 0.0,
            "epochs": 100.0,
            "warmup_steps": 0,
            "decay": "step",
            "decay_from": 0.8,
            "final_rate": 0.1,
            "small_share": 0.0,
        },
        "optimizer": {"clip_norm": 10.0, "ema": 0.0},
        "keypoints": {"supervision": "none"},
        "data": {"frames_per_clip": 0, "repeats": 75, "workers": 4, "expressive_share": 0.0},
        "augment": {
            "rotation_deg": 0.0,
            "scale": 0.0,
            "anisotropy": 0.0,
            "shear": 0.0,
            "shift": 0.0,
            "shape": 0.0,
            "colour": 0.0,
            "faded": 0.0,
            "jitter": 0.1,
            "separate_share": 0.0,
        },
        "output": {"log_every": 50, "sheet_every": 1000},
        "model": asdict(PRESETS["mcnet"]),
    },
}

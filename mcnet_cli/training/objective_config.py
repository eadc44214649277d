"""What a run minimises: loss weights, where keypoints come from, and how the detail painters are trained."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from mcnet_cli.face.topology import (
    LID_OPENINGS,
    MOUTH_CORNERS,
    MOUTH_OPENING,
    OUTER_EYE_CORNERS,
    OUTER_LIP_MIDDLES,
)
from mcnet_cli.model import PRESETS

# The landmarks that keypoints can be trained to be.
LANDMARKS = PRESETS["lite"].keypoints.landmarks
# Landmarks that change places when a picture is mirrored; those in the middle of the face stay what they are.
MIRRORED = {234: 454, 105: 334, 159: 386, 33: 263, 61: 291, 145: 374, 50: 280, 172: 397, 149: 378}
MIRRORED |= {468: 472, 469: 471, 473: 474, 476: 477}
# Landmarks that the keypoints in `model.motion.mouth` and `.eyes` must be, in the order of `FaceParts`.
_LEFT, _RIGHT = OUTER_EYE_CORNERS
PART_LANDMARKS = {
    "mouth": (*MOUTH_CORNERS, *MOUTH_OPENING[0], *OUTER_LIP_MIDDLES),
    "eyes": (*LID_OPENINGS[0], _LEFT, *LID_OPENINGS[1], _RIGHT),
}


def mirror_order(landmarks: tuple[int, ...] = LANDMARKS) -> list[int]:
    """For each of the landmarks, the place of the one that it becomes in a mirrored picture."""
    twin = MIRRORED | {right: left for left, right in MIRRORED.items()}
    return [landmarks.index(twin.get(point, point)) for point in landmarks]


def check_mirrored(landmarks: tuple[int, ...]) -> None:
    """ValueError unless pictures with these landmarks can be mirrored: each is known, and with its twin."""
    known = ", ".join(map(str, LANDMARKS))
    for point in landmarks:
        require(point in LANDMARKS, f"model.keypoints.landmarks: {point} is none of {known}")
    try:
        mirror_order(landmarks)
    except ValueError:
        raise ValueError("model.keypoints.landmarks: a point on one side needs its twin") from None


def require(holds: bool, rule: str) -> None:
    """ValueError with `rule`, which the user broke, unless it holds."""
    if not holds:
        raise ValueError(rule)


def require_within(config: Any, low: float, high: float, *names: str) -> None:
    """ValueError if one of the fields `names` is out of range or not a number."""
    for name in names:
        value = getattr(config, name)
        require(low <= value <= high, f"{name} = {value}: must be between {low:g} and {high:g}")


def _require_factors(weights: Any) -> None:
    for field in fields(weights):
        value = getattr(weights, field.name)
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{field.name} = {value!r}: must be 0 or more")


@dataclass(frozen=True, slots=True)
class LandmarkLossWeights:
    """Factors of the loss terms of training with landmarks; 0 leaves a term out.

    perceptual: of the prediction, at 128².
    crop_perceptual: the same on a crop around the mouth or the eyes, at full size; a third of it for the
        decoder's own picture.
    warped_perceptual, decoded_perceptual: of the warped source and of the decoder's own picture, at 128²,
        every third step.
    pixel, decoded_pixel, warped_pixel: mean absolute errors, mouth and lids weighted up in the first two.
    keypoints: mean absolute distance of the detector's keypoints to the landmarks.
    consistency: memory values to projected features (ICCV 2023, sec. 3.4).
    openings: occlusion towards 0 inside mouths and eyes that open, towards 1 inside those that stay open and
        on the rest of the face.
    person_pixel, person_outline: mean absolute errors of the source moved by the person's motion alone, as
        `compositing` shows it: of its colours where the target shows the person, and of its matte everywhere.
    background: weight of pixels without a person in errors of pictures, where those with one have 1: what
        a moving person uncovers, `animate` takes from a picture without the person.
    """

    perceptual: float = 1.0
    decoded_perceptual: float = 0.75
    crop_perceptual: float = 2.0
    warped_perceptual: float = 0.6
    pixel: float = 8.0
    decoded_pixel: float = 4.0
    warped_pixel: float = 2.0
    keypoints: float = 10.0
    consistency: float = 0.05
    openings: float = 1.0
    person_pixel: float = 2.0
    person_outline: float = 1.0
    background: float = 0.2

    def __post_init__(self) -> None:
        _require_factors(self)
        if self.background > 1:
            raise ValueError(f"background = {self.background!r}: must be 1 or less")

    @property
    def wants_perceptual(self) -> bool:
        """Whether a perceptual network is needed."""
        near = (self.perceptual, self.decoded_perceptual, self.crop_perceptual, self.warped_perceptual)
        return any(near)

    @property
    def wants_people(self) -> bool:
        """Whether mattes are needed."""
        return bool(self.person_pixel or self.person_outline or self.background < 1)


@dataclass(frozen=True, slots=True)
class PaperLossWeights:
    """Factors of the paper's loss terms; 0 leaves a term out. The defaults are those of the published run.

    perceptual: for each of VGG19's five layers at each of four scales.
    equivariance_value, equivariance_jacobian: keypoints follow a random transform of the picture.
    separation: keypoints keep apart (the paper's keypoint distance).
    consistency: memory values to projected features.
    gan: least squares against the discriminator; only over 0 is there a discriminator at all.
    feature_matching: for each of the discriminator's four feature maps; only where gan is over 0.
    official: terms as in the published code where that is a fault: the separation has no gradient.
    """

    perceptual: float = 10.0
    equivariance_value: float = 10.0
    equivariance_jacobian: float = 10.0
    separation: float = 10.0
    consistency: float = 10.0
    gan: float = 0.0
    feature_matching: float = 10.0
    official: bool = False

    def __post_init__(self) -> None:
        _require_factors(self)

    @property
    def wants_perceptual(self) -> bool:
        """Whether a perceptual network is needed."""
        return bool(self.perceptual)

    @property
    def wants_people(self) -> bool:
        """Whether mattes are needed: the paper has none."""
        return False


@dataclass(frozen=True, slots=True)
class KeypointTraining:
    """How keypoints are learned.

    supervision: "landmarks" ties them to `model.keypoints.landmarks`, "none" is the paper's way, by
        equivariance.
    detector_from: share of the run after which the other parts see the detector's keypoints in some steps
        instead of the landmarks. detector_share: in what share of these steps.
    freeze: leaves the detector as it is.
    """

    supervision: Literal["landmarks", "none"] = "landmarks"
    detector_from: float = 0.3
    detector_share: float = 0.2
    freeze: bool = False

    def __post_init__(self) -> None:
        require_within(self, 0, 1, "detector_from", "detector_share")


@dataclass(frozen=True, slots=True)
class PainterTraining:
    """The stages after all others, in which those detail painters learn that the model has.

    part: which of them learn: "mouths", "eyes" or "all"; "enlarger": only what enlarges the paint of mouths.
    steps: of each painter; 0 leaves all as they are. enlarger_steps: of an enlarger, after its painter.
    alone: of either, the first ones, without a discriminator. None is more than the run's own steps, so that
        a trial run stays short.
    only: the run has no other stage; the rest of the network stays that of the weights it begins with.
    per_clip: pairs of frames that are collected of a clip, whose mouths or eyes are wide enough; each takes
        0.1 MB. batch_size: mouths or eyes in a step. learning_rate: of the painter, twice that in the steps
        alone.
    discriminator_rate: of the discriminator. decay_from, final_rate: as in the schedule. ema: decay of the
        weights' moving average, which is the result.
    pixel, perceptual, gan, projected, feature_matching, roughness: loss weights: L1 inside, differences to
        the perceptual network, adversarial by patches and by that network's features, feature matching, R1
        penalty.
    faded, colour, blurred: as in augmentation; the share of pairs that are made softer.
    """

    part: Literal["all", "mouths", "eyes", "enlarger"] = "all"
    steps: int = 3500
    enlarger_steps: int = 2000
    alone: int = 350
    only: bool = False
    per_clip: int = 28
    batch_size: int = 8
    learning_rate: float = 5e-4
    discriminator_rate: float = 6e-4
    decay_from: float = 0.6
    final_rate: float = 0.05
    ema: float = 0.998
    pixel: float = 5.0
    perceptual: float = 1.5
    gan: float = 0.4
    projected: float = 0.1
    feature_matching: float = 1.0
    roughness: float = 0.03
    faded: float = 0.35
    colour: float = 0.12
    blurred: float = 0.35

    def __post_init__(self) -> None:
        require_within(
            self,
            0,
            1e6,
            "steps",
            "enlarger_steps",
            "alone",
            "pixel",
            "perceptual",
            "gan",
            "projected",
            "feature_matching",
            "roughness",
        )
        require_within(self, 1, 1e6, "per_clip", "batch_size")
        require_within(self, 0, 1, "learning_rate", "discriminator_rate", "decay_from", "final_rate", "ema")
        require_within(self, 0, 1, "faded", "colour", "blurred")

    def after(self, steps: int) -> "PainterTraining":
        """The stage after a run of so many steps."""
        if self.only:
            return self
        fewer = {name: min(getattr(self, name), steps) for name in ("steps", "enlarger_steps", "alone")}
        return replace(self, **fewer)

    def rate(self, share: float) -> float:
        """The factor of the learning rates when a share of the steps, in [0, 1], is done."""
        late = max(0.0, share - self.decay_from) / max(1 - self.decay_from, 1e-6)
        return 1 - late * (1 - self.final_rate)

"""What a training run is made of. `RunConfig` is the whole; its defaults are the `lite` recipe."""

from dataclasses import dataclass, field

# Face-mesh points that the keypoints are trained to be: head, then lids, eye corners, mouth corners, lips.
LANDMARKS = (10, 152, 234, 454, 105, 334, 1, 159, 386, 145, 374, 33, 263, 61, 291, 13, 14, 0, 17)
MIRRORED = {234: 454, 105: 334, 159: 386, 33: 263, 61: 291, 145: 374}
HEAD_LANDMARKS = 7
# How clips are cropped that `mcnet preprocess` makes: `animate` crops the same way.
FRAMING = {"face_height": 0.53, "center_x": 0.50, "center_y": 0.54}


def mirror_order() -> list[int]:
    """For each keypoint, the one that takes its place in a mirrored picture."""
    twin = MIRRORED | {right: left for left, right in MIRRORED.items()}
    return [LANDMARKS.index(twin.get(point, point)) for point in LANDMARKS]


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Factors of the loss terms; 0 leaves a term out.

    perceptual: of the prediction, at 128².
    crop_perceptual: the same on a crop around the mouth or the eyes, at full size; a third of it for the
        decoder's own picture.
    warped_perceptual, decoded_perceptual: of the warped source and of the decoder's own picture, at 128²,
        every third step.
    pixel, decoded_pixel, warped_pixel: mean absolute errors, mouth and lids weighted up in the first two.
    keypoints: mean absolute distance of the detector's keypoints to the landmarks.
    consistency: memory values to projected features (ICCV 2023, sec. 3.4).
    openings: occlusion towards 0 inside mouth and eye openings that changed, towards 1 on the rest of the face.
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
    openings: float = 0.5


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """Standard deviations of the random affine, shape and colour changes that both frames of a pair share.

    shape: of the shift of a point by smooth waves, which makes a few people look like many.
    """

    rotation_deg: float = 9.0
    scale: float = 0.10
    anisotropy: float = 0.05
    shear: float = 0.05
    shift: float = 0.07
    shape: float = 0.03
    colour: float = 0.06
    separate_share: float = 0.1


@dataclass(frozen=True, slots=True)
class RunConfig:
    """A training run.

    minutes: the length; schedules follow the share of it that has passed, over resumed runs too.
    steps: ends earlier, if over 0. small_share: of the time at 128², with `small_batch`.
    """

    seed: int = 0
    minutes: float = 90.0
    steps: int = 0
    batch_size: int = 6
    small_batch: int = 12
    small_share: float = 0.45
    learning_rate: float = 6e-4
    warmup_steps: int = 50
    decay_from: float = 0.6
    final_rate: float = 0.04
    clip_norm: float = 20.0
    ema: float = 0.998
    detector_from: float = 0.3
    detector_share: float = 0.6
    expressive_share: float = 0.6
    frames_per_clip: int = 300
    checkpoint_every: int = 200
    sheet_every: int = 400
    losses: LossWeights = field(default_factory=LossWeights)
    augment: AugmentConfig = field(default_factory=AugmentConfig)

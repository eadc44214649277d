"""Factors of the loss terms, for each of the two ways to train."""

import math
from dataclasses import dataclass, fields
from typing import Any


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
    openings: occlusion towards 0 inside mouth and eyes that were closed in the source, towards 1 inside those
        that stay open and on the rest of the face.
    person_pixel, person_outline: mean absolute errors of the source moved by the person's motion alone, as
        `compositing` shows it: of its colours where the target shows the person, and of its matte everywhere.
    background: how much a pixel that shows no person counts in errors of pictures, beside one that does: what
        a moving person uncovers is the plate's business.
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

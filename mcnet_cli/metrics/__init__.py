"""Figures that say how good made pictures are: functions of pictures and points, and networks that judge."""

from mcnet_cli.metrics.image import error_within, flow_agreement, head_flow, l1, psnr, sharpness, ssim
from mcnet_cli.metrics.landmarks import (
    correlation,
    eye_distance,
    gain,
    inner_mouth_mask,
    jitter,
    landmark_distance,
    mouth_mask,
    reach,
    relative_distance,
)
from mcnet_cli.metrics.perceptual import (
    LPIPS,
    PerceptualDistance,
    feature_differences,
    load_lpips,
    load_perceptual,
    unlikeness,
)
from mcnet_cli.metrics.recognition import (
    FACE_PX,
    TEMPLATE,
    Recognizer,
    embedding_cosine,
    embedding_distance,
    five_points,
)

__all__ = [
    "FACE_PX",
    "LPIPS",
    "TEMPLATE",
    "PerceptualDistance",
    "Recognizer",
    "correlation",
    "embedding_cosine",
    "embedding_distance",
    "error_within",
    "eye_distance",
    "feature_differences",
    "five_points",
    "flow_agreement",
    "gain",
    "head_flow",
    "inner_mouth_mask",
    "jitter",
    "l1",
    "landmark_distance",
    "load_lpips",
    "load_perceptual",
    "mouth_mask",
    "psnr",
    "reach",
    "relative_distance",
    "sharpness",
    "ssim",
    "unlikeness",
]

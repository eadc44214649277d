"""Figures that say how good made pictures are: pure functions of pictures and points, and LPIPS."""

from mcnet_cli.metrics.image import l1, psnr, ssim
from mcnet_cli.metrics.landmarks import correlation, landmark_distance
from mcnet_cli.metrics.lpips import LPIPS, load_lpips
from mcnet_cli.metrics.perceptual import EfficientNetLite0, PerceptualDistance, load_perceptual

__all__ = [
    "LPIPS",
    "EfficientNetLite0",
    "PerceptualDistance",
    "correlation",
    "l1",
    "landmark_distance",
    "load_lpips",
    "load_perceptual",
    "psnr",
    "ssim",
]

"""Differences between two pictures, (H, W, 3) uint8 RGB; all are computed in float64 on [0, 1]."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]

WINDOW_PX, SIGMA_PX = 11, 1.5  # SSIM's, as its authors have them
K1, K2 = 0.01, 0.03


def l1(made: Picture, real: Picture) -> float:
    """Mean absolute difference, in [0, 1]."""
    return float(np.abs(_unit(made) - _unit(real)).mean())


def psnr(made: Picture, real: Picture) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1; infinite for equal pictures.

    Squares are taken of floats: in uint8 they would wrap, and small errors look smaller still.
    """
    error = float(np.square(_unit(made) - _unit(real)).mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def ssim(made: Picture, real: Picture) -> float:
    """Structural similarity, at most 1 (Wang et al. 2004, "Image quality assessment").

    Per colour, by an 11 px Gaussian window (sigma 1.5) where it fits whole, for a range of values of 1, the
    mean of all. scikit-image has the same with gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    and data_range=1; its default window is another, and its older default range of 2 gives larger values.

    ValueError for pictures that are smaller than the window.
    """
    if min(made.shape[:2]) < WINDOW_PX:
        raise ValueError(f"SSIM needs pictures of at least {WINDOW_PX} pixels, not {made.shape[:2]}")
    a, b = _unit(made), _unit(real)
    mean_a, mean_b = _windowed(a), _windowed(b)
    variance_a = _windowed(a * a) - mean_a**2
    variance_b = _windowed(b * b) - mean_b**2
    covariance = _windowed(a * b) - mean_a * mean_b
    c1, c2 = K1**2, K2**2
    alike = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    whole = (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    return float((alike / whole).mean())


def _windowed(values: Floats) -> Floats:
    """Weighted means over every window that lies inside the picture."""
    means: Floats = cv2.GaussianBlur(values, (WINDOW_PX, WINDOW_PX), SIGMA_PX)
    margin = WINDOW_PX // 2
    return means[margin:-margin, margin:-margin]


def _unit(picture: Picture) -> Floats:
    return picture.astype(np.float64) / 255

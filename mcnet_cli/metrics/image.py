"""Figures of pictures, (H, W, 3) uint8 RGB: how far two differ, how they moved, and how sharp one is."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture

Floats = NDArray[np.float64]

WINDOW_PX, SIGMA_PX = 11, 1.5  # SSIM's, as its authors have them
K1, K2 = 0.01, 0.03
FLOW_PX = 128  # side of the grey pictures between which optical flow is computed
FLOW_ROWS, FLOW_COLUMNS = slice(24, 110), slice(20, 108)  # of these: the head and what is close around it
STILL_PX = 1e-3  # root mean square of a flow; below, nothing moved: rounding makes flows of that size
# Farnebäck's parameters: pyramid scale, levels, window, iterations, neighbourhood, its sigma, flags.
FLOW = (0.5, 3, 15, 3, 5, 1.2, 0)


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


def error_within(made: Picture, real: Picture, mask: NDArray[np.bool_]) -> float:
    """Sum over the pixels of an (H, W) mask of the absolute difference in [0, 1], averaged over the colours.

    Over the sum for the unmoved source it is an "error over copy": below 1 is better than a still picture.
    """
    return float(np.abs(_unit(made[mask]) - _unit(real[mask])).sum() / 3)


def sharpness(picture: Picture) -> float:
    """Mean absolute Laplacian of the grey picture in levels; blur lowers it, noise raises it."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean())


def head_flow(first: Picture, second: Picture) -> NDArray[np.float32]:
    """(86, 88, 2) optical flow between two pictures of one size, x then y, in pixels at 128 x 128.

    By Farnebäck (SCIA 2003) on grey pictures of 128 x 128, where a square crop of a face shows the head.
    """
    small = [
        cv2.resize(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), (FLOW_PX, FLOW_PX), interpolation=cv2.INTER_AREA)
        for p in (first, second)
    ]
    field: NDArray[np.float32] = cv2.calcOpticalFlowFarneback(small[0], small[1], None, *FLOW)
    return field[FLOW_ROWS, FLOW_COLUMNS]


def flow_agreement(made: NDArray[np.float32], real: NDArray[np.float32]) -> float:
    """Cosine of two optical flows of one shape, as vectors: 1 for the same motion, 0 where one is none."""
    a, b = made.ravel(), real.ravel()
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if min(lengths) < STILL_PX * math.sqrt(a.size):
        return 0.0
    return float(a @ b) / (lengths[0] * lengths[1])


def _windowed(values: Floats) -> Floats:
    """Weighted means over every window that lies inside the picture."""
    means: Floats = cv2.GaussianBlur(values, (WINDOW_PX, WINDOW_PX), SIGMA_PX)
    margin = WINDOW_PX // 2
    return means[margin:-margin, margin:-margin]


def _unit(picture: Picture) -> Floats:
    return picture.astype(np.float64) / 255

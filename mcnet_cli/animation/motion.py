"""Motion: a driving's keypoints over time, all that the network needs of it."""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mcnet_cli.model import Keypoints

Floats = NDArray[np.float32]
SMOOTHING_REACH = 4.0  # sigmas


@dataclass(frozen=True, slots=True)
class Motion:
    """T frames of a driving, without sound, picture or likeness.

    values: (T, K, 2) float32 in [-1, 1] of the crop. jacobians: (T, K, 2, 2) float32, or None for a network
    without them. landmarks: (T, L, 2) float16, [-1, 1] along the longer side of the driving's picture, all
    468 or the telling ones alone, arbitrary where no face was found; None if no detector ran. found: (T,)
    bool, whether there was a face (all True if no detector ran). rate: frames a second. digest: of the
    keypoint detector's parameters.
    """

    values: Floats
    jacobians: Floats | None
    landmarks: NDArray[np.float16] | None
    found: NDArray[np.bool_]
    rate: Fraction
    digest: str

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice | NDArray[Any]) -> "Motion":
        """Some of the frames, at the same rate."""
        return replace(
            self,
            values=self.values[rows],
            jacobians=None if self.jacobians is None else self.jacobians[rows],
            landmarks=None if self.landmarks is None else self.landmarks[rows],
            found=self.found[rows],
        )

    def held(self) -> "Motion":
        """Frames without a face repeat the last one with a face; before the first, the first one."""
        rows = np.where(self.found, np.arange(len(self)), -1)
        rows = np.maximum.accumulate(rows)
        rows[rows < 0] = int(self.found.argmax())
        return replace(
            self,
            values=self.values[rows],
            jacobians=None if self.jacobians is None else self.jacobians[rows],
        )

    def smoothed(self, sigma: float) -> "Motion":
        """Keypoints averaged over time by a Gaussian of `sigma` frames; both ends are repeated."""
        if sigma <= 0:
            return self
        return replace(
            self,
            values=_smooth(self.values, sigma),
            jacobians=None if self.jacobians is None else _smooth(self.jacobians, sigma),
        )

    def keypoints(self, rows: slice | int, device: torch.device | str = "cpu") -> Keypoints:
        """Keypoints of some frames; of one frame as a batch of one."""
        if isinstance(rows, int):
            rows = slice(rows, rows + 1)
        values = torch.from_numpy(self.values[rows]).to(device)
        if self.jacobians is None:
            return Keypoints(values)
        return Keypoints(values, torch.from_numpy(self.jacobians[rows]).to(device))


def _smooth(series: Floats, sigma: float) -> Floats:
    radius = max(1, round(SMOOTHING_REACH * sigma))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    last = len(series) - 1
    smooth = np.zeros(series.shape, np.float64)
    for offset, weight in zip(range(-radius, radius + 1), weights, strict=True):
        smooth += weight * series[np.clip(np.arange(len(series)) + offset, 0, last)]
    return smooth.astype(np.float32)

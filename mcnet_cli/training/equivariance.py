"""Random smooth transforms that keypoints have to follow (FOMM, NeurIPS 2019, sec. 3.3)."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from mcnet_cli.model.geometry import coordinate_grid, full_precision, grid_sample


@dataclass(frozen=True, slots=True)
class RandomTransform:
    """An affine map plus a thin-plate bend, one for each picture of a batch.

    T(z) = θ[:, :2]·z + θ[:, 2] + Σ_i w_i d_i² log(d_i + 1e-6), the same bend on x and y, where d_i is the
    L1 distance to the i-th of n·n control points over [-1, 1]², row-major with x fastest.

    theta: (B, 2, 3), near the identity. weights: (B, n²), near zero.
    """

    theta: Tensor
    weights: Tensor

    @classmethod
    def draw(
        cls,
        batch: int,
        rng: np.random.Generator,
        *,
        affine: float = 0.05,
        bend: float = 0.005,
        points: int = 5,
    ) -> Self:
        """Transforms of `batch` pictures.

        affine, bend: standard deviations of θ - I and of the weights. points: control points a side.
        """
        theta = np.eye(2, 3) + rng.normal(0, affine, (batch, 2, 3))
        weights = rng.normal(0, bend, (batch, points**2))
        return cls(torch.from_numpy(theta).float(), torch.from_numpy(weights).float())

    def to(self, device: torch.device) -> "RandomTransform":
        """The transforms on another device."""
        return RandomTransform(self.theta.to(device), self.weights.to(device))

    def warp_points(self, points: Tensor) -> Tensor:
        """T of (B, N, 2) points, or of (1, N, 2) for all pictures alike: (B, N, 2)."""
        side = round(self.weights.shape[1] ** 0.5)
        controls = coordinate_grid(side, side, like=points).flatten(0, 1)
        distances = (points[:, :, None] - controls).abs().sum(-1)
        bends = distances.square() * torch.log(distances + 1e-6)
        with full_precision(points):
            moved = points @ self.theta[:, :, :2].mT + self.theta[:, None, :, 2]
            return moved + bends @ self.weights[:, :, None]

    def transform_frames(self, frames: Tensor) -> Tensor:
        """T∘frame: (B, C, H, W) sampled at T(grid), mirrored at the borders."""
        height, width = frames.shape[2:]
        grid = coordinate_grid(height, width, like=self.theta).reshape(1, -1, 2)
        places = self.warp_points(grid).reshape(-1, height, width, 2)
        return grid_sample(frames, places, padding_mode="reflection", align_corners=False)

    def jacobian(self, points: Tensor) -> Tensor:
        """∂T_i/∂z_j at (B, N, 2) points: (B, N, 2, 2). Gradient flows through it to the points."""
        warped, pull_back = torch.func.vjp(self.warp_points, points)  # type: ignore[misc]
        axes = torch.eye(2, dtype=warped.dtype, device=warped.device)
        return torch.stack([pull_back(axis.expand_as(warped))[0] for axis in axes], dim=-2)

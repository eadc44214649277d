"""Random geometry and colour, the same for both frames of a pair (but for a small share of geometry)."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mcnet_cli.training.config import AugmentConfig
from mcnet_cli.training.dataset import Pairs


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step sees: pictures (B, 3, S, S) in [0, 1], landmarks (B, 468, 2) in [-1, 1].

    mirrored: (B,) which pairs were flipped, so that left landmarks are now right ones.
    """

    source: Tensor
    driving: Tensor
    source_points: Tensor
    driving_points: Tensor
    mirrored: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The batch on another device."""
        return Batch(*(getattr(self, name).to(device, non_blocking=True) for name in Batch.__slots__))


def random_affines(rng: np.random.Generator, config: AugmentConfig, flips: np.ndarray) -> np.ndarray:
    """(B, 2, 3) maps from output to input coordinates in [-1, 1]."""
    batch = len(flips)
    angle = np.radians(rng.normal(0, config.rotation_deg, batch))
    scale = np.exp(rng.normal(0, config.scale, batch))
    stretch = np.exp(rng.normal(0, config.anisotropy, batch))
    shear = rng.normal(0, config.shear, batch)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], 1)
    form = np.zeros((batch, 2, 2))
    form[:, 0, 0], form[:, 0, 1], form[:, 1, 1] = scale * stretch, shear, scale / stretch
    matrix = turn @ form
    matrix[flips, :, 0] *= -1
    shift = rng.normal(0, config.shift, (batch, 2, 1))
    return np.concatenate([matrix, shift], axis=2).astype(np.float32)


def augment(pairs: Pairs, size: int, config: AugmentConfig, rng: np.random.Generator) -> Batch:
    """Pairs to a batch at `size`, with random geometry and colour."""
    count = len(pairs.source)
    flips = rng.random(count) < 0.5
    shared = random_affines(rng, config, flips)
    separate = rng.random(count) < config.separate_share
    other = np.where(separate[:, None, None], random_affines(rng, config, flips), shared)
    colour = _random_colour(count, config.colour, rng)
    shape = ShapeWarp.draw(count, config.shape, rng)
    source, source_points = _transformed(pairs.source, pairs.source_points, shared, shape, size)
    driving, driving_points = _transformed(pairs.driving, pairs.driving_points, other, shape, size)
    return Batch(colour(source), colour(driving), source_points, driving_points, torch.from_numpy(flips))


@dataclass(frozen=True, slots=True)
class ShapeWarp:
    """A smooth change of shape, the same for both frames: a few people look like many.

    z + Σ amplitude · sin(frequency · z + phase); all are (B, WAVES, 2), frequencies under one wave a picture.
    """

    amplitudes: Tensor
    frequencies: Tensor
    phases: Tensor

    @classmethod
    def draw(cls, count: int, deviation: float, rng: np.random.Generator) -> "ShapeWarp":
        """Random warps of `count` pictures; deviation: of the shift of a point, in [-1, 1] coordinates."""
        shape, waves = (count, 4, 2), 4
        numbers = (
            rng.normal(0, deviation * (2 / waves) ** 0.5, shape),
            rng.uniform(-3, 3, shape),
            rng.uniform(0, 2 * np.pi, shape[:2]),
        )
        return cls(*(torch.from_numpy(n).float() for n in numbers))

    def __call__(self, points: Tensor) -> Tensor:
        """(B, ..., 2) output coordinates to where their colour comes from."""
        waves = torch.sin(torch.einsum("b...c,bwc->b...w", points, self.frequencies) + self._phase(points))
        return points + torch.einsum("b...w,bwc->b...c", waves, self.amplitudes)

    def inverse(self, points: Tensor) -> Tensor:
        """The opposite way, by fixed-point iteration: the slope of the waves is well under 1."""
        found = points
        for _ in range(8):
            found = points - (self(found) - found)
        return found

    def _phase(self, points: Tensor) -> Tensor:
        return self.phases.reshape(len(points), *[1] * (points.ndim - 2), -1)


def _transformed(
    frames: np.ndarray, points: np.ndarray, affine: np.ndarray, shape: ShapeWarp, size: int
) -> tuple[Tensor, Tensor]:
    side = frames.shape[1]
    pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    if side > size:
        pictures = F.avg_pool2d(pictures, side // size)
    theta = torch.from_numpy(affine)
    identity = torch.eye(2, 3).expand_as(theta)
    grid = shape(F.affine_grid(identity, [len(frames), 3, size, size], align_corners=True))
    grid = torch.einsum("bij,bhwj->bhwi", theta[:, :, :2], grid) + theta[:, None, None, :, 2]
    pictures = F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=True)
    coordinates = torch.from_numpy(points) * (2 / (side - 1)) - 1
    inverse = torch.linalg.inv(theta[:, :, :2])
    return pictures, shape.inverse((coordinates - theta[:, None, :, 2]) @ inverse.transpose(1, 2))


def _random_colour(count: int, deviation: float, rng: np.random.Generator):  # type: ignore[no-untyped-def]
    matrix = torch.from_numpy(np.eye(3) + rng.normal(0, deviation, (count, 3, 3))).float()
    gain = torch.from_numpy(np.exp(rng.normal(0, 1.5 * deviation, (count, 1, 1, 1)))).float()
    offset = torch.from_numpy(rng.normal(0, 0.5 * deviation, (count, 1, 1, 1))).float()
    gamma = torch.from_numpy(np.exp(rng.normal(0, 1.5 * deviation, (count, 1, 1, 1)))).float()

    def apply(pictures: Tensor) -> Tensor:
        mixed = torch.einsum("bij,bjhw->bihw", matrix, pictures)
        return (mixed * gain + offset).clamp(1e-4, 1).pow(gamma)

    return apply

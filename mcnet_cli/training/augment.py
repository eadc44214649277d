"""Augmentation: random changes of geometry and colour, mostly shared by both frames of a pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mcnet_cli.face import glanced_matte
from mcnet_cli.model.detail_painter import BRIGHTNESS
from mcnet_cli.model.geometry import grid_sample
from mcnet_cli.training.config import AugmentConfig
from mcnet_cli.training.frames import as_tensor
from mcnet_cli.training.sampling import Pair, rng_of


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step sees: pictures (B, 3, S, S) in [0, 1], landmarks (B, 478, 2) in [-1, 1].

    mirrored: (B,) which pairs were flipped, so that left landmarks are now right ones.
    numbers: (B,) of the pairs in the run: what else is random of a pair follows from its number.
    clips: names of the pairs' clips.
    source_people, driving_people: (B, 1, S, S) in [0, 1], the person's share of each pixel; None where nobody
        asked for it.
    Pictures and people are on the device that computes, all else on the CPU.
    """

    source: Tensor
    driving: Tensor
    source_points: Tensor
    driving_points: Tensor
    mirrored: Tensor
    numbers: Tensor
    clips: tuple[str, ...]
    source_people: Tensor | None = None
    driving_people: Tensor | None = None


Drawn = TypeVar("Drawn", "ShapeWarp", "ColourChange")


def joined(drawn: Sequence[Drawn]) -> Drawn:
    """What was drawn for each picture as one for a whole batch, field by field."""
    kind = type(drawn[0])
    return kind(*(torch.cat([getattr(one, name) for one in drawn]) for name in kind.__slots__))


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


def augment(
    pairs: Sequence[Pair],
    size: int,
    config: AugmentConfig,
    seed: int,
    device: torch.device,
    *,
    people: bool = False,
) -> Batch:
    """Pairs to a batch at `size`; geometry and colour depend on the seed and the pairs' numbers.

    people: whether the batch has mattes.
    """
    drawn = [_Drawn.draw(rng_of(seed, pair.number, 2), config) for pair in pairs]
    mirrored = np.array([one.mirrored for one in drawn])
    shape = joined([one.shape for one in drawn]) if config.shape else None
    colour = joined([one.colour for one in drawn]) if config.colour or config.faded else None
    pictures, points, mattes = [], [], []
    for frames, places, affines in (
        ("source", "source_points", [one.source for one in drawn]),
        ("driving", "driving_points", [one.driving for one in drawn]),
    ):
        picture, found = _transformed(
            np.stack([getattr(pair, frames) for pair in pairs]),
            np.stack([getattr(pair, places) for pair in pairs]),
            np.concatenate(affines),
            shape,
            size,
            device,
            exact=not config.is_geometric,
        )
        mattes.append(_people_in(picture) if people else None)
        pictures.append(colour(picture) if colour else picture)
        points.append(found)
    if config.jitter:
        pictures = jittered(pictures, [one.jitter for one in drawn])
    numbers = torch.tensor([pair.number for pair in pairs])
    names = tuple(pair.clip for pair in pairs)
    return Batch(
        pictures[0], pictures[1], points[0], points[1], torch.from_numpy(mirrored), numbers, names, *mattes
    )


def _people_in(pictures: Tensor) -> Tensor:
    """(B, 1, S, S) mattes of (B, 3, S, S) pictures."""
    frames = (255 * pictures).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return torch.from_numpy(np.stack([glanced_matte(frame) for frame in frames]))[:, None].to(pictures)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The random changes of one pair. source, driving: (1, 2, 3) affines."""

    mirrored: bool
    source: np.ndarray
    driving: np.ndarray
    shape: "ShapeWarp"
    colour: "ColourChange"
    jitter: "Jitter"

    @classmethod
    def draw(cls, rng: np.random.Generator, config: AugmentConfig) -> "_Drawn":
        flips = rng.random(1) < config.flip
        shared = random_affines(rng, config, flips)
        other = random_affines(rng, config, flips) if rng.random() < config.separate_share else shared
        colour = ColourChange.draw(1, config.colour, config.faded, rng)
        shape = ShapeWarp.draw(1, config.shape, rng)
        return cls(bool(flips[0]), shared, other, shape, colour, Jitter.draw(config.jitter, rng))


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
    frames: np.ndarray,
    points: np.ndarray,
    affine: np.ndarray,
    shape: ShapeWarp | None,
    size: int,
    device: torch.device,
    *,
    exact: bool,
) -> tuple[Tensor, Tensor]:
    """Pictures on `device`, points on the CPU. exact: there is mirroring alone: nothing is interpolated."""
    side = frames.shape[1]
    pictures = as_tensor(frames, device)
    if side > size:
        pictures = F.avg_pool2d(pictures, side // size)
    theta = torch.from_numpy(affine)
    coordinates = torch.from_numpy(points) * (2 / (side - 1)) - 1
    if exact:
        mirrored = theta[:, 0, 0] < 0
        here = mirrored.to(device)[:, None, None, None]
        return torch.where(here, pictures.flip(3), pictures), coordinates * theta[:, :, :2].diagonal(0, 1, 2)[
            :, None
        ]
    identity = torch.eye(2, 3).expand_as(theta)
    grid = F.affine_grid(identity, [len(frames), 3, size, size], align_corners=True)
    grid = shape(grid) if shape else grid
    grid = torch.einsum("bij,bhwj->bhwi", theta[:, :, :2], grid) + theta[:, None, None, :, 2]
    pictures = grid_sample(pictures, grid.to(device), padding_mode="border", align_corners=True)
    inverse = torch.linalg.inv(theta[:, :, :2])
    moved = (coordinates - theta[:, None, :, 2]) @ inverse.transpose(1, 2)
    return pictures, shape.inverse(moved) if shape else moved


@dataclass(frozen=True, slots=True)
class ColourChange:
    """(B, 3, 3) colour matrices, and gains, offsets and gammas of (B, 1, 1, 1)."""

    matrix: Tensor
    gain: Tensor
    offset: Tensor
    gamma: Tensor

    @classmethod
    def draw(cls, count: int, deviation: float, faded: float, rng: np.random.Generator) -> "ColourChange":
        """Of `count` pictures.

        deviation: of the matrix's entries, from which the others follow. faded: share of pictures whose
        colours are drawn towards grey, by anything from not at all to wholly.
        """
        fading = (rng.random((count, 1, 1)) < faded) * rng.random((count, 1, 1))
        matrix = np.eye(3) * (1 - fading) + np.array(BRIGHTNESS) * fading
        matrix = (np.eye(3) + rng.normal(0, deviation, (count, 3, 3))) @ matrix
        gain, gamma = np.exp(rng.normal(0, 1.5 * deviation, (2, count, 1, 1, 1)))
        offset = rng.normal(0, 0.5 * deviation, (count, 1, 1, 1))
        return cls(*(torch.from_numpy(numbers).float() for numbers in (matrix, gain, offset, gamma)))

    def __call__(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], likewise."""
        matrix, gain, offset, gamma = (getattr(self, name).to(pictures.device) for name in self.__slots__)
        mixed = torch.einsum("bij,bjhw->bihw", matrix, pictures)
        changed: Tensor = (mixed * gain + offset).clamp(1e-4, 1).pow(gamma)
        return changed


@dataclass(frozen=True, slots=True)
class Jitter:
    """Changes of one pair in the order in which they are applied: names with factors (of the hue: a turn)."""

    changes: tuple[tuple[str, float], ...]

    @classmethod
    def draw(cls, reach: float, rng: np.random.Generator) -> "Jitter":
        """Brightness, contrast and saturation by 1 ± `reach`, hue by ± `reach` of a turn, in random order."""
        amounts = {name: 1 + rng.uniform(-reach, reach) for name in ("brightness", "contrast", "saturation")}
        amounts["hue"] = rng.uniform(-reach, reach)
        names = [*amounts]
        return cls(tuple((names[i], float(amounts[names[i]])) for i in rng.permutation(4)))


def jittered(pictures: Sequence[Tensor], jitters: Sequence[Jitter]) -> list[Tensor]:
    """Each of `pictures`, (B, 3, H, W) in [0, 1], with the same jitters, one a row."""
    changed = []
    for batch in pictures:
        rows = []
        for picture, jitter in zip(batch, jitters, strict=True):
            for name, amount in jitter.changes:
                picture = _adjusted(picture, name, amount).clamp(0, 1)
            rows.append(picture)
        changed.append(torch.stack(rows))
    return changed


def _adjusted(picture: Tensor, name: str, amount: float) -> Tensor:
    """A picture with one of a jitter's changes."""
    if name == "hue":
        return _hue(picture, amount)
    if name == "brightness":
        return picture * amount
    grey = (picture * picture.new_tensor(BRIGHTNESS)[:, None, None]).sum(0, keepdim=True)
    return picture * amount + (grey.mean() if name == "contrast" else grey) * (1 - amount)


def _hue(picture: Tensor, turn: float) -> Tensor:
    """Turns the hue of the HSV hexcone; value and chroma stay."""
    value, low = picture.amax(0), picture.amin(0)
    chroma = value - low
    red, green, blue = (picture - low) / chroma.clamp_min(1e-8)
    sector = torch.where(
        value == picture[0], green - blue, torch.where(value == picture[1], blue - red + 2, red - green + 4)
    )
    sector = sector + 6 * turn
    # each channel falls and rises over the six sectors, two sectors after the one before
    channels = []
    for offset in (5, 3, 1):
        place = (sector + offset) % 6
        channels.append(value - chroma * torch.minimum(place, 4 - place).clamp(0, 1))
    return torch.stack(channels)

"""Random colours: a matrix with gain, offset and gamma, and the paper's jitter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mcnet_cli.compositing.tone import BRIGHTNESS


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

    @classmethod
    def joined(cls, changes: Sequence["ColourChange"]) -> "ColourChange":
        """The changes of all as those of one batch."""
        return cls(*(torch.cat([getattr(change, name) for change in changes]) for name in cls.__slots__))

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
                picture = _CHANGES[name](picture, amount).clamp(0, 1)
            rows.append(picture)
        changed.append(torch.stack(rows))
    return changed


def _grey(picture: Tensor) -> Tensor:
    return (picture * picture.new_tensor(BRIGHTNESS)[:, None, None]).sum(0, keepdim=True)


def _brightness(picture: Tensor, factor: float) -> Tensor:
    return picture * factor


def _contrast(picture: Tensor, factor: float) -> Tensor:
    return picture * factor + _grey(picture).mean() * (1 - factor)


def _saturation(picture: Tensor, factor: float) -> Tensor:
    return picture * factor + _grey(picture) * (1 - factor)


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


_CHANGES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "hue": _hue,
}

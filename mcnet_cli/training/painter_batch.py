"""Batches of mouths or eyes that a detail painter learns from, as it sees them, and their augmentation."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcnet_cli.model.detail_paint import Painted
from mcnet_cli.model.detail_painter import DetailPainter, limit
from mcnet_cli.model.detail_shape import FAR, Shape
from mcnet_cli.training.augment import ColourChange
from mcnet_cli.training.objective_config import PainterTraining
from mcnet_cli.training.painter_data import FacePart
from mcnet_cli.training.painter_squares import PainterData

# Standard deviations of the blur that makes pairs softer, in pixels.
BLUR_PX = 0.3, 1.7


@dataclass(frozen=True, slots=True)
class PainterBatch:
    """A batch of moved mouths or eyes as the painter sees them.

    warped, real: (B, 3, S, S) in [0, 1]. shape: the drivings'. inside: (B, 1, S, S), what may be painted.
    sources, source_shape: the sources' own.
    """

    warped: Tensor
    real: Tensor
    shape: Shape
    inside: Tensor
    sources: Tensor
    source_shape: Shape

    def paint(self, painter: DetailPainter) -> Painted:
        """What `painter` paints in the squares."""
        source = painter.encode(self.sources, self.source_shape)
        painted: Painted = painter(self.warped, self.shape, source)
        return painted.finished()

    def enlarged(self, painter: DetailPainter, enlarger: nn.Module) -> Painted:
        """What `enlarger` makes of what is painted, or really there in every other square, at half the size.

        Edges look alike at all sizes, and these are known at twice the size.
        """
        with torch.no_grad():
            paint = self.paint(painter)
            is_real = torch.arange(len(self.real), device=self.real.device)[:, None, None, None] % 2 > 0
            colours = F.avg_pool2d(torch.where(is_real, self.real, paint.colours), 2)
            distances = torch.cat(self.shape.distances(self.warped.shape[-1]), 1) / FAR
            small = Painted(colours, F.avg_pool2d(torch.where(is_real, 1, paint.share), 2))
        made: Painted = enlarger(small, self.warped, distances)
        return made


def batch_of(part: FacePart, data: PainterData, chosen: Tensor, device: torch.device) -> PainterBatch:
    """The chosen pairs without augmentation."""
    of = data.of[chosen]
    warped, real, sources = (
        pictures.to(device).float() / 255
        for pictures in (data.warped[chosen], data.real[chosen], data.sources[of])
    )
    shape = part.shape(data.points[chosen].to(device), data.arcs[chosen].to(device))
    own = part.shape(data.source_points[of].to(device), data.source_arcs[of].to(device))
    inside, _ = shape.distances(warped.shape[-1], step=2)
    return PainterBatch(warped, real, shape, limit(inside), sources, own)


def augmented(batch: PainterBatch, setting: PainterTraining, rng: np.random.Generator) -> PainterBatch:
    """The batch with pairs mirrored, recoloured and blurred at random, source and driving alike."""
    count = len(batch.warped)
    colour = ColourChange.draw(count, setting.colour, setting.faded, rng)
    flipped = torch.from_numpy(rng.random(count) < 0.5).to(batch.warped.device)
    sigma = rng.uniform(*BLUR_PX, count) * (rng.random(count) < setting.blurred)
    pictures = [
        _softened(_mirrored(colour(each), flipped), sigma)
        for each in (batch.warped, batch.real, batch.sources)
    ]
    shapes = [_mirrored_shape(shape, flipped) for shape in (batch.shape, batch.source_shape)]
    inside = _mirrored(batch.inside, flipped)
    return PainterBatch(pictures[0], pictures[1], shapes[0], inside, pictures[2], shapes[1])


def _mirrored(pictures: Tensor, flipped: Tensor) -> Tensor:
    return torch.where(flipped[:, None, None, None], pictures.flip(3), pictures)


def _mirrored_shape(shape: Shape, flipped: Tensor) -> Shape:
    other = shape.mirrored()
    points = torch.where(flipped[:, None, None], other.points, shape.points)
    return type(shape)(points, torch.where(flipped[:, None, None, None], other.arcs, shape.arcs))


def _softened(pictures: Tensor, sigma: np.ndarray) -> Tensor:
    """(B, 3, H, W) pictures, each blurred by a Gaussian of its own sigma in pixels; 0 leaves it as it is."""
    reach = math.ceil(3 * BLUR_PX[1])
    offsets = torch.arange(-reach, reach + 1, device=pictures.device)
    widths = torch.from_numpy(sigma).to(pictures).clamp_min(1e-3)
    line = torch.exp(-offsets.square() / (2 * widths[:, None].square()))
    line = (line / line.sum(1, keepdim=True)).repeat_interleave(3, 0)
    flat = F.pad(pictures, (reach,) * 4, mode="replicate").flatten(0, 1)[None]
    flat = F.conv2d(flat, line[:, None, None, :], groups=len(line))
    flat = F.conv2d(flat, line[:, None, :, None], groups=len(line))
    return flat.reshape(pictures.shape)

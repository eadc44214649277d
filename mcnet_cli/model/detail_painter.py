"""The detail painters: small networks that paint the inside of mouths, and eyes, at the portrait's own size.

It is MCNet's memory compensation at a finer scale (ICCV 2023, sec. 3.2): a learned bank of tokens,
conditioned by a style of the source, is read by attention to complete what warping the source can't show. The
source's own tokens are read beside it, so that colours and teeth are the person's where the source has them.
A painter sees a square around the mouth or eye (`mouth_shape`, `eye_shape`) of the warped source, and the
outlines in it.

It doesn't paint colours but light and shares of chromas that it takes from the portrait, such as the skin's:
what it paints in a grey portrait is grey, and tinted in one that is tinted.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mcnet_cli.model.config import PainterConfig
from mcnet_cli.model.detail_layers import SLOPE, Residual, TokenMemory, active, convolution, scaled, strided
from mcnet_cli.model.detail_paint import DetailEnlarger, Painted
from mcnet_cli.model.detail_shape import COARSE, FAR, Shape, pixel_places
from mcnet_cli.model.geometry import constant, full_precision, ramp, smooth_ramp
from mcnet_cli.model.windows import Window, grown, seen_from

# Paint has its whole share from so far inside of lips or lids on, none from so far outside; in widths.
INSIDE, OUTSIDE = -0.035, 0.01
# Distances from the outlines, in widths, between which skin and lips show their colours.
SKIN, LIPS = (0.05, 0.3), (0.02, 0.0)
# Weights of red, green and blue in the brightness (ITU-R BT.601), and the least that chroma is divided by.
BRIGHTNESS, DARK = (0.299, 0.587, 0.114), 0.05
# Longest chroma of lips that is believed; lipstick would make gums glow.
REDDEST_LIPS = 0.7
# Largest share of the lips' chroma in what is painted: tongues are redder than lips.
REDDEST = 1.5
# Chromas that irises are mixed of, towards red and towards blue, which leave the brightness as it is. They
# count as far as the skin has chroma, wholly from the last number on: an iris in a grey picture is grey.
REDDER, BLUER, COLOURFUL = (0.701, -0.299, -0.299), (-0.114, -0.114, 0.886), 0.25
DESCRIBED = 6  # numbers of `Shape.described`
# Pixels around a window from which on features at half the size, and at the whole one, are computed for it:
# their convolutions reach as far. The first is a multiple of four, the second of two.
REACHED_AT_HALF, REACHED_AT_WHOLE = 12, 4


@dataclass(frozen=True, slots=True)
class SourceDetail:
    """All that a painter needs of a source.

    tokens: (B, N, C) of its own mouth or eye. style: (B, C). shape: where that is, in coordinates of its
    square.
    """

    tokens: Tensor
    style: Tensor
    shape: Shape

    def expand(self, batch: int) -> "SourceDetail":
        """The same for `batch` frames; no copy is made."""

        def expanded(values: Tensor) -> Tensor:
            return values.expand(batch, *values.shape[1:])

        return SourceDetail(expanded(self.tokens), expanded(self.style), self.shape.map(expanded))


@dataclass(frozen=True, slots=True)
class Tints:
    """What a painter mixes colours of, (B, 3, 1, 1) each.

    fill: a colour that covers what the source doesn't show. chromas: colours less their brightness, over it.
    """

    fill: Tensor
    chromas: tuple[Tensor, ...]


class DetailPainter(nn.Module):
    """Paints the inside of a shape in squares of `config.size` pixels a side, of the warped source.

    Subclasses say what of a shape the source hides, and of which chromas they mix colours.

    SHUT: opening of the source's shape over its width: below the first number it is shut, and all that is
    inside the driving's is painted; from the second on the network decides what of the warped source stays.
    STRETCHED: ratio of the driving's opening to that: between these, and from the second on, all is painted
    again. CHROMAS: how many are mixed.
    """

    SHUT: ClassVar[tuple[float, float]]
    STRETCHED: ClassVar[tuple[float, float]]
    CHROMAS: ClassVar[int]

    def __init__(self, config: PainterConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.channels
        self.config = config
        self.source = nn.ModuleList(
            strided(inputs, outputs) for inputs, outputs in pairwise((4, 16, 32, 64, coarse))
        )
        self.places = nn.Parameter(torch.empty((config.size // 16) ** 2, coarse))
        nn.init.normal_(self.places, std=0.02)
        self.style = nn.Sequential(
            nn.Linear(coarse + DESCRIBED, coarse), nn.LeakyReLU(SLOPE), nn.Linear(coarse, coarse)
        )
        self.described = nn.Linear(2 * DESCRIBED, coarse)
        self.first = scaled(nn.Conv2d(INPUTS, fine, 6, 2, padding=2), 1.0)
        self.down_middle, self.middle = strided(fine, middle), Residual(middle)
        self.down_coarse, self.coarse = strided(middle, coarse), Residual(coarse)
        self.memory = TokenMemory(coarse, config.tokens)
        self.styled = nn.ModuleList(Residual(coarse, styled=True) for _ in range(2))
        self.up_middle, self.joined_middle = convolution(coarse + middle, middle), Residual(middle)
        self.up_fine, self.joined_fine = convolution(middle + fine, fine), Residual(fine)
        narrow = fine // 3
        self.up_full = nn.Conv2d(fine, 4 * narrow, 1)
        self.beside = convolution(INPUTS, narrow)
        self.last = convolution(2 * narrow, narrow)
        self.out = nn.Conv2d(narrow, 2 + self.CHROMAS, 3, padding=1)
        self.enlarger = DetailEnlarger(config.enlarger) if config.enlarger else None

    def tints(self, picture: Tensor, inner: Tensor, outer: Tensor) -> Tints:
        """What colours are mixed of, in a (B, 3, S, S) picture with a shape's distances."""
        raise NotImplementedError

    def shares(self, values: list[Tensor]) -> list[Tensor]:
        """How much of each chroma there is, of what the network says, (B, 1, S, S) each."""
        raise NotImplementedError

    def hidden(self, source: Shape, driving: Shape) -> Tensor:
        """(B,) in [0, 1]: 1 if the source shows nothing, or too little, of what the driving shows."""
        shut = 1 - ramp(source.opening, *self.SHUT)
        wider = driving.opening / source.opening.clamp_min(self.SHUT[0])
        return torch.maximum(shut, ramp(wider, *self.STRETCHED))

    def encode(self, picture: Tensor, shape: Shape) -> SourceDetail:
        """All that depends on the source alone.

        picture: (B, 3, S, S) in [0, 1], the square around its own shape, which is in that square's
        coordinates.
        """
        inner, _ = shape.distances(self.config.size)
        x = self._laid_out(torch.cat([2 * picture - 1, inner / FAR], 1))
        for layer in self.source:
            x = active(layer(x))
        style = self.style(torch.cat([x.mean((2, 3)), shape.described().to(x.dtype)], 1))
        return SourceDetail(rearrange(x, "b c h w -> b (h w) c") + self.places, style, shape)

    def _laid_out(self, pictures: Tensor) -> Tensor:
        """Pictures in the weights' precision, as convolutions compute fastest."""
        return pictures.to(self.out.weight.dtype).contiguous(memory_format=torch.channels_last)

    def forward(
        self, warped: Tensor, shape: Shape, source: SourceDetail, window: Window | None = None
    ) -> Painted:
        """What is painted into (B, 3, S, S) squares of the warped source, in [0, 1].

        shape: the driving's, in coordinates of the square. source: of batch B. window: the part of the
        squares that is wanted, from a multiple of four pixels to another; None for all. The last layers,
        which take a third of the time, are computed for it alone.
        """
        size = self.config.size
        window = window or (slice(0, size), slice(0, size))
        wide, near = (grown(window, by, size) for by in (REACHED_AT_HALF, REACHED_AT_WHOLE))
        with full_precision(warped):
            inner, outer = shape.distances(size)
            tints = self.tints(warped.float(), inner, outer)
            inside = limit(inner) * self.hidden(source.shape, shape)[:, None, None, None]
            seen = torch.lerp(warped.float(), tints.fill, inside)  # no stripes of stretched lips to be copied
            places = _places(shape, size)
            inputs = torch.cat([2 * seen - 1, inner / FAR, outer / FAR, places], 1)
            inputs = self._laid_out(inputs)
        described = torch.cat([source.shape.described(), shape.described()], 1)
        style = source.style + self.described(described.to(source.style.dtype))
        fine = active(self.first(inputs))
        middle = self.middle(active(self.down_middle(fine)))
        x = self.coarse(active(self.down_coarse(middle)))
        x = self.memory(x, source.tokens, style)
        for block in self.styled:
            x = block(x, style)
        x = self.joined_middle(active(self.up_middle(_beside(x, middle))))
        x = self.joined_fine(active(self.up_fine(_beside(_cut(x, wide, 4), _cut(fine, wide, 2)))))
        x = F.pixel_shuffle(self.up_full(_cut(x, seen_from(wide, near), 2)), 2)
        x = torch.cat([x, self.beside(_cut(inputs, near))], 1)
        x = self.out(active(self.last(active(x))))
        with full_precision(x):
            light, *values, share = _cut(x, seen_from(near, window)).float().chunk(2 + self.CHROMAS, 1)
            inside = _cut(inside, window)
            mixed = zip(self.shares(values), tints.chromas, strict=True)
            tint = torch.stack([part * chroma for part, chroma in mixed]).sum(0)
            colours = (torch.sigmoid(light) * (1 + tint)).clamp(0, 1)
            return Painted(colours, torch.lerp(torch.sigmoid(share), torch.ones_like(share), inside))

    def enlarged(self, paint: Painted, warped: Tensor, shape: Shape, window: Window | None = None) -> Painted:
        """Finished paint at twice the size, if the painter has an enlarger; else as it is.

        warped: (B, 3, 2·S, 2·S), what the painter saw, at that size. shape, window: as for `forward`.
        """
        if self.enlarger is None:
            return paint
        size = 2 * self.config.size
        rows, columns = window or (slice(0, size // 2), slice(0, size // 2))
        window = slice(2 * rows.start, 2 * rows.stop), slice(2 * columns.start, 2 * columns.stop)
        with full_precision(warped):
            distances = torch.cat(shape.distances(size, 2 * COARSE), 1) / FAR
        enlarged: Painted = self.enlarger(paint, _cut(warped, window), _cut(distances, window))
        return enlarged


class MouthPainter(DetailPainter):
    """Paints the inside of mouths: teeth of the light's tint, tongues as red as the lips."""

    SHUT, STRETCHED, CHROMAS = (0.05, 0.11), (2.0, 3.0), 2

    def tints(self, picture: Tensor, inner: Tensor, outer: Tensor) -> Tints:
        """The chromas of the skin around the lips and of the lips; the lips' colour covers."""
        skin = _mean(picture, (outer > SKIN[0]) & (outer < SKIN[1]))
        lips = _mean(picture, (inner > LIPS[0]) & (outer < LIPS[1]))
        red = _chroma(lips)
        length = red.norm(dim=1, keepdim=True).clamp_min(1e-4)
        return Tints(lips, (_chroma(skin), red * (REDDEST_LIPS / length).clamp_max(1)))

    def shares(self, values: list[Tensor]) -> list[Tensor]:
        """At most all of the skin's chroma, and more of the lips'; never less than nothing of one."""
        pale, red = values
        return [torch.sigmoid(pale), REDDEST * torch.sigmoid(red)]


class EyePainter(DetailPainter):
    """Paints eyes that open: whites of the light's tint, and irises of any hue."""

    SHUT, STRETCHED, CHROMAS = (0.10, 0.17), (1.6, 2.4), 3

    def tints(self, picture: Tensor, inner: Tensor, outer: Tensor) -> Tints:
        """The chroma of the skin around the lids, and two of irises; the skin's colour covers."""
        skin = _mean(picture, (inner > SKIN[0]) & (inner < SKIN[1]))
        chroma = _chroma(skin)
        colourful = (chroma.norm(dim=1, keepdim=True) / COLOURFUL).clamp_max(1)
        red, blue = (constant(way, skin.device)[:, None, None] for way in (REDDER, BLUER))
        return Tints(skin, (chroma, colourful * red, colourful * blue))

    def shares(self, values: list[Tensor]) -> list[Tensor]:
        """At most all of the skin's chroma, and as much of the others either way."""
        pale, red, blue = values
        return [torch.sigmoid(pale), torch.tanh(red), torch.tanh(blue)]


def limit(beyond: Tensor) -> Tensor:
    """How much may be painted, in [0, 1], so that lips and lids keep their edge.

    beyond: distances from the inside in widths of the mouth or eye, inside negative.
    """
    return smooth_ramp(-beyond, -OUTSIDE, -INSIDE)


INPUTS = 9  # channels of what the trunk sees: colours, two distances, places from two anchors


def _places(shape: Shape, size: int) -> Tensor:
    """(B, 4, S, S): x and y of pixels from a shape's two anchors, in its widths."""
    grid = rearrange(pixel_places(size, shape.points), "h w c -> c h w")
    offsets = [grid - shape.points[:, anchor, :, None, None] for anchor in shape.ANCHORS]
    return torch.cat(offsets, 1) / shape.width[:, None, None, None]


def _mean(picture: Tensor, where: Tensor) -> Tensor:
    """(B, 3, 1, 1): the mean colour of a picture where a (B, 1, S, S) map is true."""
    mask = where.float()
    mean: Tensor = (picture * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp_min(1)
    return mean


def _chroma(colour: Tensor) -> Tensor:
    """The colour beyond its brightness, over the brightness."""
    weights = constant(BRIGHTNESS, colour.device)[:, None, None]
    light = (colour * weights).sum(1, keepdim=True)
    return (colour - light) / light.clamp_min(DARK)


def _beside(x: Tensor, skip: Tensor) -> Tensor:
    """x at twice its size beside what the trunk had there."""
    return torch.cat([F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False), skip], 1)


def _cut(x: Tensor, window: Window, pixel: int = 1) -> Tensor:
    """A window of pictures in (B, C, h, w) features of them, in which `pixel` of its pixels are one."""
    rows, columns = (slice(part.start // pixel, part.stop // pixel) for part in window)
    return x[..., rows, columns]

"""Outlines of mouths and eyes, and whether their inside is painted because the source doesn't show it.

Coordinates are those of `geometry`: the picture's side is 2.
"""

from dataclasses import dataclass

import torch
from einops import einsum
from torch import Tensor

from mcnet_cli.model.geometry import ramp
from mcnet_cli.model.windows import Axes, Window, window_around

# How far what belongs to a mouth or an eye reaches over lips and lids, and the width of the fall to nothing
# beyond that, about a cell of dense motion; in coordinates.
EDGE, SOFT_EDGE = 0.03, 0.03
# Least width of a mouth or an eye, in coordinates; narrower ones have no inside. Also the least divisor.
NO_WIDTH = 1e-3
FAR = 10.0  # from anything in a picture, in coordinates


@dataclass(frozen=True, slots=True)
class Opening:
    """What decides whether the inside of a mouth or an eye is painted because the source doesn't show it.

    Each pair is a ramp: nothing up to the first number, everything from the second on. An opening is the
    distance between lips or lids over the width of the mouth or eye.

    shown: opening in the source, from which on the source shows the inside.
    parted: opening in the driving, from which on there is an inside to show.
    widened, beyond: ratio of the opening in the driving to that in the source. `widened`: painting starts,
        because lips and lids that stay shut tremble and their opening alone says little. `beyond`: painted
        even if the source shows the inside; None for never.
    edge: how far the inside reaches over lips or lids, in coordinates.
    """

    shown: tuple[float, float]
    parted: tuple[float, float]
    widened: tuple[float, float]
    beyond: tuple[float, float] | None
    edge: float

    def hidden(self, source: Tensor, driving: Tensor) -> Tensor:
        """(...) in [0, 1]: 1 for an inside that opens and that the source doesn't show.

        source, driving: (..., 4, 2) both corners, upper and lower lip or lid.
        """
        before, after = _opening(source), _opening(driving)
        wider = after / before.clamp_min(NO_WIDTH)
        shown = ramp(before, *self.shown)
        if self.beyond:
            shown = shown * (1 - ramp(wider, *self.beyond))
        opens: Tensor = ramp(after, *self.parted) * ramp(wider, *self.widened)
        return (1 - shown) * opens


MOUTH = Opening(shown=(0.10, 0.15), parted=(0.06, 0.11), widened=(1.4, 2.0), beyond=(1.8, 2.4), edge=0.01)
EYE = Opening(shown=(0.10, 0.17), parted=(0.10, 0.17), widened=(1.4, 2.0), beyond=None, edge=EDGE)


@dataclass(frozen=True, slots=True)
class Outline:
    """The outline of a mouth or an eye: an ellipse, bent like the smile.

    points: (B, 4, 2) both corners, upper and lower lip or lid. reach: how far the ellipse reaches over them,
    in coordinates.
    """

    points: Tensor
    reach: float

    def window(self, axes: Axes, soft: float) -> Window:
        """The part of a picture in which `inside` isn't 0."""
        # the ellipse lies in the box of corners and lips, made wider by half its height
        half = (self.points[:, 3] - self.points[:, 2]).norm(dim=-1).max() / 2
        return window_around(self.points, half + self.reach + soft, axes)

    def inside(self, grid: Tensor, soft: float) -> Tensor:
        """(B, 1, H, W): 1 inside, falling to 0 over a width of `soft`, at (H, W, 2) positions."""
        return within(self.beyond(grid), soft)

    def beyond(self, grid: Tensor) -> Tensor:
        """(B, 1, H, W): how far (H, W, 2) positions are out of the outline, in coordinates; inside < 0."""
        left, right, upper, lower = self.points.unbind(1)
        middle = (upper + lower) / 2
        across, down, width = axes_of_line(left, right)
        offsets = grid - middle[:, None, None]
        half = (width / 2 + self.reach)[:, None]
        x = einsum(offsets, across, "b h w c, b c -> b h w") / half
        bend = (((left + right) / 2 - middle) * down).sum(-1)[:, None, None]
        height = (((lower - upper) * down).sum(-1).abs() / 2 + self.reach)[:, None, None]
        y = einsum(offsets, down, "b h w c, b c -> b h w") - bend * x.square().clamp_max(1)
        y = y / height
        # distance from the ellipse, first order; exact along the axes of one that isn't bent
        share = _length(x, y)
        distance = share * (share - 1) / _length(x / half, y / height)
        return torch.where((width > NO_WIDTH)[:, None], distance, FAR)[:, None]


@dataclass(frozen=True, slots=True)
class Inside:
    """The inside of a mouth or an eye. hidden: (B,) in [0, 1], how much of it is painted."""

    outline: Outline
    hidden: Tensor

    def painted(self, grid: Tensor, soft: float) -> Tensor:
        """What is painted, (B, 1, H, W) in [0, 1], at (H, W, 2) positions. soft: width of its edge."""
        return self.hidden[:, None, None, None] * self.outline.inside(grid, soft)


def axes_of_line(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, 2) unit vectors from left to right and, across it, down; (B, 1) the distance."""
    across = right - left
    length: Tensor = across.norm(dim=-1, keepdim=True).clamp_min(NO_WIDTH)
    across = across / length
    return across, torch.stack([-across[:, 1], across[:, 0]], dim=-1), length


def _opening(outline: Tensor) -> Tensor:
    """(...) distance of lips or lids over the width; outline: (..., 4, 2) corners, upper and lower one."""
    lengths: Tensor = (outline[..., 1::2, :] - outline[..., ::2, :]).norm(dim=-1)
    return lengths[..., 1] / lengths[..., 0].clamp_min(NO_WIDTH)


def within(beyond: Tensor, soft: float) -> Tensor:
    """1 up to an edge, falling to 0 over a width of `soft`."""
    return 1 - ramp(beyond, 0, soft)


def _length(x: Tensor, y: Tensor) -> Tensor:
    # not `norm`: a root's gradient is infinite at 0
    return (x.square() + y.square()).clamp_min(1e-6).sqrt()

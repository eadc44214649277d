"""Lids and lips, which are smaller than the cells of dense motion: here their keypoints' geometry decides.

A small network learns neither to tell a smile that opens from a mouth that was shut, nor to close lids that
are one cell apart. Coordinates are those of `geometry`: the picture's side is 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import einsum
from torch import Tensor

from mcnet_cli.model.geometry import (
    coordinate_grid,
    full_precision,
    gaussian_heatmaps,
    grid_sample,
    picked,
    ramp,
    resized,
)
from mcnet_cli.model.windows import Axes, Window, axes_of, window_around


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


BROWS = 105, 334  # points of the face mesh: the middles of both brows

# How far what belongs to a mouth or an eye reaches over lips and lids, and the width of the fall to nothing
# beyond that, about a cell of dense motion; in coordinates.
EDGE, SOFT_EDGE = 0.03, 0.03
MOUTH = Opening(shown=(0.10, 0.15), parted=(0.06, 0.11), widened=(1.4, 2.0), beyond=(1.8, 2.4), edge=0.01)
EYE = Opening(shown=(0.10, 0.17), parted=(0.10, 0.17), widened=(1.4, 2.0), beyond=None, edge=EDGE)
# Width of the lips at a corner, over the mouth's width: the inside begins so far from the corner.
LIPS_AT_CORNER = 0.1
# Least width of a mouth or an eye, in coordinates; narrower ones have no inside. Also the least divisor.
NO_WIDTH = 1e-3
FAR = 10.0  # from anything in a picture, in coordinates

# Standard deviation of a keypoint's correction along and across its eye or mouth, in distances of the outer
# corners of the eyes, tried on six people. The larger, the more of what lies around lids and lips
# goes along; the smaller, the more of the lids and lips themselves stays behind.
LID_REACH, LIP_REACH, CORNER_REACH = (0.12, 0.07), (0.14, 0.06), (0.1, 0.1)
# In the order of `FaceParts._corrected_keypoints`.
REACHES = torch.tensor([*[LID_REACH] * 4, *[LIP_REACH] * 2, *[CORNER_REACH] * 2, *[LIP_REACH] * 2])
# Those that overlap share what is due: both lids of an eye, all of the mouth. Of each group the first so many
# count above the line where lids or lips meet, those from a second number on below it, so that the mouth's
# corners are on both sides. The line runs between the first and the last.
GROUPS = (slice(0, 2), 1, 1), (slice(2, 4), 1, 1), (slice(4, 10), 4, 2)
# Standard deviation, in distances of the outer corners, of corrections around brows and corners; and how
# inexact they may be there (what is added to a diagonal of 1).
SETTLED_REACH, RIDGE = 0.25, 0.05
# Standard deviations from where on a correction is exactly 0, so that only a window has to be computed.
REACHED = 3
LEAST_SHARE = math.exp(-(REACHED**2) / 2)
# Width of that line, in distances of the outer corners: about half a pixel at 256². Wider, and what lies
# between lips or lids is smeared; narrower, and the line has steps of pixels.
SEAM = 0.006


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
        across, down, width = _axes(left, right)
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


@dataclass(frozen=True, slots=True)
class Correction:
    """What has to be added to a deformation around an eye or the mouth.

    window: of the picture. above, below: (B, h, w, 2) what is due on either side of the line where lids or
    lips meet, both smooth. middle, down, scale: (B, 1, 2), (B, 2) and (B, 1), the line.
    """

    window: Window
    above: Tensor
    below: Tensor
    middle: Tensor
    down: Tensor
    scale: Tensor

    def side(self, axes: Axes, window: Window) -> Tensor:
        """(B, h, w): 0 above the line, 1 below it, in a window of a picture."""
        distances = _along(axes, self.down, self.middle, self.scale * SEAM)
        return torch.sigmoid(_summed(distances, slice(1), window))[:, 0]


@dataclass(frozen=True, slots=True)
class FaceParts:
    """Where mouth and eyes are among the keypoints: the numbers of keypoints, six each.

    mouth: left and right corner, upper and lower inner lip, upper and lower outer lip.
    eyes: upper lid, lower lid and outer corner of the left eye, and of the right. Left is left in the
    picture.
    brows: any number of points of them.
    """

    mouth: Sequence[int]
    eyes: Sequence[int]
    brows: Sequence[int] = ()

    def occlusion(self, decided: Tensor, source: Tensor, driving: Tensor) -> Tensor:
        """The network's occlusion, (B, 1, H, W) in [0, 1], with mouth and eyes as geometry has them.

        Lips are warped (1), and so is the inside of a mouth, unless it opens and the source doesn't show it:
        then it is painted (0), as are eyes that open and were shut. source, driving: (B, K, 2).
        """
        with full_precision(driving):
            grid = coordinate_grid(decided.shape[2], decided.shape[3], driving)
            mouth, *eyes = self.insides(source, driving)
            lips = self.lips_outline(driving).inside(grid, SOFT_EDGE)
            decided = decided * (1 - lips) + (1 - mouth.painted(grid, SOFT_EDGE)) * lips
            return torch.minimum(decided, 1 - torch.maximum(*(eye.painted(grid, SOFT_EDGE) for eye in eyes)))

    def insides(
        self, source: Tensor, driving: Tensor, *, mouth: bool = True, eyes: bool = True
    ) -> tuple[Inside, ...]:
        """The insides of the mouth and of both eyes, or of one of these alone. source, driving: (B, K, 2)."""
        found: list[Inside] = []
        if mouth:
            before, after = (_between_lips(picked(points, self.mouth[:4])) for points in (source, driving))
            found.append(Inside(Outline(after, MOUTH.edge), MOUTH.hidden(before, after)))
        if eyes:
            before, after = (_eyes(picked(points, self.eyes)) for points in (source, driving))
            hidden = EYE.hidden(before, after)
            found += [Inside(Outline(after[:, eye], EYE.edge), hidden[:, eye]) for eye in (0, 1)]
        return tuple(found)

    def painted_eyes(self, source: Tensor, driving: Tensor) -> list[Inside]:
        """Both eyes with all around them that `occlusion` leaves to paint. source, driving: (B, K, 2)."""
        eyes = self.insides(source, driving, mouth=False)
        return [Inside(Outline(eye.outline.points, EYE.edge + SOFT_EDGE), eye.hidden) for eye in eyes]

    def lips_outline(self, driving: Tensor) -> Outline:
        """Around lips and mouth, where geometry alone decides what is painted. driving: (B, K, 2)."""
        return Outline(picked(driving, [*self.mouth[:2], *self.mouth[4:]]), EDGE)

    def settled(self, deformation: Tensor, source: Tensor, driving: Tensor) -> Tensor:
        """The (B, h, w, 2) deformation without its errors at brows and at the corners of mouth and eyes.

        They move little, and the network flattens what moves little: of brows a fifth to a third is lost, of
        corners a tenth. The errors are interpolated by Gaussians around these keypoints.

        source, driving: (B, K, 2).
        """
        numbers = [*self.brows, self.eyes[2], self.eyes[5], *self.mouth[:2]]
        places, missing = driving[:, numbers], self._missing(deformation, source, driving, numbers)
        _, _, scale = _axes(driving[:, self.eyes[2]], driving[:, self.eyes[5]])
        variance = (SETTLED_REACH * scale).square()
        apart = (places[:, :, None] - places[:, None]).square().sum(-1)
        kernel = torch.exp(-0.5 * apart / variance[..., None])
        # a few numbers, for which not every device has a solver
        weights = torch.linalg.solve(kernel.cpu() + RIDGE * torch.eye(len(numbers)), missing.cpu())
        height, width = deformation.shape[1:3]
        nearness = gaussian_heatmaps(places, (height, width), variance)
        added: Tensor = einsum(nearness, weights.to(deformation), "b k h w, b k c -> b h w c")
        return deformation + added

    def corrected(
        self, deformation: Tensor, source: Tensor, driving: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """The (B, h, w, 2) deformation at (H, W), lids and lips taken from where they are in the source.

        source, driving: (B, K, 2).
        """
        with full_precision(driving):
            full = resized(deformation, size).clone()
            axes = axes_of(size, driving)
            for part in self.corrections(deformation, source, driving, axes):
                below = part.side(axes, part.window)[..., None]
                full[:, *part.window] += torch.lerp(part.above, part.below, below)
        return full

    def corrections(
        self, deformation: Tensor, source: Tensor, driving: Tensor, axes: Axes
    ) -> list[Correction]:
        """What has to be added to a (B, h, w, 2) deformation so that lids and lips are where they should be.

        The deformation's error at these keypoints is subtracted around each of them, and for lids and lips on
        their side of the line where they meet.

        source, driving: (B, K, 2). axes: coordinates of the columns and rows of a picture. Returns what is
        due for each eye and the mouth in a window of the picture; elsewhere it is 0.
        """
        places = driving[:, self._corrected_keypoints]
        missing = self._missing(deformation, source, driving, self._corrected_keypoints)
        across, down, scale = _axes(driving[:, self.eyes[2]], driving[:, self.eyes[5]])
        units, corrections = REACHES.to(driving) * scale[..., None], []
        x, y = (_along(axes, way, places, units[..., n]) for n, way in enumerate((across, down)))
        for group, above, below in GROUPS:
            at, due = places[:, group], missing[:, group]
            window = window_around(at, REACHED * units[:, group].max(), axes)
            squares = _summed(x, group, window).square() + _summed(y, group, window).square()
            shares = torch.exp(-squares / 2)
            shares = (shares - LEAST_SHARE).clamp_min(0) / (1 - LEAST_SHARE)  # no step at the window's edge
            corrections.append(
                Correction(
                    window,
                    above=_shared(shares[:, :above], due[:, :above]),
                    below=_shared(shares[:, below:], due[:, below:]),
                    middle=(at[:, :1] + at[:, -1:]) / 2,
                    down=down,
                    scale=scale,
                )
            )
        return corrections

    def _missing(
        self, deformation: Tensor, source: Tensor, driving: Tensor, numbers: Sequence[int]
    ) -> Tensor:
        """(B, N, 2): what a deformation lacks to take keypoints from where the source has them."""
        field, places = deformation.permute(0, 3, 1, 2), driving[:, None, [*numbers]]
        found = grid_sample(field, places, padding_mode="border", align_corners=True)
        missing: Tensor = source[:, [*numbers]] - found[:, :, 0].transpose(1, 2)
        return missing

    def lids(self, keypoints: Tensor, eye: int) -> Tensor:
        """(B, 2, 2) the middles of the upper and the lower lid of an eye: 0 is the picture's left one."""
        return keypoints[:, [*self.eyes[3 * eye : 3 * eye + 2]]]

    def eye_corners(self, keypoints: Tensor) -> Tensor:
        """(B, 2, 2) the outer corners of both eyes, the picture's left one first."""
        return keypoints[:, [self.eyes[2], self.eyes[5]]]

    @property
    def _corrected_keypoints(self) -> list[int]:
        """The lids', lips' and mouth corners' numbers, in the order of `REACHES`."""
        left, right, upper, lower, upper_outer, lower_outer = self.mouth
        lips = [upper, upper_outer, left, right, lower_outer, lower]
        return [*self.eyes[:2], *self.eyes[3:5], *lips]


def _shared(shares: Tensor, due: Tensor) -> Tensor:
    """(B, h, w, 2): corrections due at K keypoints, (B, K, 2), by (B, K, h, w) shares, at most 1 in all."""
    shares = shares / shares.sum(1, keepdim=True).clamp_min(1)
    flat: Tensor = shares.flatten(2).transpose(1, 2) @ due
    return flat.view(len(flat), *shares.shape[2:], 2)


def _along(axes: Axes, direction: Tensor, origins: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
    """Distances from (B, K, 2) origins in a (B, 2) direction, in (B, K) units.

    Returns what a column contributes, (B, K, W), and what a row does, (B, K, H); `_summed` adds them.
    """
    x, y = axes
    start = (origins * direction[:, None]).sum(-1, keepdim=True)
    right = (direction[:, :1] * x)[:, None] / units[..., None]
    down = ((direction[:, 1:] * y)[:, None] - start) / units[..., None]
    return right, down


def _summed(distances: tuple[Tensor, Tensor], group: slice, window: Window) -> Tensor:
    """(B, K', h, w) distances of a group of keypoints in a window, of what columns and rows contribute."""
    (right, down), (rows, columns) = distances, window
    return down[:, group, rows, None] + right[:, group, None, columns]


def _axes(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, 2) unit vectors from left to right and, across it, down; (B, 1) the distance."""
    across = right - left
    length: Tensor = across.norm(dim=-1, keepdim=True).clamp_min(NO_WIDTH)
    across = across / length
    return across, torch.stack([-across[:, 1], across[:, 0]], dim=-1), length


def _between_lips(mouth: Tensor) -> Tensor:
    """(B, 4, 2) corners, upper and lower inner lip to the same with the inside's own corners."""
    corners, lips = mouth[:, :2], mouth[:, 2:]
    return torch.cat([corners.lerp(corners.flip(1), LIPS_AT_CORNER), lips], dim=1)


def _eyes(keypoints: Tensor) -> Tensor:
    """Both corners and lids of both eyes, (B, 2, 4, 2), in the order of a mouth's.

    keypoints: (B, 6, 2) upper lid, lower lid and outer corner of the left eye, and of the right.
    """
    upper, lower, outer = keypoints.view(len(keypoints), 2, 3, 2).unbind(2)
    inner = upper + lower - outer  # the outer corner, mirrored at the lids' middle
    return torch.stack([outer, inner, upper, lower], dim=2)


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

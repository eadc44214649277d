"""Lids and lips, which are smaller than the cells of dense motion: here their keypoints' geometry decides.

A small network learns neither to tell a smile that opens from a mouth that was shut, nor to close lids that
are one cell apart. Coordinates are those of `geometry`: the picture's side is 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import einsum, rearrange
from torch import Tensor

from mcnet_cli.model.geometry import (
    coordinate_grid,
    full_precision,
    gaussian_heatmaps,
    grid_sample,
    picked,
    resized,
)
from mcnet_cli.model.outlines import EDGE, EYE, MOUTH, SOFT_EDGE, Inside, Outline, axes_of_line
from mcnet_cli.model.windows import Axes, Window, axes_of, window_around

BROW_MIDDLES = 105, 334  # points of the face mesh: the middles of both brows
# Width of the lips at a corner, over the mouth's width: the inside begins so far from the corner.
LIPS_AT_CORNER = 0.1

# Standard deviation of a keypoint's correction along and across its eye or mouth, in distances of the outer
# corners of the eyes, tried on six people. The larger, the more of what lies around lids and lips
# goes along; the smaller, the more of the lids and lips themselves stays behind.
LID_REACH, LIP_REACH, CORNER_REACH = (0.12, 0.07), (0.14, 0.06), (0.1, 0.1)
# How far up an upper lid's correction reaches, in distances of the lid to the brow. It falls evenly to 0, so
# that lashes are stretched no more than the skin above them: a Gaussian draws heavy ones apart into dark half
# moons when lids shut. If it reached further, brows would be bent.
TO_BROW = 0.68
# In the order of `FaceParts._corrected_keypoints`.
REACHES = torch.tensor([*[LID_REACH] * 4, *[LIP_REACH] * 2, *[CORNER_REACH] * 2, *[LIP_REACH] * 2])
LIDS = 4  # the first ones: of each eye the upper lid's before the lower one's
# Keypoints whose corrections overlap and are weighed against each other: both lids of an eye, all of the
# mouth. Of each group those before the first number count above the line where lids or lips meet, and those
# from the second on below it, the mouth's corners on both. The line runs between the first and the last.
GROUPS = (slice(0, 2), 1, 1), (slice(2, 4), 1, 1), (slice(4, 10), 4, 2)
# Standard deviation, in distances of the outer corners, of corrections around brows and corners; and how
# inexact they may be there (what is added to a diagonal of 1).
SETTLED_REACH, RIDGE = 0.25, 0.05
# Standard deviations from where on a correction is exactly 0, so that only a window has to be computed.
REACHED = 3
LEAST_SHARE = math.exp(-(REACHED**2) / 2)
# Width of the line where lids or lips meet, in distances of the outer corners: about half a pixel at 256². If
# it were wider, what lies between would be smeared; narrower, the line would have steps of pixels.
SEAM = 0.006


@dataclass(frozen=True, slots=True)
class Correction:
    """What has to be added to a deformation around an eye or the mouth.

    window: of the picture. above, below: (B, h, w, 2) what is added on either side of the line where lids or
    lips meet, both smooth. middle, down, scale: (B, 1, 2), (B, 2) and (B, 1), the line. places, reach:
    (B, K, 2) and (B,), around which and how far something is due.
    """

    window: Window
    above: Tensor
    below: Tensor
    middle: Tensor
    down: Tensor
    scale: Tensor
    places: Tensor
    reach: Tensor

    def windows(self, axes: Axes) -> list[Window]:
        """Of each picture of the batch the part of `window` in which something is due in it."""
        each = zip(self.places[:, None], self.reach, strict=True)
        return [window_around(places, reach, axes) for places, reach in each]

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
        _, _, scale = axes_of_line(driving[:, self.eyes[2]], driving[:, self.eyes[5]])
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
        across, down, scale = axes_of_line(driving[:, self.eyes[2]], driving[:, self.eyes[5]])
        units, corrections = self._reaches(driving, scale), []
        x, y = (_along(axes, way, places, units[..., n]) for n, way in enumerate((across, down)))
        for group, above, below in GROUPS:
            at, due = places[:, group], missing[:, group]
            reach = REACHED * units[:, group].amax((1, 2))
            window = window_around(at, reach.max(), axes)
            aside, up = _summed(x, group, window), _summed(y, group, window)
            shares = torch.exp(-(aside.square() + up.square()) / 2)
            shares = (shares - LEAST_SHARE).clamp_min(0) / (1 - LEAST_SHARE)  # no step at the window's edge
            if self.brows and group.start < LIDS:
                evenly = (1 - up[:, :above].abs() / REACHED).clamp_min(0)
                shares[:, :above] = evenly * (1 - (aside[:, :above] / REACHED).square()).clamp_min(0).square()
            corrections.append(
                Correction(
                    window,
                    above=_shared(shares[:, :above], due[:, :above]),
                    below=_shared(shares[:, below:], due[:, below:]),
                    middle=(at[:, :1] + at[:, -1:]) / 2,
                    down=down,
                    scale=scale,
                    places=at,
                    reach=reach,
                )
            )
        return corrections

    def _reaches(self, driving: Tensor, scale: Tensor) -> Tensor:
        """(B, 10, 2): standard deviations along and across; of upper lids across, a third of the reach."""
        units = REACHES.to(driving) * scale[..., None]
        if self.brows:
            lids, brows = driving[:, [self.eyes[0], self.eyes[3]], None], driving[:, None, [*self.brows]]
            units[:, 0:LIDS:2, 1] = TO_BROW / REACHED * (lids - brows).norm(dim=-1).amin(-1)
        return units

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
    shared: Tensor = due.transpose(1, 2) @ shares.flatten(2)
    return rearrange(shared, "b c (h w) -> b h w c", h=shares.shape[2])


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


def _between_lips(mouth: Tensor) -> Tensor:
    """The same (B, 4, 2) corners, upper and lower inner lip, but with the corners where the inside ends."""
    corners, lips = mouth[:, :2], mouth[:, 2:]
    return torch.cat([corners.lerp(corners.flip(1), LIPS_AT_CORNER), lips], dim=1)


def _eyes(keypoints: Tensor) -> Tensor:
    """Both corners and lids of both eyes, (B, 2, 4, 2), in the order of a mouth's.

    keypoints: (B, 6, 2) upper lid, lower lid and outer corner of the left eye, and of the right.
    """
    upper, lower, outer = keypoints.view(len(keypoints), 2, 3, 2).unbind(2)
    inner = upper + lower - outer  # the outer corner, mirrored at the lids' middle
    return torch.stack([outer, inner, upper, lower], dim=2)

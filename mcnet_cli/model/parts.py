"""Mouth and eyes, whose parts are smaller than the cells of dense motion: their keypoints' geometry decides.

A small network learns neither to tell a smile that opens from a mouth that was shut, nor to close lids that
are one cell apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import einsum
from torch import Tensor

from mcnet_cli.model.geometry import coordinate_grid, full_precision, ramp, resized

LIPS = 0.1  # width of the lips at a corner, over the mouth's
EDGE = 0.03  # of what belongs to a mouth or an eye, around lips or lids, in pictures of side 2
SOFT = 0.03  # width of the fall to nothing beyond that, about a cell of dense motion
NO_WIDTH = 1e-3  # a mouth or an eye that is narrower has no inside


@dataclass(frozen=True, slots=True)
class Opening:
    """When the source doesn't show what the driving opens: ramps from not at all to fully, and a width.

    shown: how far lips or lids are apart in the source, over the width. parted: in the driving.
    widened, beyond: how many times as far apart they are in the driving, for there to be something to paint
    at all, and something to paint although the source shows what it has; None for never. edge: like `EDGE`.
    """

    shown: tuple[float, float]
    parted: tuple[float, float]
    widened: tuple[float, float]
    beyond: tuple[float, float] | None
    edge: float

    def hidden(self, source: Tensor, driving: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, 1, H, W) in [0, 1]: 1 in what opens and the source doesn't show.

        source, driving: (B, 4, 2) both corners, upper and lower lip or lid.
        """
        before, after = _apart(source), _apart(driving)
        # lips and lids that stay shut tremble by more than they are apart
        wider = after / before.clamp_min(1e-3)
        shown = ramp(before, *self.shown)
        if self.beyond:
            shown = shown * (1 - ramp(wider, *self.beyond))
        opens = ramp(after, *self.parted) * ramp(wider, *self.widened)
        inside = _inside(driving, coordinate_grid(*size, driving), self.edge)
        return ((1 - shown) * opens)[:, None, None, None] * inside


MOUTH = Opening((0.10, 0.15), (0.06, 0.11), (1.4, 2.0), (1.8, 2.4), 0.01)
EYE = Opening((0.10, 0.17), (0.10, 0.17), (1.4, 2.0), None, EDGE)
# Reach of a keypoint's correction along and across its eye or mouth, in eye distances (tried on six people).
LID, LIP, CORNER = (0.12, 0.07), (0.14, 0.06), (0.1, 0.1)
REACHES = torch.tensor([*[LID] * 4, *[LIP] * 4, *[CORNER] * 2])
# Upper lids and lips act above the line where they meet the lower ones, these below; corners on both sides.
SIDES = torch.tensor([-1.0, 1, -1, 1, -1, 1, -1, 1])
UPPER, LOWER = [0, 0, 2, 2, 4, 4, 4, 4], [1, 1, 3, 3, 5, 5, 5, 5]
REACHED = 3  # deviations, from where on a correction is 0
LEAST = math.exp(-(REACHED**2) / 2)
SEAM = 0.006  # the width of that line, in eye distances


@dataclass(frozen=True, slots=True)
class Parts:
    """Keypoints by their places. mouth: corners, upper and lower inner lip, upper and lower outer lip.

    eyes: upper lid, lower lid and outer corner of the one, and of the other. Left is left in the picture.
    """

    mouth: Sequence[int]
    eyes: Sequence[int]

    def occlusion(self, decided: Tensor, source: Tensor, driving: Tensor) -> Tensor:
        """The network's occlusion, (B, 1, H, W) in [0, 1], with lips and what opens as geometry has it.

        Lips are warped. So is the inside of a mouth, unless the source doesn't show it: then it is painted,
        as are eyes that were shut and open. source, driving: (B, K, 2).
        """
        size = (decided.shape[2], decided.shape[3])
        with full_precision(driving):
            places = [*self.mouth[:4]]
            before, after = _between_lips(source[:, places]), _between_lips(driving[:, places])
            warped = 1 - MOUTH.hidden(before, after, size)
            outer = driving[:, [*self.mouth[:2], *self.mouth[4:]]]
            lips = _inside(outer, coordinate_grid(*size, driving), EDGE)
            decided = decided * (1 - lips) + warped * lips
            for places in ([*self.eyes[:3]], [*self.eyes[3:]]):
                before, after = _eye(source[:, places]), _eye(driving[:, places])
                decided = torch.minimum(decided, 1 - EYE.hidden(before, after, size))
        return decided

    def corrected(
        self, deformation: Tensor, source: Tensor, driving: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """A (B, h, w, 2) deformation at (H, W) that takes lids and lips from where they are in the source.

        What it is off by at these keypoints is spread around them, above or below the line where the lids
        or lips meet. source, driving: (B, K, 2).
        """
        places, wanted = driving[:, self._points], source[:, self._points]
        with full_precision(driving):
            field = deformation.permute(0, 3, 1, 2)
            found = F.grid_sample(field, places[:, None], padding_mode="border", align_corners=True)
            missing = wanted - found[:, :, 0].transpose(1, 2)
            window, share = self._shares(driving, places, size)
            full = resized(deformation, size).clone()
            full[:, *window] += einsum(share, missing, "b k h w, b k c -> b h w c")
        return full

    def between_lips(self, driving: Tensor, size: tuple[int, int]) -> tuple[tuple[slice, slice], Tensor]:
        """A window of the (H, W) grid, and (B, 1, h, w) in [0, 1], what in it is inside the mouth."""
        with full_precision(driving):
            mouth = _between_lips(driving[:, [*self.mouth[:4]]])
            # the ellipse is within the corners' and lips' box, as much wider as it is high
            half = (mouth[:, 3] - mouth[:, 2]).norm(dim=-1).max() / 2
            window = _window(mouth, half + MOUTH.edge + SOFT, size)
            return window, _inside(mouth, coordinate_grid(*size, driving)[window], MOUTH.edge)

    def skin(self, keypoints: Tensor) -> Tensor:
        """(B, 2, 2) on the cheeks, of (B, K, 2) keypoints."""
        corners = keypoints[:, [self.eyes[2], self.eyes[5], *self.mouth[:2]]]
        return (corners[:, :2] + corners[:, 2:]) / 2

    def lips(self, keypoints: Tensor) -> Tensor:
        """(B, 2, 2) on the upper and lower lip, of (B, K, 2) keypoints."""
        return (keypoints[:, [*self.mouth[2:4]]] + keypoints[:, [*self.mouth[4:]]]) / 2

    @property
    def _points(self) -> list[int]:
        """Lids, lips and the mouth's corners, in the order of `REACHES`."""
        return [*self.eyes[:2], *self.eyes[3:5], *self.mouth[2:], *self.mouth[:2]]

    def _shares(
        self, driving: Tensor, places: Tensor, size: tuple[int, int]
    ) -> tuple[tuple[slice, slice], Tensor]:
        """A window of the (H, W) grid, and (B, 10, h, w) how much of each place's correction is due in it."""
        across, down, scale = _axes(driving[:, self.eyes[2]], driving[:, self.eyes[5]])
        window = _window(places, REACHED * float(REACHES.max()) * scale.max(), size)
        grid = coordinate_grid(*size, driving)[window]

        def along(direction: Tensor, origins: Tensor) -> Tensor:
            """(B, K, h, w) distances from (B, K, 2) origins in a (B, 2) direction, in eye distances."""
            start = einsum(origins, direction, "b k c, b c -> b k")[..., None, None]
            distance: Tensor = einsum(grid, direction, "h w c, b c -> b h w")[:, None] - start
            return distance / scale[..., None, None]

        reaches, sides = REACHES.to(driving), SIDES.to(driving)[:, None, None]
        x = along(across, places) / reaches[:, 0, None, None]
        y = along(down, places) / reaches[:, 1, None, None]
        share = torch.exp(-(x.square() + y.square()) / 2)
        share = (share - LEAST).clamp_min(0) / (1 - LEAST)  # without an edge, whatever the window
        meeting = (places[:, UPPER] + places[:, LOWER]) / 2
        side = torch.sigmoid(sides * along(down, meeting) / SEAM)
        share = torch.cat([share[:, : len(sides)] * side, share[:, len(sides) :]], dim=1)
        return window, share / share.sum(1, keepdim=True).clamp_min(1)


def _axes(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, 2) unit vectors from left to right and, across it, down; (B, 1) the distance."""
    across = right - left
    length: Tensor = across.norm(dim=-1, keepdim=True).clamp_min(NO_WIDTH)
    across = across / length
    return across, torch.stack([-across[:, 1], across[:, 0]], dim=-1), length


def _window(places: Tensor, reach: Tensor, size: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of a (H, W) grid that are as near as `reach` to (B, K, 2) places."""
    ends = torch.stack([places.amin((0, 1)) - reach, places.amax((0, 1)) + reach])
    # training looks for what isn't finite later, in the loss
    first, last = ((ends.nan_to_num().clamp(-1, 1) + 1) / 2).tolist()
    height, width = size
    rows = slice(round(first[1] * (height - 1)), round(last[1] * (height - 1)) + 1)
    return rows, slice(round(first[0] * (width - 1)), round(last[0] * (width - 1)) + 1)


def _between_lips(mouth: Tensor) -> Tensor:
    """(B, 4, 2) outer corners, upper and lower inner lip; the same with inner corners."""
    corners, lips = mouth[:, :2], mouth[:, 2:]
    return torch.cat([corners.lerp(corners.flip(1), LIPS), lips], dim=1)


def _eye(keypoints: Tensor) -> Tensor:
    """(B, 3, 2) upper lid, lower lid and outer corner to (B, 4, 2) both corners and lids, like a mouth's."""
    upper, lower, outer = keypoints.unbind(1)
    inner = upper + lower - outer  # as far from the lids' middle
    return torch.stack([outer, inner, upper, lower], dim=1)


def _apart(mouth: Tensor) -> Tensor:
    """(B,) how far lips or lids are apart, in widths; (B, 4, 2) both corners, upper and lower one."""
    lengths: Tensor = (mouth[:, 1::2] - mouth[:, ::2]).norm(dim=-1)
    return lengths[:, 1] / lengths[:, 0].clamp_min(1e-3)


def _inside(mouth: Tensor, grid: Tensor, edge: float) -> Tensor:
    """(B, 1, H, W): 1 between lips or lids, an ellipse bent like the smile, falling to 0 around it.

    mouth: (B, 4, 2) both corners, upper and lower lip or lid. grid: (H, W, 2) positions.
    """
    left, right, upper, lower = mouth.unbind(1)
    middle = (upper + lower) / 2
    across, down, width = _axes(left, right)
    offsets = grid - middle[:, None, None]
    half = (width / 2 + edge)[:, None]
    x = einsum(offsets, across, "b h w c, b c -> b h w") / half
    bend = (((left + right) / 2 - middle) * down).sum(-1)[:, None, None]
    height = (((lower - upper) * down).sum(-1).abs() / 2 + edge)[:, None, None]
    y = einsum(offsets, down, "b h w c, b c -> b h w") - bend * x.square().clamp_max(1)
    y = y / height
    # near enough how far outside of the ellipse: exactly so along its axes, if it isn't bent
    share = _length(x, y)
    distance = share * (share - 1) / _length(x / half, y / height)
    found = (1 - ramp(distance, 0, SOFT)) * (width > NO_WIDTH)[:, None]
    return found[:, None]


def _length(x: Tensor, y: Tensor) -> Tensor:
    # a root's gradient is infinite at 0
    return (x.square() + y.square()).clamp_min(1e-6).sqrt()

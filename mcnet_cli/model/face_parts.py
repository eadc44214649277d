"""Lids and lips, which are smaller than the cells of dense motion: here their keypoints' geometry decides.

A small network learns neither to tell a smile that opens from a mouth that was shut, nor to close lids that
are one cell apart. Coordinates are those of `geometry`: the picture's side is 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import einsum
from torch import Tensor

from mcnet_cli.model.geometry import coordinate_grid, full_precision, ramp, resized


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

    def hidden(self, source: Tensor, driving: Tensor, grid: Tensor, soft: float) -> Tensor:
        """(B, 1, H, W) in [0, 1]: 1 in an inside that opens and that the source doesn't show.

        source, driving: (B, 4, 2) both corners, upper and lower lip or lid. grid: (H, W, 2) positions.
        soft: width of the fall to 0 beyond the inside, in coordinates.
        """
        before, after = _opening(source), _opening(driving)
        wider = after / before.clamp_min(NO_WIDTH)
        shown = ramp(before, *self.shown)
        if self.beyond:
            shown = shown * (1 - ramp(wider, *self.beyond))
        opens = ramp(after, *self.parted) * ramp(wider, *self.widened)
        return ((1 - shown) * opens)[:, None, None, None] * _inside(driving, grid, self.edge, soft)


Axes = tuple[Tensor, Tensor]  # coordinates of a picture's columns (W) and rows (H)
Window = tuple[slice, slice]  # rows and columns

# How far what belongs to a mouth or an eye reaches over lips and lids, and the width of the fall to nothing
# beyond that, about a cell of dense motion; in coordinates.
EDGE, SOFT_EDGE = 0.03, 0.03
MOUTH = Opening(shown=(0.10, 0.15), parted=(0.06, 0.11), widened=(1.4, 2.0), beyond=(1.8, 2.4), edge=0.01)
EYE = Opening(shown=(0.10, 0.17), parted=(0.10, 0.17), widened=(1.4, 2.0), beyond=None, edge=EDGE)
# Width of the lips at a corner, over the mouth's width: the inside begins so far from the corner.
LIPS_AT_CORNER = 0.1
# Least width of a mouth or an eye, in coordinates; narrower ones have no inside. Also the least divisor.
NO_WIDTH = 1e-3

# Standard deviation of a keypoint's correction along and across its eye or mouth, in distances of the outer
# corners of the eyes, tried on six people. The larger, the more of what lies around lids and lips
# goes along; the smaller, the more of the lids and lips themselves stays behind.
LID_REACH, LIP_REACH, CORNER_REACH = (0.12, 0.07), (0.14, 0.06), (0.1, 0.1)
# Of the four lids, four lips and two corners of the mouth, in the order of `FaceParts._corrected_keypoints`.
REACHES = torch.tensor([*[LID_REACH] * 4, *[LIP_REACH] * 4, *[CORNER_REACH] * 2])
# Standard deviations from where on a correction is exactly 0, so that only a window has to be computed.
REACHED = 3
LEAST_SHARE = math.exp(-(REACHED**2) / 2)
# Upper lids and lips (-1) are corrected above the line where they meet the lower ones, those (1) below it;
# corners on both sides. UPPER and LOWER are the places in `REACHES` between which each one's line runs.
SIDES = torch.tensor([-1.0, 1, -1, 1, -1, 1, -1, 1])
UPPER, LOWER = [0, 0, 2, 2, 4, 4, 4, 4], [1, 1, 3, 3, 5, 5, 5, 5]
# Those that overlap and so share what is due: both lids of an eye, all of the mouth.
GROUPS = (0, 1), (2, 3), (4, 5, 6, 7, 8, 9)
# Width of that line, in distances of the outer corners: about half a pixel at 256². Wider, and what lies
# between lips or lids is smeared; narrower, and the line has steps of pixels.
SEAM = 0.006


@dataclass(frozen=True, slots=True)
class FaceParts:
    """Where mouth and eyes are among the keypoints: the numbers of keypoints, six each.

    mouth: left and right corner, upper and lower inner lip, upper and lower outer lip.
    eyes: upper lid, lower lid and outer corner of the left eye, and of the right. Left is left in the
    picture.
    """

    mouth: Sequence[int]
    eyes: Sequence[int]

    def occlusion(self, decided: Tensor, source: Tensor, driving: Tensor) -> Tensor:
        """The network's occlusion, (B, 1, H, W) in [0, 1], with mouth and eyes as geometry has them.

        Lips are warped (1), and so is the inside of a mouth, unless it opens and the source doesn't show it:
        then it is painted (0), as are eyes that open and were shut. source, driving: (B, K, 2).
        """
        with full_precision(driving):
            grid = coordinate_grid(decided.shape[2], decided.shape[3], driving)
            painted, lips = self.mouth_painted(source, driving, grid, SOFT_EDGE)
            decided = decided * (1 - lips) + (1 - painted) * lips
            return torch.minimum(decided, 1 - self.eyes_painted(source, driving, grid, SOFT_EDGE))

    def mouth_painted(
        self, source: Tensor, driving: Tensor, grid: Tensor, soft: float
    ) -> tuple[Tensor, Tensor]:
        """What of the mouth is painted, and where lips and mouth are, where this decides; (B, 1, H, W) each.

        source, driving: (B, K, 2). grid: (H, W, 2) positions. soft: width of the edges, in coordinates.
        """
        places = [*self.mouth[:4]]
        before, after = _between_lips(source[:, places]), _between_lips(driving[:, places])
        outer = driving[:, [*self.mouth[:2], *self.mouth[4:]]]
        return MOUTH.hidden(before, after, grid, soft), _inside(outer, grid, EDGE, soft)

    def eyes_painted(self, source: Tensor, driving: Tensor, grid: Tensor, soft: float) -> Tensor:
        """What of the eyes is painted, (B, 1, H, W) in [0, 1]; arguments as for `mouth_painted`."""
        shares = []
        for places in ([*self.eyes[:3]], [*self.eyes[3:]]):
            before, after = _eye(source[:, places]), _eye(driving[:, places])
            shares.append(EYE.hidden(before, after, grid, soft))
        return torch.maximum(*shares)

    def corrected(
        self, deformation: Tensor, source: Tensor, driving: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """The (B, h, w, 2) deformation at (H, W), lids and lips taken from where they are in the source.

        source, driving: (B, K, 2).
        """
        with full_precision(driving):
            full = resized(deformation, size).clone()
            for window, correction in self.corrections(deformation, source, driving, axes_of(size, driving)):
                full[:, *window] += correction
        return full

    def corrections(
        self, deformation: Tensor, source: Tensor, driving: Tensor, axes: Axes
    ) -> list[tuple[Window, Tensor]]:
        """What has to be added to a (B, h, w, 2) deformation so that lids and lips are where they should be.

        The deformation's error at these keypoints is subtracted around each of them, and for lids and lips on
        their side of the line where they meet.

        source, driving: (B, K, 2). axes: coordinates of the columns and rows of a picture. Returns for each
        eye and the mouth its window of the picture, and (B, h, w, 2) there; elsewhere it is 0.
        """
        places, wanted = driving[:, self._corrected_keypoints], source[:, self._corrected_keypoints]
        field = deformation.permute(0, 3, 1, 2)
        found = F.grid_sample(field, places[:, None], padding_mode="border", align_corners=True)
        missing = wanted - found[:, :, 0].transpose(1, 2)
        found_shares = [(group, *self._shares(driving, places, group, axes)) for group in GROUPS]
        return [
            (window, einsum(share, missing[:, [*group]], "b k h w, b k c -> b h w c"))
            for group, window, share in found_shares
        ]

    def mouth_window(self, driving: Tensor, axes: Axes) -> Window:
        """The part of a picture in which `mouth_painted` isn't 0. driving: (B, K, 2)."""
        mouth = driving[:, [*self.mouth]]
        half = (mouth[:, 5] - mouth[:, 4]).norm(dim=-1).max() / 2
        return _window(mouth, half + EDGE + SOFT_EDGE, axes)

    def eyes_windows(self, driving: Tensor, axes: Axes) -> list[Window]:
        """The parts of a picture in which `eyes_painted` isn't 0. driving: (B, K, 2)."""
        windows = []
        for places in ([*self.eyes[:3]], [*self.eyes[3:]]):
            eye = _eye(driving[:, places])
            half = (eye[:, 3] - eye[:, 2]).norm(dim=-1).max() / 2
            windows.append(_window(eye, half + EDGE + SOFT_EDGE, axes))
        return windows

    def between_lips(self, driving: Tensor, size: tuple[int, int]) -> tuple[Window, Tensor]:
        """The inside of the mouth, (B, 1, h, w) in [0, 1], in a window (rows, columns) of the (H, W) grid."""
        with full_precision(driving):
            mouth = _between_lips(driving[:, [*self.mouth[:4]]])
            # the ellipse lies in the box of corners and lips, made wider by half its height
            half = (mouth[:, 3] - mouth[:, 2]).norm(dim=-1).max() / 2
            axes = axes_of(size, driving)
            window = _window(mouth, half + MOUTH.edge + SOFT_EDGE, axes)
            return window, _inside(mouth, grid_of(axes, window), MOUTH.edge, SOFT_EDGE)

    def skin(self, keypoints: Tensor) -> Tensor:
        """(B, 2, 2) coordinates on both cheeks, of (B, K, 2) keypoints."""
        corners = keypoints[:, [self.eyes[2], self.eyes[5], *self.mouth[:2]]]
        return (corners[:, :2] + corners[:, 2:]) / 2

    def lips(self, keypoints: Tensor) -> Tensor:
        """(B, 2, 2) coordinates on the upper and the lower lip, of (B, K, 2) keypoints."""
        return (keypoints[:, [*self.mouth[2:4]]] + keypoints[:, [*self.mouth[4:]]]) / 2

    @property
    def _corrected_keypoints(self) -> list[int]:
        """The lids', lips' and mouth corners' numbers, in the order of `REACHES`."""
        return [*self.eyes[:2], *self.eyes[3:5], *self.mouth[2:], *self.mouth[:2]]

    def _shares(
        self, driving: Tensor, places: Tensor, group: Sequence[int], axes: Axes
    ) -> tuple[Window, Tensor]:
        """How much is due of the corrections of a group, (B, G, h, w), in a window of a picture."""
        across, down, scale = _axes(driving[:, self.eyes[2]], driving[:, self.eyes[5]])
        sided = [number for number in group if number < len(SIDES)]
        # all of a group meet at one line
        meeting = (places[:, [UPPER[sided[0]]]] + places[:, [LOWER[sided[0]]]]) / 2
        places = places[:, [*group]]
        reaches, sides = REACHES.to(driving)[[*group]], SIDES.to(driving)[sided]
        window = _window(places, REACHED * reaches.max() * scale.max(), axes)
        grid = grid_of(axes, window)

        def along(direction: Tensor, origins: Tensor) -> Tensor:
            """(B, K, h, w) distances from (B, K, 2) origins in a (B, 2) direction, in eye distances."""
            start = einsum(origins, direction, "b k c, b c -> b k")[..., None, None]
            distance: Tensor = einsum(grid, direction, "h w c, b c -> b h w")[:, None] - start
            return distance / scale[..., None, None]

        x = along(across, places) / reaches[:, 0, None, None]
        y = along(down, places) / reaches[:, 1, None, None]
        share = torch.exp(-(x.square() + y.square()) / 2)
        share = (share - LEAST_SHARE).clamp_min(0) / (1 - LEAST_SHARE)  # no step at the window's edge
        below = torch.sigmoid(along(down, meeting) / SEAM)
        side = torch.where(sides[:, None, None] > 0, below, 1 - below)
        share = torch.cat([share[:, : len(sided)] * side, share[:, len(sided) :]], dim=1)
        return window, share / share.sum(1, keepdim=True).clamp_min(1)


def _axes(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, 2) unit vectors from left to right and, across it, down; (B, 1) the distance."""
    across = right - left
    length: Tensor = across.norm(dim=-1, keepdim=True).clamp_min(NO_WIDTH)
    across = across / length
    return across, torch.stack([-across[:, 1], across[:, 0]], dim=-1), length


def axes_of(size: tuple[int, int], like: Tensor) -> Axes:
    """The coordinates of the columns and of the rows of a (H, W) picture."""
    height, width = size
    x, y = (torch.linspace(-1, 1, side, dtype=like.dtype, device=like.device) for side in (width, height))
    return x, y


def grid_of(axes: Axes, window: Window) -> Tensor:
    """(h, w, 2) positions of the pixels in a window of a picture."""
    rows, columns = window
    x, y = axes
    return torch.stack(torch.meshgrid(x[columns], y[rows], indexing="xy"), dim=-1)


def _window(places: Tensor, reach: Tensor, axes: Axes) -> Window:
    """The rows and columns of a picture that lie within `reach` of the box around (B, K, 2) places."""
    ends = torch.stack([places.amin((0, 1)) - reach, places.amax((0, 1)) + reach])
    # keypoints that are not finite must not stop training here: it looks for them in the loss
    (left, top), (right, bottom) = ends.nan_to_num().tolist()
    x, y = axes
    return _between(y, top, bottom), _between(x, left, right)


def _between(line: Tensor, first: float, last: float) -> slice:
    """The part of evenly rising coordinates from `first` to `last`, one at least."""
    start, step, count = float(line[0]), float(line[-1] - line[0]) / max(len(line) - 1, 1), len(line)
    low, high = ((end - start) / (step or 1.0) for end in (first, last))
    begin = min(max(math.floor(low), 0), count - 1)
    return slice(begin, max(min(math.ceil(high) + 1, count), begin + 1))


def _between_lips(mouth: Tensor) -> Tensor:
    """(B, 4, 2) corners, upper and lower inner lip to the same with the inside's own corners."""
    corners, lips = mouth[:, :2], mouth[:, 2:]
    return torch.cat([corners.lerp(corners.flip(1), LIPS_AT_CORNER), lips], dim=1)


def _eye(keypoints: Tensor) -> Tensor:
    """(B, 3, 2) upper lid, lower lid and outer corner to (B, 4, 2) both corners and lids, like a mouth's."""
    upper, lower, outer = keypoints.unbind(1)
    inner = upper + lower - outer  # the outer corner, mirrored at the lids' middle
    return torch.stack([outer, inner, upper, lower], dim=1)


def _opening(outline: Tensor) -> Tensor:
    """(B,) distance of lips or lids over the width; outline: (B, 4, 2) both corners, upper and lower one."""
    lengths: Tensor = (outline[:, 1::2] - outline[:, ::2]).norm(dim=-1)
    return lengths[:, 1] / lengths[:, 0].clamp_min(NO_WIDTH)


def _inside(mouth: Tensor, grid: Tensor, edge: float, soft: float) -> Tensor:
    """(B, 1, H, W): 1 between lips or lids, falling to 0 around them; an ellipse, bent like the smile.

    mouth: (B, 4, 2) both corners, upper and lower lip or lid. grid: (H, W, 2) positions. edge: how far it
    reaches over lips or lids; soft: width of the fall beyond that.
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
    # distance from the ellipse, first order; exact along the axes of one that isn't bent
    share = _length(x, y)
    distance = share * (share - 1) / _length(x / half, y / height)
    found = (1 - ramp(distance, 0, soft)) * (width > NO_WIDTH)[:, None]
    return found[:, None]


def _length(x: Tensor, y: Tensor) -> Tensor:
    # not `norm`: a root's gradient is infinite at 0
    return (x.square() + y.square()).clamp_min(1e-6).sqrt()

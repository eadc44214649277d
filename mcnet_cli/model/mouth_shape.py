"""Where lips are in a frame, and the square around a mouth that the detail painter sees.

Lips are four arcs of eleven points each, from the mouth's left corner to its right one. Of a driving frame
six keypoints are known; the rest is the source's lips, carried along. Coordinates are those of `geometry`:
the picture's side is 2.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from mcnet_cli.model.config import PLACING

# Points of the face mesh along the inner and the outer lips: upper and lower arc of either.
INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
INNER_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
OUTER_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
OUTER_LOWER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
LIPS = (INNER_UPPER, INNER_LOWER, OUTER_UPPER, OUTER_LOWER)
# What the points of `PLACING` are, by their places in it.
LEFT, RIGHT, INNER_TOP, INNER_BOTTOM, OUTER_TOP, OUTER_BOTTOM, LEFT_EYE, RIGHT_EYE, NOSE, CHIN = range(10)

# How a displacement of the middle of a lip fades towards the corners: by 1 - |u|³, u from -1 to 1 along the
# lip. Measured on landmarks: the mean error is 1.6 % of a mouth's width, with u² it is 2.4 %.
FADING = 3
# Side of the square around a mouth, over its width or, where that is more, `TALL` times its height.
SIDE, TALL = 1.6, 0.8
# Least length that anything is divided by, in coordinates.
NO_LENGTH = 1e-4
# Where the inner lips of an unknown mouth begin and end, along its width.
INNER_ENDS = 0.06, 0.94


@dataclass(frozen=True, slots=True)
class MouthShape:
    """The mouths of a batch of faces.

    points: (B, 10, 2), those of `PLACING`. lips: (B, 4, 11, 2), the arcs of `LIPS`.
    """

    points: Tensor
    lips: Tensor

    @classmethod
    def of(cls, landmarks: Tensor) -> "MouthShape":
        """The mouths that (B, 468 or more, 2) points of the face mesh show."""
        arcs = torch.tensor(LIPS, device=landmarks.device)
        return cls(landmarks[:, list(PLACING)], landmarks[:, arcs])

    @classmethod
    def of_points(cls, points: Tensor) -> "MouthShape":
        """Mouths of which only the (B, 10, 2) `PLACING` points are known: lips are drawn through them."""
        along = torch.linspace(0, 1, len(INNER_UPPER), device=points.device)
        first, last = INNER_ENDS
        inner, flat = first + (last - first) * along, torch.zeros_like(along)
        straight = torch.stack([torch.stack([x, flat], -1) for x in (inner, inner, along, along)])
        middles = torch.tensor([[0.5, 0.0]], device=points.device).expand(4, 2)
        return cls(points, _moved_lips(straight.expand(len(points), -1, -1, -1), middles, points))

    def moved(self, points: Tensor) -> "MouthShape":
        """This mouth with its `PLACING` points at (B, 10, 2) others, lips carried along."""
        origin, axes = _corner_frame(self.points)
        lips, middles = (_in_frame(places, origin, axes) for places in (self.lips, self.points[:, 2:6]))
        if len(points) != len(lips):
            lips, middles = (x.expand(len(points), *x.shape[1:]) for x in (lips, middles))
        return MouthShape(points, _moved_lips(lips, middles, points))

    def mirrored(self) -> "MouthShape":
        """The same in pictures that are mirrored."""
        order = [
            RIGHT,
            LEFT,
            INNER_TOP,
            INNER_BOTTOM,
            OUTER_TOP,
            OUTER_BOTTOM,
            RIGHT_EYE,
            LEFT_EYE,
            NOSE,
            CHIN,
        ]
        flip = torch.tensor([-1.0, 1.0], device=self.points.device)
        return MouthShape(self.points[:, order] * flip, self.lips.flip(2) * flip)

    def __getitem__(self, rows: Tensor | slice) -> "MouthShape":
        """Some of them."""
        return MouthShape(self.points[rows], self.lips[rows])

    @property
    def width(self) -> Tensor:
        """(B,) distance of the corners."""
        return _distance(self.points, LEFT, RIGHT)

    @property
    def opening(self) -> Tensor:
        """(B,) distance of the inner lips' middles over the mouth's width."""
        return _distance(self.points, INNER_TOP, INNER_BOTTOM) / self.width

    def described(self) -> Tensor:
        """(B, 6) numbers that say how a mouth and its head are held.

        The opening over the width; in distances of the eyes' outer corners the width, the length of the upper
        lip up to the nose and of the lower one down to the chin; how far the head is turned and nods.
        """
        points, eyes = self.points, _distance(self.points, LEFT_EYE, RIGHT_EYE)
        across, down = _directions(points[:, LEFT_EYE], points[:, RIGHT_EYE])
        nose = points[:, NOSE] - (points[:, LEFT_EYE] + points[:, RIGHT_EYE]) / 2
        lengths = torch.stack(
            [
                self.width,
                _distance(points, NOSE, OUTER_TOP),
                _distance(points, OUTER_BOTTOM, CHIN),
                (nose * across).sum(-1),
                (nose * down).sum(-1),
            ],
            dim=1,
        )
        return torch.cat([self.opening[:, None], lengths / eyes[:, None]], dim=1)

    def square(self) -> "MouthSquare":
        """The square that the painter sees: along the mouth's corners, around the whole mouth."""
        points = self.points
        across, down = _directions(points[:, LEFT], points[:, RIGHT])
        corners, lips = points[:, :2].mean(1), points[:, 4:6].mean(1)
        height = _distance(points, OUTER_TOP, OUTER_BOTTOM)
        half = SIDE / 2 * torch.maximum(self.width, TALL * height)
        return MouthSquare((corners + lips) / 2, torch.stack([across, down], 1), half)


@dataclass(frozen=True, slots=True)
class MouthSquare:
    """Squares around mouths.

    centre: (B, 2). axes: (B, 2, 2), unit vectors to the square's right and down. half: (B,) half of the side.
    """

    centre: Tensor
    axes: Tensor
    half: Tensor

    def grid(self, size: int) -> Tensor:
        """(B, size, size, 2): where the pixels of such squares lie."""
        return self.beyond(pixel_places(size, self.centre).expand(len(self.centre), -1, -1, -1))

    def beyond(self, places: Tensor) -> Tensor:
        """(B, ..., 2) places in the square, whose edges are -1 and 1, as the picture's coordinates."""
        flat = places.flatten(1, -2) @ (self.half[:, None, None] * self.axes)
        return (flat + self.centre[:, None]).reshape(places.shape)

    def within(self, places: Tensor) -> Tensor:
        """(B, ..., 2) coordinates of the picture as places in the square: the inverse of `beyond`."""
        flat = (places.flatten(1, -2) - self.centre[:, None]) @ self.axes.transpose(1, 2)
        return (flat / self.half[:, None, None]).reshape(places.shape)

    def shape_within(self, shape: MouthShape) -> MouthShape:
        """A mouth in coordinates of the square."""
        return MouthShape(self.within(shape.points), self.within(shape.lips))


def pixel_places(size: int, like: Tensor) -> Tensor:
    """(size, size, 2): the middles of the pixels of a square, whose edges are -1 and 1."""
    line = (torch.arange(size, device=like.device) * 2 + 1) / size - 1
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)


def beyond_lips(arcs: Tensor, places: Tensor) -> Tensor:
    """(B, ...): how far (B, ..., 2) places are out of the lips (B, 2, N, 2); inside it is negative.

    arcs: upper and lower one, of the inner or of the outer lips.
    """
    outline = torch.cat([arcs[:, 0], arcs[:, 1].flip(1)], 1)  # around the mouth
    flat = places.flatten(1, -2)
    start, step = outline, outline.roll(-1, 1) - outline
    # (B, N, P): offsets along x and y from each of the outline's N points
    x, y = (rearrange(flat[..., k], "b p -> b 1 p") - start[..., k, None] for k in (0, 1))
    step_x, step_y = step[..., 0, None], step[..., 1, None]
    share = (x * step_x + y * step_y) / (step_x.square() + step_y.square()).clamp_min(NO_LENGTH**2)
    share = share.clamp(0, 1)
    distance = ((x - share * step_x).square() + (y - share * step_y).square()).amin(1).sqrt()
    # a ray to the right crosses the outline an odd number of times from inside
    crosses = (y < 0) != (y < step_y)
    right = x * step_y < y * step_x
    inside = ((crosses & (right == (step_y > 0))).sum(1) % 2).bool()
    return torch.where(inside, -distance, distance).reshape(places.shape[:-1])


def finer(arcs: Tensor) -> Tensor:
    """(B, A, 2·N - 1, 2): arcs (B, A, N, 2) with a point more between each two, along smooth curves."""
    before = torch.cat([2 * arcs[:, :, :1] - arcs[:, :, 1:2], arcs[:, :, :-2]], 2)
    after = torch.cat([arcs[:, :, 2:], 2 * arcs[:, :, -1:] - arcs[:, :, -2:-1]], 2)
    # Catmull and Rom's curve, half way
    between = (9 * (arcs[:, :, :-1] + arcs[:, :, 1:]) - before - after) / 16
    pairs = torch.stack([arcs[:, :, :-1], between], 3).flatten(2, 3)
    return torch.cat([pairs, arcs[:, :, -1:]], 2)


def _moved_lips(lips: Tensor, middles: Tensor, points: Tensor) -> Tensor:
    """(B, 4, 11, 2) lips, given in the frame of a mouth's corners, in the frame of others'.

    middles: (B or 1, 4, 2), where the middles of the four arcs were in that frame. points: (B, 10, 2).
    """
    origin, axes = _corner_frame(points)
    due = _in_frame(points[:, 2:6], origin, axes) - middles
    along = lips[..., 0]
    first, last = along[..., :1], along[..., -1:]
    u = (2 * (along - first) / (last - first).clamp_min(NO_LENGTH) - 1).clamp(-1, 1)
    lips = lips + (1 - u.abs() ** FADING)[..., None] * due[:, :, None]
    return (lips.flatten(1, 2) @ axes + origin[:, None]).reshape(lips.shape)


def _corner_frame(points: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 2) the left corner, (B, 2, 2) vectors to the right corner and, as long, down."""
    across, down = _directions(points[:, LEFT], points[:, RIGHT])
    width = _distance(points, LEFT, RIGHT)[:, None]
    return points[:, LEFT], torch.stack([across * width, down * width], 1)


def _in_frame(places: Tensor, origin: Tensor, axes: Tensor) -> Tensor:
    """(B, ..., 2) places in a frame of two vectors of equal length at right angles."""
    flat = (places.flatten(1, -2) - origin[:, None]) @ axes.transpose(1, 2)
    return (flat / axes[:, :1].square().sum(-1, keepdim=True)).reshape(places.shape)


def _directions(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 2) unit vectors from left to right and, across it, down."""
    across = right - left
    across = across / across.norm(dim=-1, keepdim=True).clamp_min(NO_LENGTH)
    return across, torch.stack([-across[:, 1], across[:, 0]], dim=-1)


def _distance(points: Tensor, first: int, second: int) -> Tensor:
    """(B,) between two of (B, N, 2) points, never 0."""
    length: Tensor = (points[:, first] - points[:, second]).norm(dim=-1)
    return length.clamp_min(NO_LENGTH)

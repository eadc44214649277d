"""Where lips are in a frame, for the detail painter.

Lips are four arcs of eleven points each, from the mouth's left corner to its right one. Of a driving frame
six keypoints are known; the rest is the source's lips, carried along.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mcnet_cli.model.config import PLACING
from mcnet_cli.model.detail_shape import (
    COARSE,
    Square,
    beyond_arcs,
    corner_frame,
    cut_and_enlarged,
    directions,
    distance,
    in_frame,
    moved_arcs,
    pixel_places,
)

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
# Where the inner lips of an unknown mouth begin and end, along its width.
INNER_ENDS = 0.06, 0.94


@dataclass(frozen=True, slots=True)
class MouthShape:
    """The mouths of a batch of faces.

    points: (B, 10, 2), those of `PLACING`. arcs: (B, 4, 11, 2), the arcs of `LIPS`.
    """

    points: Tensor
    arcs: Tensor

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
        return cls(
            points, moved_arcs(straight.expand(len(points), -1, -1, -1), middles, points[:, :6], FADING)
        )

    def moved(self, points: Tensor) -> "MouthShape":
        """This mouth with its `PLACING` points at (B, 10, 2) others, lips carried along."""
        origin, axes = corner_frame(self.points)
        lips, middles = (in_frame(places, origin, axes) for places in (self.arcs, self.points[:, 2:6]))
        if len(points) != len(lips):
            lips, middles = (x.expand(len(points), *x.shape[1:]) for x in (lips, middles))
        return MouthShape(points, moved_arcs(lips, middles, points[:, :6], FADING))

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
        return MouthShape(self.points[:, order] * flip, self.arcs.flip(2) * flip)

    def like(self, points: Tensor, arcs: Tensor) -> "MouthShape":
        """Others of these points and arcs."""
        return MouthShape(points, arcs)

    def __getitem__(self, rows: Tensor | slice) -> "MouthShape":
        """Some of them."""
        return MouthShape(self.points[rows], self.arcs[rows])

    @property
    def width(self) -> Tensor:
        """(B,) distance of the corners."""
        return distance(self.points, LEFT, RIGHT)

    @property
    def opening(self) -> Tensor:
        """(B,) distance of the inner lips' middles over the mouth's width."""
        return distance(self.points, INNER_TOP, INNER_BOTTOM) / self.width

    def described(self) -> Tensor:
        """(B, 6) numbers that say how a mouth and its head are held.

        The opening over the width; in distances of the eyes' outer corners the width, the length of the upper
        lip up to the nose and of the lower one down to the chin; how far the head is turned and nods.
        """
        points, eyes = self.points, distance(self.points, LEFT_EYE, RIGHT_EYE)
        across, down = directions(points[:, LEFT_EYE], points[:, RIGHT_EYE])
        nose = points[:, NOSE] - (points[:, LEFT_EYE] + points[:, RIGHT_EYE]) / 2
        lengths = torch.stack(
            [
                self.width,
                distance(points, NOSE, OUTER_TOP),
                distance(points, OUTER_BOTTOM, CHIN),
                (nose * across).sum(-1),
                (nose * down).sum(-1),
            ],
            dim=1,
        )
        return torch.cat([self.opening[:, None], lengths / eyes[:, None]], dim=1)

    def square(self) -> Square:
        """The square that the painter sees: along the mouth's corners, around the whole mouth."""
        points = self.points
        across, down = directions(points[:, LEFT], points[:, RIGHT])
        corners, lips = points[:, :2].mean(1), points[:, 4:6].mean(1)
        height = distance(points, OUTER_TOP, OUTER_BOTTOM)
        half = SIDE / 2 * torch.maximum(self.width, TALL * height)
        return Square((corners + lips) / 2, torch.stack([across, down], 1), half)

    def within(self, square: Square) -> "MouthShape":
        """The mouths in coordinates of squares."""
        return MouthShape(square.within(self.points), square.within(self.arcs))

    def anchors(self) -> tuple[Tensor, Tensor]:
        """The tip of the nose and the chin, (B, 2) each."""
        return self.points[:, NOSE], self.points[:, CHIN]

    def distances(self, size: int, step: int = COARSE) -> tuple[Tensor, Tensor]:
        """(B, 1, S, S) distances from the inner and the outer lips, in mouth's widths; see `Shape`."""
        grid = pixel_places(size // step, self.arcs).expand(len(self.arcs), -1, -1, -1)
        outlines = self.arcs[:, :2], self.arcs[:, 2:]
        beyond = torch.stack([beyond_arcs(arcs, grid) for arcs in outlines], 1)
        inner, outer = cut_and_enlarged(beyond / self.width[:, None, None, None], size).chunk(2, 1)
        return inner, outer

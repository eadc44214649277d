"""Where lips are in a frame, for the detail painter.

Lips are four arcs of eleven points each, from the mouth's left corner to its right one. Of a driving frame
six keypoints are known; the rest is the source's lips, carried along.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mcnet_cli.model.config import PLACING
from mcnet_cli.model.detail_shape import (
    Shape,
    Square,
    beyond_arcs,
    corner_frame,
    directions,
    distance,
    in_frame,
    moved_arcs,
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
class MouthShape(Shape):
    """The mouths of a batch of faces.

    points: (B, 10, 2), those of `PLACING`. arcs: (B, 4, 11, 2), the arcs of `LIPS`.
    """

    ANCHORS: ClassVar = (NOSE, CHIN)
    MIRRORED: ClassVar = (
        *(RIGHT, LEFT, INNER_TOP, INNER_BOTTOM, OUTER_TOP, OUTER_BOTTOM),
        *(RIGHT_EYE, LEFT_EYE, NOSE, CHIN),
    )

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

    def beyond(self, places: Tensor) -> Tensor:
        """(B, 2, ...): how far (B, ..., 2) places are out of the inner and out of the outer lips."""
        return torch.stack([beyond_arcs(arcs, places) for arcs in (self.arcs[:, :2], self.arcs[:, 2:])], 1)

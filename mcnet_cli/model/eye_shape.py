"""Where lids and the iris of one eye are in a frame, for the detail painter.

Lids are two arcs of nine points each, from the eye's left corner to its right one. Of a driving frame three
keypoints are known, and where the iris goes; the rest is the source's lids, carried along.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mcnet_cli.model.detail_shape import (
    NO_LENGTH,
    Shape,
    Square,
    beyond_arcs,
    corner_frame,
    directions,
    distance,
    in_frame,
    moved_arcs,
)
from mcnet_cli.model.geometry import picked

# Points of the face mesh along the upper and the lower lid, of the picture's left eye and of its right one.
EYE_ARCS = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
# What a shape's points are: corners, middles of the lids, the iris's centre, a point of its rim.
LEFT, RIGHT, UPPER, LOWER, IRIS, RIM = range(6)
MIDDLE = 4  # of nine points of an arc

# How the displacement of the middle of a lid fades towards the corners: by 1 - u².
FADING = 2
# Side of the square around an eye, over its width.
SIDE = 1.7


@dataclass(frozen=True, slots=True)
class EyeShape(Shape):
    """One eye in each of a batch of faces.

    points: (B, 6, 2): the picture's left and right corner, the middles of the upper and of the lower lid, the
    iris's centre and a point of its rim. arcs: (B, 2, 9, 2), the lids.
    """

    ANCHORS: ClassVar = (LEFT, RIGHT)
    MIRRORED: ClassVar = (RIGHT, LEFT, UPPER, LOWER, IRIS, RIM)

    @classmethod
    def of(cls, landmarks: Tensor, iris: Tensor, eye: int) -> "EyeShape":
        """The eyes that (B, 468 or more, 2) points of the face mesh show.

        iris: (B, 2, 2) its centre and a point of its rim. eye: 0 for the picture's left one, 1 for the other.
        """
        arcs = landmarks[:, torch.tensor(EYE_ARCS[eye], device=landmarks.device)]
        corners, middles = arcs[:, 0, [0, -1]], arcs[:, :, MIDDLE]
        return cls(torch.cat([corners, middles, iris], 1), arcs)

    def moved(self, lids: Tensor, iris: Tensor, before: Tensor, after: Tensor) -> "EyeShape":
        """This eye with the middles of its lids at (B, 2, 2) others, and its iris at (B, 2, 2).

        before, after: (1, 2, 2) and (B, 2, 2) the outer corners of both eyes; inner ones go along with them.
        """
        count = len(lids)
        start, axes = corner_frame(before)
        end, turned = corner_frame(after)
        corners = in_frame(self.points[:, :2], start, axes).expand(count, -1, -1) @ turned + end[:, None]
        origin, frame = corner_frame(self.points)
        arcs, middles = (in_frame(places, origin, frame) for places in (self.arcs, self.points[:, 2:4]))
        arcs, middles = (x.expand(count, *x.shape[1:]) for x in (arcs, middles))
        points = torch.cat([corners, lids], 1)
        return EyeShape(torch.cat([points, iris], 1), moved_arcs(arcs, middles, points, FADING))

    def described(self) -> Tensor:
        """(B, 6): the opening, the iris's place and radius, the lids' places, all over the eye's width."""
        origin, axes = corner_frame(self.points)
        places = in_frame(picked(self.points, (IRIS, UPPER, LOWER)), origin, axes)
        radius = distance(self.points, IRIS, RIM) / self.width
        numbers = [self.opening, *places[:, 0].unbind(1), radius, places[:, 1, 1], places[:, 2, 1]]
        return torch.stack(numbers, 1)

    def beyond(self, places: Tensor) -> Tensor:
        """(B, 2, ...): how far (B, ..., 2) places are out of the lids and out of the iris."""
        centre, radius = self.points[:, IRIS, None, None], distance(self.points, IRIS, RIM)
        away = (places - centre).square().sum(-1).clamp_min(NO_LENGTH**2).sqrt()
        return torch.stack([beyond_arcs(self.arcs, places), away - radius[:, None, None]], 1)

    def square(self) -> Square:
        """The square that the painter sees: along the eye's corners, around it."""
        across, down = directions(self.points[:, LEFT], self.points[:, RIGHT])
        half = SIDE / 2 * self.width
        return Square(self.points[:, :2].mean(1), torch.stack([across, down], 1), half)

"""Lids and lips in relative motion: the result's mouth is as open as the driving's, and its eyes close."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mcnet_cli.face.openings import EYES, LIDS, MOUTH
from mcnet_cli.model import Keypoints

OUTER_LIPS = {13: (0,), 14: (17,)}  # go along with the inner ones
JAW_SHARE = 0.7  # of a change of the mouth's opening: the lower lip moves more


@dataclass(frozen=True, slots=True)
class Openings:
    """What may be carried over of mouth and lids: the places among the keypoints of the mesh's points.

    Without it relative motion adds distances to distances: lids of a wide eye don't meet, and if the mouth is
    open in the reference, it closes only as far as the reference's lips part.
    """

    places: dict[int, int]

    @classmethod
    def among(cls, landmarks: Sequence[int] | None) -> "Openings | None":
        """Of keypoints that are these points of the mesh; None if the eyes' corners aren't among them."""
        places = {point: place for place, point in enumerate(landmarks or ())}
        return cls(places) if all(point in places for point in EYES) else None

    def carried(
        self, moved: Keypoints, driving: Keypoints, reference: Keypoints, source: Keypoints, scale: float
    ) -> Keypoints:
        """`moved`, the result of relative motion, with the openings that the driving asks for.

        A mouth is as open as the driving's, times `scale`. Lids close by the share by which the driving's do,
        and open further by the same distance. moved, driving: B frames; reference, source: one.
        """
        values = moved.values.clone()
        up = self._up(values)
        for above, below in LIDS:
            if above in self.places and below in self.places:
                now, before, own = (
                    self._height(k.values, above, below) for k in (driving, reference, source)
                )
                share = (now / before.clamp_min(1e-4)).clamp(0, 1)
                wanted = torch.where(now < before, own * share, own + scale * (now - before))
                more = wanted - self._height(values, above, below)
                values[:, self.places[above]] += more[:, None] * up
        for above, below in MOUTH:
            if above in self.places and below in self.places:
                wanted = scale * self._height(driving.values, above, below).clamp_min(0)
                more = wanted - self._height(values, above, below)
                for lip, part in ((above, 1 - JAW_SHARE), (below, -JAW_SHARE)):
                    for point in (lip, *OUTER_LIPS[lip]):
                        if point in self.places:
                            values[:, self.places[point]] += part * more[:, None] * up
        return Keypoints(values, moved.jacobians)

    def _up(self, values: Tensor) -> Tensor:
        """(B, 2) the faces' upward directions."""
        across = values[:, self.places[EYES[1]]] - values[:, self.places[EYES[0]]]
        across = across / across.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        return torch.stack([across[:, 1], -across[:, 0]], dim=-1)

    def _height(self, values: Tensor, above: int, below: int) -> Tensor:
        """(B,) how far one point is above the other in the face."""
        offset = values[:, self.places[above]] - values[:, self.places[below]]
        return (offset * self._up(values)).sum(-1)

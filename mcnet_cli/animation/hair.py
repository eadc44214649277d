"""Hair in relative motion: it stays near the head, wherever the driving's ends.

Beside a face one person has hair and another the wall: what moves there in the driving need not be what the
source has there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mcnet_cli.face import OUTER, SIDES, posed_outer
from mcnet_cli.face.openings import EYES
from mcnet_cli.model import Keypoints

LARGEST_OFFSET = 0.08  # from where the head's pose takes it, in eye distances


@dataclass(frozen=True, slots=True)
class Hair:
    """The keypoints beside a face. numbers: of all keypoints as points of the mesh and beyond."""

    numbers: tuple[int, ...]

    @classmethod
    def among(cls, landmarks: Sequence[int] | None) -> "Hair | None":
        """Of keypoints that are these points; None if those beside the face or the eyes aren't among them."""
        numbers = tuple(landmarks or ())
        return cls(numbers) if {*SIDES, *EYES} <= {*numbers} else None

    def near_head(self, driving: Keypoints, reference: Keypoints) -> Keypoints:
        """`driving`, B frames, with hair near where the head has taken it since `reference`, one frame."""
        beside = [self.numbers.index(point) for point in SIDES]
        turned = self._posed(driving.values) - self._posed(reference.values)
        expected = reference.values[:, beside] + turned
        offset = driving.values[:, beside] - expected
        eyes = [reference.values[:, self.numbers.index(point)] for point in EYES]
        limit = LARGEST_OFFSET * (eyes[0] - eyes[1]).norm(dim=-1)[:, None, None]
        length = offset.norm(dim=-1, keepdim=True).clamp_min(1e-9)
        values = driving.values.clone()
        values[:, beside] = expected + offset * (limit / length).clamp_max(1)
        return Keypoints(values, driving.jacobians)

    def _posed(self, values: Tensor) -> Tensor:
        """(B, 2, 2) where the pose of keypoints says that the points beside the face are."""
        outer = posed_outer(values.numpy(), self.numbers)[:, [OUTER.index(point) for point in SIDES]]
        return torch.from_numpy(outer).to(values)

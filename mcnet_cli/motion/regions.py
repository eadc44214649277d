"""Regions of a face, of which each follows the driving by a factor of its own.

A landmark's displacement from the reference has two parts: what the head's pose does to it, as that of an
average head in space, and the rest, which is expression. Factors scale the pose and the expression of lips,
eyes and brows apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcnet_cli.compositing.head import HeadPoints, Pose
from mcnet_cli.errors import UsageError
from mcnet_cli.face.outer import average_face
from mcnet_cli.face.topology import MESH_POINTS
from mcnet_cli.options import require_between

Factors = dict[str, float]

# What a factor is for. `face` is what is neither lips, eyes nor brows: nose, temples, ears.
PARTS = ("lips", "eyes", "brows", "face", "pose")
# What can be asked for, and the parts that it has.
REGIONS = {
    "lips": ("lips",),
    "eyes": ("eyes",),
    "brows": ("brows",),
    "expression": ("lips", "eyes", "brows", "face"),
    "pose": ("pose",),
    "all": PARTS,
}
STRENGTH_LIMIT = 10.0
# Where the parts are on the average face, in its heights: brows with the forehead above a line; eyes between
# that and the next one, beside the nose; lips with the jaw below the nose, and with the cheeks beside it.
BROWS_ABOVE, EYES_ABOVE, LIPS_BELOW = -0.245, -0.1, 0.1
EYES_BESIDE, EYES_WITHIN, CHEEKS_BELOW, CHEEKS_BESIDE, CHEEKS_BEFORE = 0.06, 0.33, 0.0, 0.12, 0.4


def region_factors(region: Sequence[str], strength: float | Mapping[str, float]) -> Factors:
    """The factor of each part: its strength where its region is asked for, else 0.

    strength: one for all, or those of regions by name; others are 1. UsageError for names or numbers that
    make no sense.
    """
    for name in region:
        _require_region("--region", name)
    if not region:
        raise UsageError("--region: nothing is left to move", hint=f"there are {', '.join(REGIONS)}")
    strengths = {"all": strength} if isinstance(strength, int | float) else dict(strength)
    factors = dict.fromkeys(PARTS, 1.0)
    # the wider region first, so that a part's own strength wins
    for name in sorted(strengths, key=lambda name: -len(REGIONS.get(name, ()))):
        _require_region("--strength", name)
        require_between("--strength", strengths[name], 0, STRENGTH_LIMIT)
        factors |= dict.fromkeys(REGIONS[name], float(strengths[name]))
    moved = {part for name in region for part in REGIONS[name]}
    return {part: factor if part in moved else 0.0 for part, factor in factors.items()}


def _require_region(option: str, name: str) -> None:
    if name not in REGIONS:
        raise UsageError(f"{option} {name}: there is no such region", hint=f"there are {', '.join(REGIONS)}")


@dataclass(frozen=True, slots=True, eq=False)
class RegionalMotion:
    """Scales the parts of motions of keypoints that are landmarks.

    points: the keypoints on an average head. factors: (K, 1), of their expression. pose: of the pose.
    """

    points: HeadPoints
    factors: Tensor
    pose: float

    @classmethod
    def of(cls, numbers: Sequence[int], factors: Factors) -> "RegionalMotion":
        """For keypoints that are these landmarks."""
        parts = [part_of(number) for number in numbers]
        return cls(
            head_points_of(tuple(numbers)), torch.tensor([[factors[part]] for part in parts]), factors["pose"]
        )

    def __call__(self, driving: Tensor, reference: Tensor) -> Tensor:
        """(B, K, 2) keypoints of a driving, from the reference (1, K, 2) on by as much as the factors say."""
        before, after = self.points.pose(reference), self.points.pose(driving)
        rest = self.points.in_space(reference, before) @ before.rotation
        change = self.points.in_space(driving, after) @ after.rotation - rest
        pose = scaled_pose(before, after, self.pose)
        seen = (rest + self.factors * change) @ pose.rotation.mT
        values = pose.centre[:, None] + pose.scale[:, None, None] * seen[..., :2]
        of_body = reference + self.pose * (driving - reference)
        return torch.where(self.points.of_body[:, None], of_body, values)


head_points_of = lru_cache(maxsize=8)(HeadPoints)


def part_of(number: int) -> str:
    """The part of the face that a landmark belongs to; those beyond the mesh go with the pose."""
    if number >= MESH_POINTS:
        return "pose"
    x, y, depth = average_face()[number].tolist()
    if y < BROWS_ABOVE:
        return "brows"
    if y < EYES_ABOVE and EYES_BESIDE < abs(x) < EYES_WITHIN:
        return "eyes"
    is_cheek = y > CHEEKS_BELOW and abs(x) > CHEEKS_BESIDE and depth < CHEEKS_BEFORE
    return "lips" if y > LIPS_BELOW or is_cheek else "face"


def scaled_pose(before: Pose, after: Pose, factor: float) -> Pose:
    """From one pose, (1,), towards others, (B,), by a factor: the way, the turn and the growth."""
    turn = (after.rotation @ before.rotation.mT).numpy()
    rotations = np.stack([_scaled_turn(each, factor) for each in turn.astype(np.float64)])
    return Pose(
        scale=before.scale * (after.scale / before.scale).pow(factor),
        rotation=torch.from_numpy(rotations).to(before.rotation) @ before.rotation,
        centre=before.centre + factor * (after.centre - before.centre),
    )


def _scaled_turn(turn: NDArray[Any], factor: float) -> NDArray[Any]:
    """(3, 3) a rotation about the same axis by `factor` times the angle."""
    axis, _ = cv2.Rodrigues(turn)
    scaled: NDArray[Any] = cv2.Rodrigues(factor * axis)[0]
    return scaled

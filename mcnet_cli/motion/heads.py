"""Keypoints of a face as those of a head in space, which controls and the factors of regions move."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcnet_cli.compositing.head import MIDDLE, HeadPoints, Pose
from mcnet_cli.face.expression import NECK, expressed, head_rotations, template
from mcnet_cli.face.outer import MESH, average_face
from mcnet_cli.face.topology import BODY_POINTS, MESH_POINTS
from mcnet_cli.model import Keypoints
from mcnet_cli.motion.controls import CONTROLS, Controls
from mcnet_cli.motion.transfer import Factors

SHOULDERS = BODY_POINTS[1:]
# A face that looks aside by less than the first angle is turned by all of a motion, beyond the second by the
# least share; in between by less and less.
ASIDE_DEG, LEAST_ROOM = (12.0, 35.0), 0.35
BODY_SHARE = 0.4  # of the head's way, that shoulders and neck go along
# Where the parts are on the average face, in its heights: brows with the forehead above a line; eyes between
# that and the next one, beside the nose; lips with the jaw below the nose, and with the cheeks beside it.
BROWS_ABOVE, EYES_ABOVE, LIPS_BELOW = -0.245, -0.1, 0.1
EYES_BESIDE, EYES_WITHIN, CHEEKS_BELOW, CHEEKS_BESIDE, CHEEKS_BEFORE = 0.06, 0.33, 0.0, 0.12, 0.4
_SHAPES = [
    place
    for place, name in enumerate(CONTROLS)
    if name in ("mouth", "smile", "rounding", "left_eye", "right_eye", "gaze_y", "brows")
]

head_points_of = lru_cache(maxsize=8)(HeadPoints)


class ControlledFace:
    """A source's face that controls pose and shape.

    landmarks: (468, 2) of it in any unit; None where they are unknown, then an average face moves. numbers:
    which landmark each keypoint is.
    """

    def __init__(self, landmarks: NDArray[Any] | None, numbers: Sequence[int]) -> None:
        self._points = head_points_of(tuple(numbers))
        self._rest = template() if landmarks is None else _at_rest(landmarks)
        self._places = [place for place, number in enumerate(numbers) if number < MESH_POINTS]
        self._mesh = [numbers[place] for place in self._places]
        self._rises = torch.tensor([number in SHOULDERS for number in numbers])

    def room_to_turn(self, keypoints: Keypoints) -> float:
        """The share of a motion's turns that suits the face: less of them the more it looks aside already.

        Turned further, it would have to show what the source hides.
        """
        aside_deg = np.degrees(
            np.arccos(np.clip(float(self._points.pose(keypoints.values).rotation[0, 2, 2]), -1, 1))
        )
        return float(np.interp(aside_deg, ASIDE_DEG, (1.0, LEAST_ROOM)))

    def moved(self, keypoints: Keypoints, controls: Controls) -> Keypoints:
        """B keypoints whose pose and expression the controls of B frames have changed."""
        values = keypoints.values
        pose = self._points.pose(values)
        head = self._points.in_space(values, pose) @ pose.rotation + self._expressions(controls)
        turns = torch.from_numpy(head_rotations(*controls.turns)).float()
        neck = torch.from_numpy(NECK - MIDDLE).float()
        head = (head - neck) @ turns.mT + neck
        seen = (head @ pose.rotation.mT)[..., :2]
        shift = torch.from_numpy(np.stack([controls["x"], -controls["y"]], axis=-1))[:, None]
        seen = pose.centre[:, None] + pose.scale[:, None, None] * (seen + shift)
        rise = torch.from_numpy(controls["shoulders"])[:, None] * pose.scale[:, None] * self._rises
        body = values + BODY_SHARE * pose.scale[:, None, None] * shift
        body = body - torch.stack([torch.zeros_like(rise), rise], dim=-1)
        return Keypoints(torch.where(self._points.of_body[:, None], body, seen), keypoints.jacobians)

    def _expressions(self, controls: Controls) -> Tensor:
        """(B, K, 3) what the expressions of B frames add to the keypoints of a face at rest."""
        added = np.zeros((len(controls), len(self._points.points), 3))
        for row in np.flatnonzero(controls.values[:, _SHAPES].any(1)).tolist():
            shaped = expressed(self._rest, controls.expression(row))
            added[row, self._places] = (shaped - self._rest)[self._mesh]
        return torch.from_numpy(added).float()


def _at_rest(landmarks: NDArray[Any]) -> NDArray[np.float64]:
    """(468, 3) a face as if it looked ahead, in heights of the mesh, with the depths of an average one."""
    points = head_points_of(MESH)
    values = torch.from_numpy(np.asarray(landmarks, np.float32))[None]
    pose = points.pose(values)
    ahead = (points.in_space(values, pose) @ pose.rotation)[0].numpy()
    rest: NDArray[np.float64] = ahead.astype(np.float64) + MIDDLE
    return rest


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

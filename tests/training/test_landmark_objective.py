"""Loss terms that landmarks make possible."""

import numpy as np
import pytest
import torch
from face_tools import portrait_face
from torch import Tensor

from mcnet_cli.face import LID_OPENINGS
from mcnet_cli.model import Keypoints
from mcnet_cli.training.augment import Batch
from mcnet_cli.training.landmark_objective import (
    LEFT_EYE,
    RIGHT_EYE,
    OpeningMasks,
    landmark_distance,
    opening_masks,
    openings_loss,
)


def test_keypoints_are_as_far_from_landmarks_as_the_mean_coordinate() -> None:
    landmarks = torch.rand(2, 5, 2, generator=torch.Generator().manual_seed(0))
    moved = Keypoints(landmarks + torch.tensor([0.1, -0.3]))
    assert landmark_distance(moved, landmarks).item() == pytest.approx(0.2)


def face_points(*, lids: float = 1.0) -> Tensor:
    """(1, 468, 2) of a face as clips are framed, its lids as far apart as `lids` says, 1 for as they are."""
    points = portrait_face().points
    points = (points - points.mean(0)) / np.ptp(points[:, 1])
    for eye in (LEFT_EYE, RIGHT_EYE):
        middle = points[list(eye), 1].mean()
        points[list(eye), 1] = middle + lids * (points[list(eye), 1] - middle)
    for pair in LID_OPENINGS:
        points[list(pair), 0] = points[list(pair), 0].mean()  # across the eye they don't meet
    return torch.from_numpy(points)[None]


def masks_of(source: Tensor, driving: Tensor) -> OpeningMasks:
    picture = torch.zeros(1, 3, 128, 128)
    nothing = torch.zeros(1)
    return opening_masks(Batch(picture, picture, source, driving, nothing, nothing, ("a",)), 64)


def test_eyes_that_open_are_to_be_painted_and_others_warped() -> None:
    wide, shut = face_points(lids=1.5), face_points(lids=0.2)
    masks = masks_of(shut, wide)
    assert masks.changed.sum() > 4
    for eye in (LEFT_EYE, RIGHT_EYE):
        x, y = ((wide[0, list(eye)].mean(0) + 1) * 63 / 2).round().long().tolist()
        assert masks.changed[0, 0, y, x] == 1
    assert not (masks.changed * masks.skin).any()
    for source, driving in ((wide, wide), (shut, shut), (wide, shut)):
        assert not masks_of(source, driving).changed.any()
    assert masks_of(wide, wide).skin.sum() > 50


def test_narrow_eyes_that_look_wider_are_warped() -> None:
    masks = masks_of(face_points(lids=0.5), face_points(lids=1.5))
    assert not masks.changed.any()
    assert masks.steady.sum() > 4


def test_occlusion_falls_where_eyes_open_and_rises_where_they_stay_open() -> None:
    wide, shut = face_points(lids=1.5), face_points(lids=0.2)
    for source, part, sign in ((shut, "changed", 1), (wide, "steady", -1)):
        masks = masks_of(source, wide)
        occlusion = torch.full((1, 1, 64, 64), 0.5, requires_grad=True)
        openings_loss(occlusion, masks).backward()
        slope = sign * occlusion.grad[getattr(masks, part) > 0]  # type: ignore[index]
        assert len(slope) > 4 and (slope > 0).all()

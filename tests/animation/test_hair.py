"""Hair of another person beside the face: it goes with the head, even where the driving shows a wall."""

import cv2
import numpy as np
import pytest
import torch

from mcnet_cli.animation.relative_motion import LARGEST_HAIR_OFFSET, Hair, relative_motion
from mcnet_cli.face import OUTER, SIDES
from mcnet_cli.face.outer import BODY, average_face
from mcnet_cli.model import Keypoints, transfer_motion
from mcnet_cli.training.config import LANDMARKS

BESIDE = [LANDMARKS.index(point) for point in SIDES]
SHOULDER, EYES = LANDMARKS.index(OUTER[-1]), [LANDMARKS.index(point) for point in (33, 263)]


def head(turn_deg: float) -> Keypoints:
    """All keypoints of a head that has turned with its hair and its body."""
    places = np.concatenate([average_face(), np.zeros((5, 3)), BODY])[list(LANDMARKS)]
    turn, _ = cv2.Rodrigues(np.radians(np.array([0.0, turn_deg, 0.0])))
    return Keypoints(torch.from_numpy((places @ turn.T)[None, :, :2]).float())


def moved(keypoints: Keypoints, place: int | list[int], shift: tuple[float, float]) -> Keypoints:
    values = keypoints.values.clone()
    values[:, place] += torch.tensor(shift)
    return Keypoints(values)


def test_hair_that_turns_with_the_head_is_left_alone() -> None:
    hair = Hair.among(LANDMARKS)
    assert hair is not None
    torch.testing.assert_close(hair.near_head(head(20), head(0)).values, head(20).values)


def test_a_wall_beside_the_face_holds_no_hair_back() -> None:
    hair, start, turned = Hair.among(LANDMARKS), head(0), head(20)
    assert hair is not None
    stays = turned.values.clone()
    stays[:, BESIDE] = start.values[:, BESIDE] + torch.tensor([0.0, 0.3])
    found = hair.near_head(Keypoints(stays), start)
    limit = LARGEST_HAIR_OFFSET * float((start.values[0, EYES[0]] - start.values[0, EYES[1]]).norm())
    off = (found.values - turned.values)[0, BESIDE].norm(dim=-1)
    torch.testing.assert_close(off, torch.full((2,), limit))
    others = [place for place in range(len(LANDMARKS)) if place not in BESIDE]
    assert torch.equal(found.values[:, others], stays[:, others])


def test_relative_motion_takes_shoulders_as_they_are_and_hair_near_the_head() -> None:
    start = head(0)
    driving = moved(moved(start, SHOULDER, (0.2, 0)), BESIDE, (0.2, 0))
    result = relative_motion(driving, start, start, 2.0, LANDMARKS).values - start.values
    torch.testing.assert_close(result[0, SHOULDER], torch.tensor([0.4, 0.0]))
    assert 0 < result[0, BESIDE].norm(dim=-1).max() < 0.2


def test_without_keypoints_beside_the_face_there_is_no_hair() -> None:
    assert Hair.among(()) is None
    assert Hair.among(LANDMARKS[:19]) is None


@pytest.mark.parametrize("turn", [-25.0, -12.0, 20.0])
def test_a_source_that_looks_aside_turns_in_space(turn: float) -> None:
    aside, straight, away = head(turn), head(0), head(-turn)
    face = [place for place, number in enumerate(LANDMARKS) if number < OUTER[0]]
    moved = relative_motion(away, straight, aside, 1.0, LANDMARKS).values[0, face]
    error = (moved - straight.values[0, face]).norm(dim=-1).max()
    plain = transfer_motion(away, straight, aside).values[0, face]
    assert error < 0.015
    assert error < 0.5 * (plain - straight.values[0, face]).norm(dim=-1).max()

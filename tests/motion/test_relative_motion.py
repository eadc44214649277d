"""Relative motion of landmarks: mouth and lids, hair beside the face, and heads that turn in space."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from mcnet_cli.face import OUTER, SIDES
from mcnet_cli.face.outer import BODY, average_face
from mcnet_cli.face.topology import BODY_POINTS
from mcnet_cli.model import Keypoints, transfer_motion
from mcnet_cli.motion.heads import head_points_of
from mcnet_cli.motion.relative_motion import (
    BROW_GAIN,
    LARGEST_HAIR_OFFSET,
    MAX_MOUTH_RATIO,
    SHUT_LID_GAP,
    SMILE_GAIN,
    Hair,
    LidsAndLips,
    damped_turns,
    relative_motion,
)
from mcnet_cli.training.objective_config import LANDMARKS

# outer corners of the eyes, lids, lips (inner, outer), chin
POINTS = (33, 263, 159, 145, 386, 374, 13, 14, 0, 17, 152)
CHIN = POINTS.index(152)


def face(*, lids: float, mouth: float, angle_deg: float = 0.0, shift: float = 0.0) -> Keypoints:
    """One face with openings of these heights, turned and shifted."""
    rows = {33: (-0.3, 0), 263: (0.3, 0), 152: (0, 0.6 + mouth)}
    for above, below, x in ((159, 145, -0.2), (386, 374, 0.2)):
        rows |= {above: (x, -lids / 2), below: (x, lids / 2)}
    rows |= {13: (0, 0.3), 14: (0, 0.3 + mouth), 0: (0, 0.25), 17: (0, 0.35 + mouth)}
    values = np.array([rows[point] for point in POINTS], np.float32)
    angle = np.radians(angle_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    return Keypoints(torch.from_numpy(values @ turn.T + np.float32(shift))[None])


def between(keypoints: Keypoints, above: int, below: int) -> float:
    pair: Tensor = keypoints.values[0, [POINTS.index(above), POINTS.index(below)]]
    return float((pair[0] - pair[1]).norm())


def moved(driving: Keypoints, reference: Keypoints, source: Keypoints, scale: float = 1.0) -> Keypoints:
    openings = LidsAndLips.among(POINTS)
    assert openings is not None
    plain = transfer_motion(driving, reference, source, scale)
    return openings.carried(plain, driving, reference, source, scale)


@pytest.mark.parametrize("angle", [0.0, 25.0])
@pytest.mark.parametrize(("mouth", "scale"), [(0.0, 1.0), (0.2, 1.0), (0.2, 0.5)])
def test_a_mouth_is_as_open_as_the_drivings_whatever_the_reference_shows(
    mouth: float, scale: float, angle: float
) -> None:
    driving = face(lids=0.1, mouth=mouth, angle_deg=angle, shift=0.1)
    reference, source = (face(lids=0.1, mouth=mouth, angle_deg=angle) for mouth in (0.15, 0.05))
    result = moved(driving, reference, source, scale)
    assert between(result, 13, 14) == pytest.approx(scale * mouth, abs=0.005)
    assert between(result, 0, 17) == pytest.approx(between(result, 13, 14) + 0.1, abs=0.02)


def test_lids_close_by_the_drivings_share_and_open_further_by_its_distance() -> None:
    reference, source = face(lids=0.08, mouth=0.0), face(lids=0.2, mouth=0.0)
    shut = SHUT_LID_GAP * 0.6  # so near are lids that meet
    for lids, expected in ((0.0, 0.0), (shut, 0.0), ((shut + 0.08) / 2, 0.1), (0.08, 0.2), (0.1, 0.22)):
        result = moved(face(lids=lids, mouth=0.0), reference, source)
        for above, below in ((159, 145), (386, 374)):
            assert between(result, above, below) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(
    ("width", "expected"), [(0.2, 1.0), (0.24, 1.2), (0.6, MAX_MOUTH_RATIO), (0.01, 1 / MAX_MOUTH_RATIO)]
)
def test_a_wide_mouth_opens_further_than_a_narrow_one(width: float, expected: float) -> None:
    points = (*POINTS, 61, 291)
    openings = LidsAndLips.among(points)
    assert openings is not None

    def with_corners(keypoints: Keypoints, width: float) -> Keypoints:
        corners = torch.tensor([[[-width / 2, 0.3], [width / 2, 0.3]]])
        return Keypoints(torch.cat([keypoints.values, corners], dim=1))

    driving, reference = (with_corners(face(lids=0.1, mouth=mouth), 0.2) for mouth in (0.1, 0.0))
    source = with_corners(face(lids=0.1, mouth=0.0), width)
    plain = transfer_motion(driving, reference, source, 1.0)
    result = openings.carried(plain, driving, reference, source, 1.0)
    assert between(result, 13, 14) == pytest.approx(0.1 * expected, abs=0.001)


def test_brows_rise_further_than_the_mesh_says() -> None:
    points = (33, 263, 105, 334)
    openings = LidsAndLips.among(points)
    assert openings is not None
    low, high = (
        Keypoints(torch.tensor([[[-0.3, 0.0], [0.3, 0.0], [-0.2, -y], [0.2, -y]]])) for y in (0.1, 0.14)
    )
    result = openings.carried(transfer_motion(high, low, low, 1.0), high, low, low, 1.0)
    assert result.values[0, 2:, 1] == pytest.approx([-0.1 - BROW_GAIN * 0.04] * 2)


def test_smiles_widen_further_than_the_mesh_says_in_the_faces_own_direction() -> None:
    points = (33, 263, 61, 291)
    openings = LidsAndLips.among(points)
    assert openings is not None
    angle = np.radians(30)
    turn = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).float()
    plain, smile = (
        Keypoints(torch.tensor([[[-0.3, 0.0], [0.3, 0.0], [-x, 0.3], [x, 0.3]]]) @ turn.T)
        for x in (0.2, 0.24)
    )
    source = Keypoints(0.5 * plain.values)
    result = openings.carried(transfer_motion(smile, plain, source, 0.5), smile, plain, source, 0.5)
    upright = result.values[0] @ turn
    assert upright[2:, 0] == pytest.approx([-0.1 - SMILE_GAIN * 0.02, 0.1 + SMILE_GAIN * 0.02])
    assert upright[2:, 1] == pytest.approx([0.15, 0.15])


def test_nothing_else_is_changed() -> None:
    driving, reference = face(lids=0.02, mouth=0.2, shift=0.1), face(lids=0.1, mouth=0.1)
    source = face(lids=0.12, mouth=0.0)
    result, plain = moved(driving, reference, source), transfer_motion(driving, reference, source)
    for point in (33, 263, 145, 374, 152):
        place = POINTS.index(point)
        assert torch.equal(result.values[0, place], plain.values[0, place])
    assert plain.values[0, CHIN, 1] > source.values[0, CHIN, 1]


def test_keypoints_that_are_no_landmarks_have_no_openings() -> None:
    assert LidsAndLips.among(()) is None
    assert LidsAndLips.among((13, 14, 159, 145)) is None


# Hair of another person beside the face: it goes with the head, even where the driving shows a wall.

BESIDE = [LANDMARKS.index(point) for point in SIDES]
SHOULDER, EYE_CORNERS = LANDMARKS.index(OUTER[-1]), [LANDMARKS.index(point) for point in (33, 263)]


def head(turn_deg: float) -> Keypoints:
    """All keypoints of a head that has turned with its hair and its body."""
    places = np.concatenate([average_face(), np.zeros((5, 3)), BODY])[list(LANDMARKS)]
    turn, _ = cv2.Rodrigues(np.radians(np.array([0.0, turn_deg, 0.0])))
    return Keypoints(torch.from_numpy((places @ turn.T)[None, :, :2]).float())


def shifted(keypoints: Keypoints, place: int | list[int], shift: tuple[float, float]) -> Keypoints:
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
    limit = LARGEST_HAIR_OFFSET * float(
        (start.values[0, EYE_CORNERS[0]] - start.values[0, EYE_CORNERS[1]]).norm()
    )
    off = (found.values - turned.values)[0, BESIDE].norm(dim=-1)
    torch.testing.assert_close(off, torch.full((2,), limit))
    others = [place for place in range(len(LANDMARKS)) if place not in BESIDE]
    assert torch.equal(found.values[:, others], stays[:, others])


def test_relative_motion_takes_shoulders_as_they_are_and_hair_near_the_head() -> None:
    start = head(0)
    driving = shifted(shifted(start, SHOULDER, (0.2, 0)), BESIDE, (0.2, 0))
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


# Portraits that look aside, moved by drivings that turn: the half that they hide can't be shown.


def turns_of(keypoints: Keypoints) -> np.ndarray:
    """By how many degrees heads are turned about their height; positive to the side that `head` turns to."""
    ahead = head_points_of(LANDMARKS).pose(keypoints.values).rotation[:, :, 2].numpy()
    return np.degrees(np.arctan2(ahead[:, 0], ahead[:, 2]))


def turning(*turns_deg: float) -> Keypoints:
    return Keypoints(torch.cat([head(turn).values for turn in turns_deg]))


@pytest.mark.parametrize("aside", [40.0, -40.0, 25.0])
def test_a_portrait_that_looks_aside_stays_near_where_it_looks(aside: float) -> None:
    driving = turning(*range(-45, 46, 5))
    turns = turns_of(damped_turns(driving, head(0), head(aside), LANDMARKS))
    steps = np.diff(turns)
    assert (steps > 0).all(), "it follows the driving all the way"
    assert (np.abs(np.diff(steps)) < 2.5).all(), "without a jump of its velocity"
    assert np.abs(turns).max() < (12 if abs(aside) == 40 else 20)
    assert turns == pytest.approx(-turns[::-1], abs=0.1)


@pytest.mark.parametrize("aside", [0.0, 10.0, -11.0])
def test_a_portrait_that_looks_ahead_turns_with_the_driving(aside: float) -> None:
    driving = turning(-40, 0, 40)
    assert damped_turns(driving, head(0), head(aside), LANDMARKS) is driving


def test_small_turns_of_a_portrait_that_looks_aside_are_the_drivings() -> None:
    driving = turning(-2, 0, 2.5, 30)
    damped = damped_turns(driving, head(0), head(40), LANDMARKS)
    assert torch.equal(damped.values[:3], driving.values[:3])
    assert not torch.equal(damped.values[3], driving.values[3])


def test_a_damped_turn_keeps_the_expression_the_nod_and_the_shoulders() -> None:
    mesh = [place for place, number in enumerate(LANDMARKS) if number < OUTER[0]]
    lower_lip = LANDMARKS.index(14)
    places = np.concatenate([average_face(), np.zeros((5, 3)), BODY])[list(LANDMARKS)]

    def speaking(turn_deg: float) -> Keypoints:
        opened = places.copy()
        opened[lower_lip, 1] += 0.1
        turn, nod = (cv2.Rodrigues(np.radians(axis))[0] for axis in ([0.0, turn_deg, 0], [9.0, 0, 0]))
        return Keypoints(torch.from_numpy((opened @ (nod @ turn).T)[None, :, :2]).float())

    def unlike(keypoints: Keypoints, other: Keypoints) -> float:
        """By how much faces differ, wherever they are."""
        off = (keypoints.values - other.values)[0, mesh]
        return float((off - off.mean(0)).abs().max())

    driving = speaking(40)
    damped = damped_turns(driving, head(0), head(40), LANDMARKS)
    assert unlike(damped, driving) > 0.1
    assert min(unlike(damped, speaking(turn)) for turn in range(8, 14)) < 0.03
    shoulders = [place for place, number in enumerate(LANDMARKS) if number in BODY_POINTS]
    assert torch.equal(damped.values[:, shoulders], driving.values[:, shoulders])


def test_keypoints_that_are_no_landmarks_turn_as_they_are() -> None:
    learned = Keypoints(torch.rand(3, 15, 2))
    assert damped_turns(learned, learned[:1], learned[:1], ()) is learned

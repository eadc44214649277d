"""Where relative motion starts, how it is scaled, and how far portraits turn that look aside."""

import numpy as np
import pytest
import torch
from face_tools import animator

from mcnet_cli.animation.retarget import Retargeting
from mcnet_cli.face import OUTER
from mcnet_cli.face.expression import Expression
from mcnet_cli.face.outer import average_face
from mcnet_cli.motion.heads import head_points_of
from mcnet_cli.motion.reference import (
    best_reference,
    hull_area,
    hull_scale,
    on_face,
    reference_weights,
    single_reference,
)
from mcnet_cli.motion.transfer import Transfer
from mcnet_cli.synthetic.identity import Identity
from mcnet_cli.synthetic.mesh import Pose
from mcnet_cli.synthetic.render import render

SQUARE = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [0, 0]], np.float32)


def test_the_hull_of_a_square_ignores_the_points_inside() -> None:
    assert hull_area(SQUARE) == pytest.approx(4)


def test_scale_is_the_ratio_of_the_lengths() -> None:
    assert hull_scale(3 * SQUARE, SQUARE) == pytest.approx(3)
    assert hull_scale(SQUARE, 3 * SQUARE) == pytest.approx(1 / 3)


def test_shoulders_say_nothing_about_the_size_of_a_face() -> None:
    keypoints = np.concatenate([SQUARE, [(9, 9)]]).astype(np.float32)
    mesh = tuple(range(len(SQUARE)))
    assert np.array_equal(on_face(keypoints, (*mesh, OUTER[-1])), keypoints[:-1])
    assert on_face(keypoints, ()) is keypoints


@pytest.mark.parametrize("flat", [np.zeros((5, 2), np.float32), np.zeros((1, 2)), SQUARE * [1, 0]])
def test_a_flat_hull_leaves_the_scale_alone(flat: np.ndarray) -> None:
    assert hull_scale(flat, SQUARE) == hull_scale(SQUARE, flat) == 1.0


def test_the_best_reference_has_the_nearest_shape_wherever_and_however_large() -> None:
    rng = np.random.default_rng(0)
    source = rng.normal(size=(468, 2)).astype(np.float32)
    driving = rng.normal(size=(6, 468, 2)).astype(np.float32)
    driving[4] = 0.2 * source + (5, -3) + 0.001 * rng.normal(size=(468, 2))
    usable = np.ones(6, bool)
    assert best_reference(source, driving.astype(np.float16), usable) == 4


def test_an_unusable_frame_is_never_the_reference() -> None:
    driving = np.stack([SQUARE * [1, 2], SQUARE, SQUARE * [1, 1.2]])
    assert best_reference(SQUARE, driving, np.array([True, False, True])) == 2


def test_of_equal_frames_the_first_is_the_reference() -> None:
    assert best_reference(SQUARE, np.stack([SQUARE * [1, 2], SQUARE, SQUARE]), np.ones(3, bool)) == 1


def test_a_frame_with_shut_lids_is_no_reference_for_open_eyes() -> None:
    lids = np.array([[-0.5, -0.2], [-0.5, -0.1], [0.5, -0.2], [0.5, -0.1]], np.float32)
    source = np.concatenate([SQUARE, lids])
    shut, turned = source.copy(), source.copy()
    shut[[5, 7], 1] = -0.1
    turned[4, 0] += 0.2
    pairs = [(5, 6), (7, 8)]
    driving, usable = np.stack([shut, turned]), np.ones(2, bool)
    assert best_reference(source, driving, usable) == 0
    assert best_reference(source, driving, usable, pairs) == 1
    assert best_reference(shut, driving, usable, pairs) == 0


def swaying(yaws: list[float], noise: float = 0.0) -> np.ndarray:
    """(T, 468, 2) landmarks of a head that looks aside by so many degrees."""
    turn = np.radians(yaws)[:, None]
    x, y, z = average_face().T
    points = np.stack([np.cos(turn) * x + np.sin(turn) * z, np.broadcast_to(y, (len(yaws), len(y)))], -1)
    return points + noise * np.random.default_rng(1).normal(size=points.shape)


def test_frames_that_are_about_as_near_the_source_share_the_reference() -> None:
    source, usable = swaying([0])[0], np.array([True] * 5 + [False])
    weights = reference_weights(source, swaying([-9, 25, 9, -9.1, 25, 0]), usable)
    assert weights.sum() == pytest.approx(1, abs=1e-6)
    assert (weights[[0, 2, 3]] > 0.2).all()
    assert (weights[[1, 4, 5]] == 0).all()
    alone = reference_weights(source, swaying([-9, 25, 2]), np.ones(3, bool))
    assert np.array_equal(alone, single_reference(2, 3))


def test_noise_hardly_moves_what_motion_starts_from() -> None:
    yaws = [float(yaw) for yaw in (*range(-20, -6, 2), *range(8, 22, 2))]  # as far to either side
    usable, chosen, means = np.ones(len(yaws), bool), set(), []
    for noise in np.linspace(-4e-4, 4e-4, 5):
        frames = swaying(yaws, noise)
        chosen.add(best_reference(swaying([0])[0], frames, usable))
        means.append(reference_weights(swaying([0])[0], frames, usable) @ np.array(yaws))
    assert len(chosen) > 1, "one side or the other, by chance"
    assert np.ptp(means) < 1.5


def test_no_usable_frame_leaves_the_first_one() -> None:
    weights = reference_weights(SQUARE, np.stack([SQUARE, SQUARE]), np.zeros(2, bool))
    assert np.array_equal(weights, [1, 0])


def yaws_deg(keypoints: np.ndarray) -> np.ndarray:
    points = head_points_of(animator().landmarks)
    ahead = points.pose(torch.from_numpy(keypoints)).rotation[:, :, 2].numpy()
    return np.degrees(np.arctan2(ahead[:, 0], ahead[:, 2]))


def mouths(keypoints: np.ndarray) -> np.ndarray:
    upper, lower = (animator().landmarks.index(lip) for lip in (13, 14))
    return np.linalg.norm(keypoints[:, upper] - keypoints[:, lower], axis=-1)


@pytest.mark.parametrize("looking", [38, 0])
def test_a_portrait_that_looks_aside_turns_less_than_the_driving_and_speaks_as_much(looking: float) -> None:
    picture, _ = render(Identity.draw(3), Pose(yaw=looking), Expression(), 256)
    moments = [(20, 0.0), (0, 0.0), (-20, 0.0), (-20, 0.8)]  # of another person, who turns and then speaks
    driving = [
        render(Identity.draw(5), Pose(yaw=yaw), Expression(mouth=mouth), 256)[0] for yaw, mouth in moments
    ]
    motion, face = animator().motion(driving), animator().portrait(picture).faces[0]
    retargeting = Retargeting(
        motion, Transfer(reference=0, smooth=0.0), face, animator().landmarks, smooth=0.0
    )
    moved = retargeting.keypoints(np.arange(4)).values.numpy()
    turned, asked = (np.abs(np.ptp(yaws_deg(each))) for each in (moved, motion.values))
    assert asked > 35
    assert turned < 13 if looking else turned > 0.8 * asked
    assert mouths(moved)[3] - mouths(moved)[2] > 0.6 * (mouths(motion.values)[3] - mouths(motion.values)[2])

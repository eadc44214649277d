"""What happens to motions in time, and several motions as one."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from mcnet_cli import InputError, UsageError
from mcnet_cli.face.outer import MESH, average_face
from mcnet_cli.motion.bundled import bundled_motions
from mcnet_cli.motion.controls import Controls
from mcnet_cli.motion.edit import added, joined, mixed
from mcnet_cli.motion.motion import Motion
from mcnet_cli.motion.timing import JOINT_S, MotionEdit

RATE = 25
NUMBERS = MESH


def controlled(yaw: NDArray[np.float64] | list[float]) -> Motion:
    return Motion.of(Controls.of(yaw=yaw), RATE)


def recorded(shifts: list[float], size: float = 0.5, found: list[bool] | None = None) -> Motion:
    """A face that moves to the right by these parts of its height."""
    face = average_face()[:, :2]
    values = np.stack([(face + np.array([shift, 0])) * size for shift in shifts]).astype(np.float32)
    known = np.ones(len(shifts), bool) if found is None else np.array(found)
    return Motion(values, None, values.astype(np.float16), known, Fraction(RATE), "0" * 64)


def place(motion: Motion) -> NDArray[np.float32]:
    """(T,) where the face is, across."""
    place: NDArray[np.float32] = motion.values[..., 0].mean(1)
    return place


def largest_step(track: NDArray[np.float32]) -> float:
    return float(np.abs(np.diff(track)).max())


def test_twice_the_rate_has_the_same_poses_at_the_same_times_and_new_ones_between_them() -> None:
    motion = recorded([0.0, 0.1, 0.4, 0.2])
    finer = MotionEdit(rate=Fraction(2 * RATE)).applied(motion)
    assert finer.rate == 2 * RATE and len(finer) == 8
    assert np.allclose(finer.values[::2], motion.values)
    assert np.allclose(place(finer)[1::2][:3], (place(motion)[1:] + place(motion)[:-1]) / 2, atol=1e-6)


def test_twice_the_speed_takes_half_the_time() -> None:
    motion = controlled(np.linspace(0, 20, 50))
    faster = MotionEdit(speed=2).applied(motion)
    assert len(faster) == 25
    assert np.allclose(faster.controls["yaw"], motion.controls["yaw"][::2])


def test_backwards_ends_where_it_began() -> None:
    yaw = MotionEdit(backwards=True).applied(controlled([0, 5, 20])).controls["yaw"]
    assert yaw.tolist() == [20, 5, 0]


def test_ping_pong_slows_down_where_it_turns() -> None:
    motion = MotionEdit(ping_pong=True).applied(controlled(np.linspace(0, 40, 51)))
    yaw = motion.controls["yaw"]
    steps = np.abs(np.diff(yaw))
    assert yaw[0] == 0 and yaw.max() == pytest.approx(40)
    assert steps[yaw[:-1].argmax()] < 0.3 * np.median(steps)
    assert abs(yaw[-1] - yaw[0]) <= steps.max()


@pytest.mark.parametrize("times", [2, 3])
def test_a_repeated_motion_is_blended_where_it_begins_again(times: int) -> None:
    motion = controlled(np.linspace(0, 30, 50))
    twice = MotionEdit(loop=times).applied(motion)
    assert len(twice) == times * 50 - (times - 1) * round(JOINT_S * RATE)
    assert largest_step(twice.controls["yaw"]) < 10  # without a joint it is 30


def test_a_motion_that_is_often_repeated_is_joined_to_itself_each_time() -> None:
    motion = recorded([0.01 * number for number in range(30)])
    expected = joined([motion] * 4, NUMBERS)
    often = MotionEdit(loop=4).applied(motion)
    assert np.allclose(often.values, expected.values, atol=1e-6)
    assert len(MotionEdit(loop=1000).applied(motion)) == 30 + 999 * 20


def test_a_motion_without_end_is_refused() -> None:
    with pytest.raises(UsageError, match="more than"):
        MotionEdit(duration_s=24 * 3600, rate=Fraction(60)).applied(controlled([0.0, 5.0]))


def test_a_seamless_motion_is_repeated_whole() -> None:
    for bundled in bundled_motions():
        motion = bundled.motion()
        assert len(MotionEdit(loop=2).applied(motion)) == 2 * len(motion), bundled.name


@pytest.mark.parametrize("seconds", [0.4, 7.0])
def test_a_motion_lasts_as_long_as_it_is_asked_to(seconds: float) -> None:
    motion = controlled(np.linspace(0, 30, 50))
    assert len(MotionEdit(duration_s=seconds).applied(motion)) == round(seconds * RATE)


def test_a_motion_fades_in_from_the_source_and_returns_to_it() -> None:
    edit = MotionEdit(fade_in_s=0.4, returns=True)
    controls, film = edit.applied(controlled([10.0] * 50)).controls, edit.applied(recorded([0.1] * 50))
    for shares in (controls["yaw"] / 10, film.weights):
        assert shares[0] == 0 and shares[-1] == 0 and shares[25] == pytest.approx(1)
        assert largest_step(shares) < 0.25


def test_frames_without_a_face_are_not_interpolated_towards() -> None:
    motion = recorded([0.0, 9.0, 0.2], found=[True, False, True])
    finer = MotionEdit(rate=Fraction(2 * RATE)).applied(motion)
    assert place(finer).max() == pytest.approx(place(motion)[2], abs=1e-6)
    assert finer.found.tolist() == [True, True, False, False, True, True]


def test_two_motions_follow_each_other_without_a_jump() -> None:
    whole = joined([controlled([0.0] * 25), controlled([20.0] * 25)])
    assert len(whole) == 50 - round(JOINT_S * RATE)
    assert largest_step(whole.controls["yaw"]) < 5


def test_of_two_recorded_people_the_second_goes_on_as_the_first() -> None:
    large, small = recorded([0.0] * 20, size=0.8), recorded([0.0] * 10 + [0.1] * 10, size=0.4)
    whole = joined([large, small], NUMBERS)
    spread = whole.values.std(1)
    assert np.allclose(spread, spread[0], rtol=0.02)  # one person's size all the way
    assert place(whole)[-1] - place(whole)[0] == pytest.approx(0.08, rel=0.05)  # a tenth of that person


def test_a_recorded_motion_goes_over_into_a_bundled_one() -> None:
    nod = bundled_motions()[1].motion()
    whole = joined([recorded([0.1] * 25), nod])
    assert whole.is_recorded and whole.weights is not None
    assert whole.weights[0] == 1 and whole.weights[-1] == 0
    assert np.allclose(whole.controls["pitch"][-20:], nod.controls["pitch"][-20:])


def test_added_motions_happen_at_once_and_last_as_long_as_the_longer() -> None:
    both = added(controlled([10.0] * 20), Motion.of(Controls.of(smile=[0.5] * 40), RATE))
    assert len(both) == 40
    assert both.controls["yaw"][0] == 10 and both.controls["yaw"][-1] == 0
    assert np.allclose(both.controls["smile"], 0.5)


def test_of_two_recorded_motions_the_seconds_change_is_added_to_the_first() -> None:
    first, second = recorded([0.0, 0.0, 0.1, 0.1]), recorded([0.0, 0.0, 0.0, 0.2])
    both = added(first, second, NUMBERS)
    assert np.allclose(
        place(both) - place(both)[0], place(first) + place(second) - place(first)[0], atol=5e-3
    )


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_mixed_motions_are_between_the_two(share: float) -> None:
    between = mixed(controlled([10.0] * 5), controlled([20.0] * 8), share)
    assert between.controls["yaw"].tolist() == [10 + 10 * share] * 5


def test_motions_of_other_detectors_do_not_go_together() -> None:
    motion = recorded([0.0] * 3)
    with pytest.raises(InputError, match="different keypoint detectors"):
        joined([motion, replace(motion, digest="1" * 64)], NUMBERS)


@pytest.mark.parametrize(
    "edit",
    [
        {"speed": 0.0},
        {"loop": 0},
        {"duration_s": 0.0},
        {"fade_in_s": float("nan")},
        {"start_s": 2, "end_s": 1},
        {"loop": 2, "duration_s": 3},
    ],
)
def test_edits_without_sense_are_refused(edit: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        MotionEdit(**edit)


def test_nothing_is_left_after_the_end() -> None:
    with pytest.raises(InputError, match="nothing is left"):
        MotionEdit(start_s=4).applied(controlled([0.0] * 50))

"""Portraits moved frame by frame, as cameras bring frames: nothing is known of those that follow."""

import functools
from pathlib import Path

import numpy as np
import pytest
from animation_tools import difference, write_tiny
from face_tools import animator, example, portrait
from places import EXAMPLES

from mcnet_cli import Animator, InputError, LiveAnimator, Transfer, UsageError
from mcnet_cli.live.live_animator import HOLD_S, LEAVE_S, RETURN_S, OneEuro, Presence
from mcnet_cli.media import open_frames

DRIVING = EXAMPLES / "driving.mp4"
RATE = 25


@functools.cache
def frames() -> list[np.ndarray]:
    with open_frames(DRIVING, max_frames=14) as opened:
        return [*opened]


def nothing() -> np.ndarray:
    """A frame without a face."""
    return np.full_like(frames()[0], 90)


@functools.cache
def by_render(smooth: float | None) -> list[np.ndarray]:
    """Every sixth frame as `Animator.render` makes it of the motion as a whole, relative to the first."""
    motion = animator().motion(frames(), rate=RATE)
    transfer = Transfer(reference=0, smooth=smooth)
    return [*animator().render(example(), motion, transfer, rows=range(0, 14, 6))]


def followed_live(live: LiveAnimator) -> list[np.ndarray]:
    live.calibrate(frames()[:1] * 2)  # a second look settles where the face is
    seen = [live.follow(frame, number / RATE) for number, frame in enumerate(frames())]
    return [live.draw(each) for each in seen[::6]]


@pytest.mark.parametrize(("smooth", "most"), [(0.0, 0.15), (None, 0.4)])
def test_frames_are_those_of_a_whole_motion_but_for_what_smoothing_knows(
    smooth: float | None, most: float
) -> None:
    """They differ from the photo by 4 levels."""
    live = LiveAnimator(animator(), example(), Transfer(smooth=smooth))
    apart = [difference(*pair) for pair in zip(by_render(smooth), followed_live(live), strict=True)]
    assert max(apart) < most
    assert difference(by_render(smooth)[-1], portrait()) > 2


def test_the_face_that_was_calibrated_is_the_portrait_at_rest() -> None:
    live = LiveAnimator(animator(), example(), Transfer(smooth=0))
    live.calibrate(frames()[8:11])
    rested = difference(live.frame(frames()[9], 0.0), portrait())
    assert rested < 0.5 * difference(live.frame(frames()[13], 0.5), portrait())


def test_one_frame_in_two_without_a_face_may_be_among_those_that_calibrate() -> None:
    live = LiveAnimator(animator(), example())
    live.calibrate([frames()[0], nothing(), frames()[1], nothing()])
    with pytest.raises(InputError, match="no face was seen"):
        live.calibrate([frames()[0], nothing(), nothing()])


def test_a_lost_face_holds_its_pose_and_then_the_portrait_is_as_in_its_photo() -> None:
    live = LiveAnimator(animator(), example())
    live.calibrate(frames()[:1])
    moved = live.frame(frames()[13], 1.0)
    held = live.follow(nothing(), 1.0 + HOLD_S / 2)
    assert not held.found
    assert np.array_equal(live.draw(held), moved)
    live.follow(nothing(), 1.01 + HOLD_S)
    rested = live.frame(nothing(), 1.1 + HOLD_S + LEAVE_S)
    assert difference(rested, portrait()) < 0.5 < 0.2 * difference(moved, portrait())
    again = live.follow(frames()[13], 10.0)
    assert again.found and again.weight == 1


def test_presence_changes_smoothly() -> None:
    presence, weights = Presence(), []
    for number in range(200):
        found = number < 20 or number >= 120
        weights.append(presence.weight(found, number / 50))
    assert weights[0] == weights[18 + round(50 * HOLD_S)] == 1
    assert weights[119] == 0 and weights[120 + round(50 * RETURN_S) + 1] == 1
    assert max(np.abs(np.diff(weights))) < 0.12


def test_points_at_rest_are_steadied_and_points_that_move_hardly_lag() -> None:
    noise = np.random.default_rng(0).normal(0, 0.0003, (100, 3, 2))
    rest, move = OneEuro(), OneEuro()
    steadied = [rest(points, number / RATE) for number, points in enumerate(noise)]
    assert np.std(steadied[20:]) < 0.5 * np.std(noise)
    path = np.arange(100)[:, None, None] * 0.02 + np.zeros((3, 2))
    behind = [points - move(points, number / RATE) for number, points in enumerate(path)]
    assert np.max(behind[10:]) < 0.01


def test_the_filter_lets_the_same_time_pass_at_any_pace() -> None:
    """A camera's frames may be dropped."""
    slow, fast = OneEuro(), OneEuro()
    for number in range(1, 41):
        dense = fast(np.full((1, 2), 0.001 * (number > 20)), number / 40)
    for number in range(1, 21):
        sparse = slow(np.full((1, 2), 0.001 * (number > 10)), number / 20)
    assert np.allclose(dense, sparse, atol=1.5e-4)


def test_another_portrait_can_be_moved_on() -> None:
    live = LiveAnimator(animator(), example(), Transfer(smooth=0))
    live.calibrate(frames()[:1])
    seen = live.follow(frames()[12], 1.0)
    large = live.draw(seen)
    live.portrait = example().within(200)
    small = live.draw(seen)
    assert large.shape == (512, 512, 3) and small.shape == (200, 200, 3)
    assert difference(small, live.portrait.photo) > 2


def test_learned_keypoints_are_found_in_the_crop_of_the_calibration(tmp_path: Path) -> None:
    other = Animator.load(write_tiny(tmp_path / "w.safetensors"), device="cpu", precision="fp32")
    live = LiveAnimator(other, other.portrait(portrait()), Transfer(smooth=0))
    live.calibrate(frames()[:2])
    seen = live.follow(frames()[12], 0.0)
    assert seen.motion.jacobians is not None
    motion = other.motion(frames()[12:13], crop=seen.calibration.box)
    assert np.allclose(seen.motion.values, motion.values, atol=1e-5)


@pytest.mark.parametrize("transfer", [Transfer(motion="absolute"), Transfer(smooth=2.0)])
def test_what_cannot_be_done_live_is_refused(transfer: Transfer) -> None:
    with pytest.raises(UsageError, match="live"):
        LiveAnimator(animator(), example(), transfer)


def test_nothing_is_followed_before_a_calibration() -> None:
    with pytest.raises(UsageError, match="calibrate"):
        LiveAnimator(animator(), example()).follow(frames()[0], 0.0)

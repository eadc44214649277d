"""Calibration by a second of pictures, and what the thread between camera and drawing makes of captured."""

import functools
from concurrent.futures import Future

import numpy as np
import pytest
from face_tools import animator, example
from places import EXAMPLES

from mcnet_cli import LiveAnimator
from mcnet_cli.live.feed import CapturedFrame
from mcnet_cli.live.following import Following
from mcnet_cli.media import open_frames


@functools.cache
def frames() -> list[np.ndarray]:
    with open_frames(EXAMPLES / "driving.mp4", max_frames=7) as opened:
        return [*opened]


def loaded() -> "Future[LiveAnimator]":
    """An animator that is there."""
    live: Future[LiveAnimator] = Future()
    live.set_result(LiveAnimator(animator(), example()))
    return live


@pytest.fixture
def following() -> Following:
    return Following(loaded(), mirrored=False)


def captured(pictures: list[np.ndarray], rate: float = 5, start_s: float = 0.0) -> list[CapturedFrame]:
    return [CapturedFrame(picture, start_s + number / rate, 0.0) for number, picture in enumerate(pictures)]


def test_the_first_second_calibrates_and_then_the_face_is_followed(following: Following) -> None:
    seen = [following.seen(frame) for frame in captured(frames())]
    assert [each.followed is None for each in seen] == [True] * 6 + [False]
    assert [round(each.calibrated, 1) for each in seen[:4]] == [0, 0.2, 0.4, 0.6]
    assert seen[5].calibrated == 1 and seen[6].followed is not None and seen[6].followed.found


def test_a_second_without_a_face_is_followed_by_another(following: Following) -> None:
    empty = [np.full_like(frames()[0], 90)] * 6
    seen = [following.seen(frame) for frame in captured(empty)]
    assert seen[-1].failed and not seen[0].failed
    seen = [following.seen(frame) for frame in captured(frames(), start_s=2)]
    assert seen[0].failed and seen[0].calibrated == 0
    assert seen[-1].followed is not None


def test_while_the_network_loads_the_last_second_of_a_camera_is_kept() -> None:
    live: Future[LiveAnimator] = Future()
    following = Following(live, mirrored=False)
    empty = [np.full_like(frames()[0], 90)] * 20
    seen = [following.seen(frame) for frame in captured([*empty, *frames()])]
    assert all(each.followed is None and not each.failed for each in seen)
    assert seen[-1].calibrated == 1
    live.set_result(loaded().result())
    following.seen(*captured(frames()[-1:], start_s=5.4))
    (after,) = (following.seen(frame) for frame in captured(frames()[-1:], start_s=5.6))
    assert after.followed is not None and after.followed.found


def test_a_face_may_be_calibrated_anew(following: Following) -> None:
    first = [following.seen(frame) for frame in captured(frames())][-1].followed
    following.calibrate()
    seen = [following.seen(frame) for frame in captured(frames(), start_s=5)]
    assert seen[0].followed is None
    again = seen[-1].followed
    assert first is not None and again is not None and again.calibration is not first.calibration


def test_mirroring_calibrates_by_the_same_pictures_mirrored(following: Following) -> None:
    plain = [following.seen(frame) for frame in captured(frames())][-1]
    assert following.mirror()
    (mirrored,) = (following.seen(frame) for frame in captured(frames()[-1:], start_s=1.4))
    assert np.array_equal(mirrored.picture, plain.picture[:, ::-1])
    assert plain.followed is not None and mirrored.followed is not None
    box, other = plain.followed.calibration.box, mirrored.followed.calibration.box
    assert other.x + other.width == pytest.approx(frames()[0].shape[1] - box.x, abs=3)
    turn, back = (
        each.followed.motion.values.mean(1)[0, 0] - each.followed.calibration.motion.values.mean(1)[0, 0]
        for each in (plain, mirrored)
        if each.followed is not None
    )
    assert back == pytest.approx(-turn, abs=0.02)
    assert not following.mirror()

"""Calibration by a second of pictures, and what the thread between camera and drawing makes of shots."""

import functools
from concurrent.futures import Future

import numpy as np
import pytest
from face_tools import animator, example
from places import EXAMPLES

from mcnet_cli import LiveAnimator
from mcnet_cli.live.feed import Shot
from mcnet_cli.live.following import Following, Seen
from mcnet_cli.live.handover import Slot
from mcnet_cli.live.pace import Schedule
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


def follows(live: "Future[LiveAnimator]", *slots: Slot, waits: bool = False) -> Following:
    return Following(live, *(slots or (Slot(), Slot())), waits=waits, mirrored=False)


@pytest.fixture
def following() -> Following:
    return follows(loaded())


def shots(pictures: list[np.ndarray], rate: float = 5, start_s: float = 0.0) -> list[Shot]:
    return [Shot(picture, start_s + number / rate, 0.0) for number, picture in enumerate(pictures)]


def test_the_first_second_calibrates_and_then_the_face_is_followed(following: Following) -> None:
    seen = [following.seen(shot) for shot in shots(frames())]
    assert [each.frame is None for each in seen] == [True] * 6 + [False]
    assert [round(each.calibrated, 1) for each in seen[:4]] == [0, 0.2, 0.4, 0.6]
    assert seen[5].calibrated == 1 and seen[6].frame is not None and seen[6].frame.followed.found


def test_a_second_without_a_face_is_followed_by_another(following: Following) -> None:
    empty = [np.full_like(frames()[0], 90)] * 6
    seen = [following.seen(shot) for shot in shots(empty)]
    assert seen[-1].failed and not seen[0].failed
    seen = [following.seen(shot) for shot in shots(frames(), start_s=2)]
    assert seen[0].failed and seen[0].calibrated == 0
    assert seen[-1].frame is not None


def test_while_the_network_loads_the_last_second_of_a_camera_is_kept() -> None:
    live: Future[LiveAnimator] = Future()
    following = follows(live)
    empty = [np.full_like(frames()[0], 90)] * 20
    seen = [following.seen(shot) for shot in shots([*empty, *frames()])]
    assert all(each.frame is None and not each.failed for each in seen)
    assert seen[-1].calibrated == 1
    live.set_result(loaded().result())
    following.seen(*shots(frames()[-1:], start_s=5.4))
    (after,) = (following.seen(shot) for shot in shots(frames()[-1:], start_s=5.6))
    assert after.frame is not None and after.frame.followed.found


def test_a_face_may_be_calibrated_anew(following: Following) -> None:
    first = [following.seen(shot) for shot in shots(frames())][-1].frame
    following.calibrate()
    seen = [following.seen(shot) for shot in shots(frames(), start_s=5)]
    assert seen[0].frame is None
    again = seen[-1].frame
    assert (
        first is not None
        and again is not None
        and again.followed.calibration is not first.followed.calibration
    )


def test_mirroring_calibrates_by_the_same_pictures_mirrored(following: Following) -> None:
    plain = [following.seen(shot) for shot in shots(frames())][-1]
    assert following.mirror()
    (mirrored,) = (following.seen(shot) for shot in shots(frames()[-1:], start_s=1.4))
    assert np.array_equal(mirrored.picture, plain.picture[:, ::-1])
    assert plain.frame is not None and mirrored.frame is not None
    box, other = plain.frame.followed.calibration.box, mirrored.frame.followed.calibration.box
    assert other.x + other.width == pytest.approx(frames()[0].shape[1] - box.x, abs=3)
    turn, back = (
        each.frame.followed.motion.values.mean(1)[0, 0]
        - each.frame.followed.calibration.motion.values.mean(1)[0, 0]
        for each in (plain, mirrored)
        if each.frame is not None
    )
    assert back == pytest.approx(-turn, abs=0.02)
    assert not following.mirror()


def test_its_thread_works_until_no_shot_comes_any_more() -> None:
    taken: Slot[Shot] = Slot(keeps_all=True)
    results: Slot[Seen] = Slot(keeps_all=True)
    seen = []
    with follows(loaded(), taken, results):
        for shot in shots(frames()[:2]):
            taken.put(shot)
            seen.append(results.take(60))
        taken.close()
        while not results.is_over:
            results.take(1)
    assert [each.calibrated for each in seen if each is not None] == [0, pytest.approx(0.2)]


def test_an_error_of_the_camera_arrives_where_results_are_taken() -> None:
    taken: Slot[Shot] = Slot()
    results: Slot[Seen] = Slot()
    with follows(loaded(), taken, results):
        taken.close(ValueError("unplugged"))
        with pytest.raises(ValueError, match="unplugged"):
            results.take(60)


def test_a_session_ends_while_a_shot_waits_that_is_not_due_yet() -> None:
    taken: Slot[Shot] = Slot()
    schedule = Schedule()
    schedule.followed(0.0)  # a result that nobody will take
    with Following(loaded(), taken, Slot(), waits=False, mirrored=False, schedule=schedule) as following:
        taken.put(shots(frames())[0])
    assert not following._thread.is_alive()

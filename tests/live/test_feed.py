"""Cameras, and videos that play as cameras."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from animation_tools import write_clip, write_photo
from media_tools import number_of, numbered_frames

from mcnet_cli import InputError
from mcnet_cli.live.feed import CameraFeed, Capture, CapturedFrame, FileFeed, open_camera, unusable_camera


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames in 0.4 s."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_clip(path, numbered_frames(12), rate="30", sound=True)


def taken(capture: Capture) -> list[CapturedFrame]:
    """What arrives until the end."""
    captured = []
    with capture:
        while not capture.frames.is_over:
            frame = capture.frames.take(1)
            captured += [] if frame is None else [frame]
    return captured


def test_a_video_gives_every_frame_where_none_may_be_left_out(clip: Path) -> None:
    captured = taken(Capture(FileFeed(clip, is_paced=False), keeps_all=True))
    assert [number_of(frame.picture) for frame in captured] == [*range(12)]
    assert captured[6].time_s == pytest.approx(0.2)


def test_a_video_that_plays_as_a_camera_gives_frames_when_they_are_due(clip: Path) -> None:
    captured = taken(Capture(FileFeed(clip, is_paced=True), keeps_all=True))
    late = [frame.captured_s - captured[0].captured_s - frame.time_s for frame in captured]
    assert min(late) > -0.005


def test_who_is_too_slow_gets_the_newest_picture(clip: Path) -> None:
    capture = Capture(FileFeed(clip, is_paced=False), keeps_all=False)
    with capture:
        capture._thread.join()  # all frames have been taken before anybody looks
        frame = capture.frames.take(1)
    assert frame is not None and number_of(frame.picture) == 11
    assert (capture.taken, capture.frames.dropped) == (12, 11)


def test_the_sound_of_a_video_belongs_to_its_shots(clip: Path) -> None:
    sound = FileFeed(clip, is_paced=True).sound
    assert sound is not None and sound.path == clip


def test_a_picture_is_no_camera(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing in it moves"):
        FileFeed(write_photo(tmp_path / "photo.png"), is_paced=True)


def test_a_session_that_ends_ends_the_thread_of_its_camera(clip: Path) -> None:
    capture = Capture(FileFeed(clip, is_paced=True), keeps_all=False)
    with capture:
        assert capture.frames.take(10) is not None
    assert not capture._thread.is_alive()


def test_pictures_of_a_camera_have_their_colours(tmp_path: Path) -> None:
    red = write_clip(tmp_path / "red.avi", [np.full((64, 64, 3), (250, 20, 10), np.uint8)] * 3)
    feed = CameraFeed(cv2.VideoCapture(str(red)), "camera 0")
    assert feed.rate == 25
    frame = next(iter(feed))
    assert np.abs(frame.picture[32, 32].astype(int) - (250, 20, 10)).max() < 6


def test_a_camera_that_is_unplugged_is_an_error_after_its_last_picture(clip: Path) -> None:
    feed = CameraFeed(cv2.VideoCapture(str(clip)), "camera 0")
    captured = []
    with pytest.raises(InputError, match="camera 0 gives no pictures any more") as error:
        for frame in feed:
            captured.append(frame)
    assert len(captured) == 12
    assert error.value.exit_code == 3
    assert "plugged in" in (error.value.hint or "")


def test_a_camera_that_is_not_there_is_named_and_so_are_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no camera 97"):
        open_camera(97)
    nothing = unusable_camera(0, tmp_path)
    assert "no camera 0" in str(nothing) and "--input" in (nothing.hint or "")
    for number in (2, 10):
        (tmp_path / f"video{number}").touch()
    assert "there are: 2, 10" in (unusable_camera(0, tmp_path).hint or "")


def test_a_camera_that_is_there_is_in_use(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()
    error = unusable_camera(0, tmp_path)
    assert "in use by another program" in str(error) and "close" in (error.hint or "")


def test_a_video_stands_still_after_its_first_part_until_it_is_to_go_on(clip: Path) -> None:
    feed = FileFeed(clip, is_paced=True, rest_at_s=0.2)
    capture = Capture(feed, keeps_all=True)
    captured = []
    with capture:
        for _ in range(6):
            captured.append(capture.frames.take(10))
        assert capture.frames.take(0.2) is None and not capture.frames.is_over
        feed.go_on()
        while not capture.frames.is_over:
            captured.append(capture.frames.take(10))
    times = [(frame.time_s, frame.captured_s) for frame in captured if frame is not None]
    assert len(times) == 12
    assert times[6][1] - times[5][1] > 0.2

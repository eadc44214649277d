"""Films of what was shown, in time with their sound; and virtual cameras."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from animation_tools import frames_of, has_sound, write_clip
from media_tools import number_of, numbered_frames

from mcnet_cli import SystemFailure, UsageError
from mcnet_cli.live.feed import FileFeed
from mcnet_cli.live.outputs import Recorder, Recordings, fitted, virtual_camera
from mcnet_cli.live.request import LiveRequest
from mcnet_cli.media import probe


@pytest.fixture
def feed(tmp_path: Path) -> FileFeed:
    clip = write_clip(tmp_path / "clip.mp4", numbered_frames(20), sound=True)
    return FileFeed(clip, is_paced=False)


def recorder(feed: FileFeed, target: Path, **options: bool) -> Recorder:
    return Recorder(str(target), (64, 48), feed, 0.2, **{"overwrite": False, "keeps_all": True, **options})


def test_a_film_shows_each_result_until_the_next_one_and_has_the_sound(
    feed: FileFeed, tmp_path: Path
) -> None:
    target = tmp_path / "film.mp4"
    recording = recorder(feed, target)
    frames = numbered_frames(20)
    for number in (5, 6, 9, 10):  # two were left out
        recording.write(frames[number], number / 25)
    assert not target.exists()
    recording.finish()
    assert [number_of(frame) for frame in frames_of(target)] == [5, 6, 6, 6, 9, 10]
    assert has_sound(target)
    assert probe(target).frame_rate == 25


def test_a_film_that_is_given_up_leaves_nothing(feed: FileFeed, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    recording = recorder(feed, tmp_path / "film.mp4")
    recording.write(numbered_frames(1)[0], 0.2)
    recording.abandon()
    assert sorted(tmp_path.iterdir()) == before


def test_what_the_encoder_fails_with_is_told(feed: FileFeed, tmp_path: Path) -> None:
    recording = recorder(feed, tmp_path / "missing" / "film.mp4")
    with pytest.raises(UsageError, match="there is no folder"):
        recording.finish()


def test_results_of_another_size_are_fitted_into_the_film(feed: FileFeed, tmp_path: Path) -> None:
    recording = recorder(feed, tmp_path / "film.mp4")
    recording.write(numbered_frames(1)[0], 0.2)
    recording.write(np.full((100, 40, 3), 200, np.uint8), 0.24)
    recording.finish()
    last = frames_of(tmp_path / "film.mp4")[1]
    assert last[24, 32].min() > 180 and last[24, 4].max() < 30


def test_every_press_of_the_key_makes_a_film_of_its_own(
    feed: FileFeed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    request = LiveRequest(
        sources=(Path("ann.jpg"), Path("bob.jpg")), input=Path("clip.mp4"), every_frame=True
    )
    recordings = Recordings(request, feed)
    for number in range(3):
        recordings.start(numbered_frames(1)[0], float(number), source=number % 2)
        recordings.write(numbered_frames(1)[0], number + 0.4)
        assert recordings.is_running and recordings.clock == "0:00"
        recordings.finish()
    assert recordings.finished == ["ann--live.mp4", "bob--live.mp4", "ann--live~2.mp4"]
    assert len(frames_of(tmp_path / "ann--live~2.mp4")) == 11


def test_a_whole_picture_is_fitted_into_another_shape() -> None:
    picture = fitted(np.full((10, 20, 3), 99, np.uint8), 40, 40)
    assert picture.shape == (40, 40, 3)
    assert (picture[10:30] == 99).all() and not picture[:10].any() and not picture[30:].any()


def test_a_virtual_camera_that_cannot_be_had_is_explained() -> None:
    with (
        pytest.raises(SystemFailure, match="virtual") as error,
        virtual_camera((64, 64), Fraction(25)),
    ):
        pytest.skip("this machine has a virtual camera")
    assert error.value.exit_code == 5 and error.value.hint

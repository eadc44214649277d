"""Whole sessions without a window: what they show is what `animate` makes, and how they end."""

import functools
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from animation_tools import difference, frames_of, has_sound, write_clip
from face_tools import animator, example, portrait
from places import EXAMPLES

from mcnet_cli import InputError, Transfer, UsageError
from mcnet_cli.live import LiveRequest, live, session
from mcnet_cli.live.feed import CameraFeed, Shot
from mcnet_cli.media import open_frames, read_image
from mcnet_cli.progress import Progress

RATE, STILL_FRAMES = 10, 11
PORTRAIT = EXAMPLES / "portrait.jpg"


@functools.cache
def face_frames() -> list[np.ndarray]:
    """A face at rest for the second that calibrates, and then in motion."""
    with open_frames(EXAMPLES / "driving.mp4", max_frames=24) as opened:
        frames = [*opened]
    return frames[:1] * STILL_FRAMES + frames[3::3]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    return write_clip(path, face_frames(), rate=str(RATE), sound=True)


def request(clip: Path, **options: object) -> LiveRequest:
    settings = {"sources": (PORTRAIT,), "input": clip, "every_frame": True, "device": "cpu", **options}
    return LiveRequest(**settings)


def test_a_session_shows_what_animate_makes_of_the_same_reference(clip: Path, tmp_path: Path) -> None:
    wanted = request(clip, output=str(tmp_path / "%02d.png"), steady=False, precision="fp32")
    counted: list[Progress] = []
    report = live(wanted, counted.append)
    assert report.shown == len(face_frames()) - STILL_FRAMES == len(counted)
    assert report.captured == len(face_frames()) and report.lost == 0
    motion = animator().motion(face_frames(), rate=RATE)
    rows = [STILL_FRAMES, STILL_FRAMES + 3, len(face_frames()) - 1]
    made = animator().render(example(), motion, Transfer(reference=0, smooth=0), rows=rows)
    for row, frame in zip(rows, made, strict=True):
        shown = read_image(tmp_path / f"{row - STILL_FRAMES + 1:02}.png")
        assert difference(shown, frame) < 0.25 < 0.2 * difference(frame, portrait())


def test_a_film_has_the_sound_of_its_frames(clip: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    report = live(request(clip, output=str(film)))
    assert report.recordings == (str(film),)
    assert len(frames_of(film)) == report.shown
    assert has_sound(film)
    assert "film.mp4 is complete" in report.as_text()


def test_a_video_at_its_own_pace_makes_a_film_as_long_as_itself(clip: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    report = live(request(clip, output=str(film), every_frame=False))
    followed = len(face_frames()) - STILL_FRAMES
    assert 1 <= report.shown <= followed
    assert report.latency_ms is not None and report.latency_p95_ms is not None
    assert 0 < report.latency_ms <= report.latency_p95_ms
    assert report.as_json()["latency_ms"] == {"median": report.latency_ms, "p95": report.latency_p95_ms}
    assert len(frames_of(film)) <= followed


def test_a_session_ends_by_itself_after_so_many_seconds(clip: Path, tmp_path: Path) -> None:
    report = live(request(clip, output=str(tmp_path / "film.mp4"), duration_s=0.3))
    assert report.shown == 3


def test_a_face_that_leaves_is_counted(clip: Path, tmp_path: Path) -> None:
    empty = [np.full_like(face_frames()[0], 90)] * 3
    left = write_clip(tmp_path / "left.mkv", [*face_frames()[:13], *empty], rate=str(RATE))
    report = live(request(left, output=str(tmp_path / "film.mp4")))
    assert report.lost == 3
    assert "3 frames without a face" in report.as_text()


@pytest.mark.parametrize(("count", "why"), [(14, "shows no face"), (4, "is over before a face")])
def test_an_input_by_which_nothing_can_be_calibrated_is_an_error(
    count: int, why: str, tmp_path: Path
) -> None:
    empty = write_clip(tmp_path / "empty.mkv", [np.full((64, 64, 3), 90, np.uint8)] * count, rate=str(RATE))
    with pytest.raises(InputError, match=why):
        live(request(empty, output=str(tmp_path / "film.mp4")))
    assert [path.name for path in tmp_path.iterdir()] == ["empty.mkv"]


def test_what_was_recorded_until_the_camera_was_unplugged_is_kept(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The camera is a video at ten pictures a second that begins when the network is loaded."""
    loaded = threading.Event()
    load = session._load

    class Camera(CameraFeed):
        def __iter__(self) -> Iterator[Shot]:
            loaded.wait(timeout=60)
            for shot in super().__iter__():
                time.sleep(1 / RATE)
                yield replace(shot, captured_s=time.monotonic(), time_s=time.monotonic())

    def loading(request: LiveRequest) -> object:
        stage = load(request)
        loaded.set()
        return stage

    monkeypatch.setattr(session, "_load", loading)
    monkeypatch.setattr(session, "open_camera", lambda _: Camera(cv2.VideoCapture(str(clip)), "camera 0"))
    film = tmp_path / "film.mp4"
    with pytest.raises(InputError, match="camera 0 gives no pictures any more"):
        live(request(clip, input=None, every_frame=False, output=str(film)))
    assert len(frames_of(film)) >= 1


def test_a_strength_that_makes_no_sense_is_refused_before_anything_is_followed(
    clip: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="strength"):
        live(request(clip, output=str(tmp_path / "film.mp4"), strength=-1.0))


def test_a_film_that_is_there_is_not_replaced(clip: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"):
        live(request(clip, output=str(film)))
    assert film.read_bytes() == b"mine"


def test_a_session_that_is_stopped_by_an_error_leaves_no_film(clip: Path, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == 3:
            raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        live(request(clip, output=str(tmp_path / "film.mp4")), stop)
    assert not [*tmp_path.iterdir()]


def test_a_session_that_is_interrupted_keeps_its_film(clip: Path, tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done == 4:
            raise KeyboardInterrupt

    report = live(request(clip, output=str(tmp_path / "film.mp4")), interrupt)
    assert report.shown == len(frames_of(tmp_path / "film.mp4")) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sources": ()}, "a source is needed"),
        ({"camera": -1}, "--camera"),
        ({"size": 8}, "--size"),
        ({"background": "transparent"}, "no transparency"),
        ({"input": None}, "--every-frame"),
        ({"output": "a.mp4", "record": "b.mp4"}, "--record"),
        ({"record": "film.txt"}, "no format"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        request(Path("clip.mp4"), **options)


@pytest.mark.parametrize(
    ("options", "is_mirrored"),
    [
        ({"input": None}, True),
        ({"input": None, "virtual_camera": True}, False),
        ({"input": None, "mirror": False}, False),
        ({}, False),
        ({"mirror": True}, True),
    ],
)
def test_a_camera_is_a_mirror_unless_others_watch(options: dict[str, object], is_mirrored: bool) -> None:
    assert request(Path("clip.mp4"), **{"every_frame": False, **options}).is_mirrored is is_mirrored

"""Whole sessions without a window: what they show is what `animate` makes, and how they end."""

import functools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from animation_tools import difference, frames_of, has_sound, write_clip, write_tiny
from face_tools import animator, example, portrait
from places import EXAMPLES

from mcnet_cli import InputError, Transfer, UsageError
from mcnet_cli.live import LiveRequest, live, session, stage
from mcnet_cli.live.feed import CameraFeed, CapturedFrame
from mcnet_cli.media import open_frames, read_image
from mcnet_cli.progress import Progress

RATE, STILL_FRAMES = 5, 6
TINY, LANDMARKS = "tiny.safetensors", (10, 152, 234, 454, 61, 291)
PORTRAIT = EXAMPLES / "portrait.jpg"


@functools.cache
def face_frames() -> list[np.ndarray]:
    """A face at rest for the second that calibrates, and then in motion."""
    with open_frames(EXAMPLES / "driving.mp4", max_frames=16) as opened:
        frames = [*opened]
    return frames[:1] * STILL_FRAMES + frames[3::3]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The frames as a video, beside weights that take milliseconds, for what doesn't depend on pictures."""
    folder = tmp_path_factory.mktemp("clip")
    write_tiny(folder / TINY, landmarks=LANDMARKS, jacobians=False)
    return write_clip(folder / "clip.mkv", face_frames(), rate=str(RATE), sound=True)


def request(clip: Path, **options: object) -> LiveRequest:
    settings = {"sources": (PORTRAIT,), "input": clip, "every_frame": True, "device": "cpu"}
    settings |= {"weights": str(clip.parent / TINY), "size": 128, **options}
    return LiveRequest(**settings)


def test_a_session_that_is_over_when_torch_is_loaded_loads_no_network(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "Stage", None)
    is_over = threading.Event()
    is_over.set()
    with pytest.raises(CancelledError):
        session._load(request(clip), is_over)


@pytest.mark.slow
def test_a_session_shows_what_animate_makes_of_the_same_reference(clip: Path, tmp_path: Path) -> None:
    options = {"weights": None, "size": None, "steady": False, "precision": "fp32"}
    wanted = request(clip, output=str(tmp_path / "%02d.png"), **options)
    counted: list[Progress] = []
    report = live(wanted, counted.append)
    assert report.shown == len(face_frames()) - STILL_FRAMES == len(counted)
    assert report.captured == len(face_frames()) and report.lost == 0
    motion = animator().motion(face_frames(), rate=RATE)
    rows = [STILL_FRAMES, len(face_frames()) - 1]
    made = animator().render(example(), motion, Transfer(reference=0, smooth=0), rows=rows)
    for row, frame in zip(rows, made, strict=True):
        shown = read_image(tmp_path / f"{row - STILL_FRAMES + 1:02}.png")
        assert difference(shown, frame) < 0.25 < 0.2 * difference(frame, portrait())


@pytest.mark.slow
def test_a_film_has_the_sound_of_its_frames_and_those_without_a_face_are_counted(
    clip: Path, tmp_path: Path
) -> None:
    empty = [np.full_like(face_frames()[0], 90)] * 2
    left = write_clip(tmp_path / "left.mkv", [*face_frames(), *empty], rate=str(RATE), sound=True)
    film = tmp_path / "film.mp4"
    report = live(request(clip, input=left, output=str(film)))
    assert report.recordings == (str(film),)
    assert len(frames_of(film)) == report.shown == len(face_frames()) - STILL_FRAMES + 2
    assert has_sound(film)
    assert report.lost == 2
    assert "2 frames without a face" in report.as_text() and "film.mp4 is complete" in report.as_text()


@pytest.mark.parametrize(("count", "why"), [(8, "shows no face"), (4, "is over before a face")])
def test_an_input_by_which_nothing_can_be_calibrated_is_an_error(
    count: int, why: str, clip: Path, tmp_path: Path
) -> None:
    empty = write_clip(tmp_path / "empty.mkv", [np.full((64, 64, 3), 90, np.uint8)] * count, rate=str(RATE))
    with pytest.raises(InputError, match=why):
        live(request(clip, input=empty, output=str(tmp_path / "film.mp4")))
    assert [path.name for path in tmp_path.iterdir()] == ["empty.mkv"]


@pytest.mark.slow
def test_what_was_recorded_until_the_camera_was_unplugged_is_kept(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The camera is a video at ten pictures a second that begins when the network is loaded."""
    loaded = threading.Event()
    load = session._load

    class Camera(CameraFeed):
        def __iter__(self) -> Iterator[CapturedFrame]:
            loaded.wait(timeout=60)
            for frame in super().__iter__():
                time.sleep(1 / RATE)
                yield replace(frame, captured_s=time.monotonic(), time_s=time.monotonic())

    def loading(request: LiveRequest, is_over: threading.Event) -> object:
        stage = load(request, is_over)
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


def test_a_film_without_a_folder_is_refused_before_any_work(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        live(request(clip, output=str(tmp_path / "missing" / "film.mp4")))


def test_a_film_that_is_there_is_not_replaced(clip: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"):
        live(request(clip, output=str(film)))
    assert film.read_bytes() == b"mine"


def test_a_session_that_is_stopped_by_an_error_leaves_no_film(clip: Path, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == 2:
            raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        live(request(clip, output=str(tmp_path / "film.mp4")), stop)
    assert not [*tmp_path.iterdir()]


def test_a_session_that_is_interrupted_keeps_its_film(clip: Path, tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done == 3:
            raise KeyboardInterrupt

    report = live(request(clip, output=str(tmp_path / "film.mp4")), interrupt)
    assert report.shown == len(frames_of(tmp_path / "film.mp4")) == 3


def test_a_session_gives_torch_its_threads_back(clip: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(7)
    try:
        live(request(clip, output=str(tmp_path / "%02d.png")))
        assert torch.get_num_threads() == 7
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sources": ()}, "a source is needed"),
        ({"camera": -1}, "--camera"),
        ({"camera": 1}, "--input"),
        ({"size": 8}, "--size"),
        ({"background": "transparent"}, "no transparency"),
        ({"input": None}, "--every-frame"),
        ({"output": "a.mp4", "record": "b.mp4"}, "--record"),
        ({"record": "film.txt"}, "no format"),
        ({"record": "film.png"}, "is one picture"),
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

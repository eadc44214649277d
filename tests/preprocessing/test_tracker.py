"""Scene cuts are found; detectors that take several pictures at once get several, and find the same faces."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from face_tools import detector
from preprocess_tools import EMPTY, HEAD, cut_up, frame, moving, write_film

from mcnet_cli.face import Face
from mcnet_cli.preprocessing import tracker
from mcnet_cli.preprocessing.clip_maker import Networks
from mcnet_cli.preprocessing.inputs import Segment
from mcnet_cli.preprocessing.tracker import CutFinder, with_faces
from mcnet_cli.preprocessing.video_frame import VideoFrame


class Several:
    """BlazeFace, made to take several pictures at once; remembers how many it got."""

    name = "blazeface"

    def __init__(self, batch_size: int = 3) -> None:
        self.batch_size = batch_size
        self.batches: list[int] = []

    def __call__(self, rgb: np.ndarray, *, thorough: bool = True) -> list[Face]:
        return detector()(rgb, thorough=thorough)

    def detect_batch(self, pictures: Sequence[np.ndarray]) -> list[list[Face]]:
        self.batches.append(len(pictures))
        return [detector()(rgb) for rgb in pictures]


def numbered(count: int, first: int = 0) -> list[tuple[int, VideoFrame]]:
    return list(enumerate([VideoFrame(frame((60, 40, HEAD)))] * count, first))


def test_frames_come_in_order_and_every_nth_has_its_faces() -> None:
    several = Several()
    found = list(with_faces(numbered(20, first=3), several, 5, lambda number: number != 10))
    assert [number for number, _, _ in found] == list(range(3, 23))
    searched = {number: faces for number, _, faces in found if faces is not None}
    assert [*searched] == [5, 15, 20]
    assert all(len(faces) == 1 for faces in searched.values())
    assert several.batches == [2, 1]


def test_few_frames_wait_and_fewer_if_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = 0

    def frames():  # type: ignore[no-untyped-def]
        nonlocal taken
        for number, rgb in numbered(40):
            taken += 1
            yield number, rgb

    next(with_faces(frames(), Several(), 5, lambda number: True))
    assert taken == 15
    monkeypatch.setattr(tracker, "MAX_WAITING_BYTES", 4 * EMPTY.nbytes)
    taken = 0
    next(with_faces(frames(), Several(), 5, lambda number: True))
    assert taken == 4


def test_a_detector_for_single_pictures_is_left_to_whoever_follows_faces() -> None:
    found = list(with_faces(iter(numbered(6)), detector(), 5, lambda number: True))
    assert [faces for _, _, faces in found] == [None] * 6


def outcome(rows: list[dict]) -> list[tuple[object, ...]]:
    return [
        (row["first"], row["last"], row["reason"], row["ended"], row["box"], row["score"]) for row in rows
    ]


@pytest.mark.slow
@pytest.mark.parametrize("with_segments", [False, True])
def test_clips_are_the_same_with_and_without_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_segments: bool
) -> None:
    elsewhere = 255 - EMPTY // 3
    elsewhere[60:210, 90:240] = frame((90, 60, HEAD))[60:210, 90:240]
    film = write_film(tmp_path / "film.mp4", [*moving(11), *[elsewhere] * 11, *[EMPTY] * 6])
    box = (90 / 320, 60 / 240, 240 / 320, 210 / 240)
    segments = (Segment("id", Fraction(12, 25), Fraction(22, 25), box),) if with_segments else ()
    monkeypatch.setattr("preprocess_tools.networks", Networks)
    monkeypatch.setattr(Networks, "detector", Several(1))  # for which frames are RGB, too
    plain = cut_up(film, tmp_path / "plain", segments=segments).rows
    several = Several()
    monkeypatch.setattr(Networks, "detector", several)
    batched = cut_up(film, tmp_path / "batched", segments=segments).rows
    assert outcome(batched) == outcome(plain)
    # the empty scene may pass for a face for a frame, which is dropped
    assert sum(row["status"] == "kept" for row in plain) == (1 if with_segments else 2)
    assert several.batches, "pictures were given to the detector together"


def test_a_cut_is_a_sudden_change_and_movement_and_flicker_are_none() -> None:
    finder = CutFinder()
    pan = [np.roll(EMPTY, 4 * step, axis=1) for step in range(10)]
    assert not any(finder(VideoFrame(picture)) for picture in pan)
    assert finder(VideoFrame(255 - EMPTY))
    assert not finder(VideoFrame(255 - EMPTY))
    assert not finder(VideoFrame(np.clip(255.0 - EMPTY + 10, 0, 255).astype(np.uint8)))


def test_a_lively_scene_is_no_series_of_cuts() -> None:
    finder = CutFinder()
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 2, (9, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1) * 255 for _ in range(8)]
    assert sum(finder(VideoFrame(picture)) for picture in noise) <= 1

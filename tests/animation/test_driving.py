"""Reading a driving: the landmarks of its face, and keypoints that are landmarks."""

import functools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from animation_tools import NO_CROP, frames_of, motion_of, run, write_tiny
from face_tools import detector, mesh
from places import EXAMPLES

from mcnet_cli.checkpoint import build_model, read_weights
from mcnet_cli.face import OUTER, ROLL_POINTS, Landmarks, choose_face, crop, faces_in, parse_crop
from mcnet_cli.face.outer import average_face
from mcnet_cli.media import open_frames
from mcnet_cli.motion import Motion, read_motion
from mcnet_cli.motion.landmark_track import SAMPLE_LIMIT, LandmarkTrack
from mcnet_cli.motion.reference import telling

DRIVING, PORTRAIT = EXAMPLES / "driving.mp4", EXAMPLES / "portrait.jpg"
POINTS = (10, 152, 234, 454, 61, 291)
MOUTH_LEFT, MOUTH_RIGHT = 4, 5
SIDE = 64
FRAME = np.zeros((480, 640, 3), np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("w") / "w.safetensors", landmarks=POINTS, jacobians=False)


@functools.cache
def motion_with(weights: Path, crop_option: str) -> Motion:
    """The motion of the driving's first 16 frames."""
    return motion_of(DRIVING, weights, crop=parse_crop("--driving-crop", crop_option), max_frames=16)


def seen_by_the_mesh(box: str, number: int) -> np.ndarray:
    """(6, 2) landmarks of a frame, found anew in what the network sees of it, in [-1, 1]."""
    with open_frames(DRIVING) as frames:
        frame = next(frame for n, frame in enumerate(frames) if n == number)
    parsed = parse_crop("--driving-crop", box)
    assert not isinstance(parsed, str)
    frame = crop(frame, parsed, 256)
    points = choose_face(faces_in(frame, detector(), mesh()), "largest").points[list(POINTS)]
    return points / frame.shape[0] * 2 - 1


@pytest.mark.parametrize("option", ["auto", "20,10,280,280"])
def test_a_tracked_face_gives_the_keypoints(weights: Path, option: str) -> None:
    motion = motion_with(weights, option)
    assert motion.values.shape == (16, 6, 2)
    assert motion.jacobians is None
    for number in (0, 7, 15):
        values = motion.values[number]
        if option != "auto":
            expected = seen_by_the_mesh(option, number)
            assert np.abs(values - expected).max() < 0.06
        assert values[MOUTH_LEFT, 0] < values[MOUTH_RIGHT, 0]
        assert values[0, 1] < values[MOUTH_LEFT, 1] < values[1, 1]


def test_an_automatic_crop_gives_keypoints_of_the_crop(weights: Path, tmp_path: Path) -> None:
    crops = tmp_path / "crops.json"
    options = {"weights": str(weights), "output": tmp_path / "a.mp4", "crop_json": crops}
    run(PORTRAIT, DRIVING, max_frames=16, **options)
    box = ",".join(map(str, json.loads(crops.read_text())["driving"]))
    values = motion_with(weights, "auto").values[12]
    assert np.abs(values - seen_by_the_mesh(box, 12)).max() < 0.06


def test_without_any_crop_the_network_finds_its_keypoints_itself(weights: Path, tmp_path: Path) -> None:
    motion = tmp_path / "m.motion"
    options = {"weights": str(weights), "output": str(tmp_path / "r.mp4"), "save_motion": motion}
    run(PORTRAIT, DRIVING, max_frames=3, **NO_CROP, **options)
    with open_frames(DRIVING) as frames:
        first = next(iter(frames))
    model = build_model(read_weights(weights))
    small = cv2.resize(first, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    own = model.detect_keypoints(torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255)
    np.testing.assert_allclose(read_motion(motion).values[0], own.values[0].numpy(), atol=1e-5)


def test_the_result_follows_the_landmarks(weights: Path, tmp_path: Path) -> None:
    learned = write_tiny(tmp_path / "learned.safetensors", jacobians=False)
    films = []
    for path in (weights, learned):
        target = tmp_path / f"{path.stem}.mp4"
        run(PORTRAIT, DRIVING, weights=str(path), output=str(target), max_frames=6)
        films.append(frames_of(target).astype(int))
    assert np.abs(films[0] - films[1]).max() > 8


def face_at(points: np.ndarray) -> Landmarks:
    return Landmarks(points.astype(np.float32), 1.0, points[:10].astype(np.float32))


def test_landmarks_of_a_clip_take_two_kilobytes_a_frame_and_keep_their_place() -> None:
    track, rng = LandmarkTrack(whole=True), np.random.default_rng(0)
    points = rng.uniform(0, 300, (468, 2)).astype(np.float32)
    points[list(ROLL_POINTS)] = (100, 100), (200, 100), (150, 50), (150, 250)  # an upright face
    for shift in range(3):
        track.add(face_at(points + shift) if shift != 1 else None, FRAME)
    assert track.found.tolist() == [True, False, True]
    assert track.landmarks.nbytes == 3 * 1872
    for kept in (track.landmarks, track.irises):
        pixels = (kept[2].astype(np.float32) * 640 + (640, 480)) / 2
        assert np.abs(pixels - points[: len(pixels)] - 2).max() < 0.2
        assert not kept[1].any()


def test_a_track_that_forgets_goes_on_with_the_next_frame_alone() -> None:
    track, points = LandmarkTrack(whole=False), average_face()[:, :2] * 200 + (320, 220)
    for shift in range(3):
        track.add(face_at(points + shift), FRAME)
    track.forget()
    track.add(face_at(points + 9), FRAME)
    for kept in (track, track.landmarks, track.irises, track.found, track.hidden, track.samples):
        assert len(kept) == 1


def test_the_telling_landmarks_are_the_same_whether_all_are_kept_or_not() -> None:
    points = np.random.default_rng(0).uniform(0, 300, (468, 2)).astype(np.float32)
    tracks = LandmarkTrack(whole=True), LandmarkTrack(whole=False)
    for track in tracks:
        track.add(face_at(points), FRAME)
    assert np.array_equal(telling(tracks[0].landmarks), telling(tracks[1].landmarks))
    assert tracks[1].landmarks.nbytes < 400


def test_exact_points_beyond_the_mesh_go_with_the_picture() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    picture = cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC)
    face = face_at(average_face()[:, :2] * 200 + (320, 220))
    track = LandmarkTrack(whole=False, exact=(1, OUTER[-1]))
    track.add(face, picture)
    track.add(None, picture)
    track.add(face, np.roll(picture, 6, axis=1))
    nose, shoulder = np.diff(track.exact[[0, 2]], axis=0)[0]
    np.testing.assert_array_equal(nose, [0, 0])
    np.testing.assert_allclose(shoulder, [6, 0], atol=0.7)


def test_samples_of_a_long_clip_are_bounded_and_spread_over_it() -> None:
    track = LandmarkTrack(whole=False)
    for frame in range(1000):
        track.add(face_at(np.full((468, 2), frame)), FRAME)
    seen = [int(points[0, 0]) for points in track.samples]
    assert SAMPLE_LIMIT // 2 <= len(seen) <= SAMPLE_LIMIT
    assert seen[0] == 0 and seen[-1] > 990
    assert len({*np.diff(seen)}) == 1

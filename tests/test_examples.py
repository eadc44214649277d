import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from types import ModuleType

import numpy as np
import pytest
from face_tools import detector, mesh, portrait
from places import EXAMPLES

from mcnet_cli.face import FaceTracker, faces_in
from mcnet_cli.media import ffmpeg_binary, open_frames, probe, read_image

UPPER_LIP, LOWER_LIP, NOSE, LEFT, RIGHT = 13, 14, 1, 234, 454
EYES = (159, 145), (386, 374)


@pytest.fixture(scope="module")
def making() -> Iterator[ModuleType]:
    """The script that makes the driving clip."""
    sys.path.insert(0, str(EXAMPLES))
    spec = importlib.util.spec_from_file_location("make_driving", EXAMPLES / "make_driving.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(EXAMPLES))


def gap(points: np.ndarray, upper: int, lower: int) -> float:
    return float(np.linalg.norm(points[upper] - points[lower]) / np.linalg.norm(points[LEFT] - points[RIGHT]))


def pupils(frame: np.ndarray, points: np.ndarray) -> float:
    """Brightness between the middles of the lids: dark for open eyes. The mesh hardly sees blinks."""
    middles = [points[list(lids)].mean(0).round().astype(int) for lids in EYES]
    return float(np.mean([frame[y - 2 : y + 3, x - 2 : x + 3].mean() for x, y in middles]))


def facing(points: np.ndarray) -> float:
    """Where the nose is between the face's sides: 0.5 for straight ahead."""
    return float((points[NOSE, 0] - points[LEFT, 0]) / (points[RIGHT, 0] - points[LEFT, 0]))


def test_the_portrait_shows_one_face() -> None:
    assert portrait().shape == (512, 512, 3)
    assert len(faces_in(portrait(), detector(), mesh())) == 1


def test_the_drawn_portrait_is_large_and_shows_one_face() -> None:
    drawn = read_image(EXAMPLES / "drawn.jpg")
    assert drawn.shape == (1600, 1600, 3)
    assert len(faces_in(drawn, detector(), mesh())) == 1


def test_the_driving_clip_is_small_and_has_sound() -> None:
    clip = EXAMPLES / "driving.mp4"
    info = probe(clip)
    assert (info.frame_rate, info.duration_s, info.audio_track) == (Fraction(25), 4.0, 0)
    assert clip.stat().st_size < 500_000
    command = [ffmpeg_binary(), "-v", "error", "-i", str(clip), "-f", "s16le", "-ac", "1", "-"]
    sound = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.int16)
    assert np.abs(sound.astype(float)).max() > 5000
    assert np.abs(sound[:2000].astype(float)).max() < 50, "it starts in silence"


@pytest.mark.slow
def test_a_face_is_seen_in_every_frame_of_the_driving_clip_and_it_moves() -> None:
    tracker = FaceTracker(detector(), mesh())
    with open_frames(EXAMPLES / "driving.mp4") as frames:
        seen = [(frame, tracker(frame)) for frame in frames]
    assert len(seen) == 100
    points = np.array([face.points for _, face in seen if face is not None])
    assert len(points) == 100
    mouth = [gap(p, UPPER_LIP, LOWER_LIP) for p in points]
    eyes = [pupils(frame, p) for (frame, _), p in zip(seen, points, strict=True)]
    assert max(mouth) > min(mouth) + 0.1, "the mouth opens"
    assert max(eyes) > 1.5 * np.median(eyes), "it blinks"
    turns = [facing(p) for p in points]
    assert max(turns) - min(turns) > 0.2, "the head turns"


def test_the_detector_finds_each_of_the_clips_extremes_by_itself() -> None:
    with open_frames(EXAMPLES / "driving.mp4") as frames:
        assert all(len(detector()(frame)) == 1 for number, frame in enumerate(frames) if number % 5 == 0)


def test_the_script_draws_the_clips_frames(making: ModuleType) -> None:
    puppet = making.make_puppet(EXAMPLES / "portrait.jpg")
    numbers = (0, 25, 83)
    drawn = [next(making.frames(puppet, range(number, number + 1))) for number in numbers]
    with open_frames(EXAMPLES / "driving.mp4") as frames:
        kept = [frame for number, frame in enumerate(frames) if number in numbers]
    for ours, theirs in zip(drawn, kept, strict=True):
        assert ours.shape == (320, 320, 3)
        assert np.abs(ours.astype(int) - theirs).mean() < 6, "but for the codec, the committed clip"
    again = next(making.frames(puppet, range(25, 26)))
    np.testing.assert_array_equal(again, drawn[1])


def test_mouth_and_voice_follow_the_same_words(making: ModuleType) -> None:
    sound = making.voice().astype(float)
    assert len(sound) == 4 * making.SAMPLE_RATE
    times = np.arange(100) / 25
    open_mouth = np.array([making.pose_at(t).mouth for t in times])
    loud = np.sqrt((sound.reshape(100, -1) ** 2).mean(1))
    assert np.corrcoef(open_mouth, loud)[0, 1] > 0.5
    assert making.pose_at(0) == making.Pose()
    assert loud[open_mouth == 0].max() < 0.01 * loud.max()

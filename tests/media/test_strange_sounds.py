"""Sound tracks and folders of pictures as people really have them: a table of what was tried."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from media_tools import X264, ffmpeg, number_of, numbered_frames, read, sound_of, write, write_clip
from PIL import Image

BEEP = "sine=frequency=330:duration=0.2:sample_rate=16000,adelay={}:all=1,apad=whole_dur=1"


def heard_from(sound: np.ndarray) -> float:
    """When the first sound is heard, in seconds."""
    return float(np.argmax(np.abs(sound) > 2000)) / 16000


def with_sound(
    name: str, *options: str, source: str = BEEP.format(400), before: tuple[str, ...] = ()
) -> Callable[[Path], Path]:
    """25 frames with a beep at 0.4 s. before: options of the sound's input."""
    return lambda folder: write_clip(
        folder / name, 25, sound=source, before_sound=before, options=[*X264, *options]
    )


def delayed_picture(suffix: str) -> Callable[[Path], Path]:
    """The picture begins 0.2 s after the sound, as in cuts that were made without coding anew."""

    def make(folder: Path) -> Path:
        clip = with_sound("both.mkv")(folder)
        path = folder / f"late{suffix}"
        ffmpeg("-itsoffset", 0.2, "-i", clip, "-i", clip, "-map", "0:v", "-map", "1:a", "-c", "copy", path)
        return path

    return make


LATE = ("-itsoffset", "0.4")
SEVEN = BEEP.format(400) + ",aformat=channel_layouts=7.1"
SOUNDS: dict[str, tuple[Callable[[Path], Path], float]] = {
    "aac": (with_sound("a.mp4"), 0.4),
    "sound-that-starts-later": (
        with_sound("a.mp4", source=BEEP.format(0), before=("-itsoffset", "0.4")),
        0.4,
    ),
    "sound-that-starts-later.mkv": (
        with_sound("a.mkv", source=BEEP.format(0), before=("-itsoffset", "0.4")),
        0.4,
    ),
    "picture-that-starts-later.mp4": (delayed_picture(".mp4"), 0.4),
    "picture-that-starts-later.mkv": (delayed_picture(".mkv"), 0.4),
    "7.1": (with_sound("a.mkv", "-c:a", "flac", source=SEVEN), 0.4),
    "5.1-of-a-dvd": (
        with_sound("a.vob", "-c:v", "mpeg2video", "-c:a", "ac3", source=SEVEN.replace("7.1", "5.1")),
        0.4,
    ),
    "8-kHz-of-a-phone": (with_sound("a.mov", "-c:a", "pcm_mulaw", "-ar", "8000"), 0.4),
    "96-kHz": (with_sound("a.mov", "-c:a", "pcm_s24le", "-ar", "96000"), 0.4),
    "opus": (with_sound("a.mkv", "-c:a", "libopus"), 0.4),
    "mp3-in-avi": (with_sound("a.avi", "-c:a", "libmp3lame", "-ar", "48000"), 0.4),
    "timestamps-from-an-hour-on": (with_sound("a.ts", "-ar", "48000", "-output_ts_offset", "3600"), 0.4),
}


@pytest.mark.parametrize("case", SOUNDS)
def test_sound_stays_with_its_picture(tmp_path: Path, case: str) -> None:
    make, begins_s = SOUNDS[case]
    source, frames = read(make(tmp_path))
    warnings = write(tmp_path / "film.mp4", len(frames), sounds=[source.sound])
    assert heard_from(sound_of(tmp_path / "film.mp4")) == pytest.approx(begins_s, abs=0.05)
    assert not warnings


def test_of_a_picture_that_starts_later_the_first_frame_stands(tmp_path: Path) -> None:
    _, frames = read(delayed_picture(".mkv")(tmp_path))
    assert [number_of(frame) for frame in frames] == [*[0] * 5, *range(25)]


def test_sound_from_the_middle_on_is_that_of_the_frames(tmp_path: Path) -> None:
    source, frames = read(with_sound("a.mp4")(tmp_path), start_s=0.2)
    write(tmp_path / "film.mp4", len(frames), sounds=[source.sound])
    assert heard_from(sound_of(tmp_path / "film.mp4")) == pytest.approx(0.2, abs=0.05)


FOLDERS: dict[str, Callable[[Image.Image], tuple[Image.Image, str]]] = {
    "smaller": lambda frame: (frame.resize((32, 24)), ".png"),
    "of-another-shape": lambda frame: (frame.resize((48, 48)), ".png"),
    "grey": lambda frame: (frame.convert("L"), ".png"),
    "transparent": lambda frame: (frame.convert("RGBA"), ".png"),
    "jpeg-among-png": lambda frame: (frame, ".jpg"),
    "webp-named-png": lambda frame: (frame, ".png"),
    "upper-case-suffix": lambda frame: (frame, ".PNG"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_may_hold_pictures_of_all_kinds(tmp_path: Path, case: str) -> None:
    for number, frame in enumerate(map(Image.fromarray, numbered_frames(3))):
        picture, suffix = FOLDERS[case](frame) if number == 1 else (frame, ".png")
        kind = {".jpg": "JPEG", ".png": "PNG", ".PNG": "PNG"}[suffix]
        picture.save(tmp_path / f"frame\n{number}{suffix}", "WEBP" if case.startswith("webp") else kind)
    source, frames = read(tmp_path)
    assert [number_of(frame) for frame in frames] == [0, 1, 2]
    assert {frame.shape for frame in frames} == {(48, 64, 3)}
    assert not source.damaged

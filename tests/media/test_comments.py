"""Comments in files, as the usual readers show them."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from media_tools import (
    assert_alike,
    number_of,
    numbered_frames,
    read,
    read_film,
    see_through_frames,
    tone,
    write,
    write_clip,
    write_film,
)
from PIL import Image

from mcnet_cli.media import SoundTrack, ffmpeg_binary

TEXT = "made by a test; a=b (c): d"
IMAGE_DESCRIPTION = 0x010E


def told(path: Path) -> str:
    """What ffmpeg says about a file, its tags among it."""
    return subprocess.run([ffmpeg_binary(), "-i", path], capture_output=True, text=True).stderr


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_a_video_says_its_comment_with_sound_and_without(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 4, sound=tone(0.16))
    for name, sounds in (("silent", []), ("loud", [SoundTrack(clip)])):
        write(tmp_path / f"{name}{suffix}", 4, sounds=sounds, comment=TEXT)
        assert f": {TEXT}\n" in told(tmp_path / f"{name}{suffix}")
    write(tmp_path / f"bare{suffix}", 4, sounds=[SoundTrack(clip)])
    assert "comment  " not in told(tmp_path / f"bare{suffix}").lower()


@pytest.mark.parametrize("comment", [TEXT, "long " * 200])
def test_a_gif_says_its_comment_and_stays_the_same_otherwise(tmp_path: Path, comment: str) -> None:
    write(tmp_path / "film.gif", 5, comment=comment)
    write(tmp_path / "bare.gif", 5)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.info["comment"] == comment.encode()
        assert (film.n_frames, film.info["loop"]) == (5, 0)
    assert np.array_equal(read(tmp_path / "film.gif")[1], read(tmp_path / "bare.gif")[1])
    assert sorted(os.listdir(tmp_path)) == ["bare.gif", "film.gif"]


def test_an_animated_webp_says_its_comment_and_shows_every_frame(tmp_path: Path) -> None:
    write(tmp_path / "film.webp", 5, comment=TEXT)
    with Image.open(tmp_path / "film.webp") as film:
        assert film.getexif()[IMAGE_DESCRIPTION] == TEXT
    assert [number_of(frame) for frame in read(tmp_path / "film.webp")[1]] == list(range(5))


@pytest.mark.parametrize("codec", [None, "lossless"])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_webp_without_changes_says_its_comment(tmp_path: Path, codec: str | None, alpha: bool) -> None:
    frame = see_through_frames(1, 63, 49)[0]
    if alpha:
        write_film(tmp_path / "still.webp", [frame] * 3, codec=codec, comment=TEXT)
        assert_alike(read_film(tmp_path / "still.webp"), [frame])
    else:
        write(tmp_path / "still.webp", 1, size=(63, 49), codec=codec, comment=TEXT)
    with Image.open(tmp_path / "still.webp") as film:
        assert film.getexif()[IMAGE_DESCRIPTION] == TEXT
        assert (film.size, film.mode) == ((63, 49), "RGBA" if alpha else "RGB")


def test_each_picture_says_the_comment(tmp_path: Path) -> None:
    write(tmp_path / "%d.png", 2, comment=TEXT)
    for number, frame in enumerate(numbered_frames(2), 1):
        with Image.open(tmp_path / f"{number}.png") as picture:
            picture.verify()
        with Image.open(tmp_path / f"{number}.png") as picture:
            assert picture.text["Comment"] == TEXT  # type: ignore[attr-defined]
            assert np.array_equal(picture, frame)


@pytest.mark.parametrize("name", ["one.png", "one.jpg"])
def test_a_single_picture_says_its_comment_and_looks_the_same(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, 1, comment=TEXT)
    write(tmp_path / f"bare-{name}", 1)
    with Image.open(tmp_path / name) as picture, Image.open(tmp_path / f"bare-{name}") as bare:
        said = picture.text["Comment"] if name == "one.png" else picture.info["comment"].decode()  # type: ignore[attr-defined]
        assert said == TEXT
        assert np.array_equal(picture, bare)

"""Codecs and qualities: what each kind of file holds, how small and how exact, and what can't be."""

import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_tools import (
    assert_alike,
    ffmpeg_without,
    number_of,
    numbered_frames,
    read,
    read_film,
    see_through_frames,
    sound_of,
    tone,
    write,
    write_clip,
    write_film,
)

from mcnet_cli.errors import UsageError
from mcnet_cli.media import SoundTrack, choose_coding, ffmpeg_binary
from mcnet_cli.media.ffmpeg import has_encoder

ENCODERS = {
    "h264": ("libx264",),
    "h265": ("libx265",),
    "av1": ("libsvtav1", "libaom-av1"),
    "vp9": ("libvpx-vp9",),
    "prores": ("prores_ks",),
    "lossless": ("ffv1",),
}
# What a file of each kind says that it holds. Apple's players want HEVC to be called hvc1.
HELD = [
    (".mp4", "h264", r"h264 \(High\) \(avc1"),
    (".mp4", "h265", r"hevc \(Main\) \(hvc1"),
    (".mp4", "av1", r"av1 .*\(av01"),
    (".mp4", "vp9", r"vp9 .*\(vp09"),
    (".mov", "prores", r"prores .*\(apch"),
    (".mkv", "h265", r"hevc \(Main\)"),
    (".mkv", "prores", r"prores "),
    (".webm", "av1", r"av1 "),
]


def require(codec: str) -> None:
    if not any(map(has_encoder, ENCODERS[codec])):
        pytest.skip(f"this ffmpeg has no encoder for {codec}")


def told(path: Path) -> str:
    """What ffmpeg says of a film's pictures."""
    said = subprocess.run([ffmpeg_binary(), "-i", path], capture_output=True, text=True).stderr
    (line,) = re.findall(r"Video: (.*)", said)
    return str(line)


@pytest.mark.parametrize(("suffix", "codec", "says"), HELD)
def test_a_film_has_the_codec_all_frames_sound_and_tagged_colours(
    tmp_path: Path, suffix: str, codec: Any, says: str
) -> None:
    require(codec)
    clip = write_clip(tmp_path / "clip.mp4", 12, sound=tone(0.48))
    film = tmp_path / f"film{suffix}"
    assert write(film, sounds=[SoundTrack(clip)], codec=codec) == []
    assert re.match(says, told(film))
    pixels = "yuv422p10le" if codec == "prores" else "yuv420p"
    assert re.search(rf"{pixels}\((tv, )?bt709[,)]", told(film))
    source, frames = read(film)
    assert (source.frame_rate, [number_of(frame) for frame in frames]) == (25, [*range(12)])
    assert np.abs(sound_of(film).astype(int)).max() > 1000


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mp4", "h264"),
        (".mp4", "h265"),
        (".mp4", "av1"),
        (".webm", "vp9"),
        (".mov", "prores"),
        (".webp", None),
    ],
)
def test_a_better_quality_is_a_larger_file_and_high_is_the_default(
    tmp_path: Path, suffix: str, codec: Any
) -> None:
    if codec is not None:
        require(codec)
    sizes = []
    for quality in ("draft", "good", "high", "best"):
        film = tmp_path / f"{quality}{suffix}"
        write(film, 6, codec=codec, quality=quality)
        sizes.append(film.stat().st_size)
    assert all(less < more for less, more in pairwise(sizes)), sizes
    write(tmp_path / f"film{suffix}", 6, codec=codec)
    assert (tmp_path / f"film{suffix}").read_bytes() == (tmp_path / f"high{suffix}").read_bytes()


def test_a_film_that_is_encoded_quickly_is_as_good(tmp_path: Path) -> None:
    errors, searches = [], []
    for quick in (False, True):
        film = tmp_path / f"{quick}.mp4"
        write(film, 6, quick=quick)
        _, frames = read(film)
        wanted = np.stack(numbered_frames(6))
        errors.append(np.abs(np.stack(frames).astype(int) - wanted).mean())
        searches += re.findall(rb" subme=(\d) ", film.read_bytes())  # x264 notes its settings in the film
    assert errors[1] < 1.1 * errors[0] + 0.1
    assert searches == [b"2", b"1"]


@pytest.mark.parametrize("name", ["film.mp4", "film.mov", "film.mkv", "film.webm", "film.webp", "%d.png"])
def test_lossless_keeps_each_frame_bit_for_bit_and_odd_sides(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, 6, size=(63, 49), codec="lossless")
    frames = read(tmp_path if name == "%d.png" else tmp_path / name)[1]
    assert np.array_equal(np.stack(frames), np.stack(numbered_frames(6, 63, 49)))


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_lossless_keeps_transparency_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    frames = see_through_frames(4, 63, 49)
    write_film(tmp_path / f"film{suffix}", frames, codec="lossless")
    assert np.array_equal(read_film(tmp_path / f"film{suffix}"), np.stack(frames))


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mov", "prores"), (".mkv", "prores"), (".mkv", "vp9"), (".webm", "vp9")]
)
def test_codecs_with_transparency_keep_it_with_sound_at_every_quality(
    tmp_path: Path, suffix: str, codec: Any
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 6, sound=tone(0.24))
    frames = see_through_frames(6)
    for quality in ("draft", "best"):
        film = tmp_path / f"{quality}{suffix}"
        assert write_film(film, frames, sounds=[SoundTrack(clip)], codec=codec, quality=quality) == []
        if quality == "best":
            assert_alike(read_film(film, "libvpx-vp9" if codec == "vp9" else None), frames)
    assert (tmp_path / f"draft{suffix}").stat().st_size < (tmp_path / f"best{suffix}").stat().st_size


@pytest.mark.parametrize(
    ("name", "options", "says", "hint"),
    [
        (
            "a.mp4",
            {"codec": "prores"},
            "--codec prores: .*a.mp4 can't hold it",
            "h264, h265, av1, vp9 or loss",
        ),
        ("a.mov", {"codec": "vp9"}, "--codec vp9: .*a.mov can't hold it", "h264, h265, prores or lossless"),
        ("a.webm", {"codec": "h264"}, "--codec h264: .*a.webm can't hold it", "av1, vp9 or lossless"),
        ("a.webp", {"codec": "av1"}, "--codec av1: .*a.webp can't hold it", "take lossless"),
        ("a.gif", {"codec": "h264"}, "--codec h264: for .*a.gif there is none", "leave --codec out"),
        ("-", {"codec": "lossless"}, "--codec lossless: for stdout there is none", ".mkv"),
        ("%d.png", {"codec": "h264"}, "--codec h264: ", "leave --codec out"),
        ("a.mp4", {"codec": "h266"}, "--codec h266: must be h264, .* or lossless", ""),
        ("a.mp4", {"quality": "worst"}, "--quality worst: must be draft, good, high or best", ""),
        ("a.gif", {"quality": "best"}, "--quality best: .*a.gif has only one quality", "leave"),
        (
            "a.mp4",
            {"codec": "lossless", "quality": "draft"},
            "--codec lossless has only one quality",
            "leave",
        ),
        ("a.mov", {"codec": "h264", "alpha": True}, "--codec h264: .* transparency", "prores or lossless"),
        ("a.webm", {"codec": "av1", "alpha": True}, "--codec av1: .* transparency", "take vp9"),
        ("a.mp4", {"codec": "h264", "alpha": True}, "--codec h264: .* transparency", ".webm, .mov"),
    ],
)
def test_what_can_not_be_is_a_usage_error_that_names_what_can(
    tmp_path: Path, name: str, options: dict[str, Any], says: str, hint: str
) -> None:
    target = name if name == "-" else str(tmp_path / name)
    with pytest.raises(UsageError, match=says) as refused:
        write(target, **options)
    assert hint in (refused.value.hint or "")
    assert os.listdir(tmp_path) == []


def test_a_codec_that_this_ffmpeg_lacks_is_a_usage_error_that_names_those_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = ["libx265", "libsvtav1", "libaom-av1"]
    monkeypatch.setenv("MCNET_FFMPEG", str(ffmpeg_without(tmp_path, *hidden)))
    with pytest.raises(UsageError, match=r"no encoder for it \(libsvtav1 or libaom-av1\)") as refused:
        choose_coding("film.mp4", codec="av1")
    assert refused.value.hint == "take h264, vp9 or lossless"

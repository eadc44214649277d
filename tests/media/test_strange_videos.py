"""Videos as people really have them, and what becomes of each: a table of what was tried."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from media_tools import X264, ffmpeg, number_of, read, sound_of, tone, write, write_clip
from PIL import Image

from mcnet_cli.errors import InputError

CODED = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "4"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:qp=4"]


def two_tracks(folder: Path, suffix: str, *dispositions: str) -> Path:
    """Silence in the first sound track, a tone in the second, as recorders of games and calls make them."""
    clip = write_clip(folder / "silent.mkv", 25)
    heard = ["-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono:d=1", "-f", "lavfi", "-i", tone(1)]
    flags = itertools.chain(*((f"-disposition:a:{i}", flag) for i, flag in enumerate(dispositions)))
    mapped = ["-map", "0:v", "-map", "1:a", "-map", "2:a", "-c:v", "copy", "-c:a", "aac", *flags]
    path = folder / f"recorded{suffix}"
    ffmpeg("-i", clip, *heard, *mapped, path)
    return path


@pytest.mark.parametrize(
    ("suffix", "dispositions", "asked", "track"),
    [
        (".mp4", ("0", "default"), None, 1),
        (".mkv", ("0", "default"), None, 1),
        (".mkv", ("default", "0"), None, 0),
        (".mkv", ("0", "0"), None, 0),
        (".mkv", ("default", "0"), 1, 1),
        (".mkv", ("0", "default"), 0, 0),
    ],
    ids=[
        "second-default.mp4",
        "second-default",
        "first-default",
        "none-default",
        "second-asked",
        "first-asked",
    ],
)
def test_the_sound_track_is_the_default_one_or_the_one_asked_for(
    tmp_path: Path, suffix: str, dispositions: tuple[str, ...], asked: int | None, track: int
) -> None:
    clip = two_tracks(tmp_path, suffix, *dispositions)
    source, _ = read(clip, audio_track=asked)
    assert source.audio_track == track
    write(tmp_path / "film.mp4", 25, sounds=[source.sound])
    assert (np.abs(sound_of(tmp_path / "film.mp4")).max() > 1000) == (track == 1)


def test_a_sound_track_that_is_not_there_is_refused_with_their_number(tmp_path: Path) -> None:
    clip = two_tracks(tmp_path, ".mp4")
    with pytest.raises(InputError, match=r"recorded\.mp4 has 2 sound tracks, and no track 2"):
        read(clip, audio_track=2)
    Image.new("RGB", (8, 8)).save(tmp_path / "still.png")
    with pytest.raises(InputError, match="no sound"):
        read(tmp_path / "still.png", audio_track=0)


def recorded_by_a_browser(folder: Path) -> Path:
    """Neither a duration nor a rate in the header, and each frame at a time of its own."""
    jitter = "settb=1/1000,setpts='(40*N+mod(N*7919,13))/1000/TB'"
    times = ["-fps_mode", "passthrough", "-enc_time_base", "1:1000"]
    coded = ["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus", "-f", "webm", "-live", "1"]
    path = write_clip(folder / "talk.webm", 25, sound=tone(1), options=["-vf", jitter, *times, *coded])
    data = path.read_bytes()
    at = data.find(b"\x23\xe3\x83")  # the default duration of frames, made void
    length = 4 + (data[at + 3] & 0x7F)
    path.write_bytes(data[:at] + bytes([0xEC, 0x80 | length - 2]) + bytes(length - 2) + data[at + length :])
    return path


def shifted(folder: Path, suffix: str, *options: str) -> Path:
    """B-frames whose first timestamps lie before zero."""
    coded = ["-c:v", "libx264", "-bf", "3", "-qp", "4", "-pix_fmt", "yuv420p"]
    clip = write_clip(folder / "b.mp4", 25, options=coded)
    path = folder / f"shifted{suffix}"
    ffmpeg("-i", clip, "-c", "copy", *options, path)
    return path


def with_options(name: str, *options: str, size: tuple[int, int] = (64, 48)) -> Callable[[Path], Path]:
    return lambda folder: write_clip(folder / name, 25, size=size, options=[*options])


def cut_by_an_edit_list(folder: Path) -> Path:
    clip = write_clip(folder / "whole.mp4", 30, options=[*CODED, "-g", "30", "-pix_fmt", "yuv420p"])
    path = folder / "trimmed.mov"  # it starts at a picture between two key frames
    ffmpeg("-ss", 0.2, "-i", clip, "-c", "copy", path)
    return path


def with_a_gap(folder: Path) -> Path:
    """A call that froze for 0.4 s after ten frames."""
    gap = "setpts='if(lt(N,10),N,N+10)/25/TB'"
    return write_clip(folder / "call.mp4", 20, options=["-vf", gap, "-fps_mode", "vfr", *X264])


def cover_before_the_film(folder: Path) -> Path:
    clip = write_clip(folder / "clip.mp4", 25)
    Image.new("RGB", (300, 200), "red").save(folder / "cover.jpg")
    flags = ["-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic"]
    path = folder / "bought.mp4"
    ffmpeg("-i", clip, "-i", folder / "cover.jpg", *flags, path)
    return path


ALL = list(range(25))
TIMED: dict[str, tuple[Callable[[Path], Path], list[int]]] = {
    "browser-recording": (recorded_by_a_browser, ALL),
    "fragmented-mp4": (
        with_options("f.mp4", *X264, "-movflags", "frag_keyframe+empty_moov+default_base_moof"),
        ALL,
    ),
    "b-frames-before-zero": (lambda folder: shifted(folder, ".mkv", "-bsf:v", "setts=ts=TS-2*DURATION"), ALL),
    "b-frames-in-a-transport-stream": (lambda folder: shifted(folder, ".ts"), ALL),
    "edit-list": (cut_by_an_edit_list, [*range(5, 25), *range(5)]),  # their numbers start again at 25
    "gap": (with_a_gap, [*range(10), *[9] * 10, *range(10, 20)]),
    "cover-art-first": (cover_before_the_film, ALL),
    "webm-with-alpha": (
        with_options("a.webm", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-pix_fmt", "yuva420p"),
        ALL,
    ),
    "av1": (with_options("a.mkv", "-c:v", "libaom-av1", "-cpu-used", "8", "-crf", "20"), ALL),
    "hevc": (with_options("h.mov", *X265, "-pix_fmt", "yuv420p", "-tag:v", "hvc1"), ALL),
    "dv-tape": (
        with_options("tape.dv", "-c:v", "dvvideo", "-pix_fmt", "yuv420p", size=(720, 576)),
        ALL,
    ),
    "mxf": (with_options("camera.mxf", "-c:v", "mpeg2video", "-q:v", "2"), ALL),
    "dvd": (with_options("film.vob", "-c:v", "mpeg2video", "-q:v", "2"), ALL),
    "windows-media": (with_options("film.wmv", "-c:v", "wmv2", "-q:v", "2"), ALL),
    "flash": (with_options("film.flv", "-c:v", "flv1", "-q:v", "2"), ALL),
    "prores": (with_options("film.mov", "-c:v", "prores_ks"), ALL),
    "animation-codec": (with_options("film.mov", "-c:v", "qtrle"), ALL),
    "ivf": (with_options("film.ivf", "-c:v", "libvpx", "-deadline", "realtime"), ALL),
}


@pytest.mark.parametrize("case", TIMED)
def test_every_frame_is_read_at_its_time(tmp_path: Path, case: str) -> None:
    make, numbers = TIMED[case]
    source, frames = read(make(tmp_path), strict=True)
    assert source.frame_rate == 25
    assert [number_of(frame) for frame in frames] == numbers
    assert not source.warnings


def test_a_clip_of_120_frames_a_second_keeps_them_all(tmp_path: Path) -> None:
    source, frames = read(write_clip(tmp_path / "slow.mp4", 24, rate="120"))
    assert (source.frame_rate, len(frames)) == (120, 24)


TURNS: dict[str, tuple[list[str], tuple[int, int], tuple[int, int]]] = {
    "quarter-left": (["-display_rotation", "90"], (48, 64), (63, 0)),
    "half": (["-display_rotation", "180"], (64, 48), (47, 63)),
    "quarter-right": (["-display_rotation", "-90"], (48, 64), (0, 47)),
    "mirrored": (["-display_hflip"], (64, 48), (0, 63)),
    "upside-down-mirrored": (["-display_vflip"], (64, 48), (47, 0)),
    "quarter-and-mirrored": (["-display_rotation", "90", "-display_hflip"], (48, 64), (63, 47)),
}


@pytest.mark.parametrize("case", TURNS)
def test_a_turned_or_mirrored_clip_is_shown_as_players_do(tmp_path: Path, case: str) -> None:
    options, size, corner = TURNS[case]
    clip = write_clip(tmp_path / "clip.mp4", 3)
    ffmpeg(*options, "-i", clip, "-c", "copy", tmp_path / "turned.mp4")
    source, frames = read(tmp_path / "turned.mp4")
    assert (source.width, source.height) == size
    assert frames[0][corner].min() > 200  # the white block, which is stored at the top left


def sound_alone(name: str, *options: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        ffmpeg("-f", "lavfi", "-i", tone(0.3), *options, folder / name)
        return folder / name

    return make


def file_of(data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "film.mp4").write_bytes(data)
        return folder / "film.mp4"

    return make


UNUSABLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "wav": (sound_alone("speech.wav"), "sound file"),
    "mp3": (sound_alone("speech.mp3", "-c:a", "libmp3lame"), "sound file"),
    "mp3-without-tags": (
        sound_alone("speech.mp3", "-c:a", "libmp3lame", "-id3v2_version", "0", "-write_xing", "0"),
        "sound file",
    ),
    "m4a": (sound_alone("speech.m4a"), "no video stream"),
    "ogg": (sound_alone("speech.ogg", "-c:a", "libopus"), "no video stream"),
    "web-page": (file_of(b"<!DOCTYPE html><html>"), "web page"),
    "zip": (file_of(b"PK\3\4" + bytes(99)), "archive"),
    "zero-bytes": (file_of(b""), "empty"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_is_no_video_is_called_what_it_is(tmp_path: Path, case: str) -> None:
    make, what = UNUSABLE[case]
    path = make(tmp_path)
    with pytest.raises(InputError, match=what) as refused:
        read(path)
    assert path.name in str(refused.value)


def test_a_size_that_changes_in_a_webm_is_scaled_to_the_first(tmp_path: Path) -> None:
    coded = ["-c:v", "libvpx", "-deadline", "realtime"]
    for width in (64, 96):
        write_clip(tmp_path / f"{width}.webm", 10, size=(width, 48), options=coded)
    (tmp_path / "list.txt").write_text("file 64.webm\nfile 96.webm\n")
    ffmpeg("-f", "concat", "-i", tmp_path / "list.txt", "-c", "copy", tmp_path / "call.webm")
    source, frames = read(tmp_path / "call.webm")
    assert {frame.shape for frame in frames} == {(48, 64, 3)}
    assert len(frames) >= 19
    assert "64x48, 96x48" in source.warnings[0]

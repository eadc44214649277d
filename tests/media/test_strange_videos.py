"""Videos as people really have them, and what becomes of each: a table of what was tried."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from media_tools import ffmpeg, read, sound_of, tone, write, write_clip
from PIL import Image

from mcnet_cli.errors import InputError
from mcnet_cli.media import ffmpeg_binary

CODED = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "4"]
# Gradients of skin and grey: what HDR shows below paper white, tone-mapping leaves as it is.
SHADES = np.array([(40, 40, 40), (120, 90, 70), (150, 110, 90), (180, 140, 120), (176, 176, 176)], np.uint8)


def shades(size: tuple[int, int]) -> np.ndarray:
    """Broad stripes, one for each of the shades."""
    row = SHADES.repeat(-(-size[0] // len(SHADES)), axis=0)[: size[0]]
    return np.broadcast_to(row, (size[1], size[0], 3))


def write_colours(path: Path, filters: str, *options: str, size: tuple[int, int] = (80, 48)) -> Path:
    """Two frames of the shades after ffmpeg's `filters`, which bring them into the colours to be tested."""
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", "25", "-i", "-"]
    ffmpeg(*raw, "-vf", filters, *options, path, data=np.ascontiguousarray(shades(size)).tobytes() * 2)
    return path


def zscale(to: str, *, pixels: str, hdr: bool = False) -> str:
    rgb = "format=gbrpf32le,zscale=rangein=full:matrixin=gbr:primariesin=bt709:transferin=bt709"
    if not hdr:
        return f"{rgb}:{to},format={pixels}"
    return f"{rgb}:transfer=linear:primaries=bt2020:matrix=gbr:npl=203,zscale={to}:npl=203,format={pixels}"


def swscale(to: str, pixels: str = "yuv444p") -> str:
    return f"scale=flags=accurate_rnd+full_chroma_int:{to},format={pixels}"


UHD = "matrix=bt2020nc:range=limited"
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:qp=4"]
COLOURS: dict[str, tuple[str, list[str], tuple[int, int]]] = {
    "hlg-of-a-phone": (
        zscale(f"{UHD}:transfer=arib-std-b67", pixels="yuv420p10le", hdr=True),
        X265,
        (80, 48),
    ),
    "pq-of-a-phone": (zscale(f"{UHD}:transfer=smpte2084", pixels="yuv420p10le", hdr=True), X265, (80, 48)),
    "pq-of-odd-size": (zscale(f"{UHD}:transfer=smpte2084", pixels="yuv444p10le", hdr=True), X265, (81, 49)),
    "bt2020-sdr": (
        zscale(f"{UHD}:primaries=bt2020:transfer=bt2020-10", pixels="yuv420p10le"),
        CODED,
        (80, 48),
    ),
    "display-p3": (
        zscale("matrix=bt709:range=limited:primaries=smpte432:transfer=bt709", pixels="yuv444p"),
        CODED,
        (80, 48),
    ),
    "bt601": (swscale("out_color_matrix=bt601"), [*CODED, "-colorspace", "smpte170m"], (80, 48)),
    "bt709": (swscale("out_color_matrix=bt709"), [*CODED, "-colorspace", "bt709"], (80, 48)),
    "full-range": (
        swscale("out_color_matrix=bt709:out_range=full"),
        [*CODED, "-colorspace", "bt709", "-color_range", "pc"],
        (80, 48),
    ),
    "full-range-mjpeg-of-a-webcam": (
        swscale("out_color_matrix=bt601:out_range=full", "yuvj422p"),
        ["-c:v", "mjpeg", "-q:v", "1"],
        (80, 48),
    ),
    "untagged-sd": (swscale("out_color_matrix=bt601") + ",setparams=colorspace=unknown", CODED, (80, 48)),
    "untagged-hd": (
        swscale("out_color_matrix=bt709") + ",setparams=colorspace=unknown",
        CODED,
        (1280, 48),
    ),
    "rgb-of-a-screen-recorder": ("format=gbrp", ["-c:v", "libx264rgb", "-preset", "ultrafast"], (80, 48)),
}


@pytest.mark.parametrize("case", COLOURS)
def test_colours_come_out_as_they_were_meant(tmp_path: Path, case: str) -> None:
    filters, options, size = COLOURS[case]
    suffix = "avi" if "mjpeg" in options else "mp4"
    source, frames = read(write_colours(tmp_path / f"clip.{suffix}", filters, *options, size=size))
    assert frames[0].shape == (size[1], size[0], 3)
    middles = np.arange(len(SHADES)) * size[0] // len(SHADES) + size[0] // (2 * len(SHADES))
    assert np.abs(frames[0][24, middles].astype(int) - SHADES).max() <= 6
    assert not source.warnings


def test_an_ffmpeg_that_cannot_convert_hdr_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filters, options, size = COLOURS["hlg-of-a-phone"]
    clip = write_colours(tmp_path / "phone.mp4", filters, *options, size=size)
    poor = tmp_path / "ffmpeg"  # the same ffmpeg, which doesn't list the filter
    poor.write_text(
        f'#!/bin/sh\ncase "$*" in *-filters) "{ffmpeg_binary()}" "$@" | grep -v zscale;; '
        f'*) exec "{ffmpeg_binary()}" "$@";; esac\n'
    )
    poor.chmod(0o755)
    monkeypatch.setenv("MCNET_FFMPEG", str(poor))
    source, frames = read(clip)
    assert len(frames) == 2
    assert [("HDR (HLG)" in line, "zscale" in line) for line in source.warnings] == [(True, True)]


def two_tracks(folder: Path, suffix: str, *dispositions: str) -> Path:
    """Silence in the first sound track, a tone in the second, as recorders of games and calls make them."""
    clip = write_clip(folder / "silent.mkv", 25)
    heard = ["-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono:d=1", "-f", "lavfi", "-i", tone(1)]
    flags = itertools.chain(*((f"-disposition:a:{i}", flag) for i, flag in enumerate(dispositions)))
    mapped = ["-map", "0:v", "-map", "1:a", "-map", "2:a", "-c:v", "copy", "-c:a", "aac", *flags]
    path = folder / f"recorded{suffix}"
    ffmpeg("-i", clip, *heard, *mapped, path)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("dispositions", "asked", "track"),
    [
        (("0", "default"), None, 1),
        (("default", "0"), None, 0),
        (("0", "0"), None, 0),
        (("default", "0"), 1, 1),
        (("0", "default"), 0, 0),
    ],
    ids=[
        "second-is-default",
        "first-is-default",
        "none-is-default",
        "second-is-asked-for",
        "first-is-asked-for",
    ],
)
def test_the_sound_track_is_the_default_one_or_the_one_asked_for(
    tmp_path: Path, suffix: str, dispositions: tuple[str, ...], asked: int | None, track: int
) -> None:
    clip = two_tracks(tmp_path, suffix, *dispositions)
    source, _ = read(clip, audio_track=asked)
    assert source.audio_track == track
    write(tmp_path / "film.mp4", 25, audio=clip, audio_track=source.audio_track)
    assert (np.abs(sound_of(tmp_path / "film.mp4")).max() > 1000) == (track == 1)


def test_a_sound_track_that_is_not_there_is_refused_with_their_number(tmp_path: Path) -> None:
    clip = two_tracks(tmp_path, ".mp4")
    with pytest.raises(InputError, match=r"recorded\.mp4 has 2 sound tracks, and no track 2"):
        read(clip, audio_track=2)
    Image.new("RGB", (8, 8)).save(tmp_path / "still.png")
    with pytest.raises(InputError, match="no sound"):
        read(tmp_path / "still.png", audio_track=0)

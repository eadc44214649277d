"""Colours and fields of videos as people really have them, and what becomes of each: a table."""

from pathlib import Path

import numpy as np
import pytest
from media_tools import ffmpeg, read

from mcnet_cli.media import ffmpeg_binary, open_output

CODED = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "4"]
# Gradients of skin and grey: what HDR shows below paper white, tone-mapping leaves as it is.
SHADES = np.array([(40, 40, 40), (120, 90, 70), (150, 110, 90), (185, 80, 60), (176, 176, 176)], np.uint8)


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
    "rgb-of-a-wide-screen": (
        zscale("matrix=gbr:range=full:primaries=smpte432:transfer=iec61966-2-1", pixels="gbrp"),
        ["-c:v", "ffv1"],
        (80, 48),
    ),
}


@pytest.mark.parametrize("case", COLOURS)
def test_colours_come_out_as_they_were_meant(tmp_path: Path, case: str) -> None:
    filters, options, size = COLOURS[case]
    suffix = "avi" if "mjpeg" in options else "mkv" if "ffv1" in options else "mp4"
    source, frames = read(write_colours(tmp_path / f"clip.{suffix}", filters, *options, size=size))
    assert frames[0].shape == (size[1], size[0], 3)
    middles = np.arange(len(SHADES)) * size[0] // len(SHADES) + size[0] // (2 * len(SHADES))
    assert np.abs(frames[0][24, middles].astype(int) - SHADES).max() <= 6
    assert not source.warnings


@pytest.mark.parametrize(
    ("case", "matrix"),
    [
        ("bt601", "smpte170m"),
        ("bt709", "bt709"),
        ("untagged-sd", "smpte170m"),
        ("untagged-hd", "bt709"),
        ("full-range", None),
    ],
)
def test_frames_that_films_can_hold_as_they_are_keep_their_colours(
    tmp_path: Path, case: str, matrix: str | None
) -> None:
    filters, options, size = COLOURS[case]
    clip = write_colours(tmp_path / "clip.mp4", filters + ",format=yuv420p", *options, size=size)
    source, frames = read(clip, planar=True)
    assert source.matrix == matrix
    film = tmp_path / "film.mp4"
    with open_output(film, size=size, frame_rate=source.frame_rate, matrix=source.matrix) as sink:
        for frame in frames:
            sink.write(frame)
    _, shown = read(film)
    middles = np.arange(len(SHADES)) * size[0] // len(SHADES) + size[0] // (2 * len(SHADES))
    assert np.abs(shown[0][24, middles].astype(int) - SHADES).max() <= 8


def test_other_frames_become_rgb_whatever_is_asked_for(tmp_path: Path) -> None:
    for case in ("hlg-of-a-phone", "pq-of-odd-size", "display-p3", "rgb-of-a-screen-recorder"):
        filters, options, size = COLOURS[case]
        source, frames = read(
            write_colours(tmp_path / f"{case}.mp4", filters, *options, size=size), planar=True
        )
        assert source.matrix is None
        assert frames[0].shape == (size[1], size[0], 3)


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


def woven(folder: Path, name: str, *options: str, size: tuple[int, int] = (720, 576)) -> Path:
    """A white bar that moves 16 pixels a field to the right, its fields woven into interlaced frames."""
    width, height = size
    frames = []
    for number in range(6):
        frame = np.full((height, width, 3), 16, np.uint8)
        for field in (0, 1):
            left = 100 + 16 * (2 * number + field)
            frame[field::2, left : left + 60] = 235
        frames.append(frame.tobytes())
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "25", "-i", "-"]
    ffmpeg(*raw, *options, folder / name, data=b"".join(frames))
    return folder / name


INTERLACED: dict[str, tuple[str, list[str]]] = {
    "mpeg2.mpg": ("setfield=tff", ["-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-q:v", "2"]),
    "camcorder.mts": ("setfield=tff", ["-c:v", "libx264", "-x264-params", "tff=1", "-pix_fmt", "yuv420p"]),
    "tape.dv": (
        "setfield=bff,vflip,crop=720:575:0:1,pad=720:576,vflip",
        ["-c:v", "dvvideo", "-pix_fmt", "yuv420p"],
    ),
}


@pytest.mark.parametrize("name", INTERLACED)
def test_interlaced_frames_have_no_combs(tmp_path: Path, name: str) -> None:
    filters, options = INTERLACED[name]
    source, frames = read(woven(tmp_path, name, "-vf", filters, *options))
    assert (source.frame_rate, len(frames)) == (25, 6)
    for frame in frames[1:-1]:
        grey = frame[100:-100].mean(axis=2)
        assert np.abs(np.diff(grey, axis=0)).max() < 60  # woven fields differ by 219 from row to row


def test_progressive_frames_stay_as_they_are(tmp_path: Path) -> None:
    rows = np.zeros((48, 64, 3), np.uint8)
    rows[::2] = 235  # every second row is white, as in no interlaced frame
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r", "25", "-i", "-"]
    ffmpeg(*raw, "-c:v", "libx264", "-qp", "0", tmp_path / "rows.mp4", data=rows.tobytes() * 3)
    _, frames = read(tmp_path / "rows.mp4")
    assert np.abs(np.diff(frames[1].mean(axis=2), axis=0)).min() > 200

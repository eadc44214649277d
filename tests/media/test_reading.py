"""Videos of every kind as frames."""

import os
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media_tools import X264, ffmpeg, number_of, numbered_frames, read, tone, write_clip

from mcnet_cli.errors import InputError, UsageError
from mcnet_cli.media import ffmpeg_version, is_picture, open_frames, probe, write_image

CODED = ["-c:v", "libx264", "-preset", "ultrafast"]


@pytest.mark.parametrize(
    ("rate", "count"), [("24000/1001", 12), ("30000/1001", 12), ("1", 3), ("240", 24), ("25/2", 5)]
)
def test_the_rate_is_exact_and_no_frame_is_lost(tmp_path: Path, rate: str, count: int) -> None:
    source, frames = read(write_clip(tmp_path / "clip.mp4", count, rate=rate, sound=tone(0.5)))
    assert source.frame_rate == Fraction(rate)
    assert [number_of(frame) for frame in frames] == list(range(count))
    assert source.frames_read == count
    assert not source.damaged
    assert not source.warnings


def test_frames_are_rgb_and_close_to_what_was_coded(tmp_path: Path) -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[:] = (200, 40, 90)
    ffmpeg(
        *["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-i", "-"],
        *CODED,
        "-crf",
        10,
        tmp_path / "red.mp4",
        data=red.tobytes(),
    )
    _, frames = read(tmp_path / "red.mp4")
    assert np.abs(frames[0].astype(int) - red).max() <= 6


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("odd.mkv", (63, 49), ["-c:v", "ffv1", "-pix_fmt", "bgr0"]),
        ("deep.mp4", (64, 48), [*CODED, "-pix_fmt", "yuv420p10le"]),
        ("full.mp4", (64, 48), [*CODED, "-pix_fmt", "yuv444p"]),
        ("alpha.webm", (64, 48), ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-pix_fmt", "yuva420p"]),
        ("old.avi", (64, 48), ["-c:v", "mpeg4", "-q:v", "3"]),
        ("bare.h264", (64, 48), [*CODED, "-pix_fmt", "yuv420p", "-f", "h264"]),
        ("plain.y4m", (64, 48), ["-pix_fmt", "yuv420p"]),
        ("moving.apng", (64, 48), ["-f", "apng"]),
        ("moving.gif", (64, 48), []),
    ],
)
def test_pixel_formats_and_containers_are_read(
    tmp_path: Path, name: str, size: tuple[int, int], options: list[str]
) -> None:
    rate = "25" if name != "moving.gif" else "10"
    source, frames = read(
        write_clip(tmp_path / name, 8, rate=rate, size=size, options=options or ["-f", "gif"])
    )
    assert (source.width, source.height) == size
    assert [number_of(frame) for frame in frames] == list(range(8))
    assert source.frame_rate == Fraction(rate)


def test_a_rotated_video_comes_upright(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "flat.mp4", 4, size=(64, 48))
    data = bytearray(clip.read_bytes())
    at = data.find(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(bytes(data))
    source, frames = read(tmp_path / "turned.mp4")
    assert (source.width, source.height) == (48, 64)
    assert frames[0].shape == (64, 48, 3)
    assert (
        frames[0][:8, -8:].mean() > 200
    )  # the white block, stored top left, is top right after a quarter turn


def test_wide_pixels_become_square(tmp_path: Path) -> None:
    source, frames = read(
        write_clip(tmp_path / "wide.mp4", 3, size=(32, 48), options=[*X264, "-vf", "setsar=2/1"])
    )
    assert (source.width, source.height) == (64, 48)
    assert frames[0].shape == (48, 64, 3)
    _, planes = read(tmp_path / "wide.mp4", planar=True)
    assert planes[0].shape == (72, 64)


def test_a_variable_rate_becomes_constant_without_drift(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "steady.mp4", 12)
    slower = "setpts='if(lt(N,6),N,6+3*(N-6))/25/TB'"  # 25, then 8.33 frames a second
    ffmpeg("-i", clip, "-vf", slower, "-fps_mode", "vfr", *X264, tmp_path / "vfr.mp4")
    source, frames = read(tmp_path / "vfr.mp4")
    assert source.frame_rate == 25
    numbers = [number_of(frame) for frame in frames]
    assert numbers[:7] == [0, 1, 2, 3, 4, 5, 6]
    assert numbers[6:18:3] == [6, 7, 8, 9]


def test_timestamps_may_start_at_one_hour(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 8, sound=tone(0.32))
    ffmpeg("-i", clip, "-c", "copy", "-output_ts_offset", 3600, tmp_path / "late.ts")
    _, frames = read(tmp_path / "late.ts")
    assert [number_of(frame) for frame in frames] == list(range(8))


def test_a_size_that_changes_is_scaled_to_the_first_and_warned_of(tmp_path: Path) -> None:
    parts = [
        write_clip(tmp_path / f"{width}.ts", 6, size=(width, 48), options=X264[:8]).read_bytes()
        for width in (64, 96)
    ]
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    source, frames = read(tmp_path / "both.ts")
    assert {frame.shape for frame in frames} == {(48, 64, 3)}
    assert len(frames) >= 11
    assert "64x48, 96x48" in source.warnings[0]
    source, frames = read(tmp_path / "both.ts", planar=True)
    assert {frame.shape for frame in frames} == {(72, 64)}
    assert "64x48, 96x48" in source.warnings[0]


def test_cover_art_is_not_the_video(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 5)
    ffmpeg("-f", "lavfi", "-i", "color=red:s=32x32", "-frames:v", 1, tmp_path / "cover.jpg")
    attached = ["-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic"]
    ffmpeg("-i", clip, "-i", tmp_path / "cover.jpg", *attached, tmp_path / "cover.mp4")
    source, frames = read(tmp_path / "cover.mp4")
    assert (source.width, len(frames)) == (64, 5)


def test_start_end_and_count_choose_the_frames(tmp_path: Path) -> None:
    for name, options in (("a.mp4", X264), ("a.h264", [*CODED, "-pix_fmt", "yuv420p", "-f", "h264"])):
        clip = write_clip(tmp_path / name, 20, options=options)
        for wanted, expected in (
            ({"start_s": 0.2}, range(5, 20)),
            ({"end_s": 0.4}, range(10)),
            ({"start_s": 0.2, "end_s": 0.4}, range(5, 10)),
            ({"start_s": 0.36, "max_frames": 3}, range(9, 12)),
            ({"start_s": 0.1, "end_s": 0.3}, range(3, 8)),
            ({"max_frames": 0}, range(0)),
        ):
            source, frames = read(clip, **wanted)
            assert [number_of(frame) for frame in frames] == list(expected), (name, wanted)
            assert source.audio_start_s == (expected.start / 25 if expected else 0)
            assert not source.damaged


def test_another_rate_repeats_or_leaves_out_frames(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 10)
    source, frames = read(clip, fps=Fraction(50))
    assert (source.frame_rate, len(frames)) == (50, 20)
    assert len(read(clip, fps=Fraction(25, 2))[1]) == 5


def test_a_start_behind_the_end_says_so(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 5)
    with pytest.raises(InputError, match=r"clip\.mp4 has no frame at 9 s or later"):
        read(clip, start_s=9.0)
    with pytest.raises(UsageError, match="end"):
        open_frames(clip, start_s=2, end_s=1)


def test_sound_is_found_and_an_hour_of_it_is_no_damage(tmp_path: Path) -> None:
    source, _ = read(write_clip(tmp_path / "with.mp4", 5, sound="anullsrc=r=16000:cl=mono:d=60"))
    assert source.audio == tmp_path / "with.mp4"
    assert not source.damaged
    assert not source.warnings
    assert read(write_clip(tmp_path / "without.mp4", 5))[0].audio is None


def damaged_clip(folder: Path, kind: str) -> Path:
    options = [*X264, "-movflags", "+faststart"]
    good = write_clip(folder / "good.mp4", 24, options=options, sound=tone(0.9)).read_bytes()
    if kind == "cut":
        data = good[: len(good) * 6 // 10]
    else:
        start = good.find(b"mdat") + 8
        low, high = (start + (len(good) - start) * fifth // 5 for fifth in (2, 3))
        data = good[:low] + np.random.default_rng(3).bytes(high - low) + good[high:]
    path = folder / f"{kind}.mp4"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["cut", "noise"])
def test_a_damaged_clip_is_used_as_far_as_it_goes_the_same_way_every_time(tmp_path: Path, kind: str) -> None:
    clip = damaged_clip(tmp_path, kind)
    first, frames = read(clip)
    assert first.damaged
    assert 4 <= len(frames) <= 24
    assert len(first.warnings) == 1
    assert f"{kind}.mp4" in first.warnings[0]
    assert str(len(frames)) in first.warnings[0]
    _, again = read(clip)
    assert all(np.array_equal(a, b) for a, b in zip(frames, again, strict=True))


@pytest.mark.parametrize("kind", ["cut", "noise"])
def test_strict_refuses_a_damaged_clip(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError, match=f"{kind}.mp4"):
        read(damaged_clip(tmp_path, kind), strict=True)


def test_a_clip_that_ends_before_its_header_says_is_damaged(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "whole.mkv", 250, options=[*CODED, "-g", "5", "-pix_fmt", "yuv420p"])
    data = clip.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    source, frames = read(tmp_path / "cut.mkv")
    assert len(frames) < 200
    assert source.damaged


def test_a_header_that_claims_years_is_not_believed(tmp_path: Path) -> None:
    data = bytearray(write_clip(tmp_path / "clip.mp4", 6).read_bytes())
    for box, offset in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24)):
        at = data.find(box) + offset
        data[at : at + 4] = struct.pack(">I", 0xFFFFFF00)
    (tmp_path / "years.mp4").write_bytes(bytes(data))
    source, frames = read(tmp_path / "years.mp4", strict=True)
    assert len(frames) == 6
    assert not source.damaged
    assert source.frame_count_hint is None or source.frame_count_hint <= 6


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("zero.mp4", b"", "empty"),
        ("text.mp4", b"not a video\n" * 50, "not a video"),
        ("noise.mp4", np.random.default_rng(2).bytes(20000), "not a video"),
        ("page.webm", b"<!doctype html><title>404</title>", "not a video"),
        (
            "huge.y4m",
            b"YUV4MPEG2 W65000 H65000 F25:1 Ip A1:1 C420\nFRAME\n" + bytes(1000),
            "not a video|too large",
        ),
        (
            "large.y4m",
            b"YUV4MPEG2 W9000 H9000 F25:1 Ip A1:1 C420\nFRAME\n" + bytes(9000 * 13500),
            "too large",
        ),
    ],
)
def test_what_is_no_video_is_refused_by_name(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as refused:
        read(tmp_path / name)
    assert name in str(refused.value)


def test_a_missing_index_is_called_one(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "clip.mp4", 12).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: data.find(b"moov") - 8])
    with pytest.raises(InputError, match=r"cut\.mp4 is incomplete: its index"):
        read(tmp_path / "cut.mp4")


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", tone(0.5), "-c:a", "aac", tmp_path / "song.mp4")
    with pytest.raises(InputError, match=r"song\.mp4 has no video"):
        read(tmp_path / "song.mp4")


def test_leaving_the_block_early_ends_the_decoder(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 200, size=(128, 128))
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = set(children.read_text().split()) if children.exists() else set()  # of other tests
    with open_frames(clip) as source:
        next(source)
        if children.exists():
            assert set(children.read_text().split()) - before
    assert source.frames_read == 1
    if children.exists():
        assert not set(children.read_text().split()) - before


def test_probe_tells_size_rate_length_and_sound(tmp_path: Path) -> None:
    info = probe(write_clip(tmp_path / "clip.mp4", 25, rate="30000/1001", sound=tone(0.5)))
    assert (info.width, info.height, info.frame_rate) == (64, 48, Fraction(30000, 1001))
    assert info.duration_s == pytest.approx(25 * 1001 / 30000, abs=0.02)
    assert info.audio_track == 0


def test_numbered_frames_can_be_told_apart() -> None:
    assert [number_of(frame) for frame in numbered_frames(20)] == list(range(20))


@pytest.mark.slow
def test_a_frame_that_is_shown_for_half_a_day_does_not_fill_the_disk(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 3, size=(16, 16))
    ffmpeg(
        "-i", clip, "-vf", "setpts='if(lt(N,2),N,1e6)/25/TB'", "-fps_mode", "vfr", *X264, tmp_path / "gap.mkv"
    )
    source, frames = read(tmp_path / "gap.mkv")
    assert len(frames) == 10_000
    assert source.damaged


def test_a_picture_is_told_from_a_clip_by_its_content(tmp_path: Path) -> None:
    write_image(tmp_path / "still.png", np.zeros((8, 8, 3), np.uint8))
    still = (tmp_path / "still.png").rename(tmp_path / "still.mp4")
    write_clip(tmp_path / "moving.gif", options=["-loop", "0"])
    assert is_picture(still)
    assert not is_picture(tmp_path / "moving.gif")
    assert not is_picture(write_clip(tmp_path / "moving.mp4"))
    with pytest.raises(InputError, match=r"no\.mp4"):
        is_picture(tmp_path / "no.mp4")


def test_the_version_of_ffmpeg_is_known() -> None:
    assert ffmpeg_version() in ffmpeg("-version").decode()

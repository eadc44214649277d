"""Frames into files: complete or absent, every frame in it, the sound in time."""

import errno
import hashlib
import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media_tools import X264, ffmpeg, number_of, numbered_frames, read, sound_of, tone, write, write_clip
from places import ROOT, TESTS

from mcnet_cli.errors import InputError, UsageError
from mcnet_cli.media import SoundTrack, ffmpeg_binary, open_output, output_kind, probe, read_image

VIDEOS = [".mp4", ".mov", ".mkv", ".webm"]


@pytest.mark.parametrize("suffix", [*VIDEOS, ".gif", ".webp"])
def test_every_frame_arrives_in_order_at_the_same_rate(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"film{suffix}"
    assert write(target) == []
    source, frames = read(target)
    assert source.frame_rate == 25
    assert [number_of(frame) for frame in frames] == list(range(12))
    assert os.listdir(tmp_path) == [target.name]


@pytest.mark.parametrize("suffix", VIDEOS)
@pytest.mark.parametrize("rate", ["24000/1001", "30", "25/2", "240"])
def test_videos_keep_an_exact_rate(tmp_path: Path, suffix: str, rate: str) -> None:
    write(tmp_path / f"film{suffix}", frame_rate=Fraction(rate))
    source, frames = read(tmp_path / f"film{suffix}")
    assert source.frame_rate == Fraction(rate)
    assert len(frames) == 12


def test_a_gif_keeps_time_as_near_as_it_can(tmp_path: Path) -> None:
    write(tmp_path / "thirty.gif", 12, frame_rate=Fraction(30))
    source, frames = read(tmp_path / "thirty.gif")
    assert (source.frame_rate, len(frames)) == (30, 12)
    write(tmp_path / "fast.gif", 12, frame_rate=Fraction(60))  # no browser shows 60: every second frame
    source, frames = read(tmp_path / "fast.gif")
    assert (source.frame_rate, [number_of(frame) for frame in frames]) == (30, [0, 2, 4, 6, 8, 10])


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_frames_that_do_not_change_are_all_there(tmp_path: Path, suffix: str) -> None:
    still = numbered_frames(1)[0]
    with open_output(tmp_path / f"still{suffix}", size=(64, 48), frame_rate=Fraction(25)) as sink:
        for _ in range(10):
            sink.write(still)
    source, frames = read(tmp_path / f"still{suffix}")
    # A WebP of equal frames is stored as the still picture that it is.
    assert len(frames) / source.frame_rate == pytest.approx(0.4 if suffix != ".webp" else 0.04)


def test_a_video_plays_everywhere(tmp_path: Path) -> None:
    write(tmp_path / "film.mp4", size=(63, 49))
    info = probe(tmp_path / "film.mp4")
    assert (info.width, info.height) == (64, 50)
    told = subprocess.run(
        [ffmpeg_binary(), "-i", tmp_path / "film.mp4"], capture_output=True, text=True
    ).stderr
    assert re.search(r"Video: h264 .*yuv420p\(tv, bt709[,)]", told)  # matrix, primaries and transfer
    data = (tmp_path / "film.mp4").read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")  # it starts to play before it is loaded


def test_colours_survive(tmp_path: Path) -> None:
    colour = np.zeros((48, 64, 3), np.uint8)
    colour[:] = (200, 40, 90)
    for suffix in [*VIDEOS, ".gif", ".webp"]:
        with open_output(tmp_path / f"c{suffix}", size=(64, 48), frame_rate=Fraction(25)) as sink:
            for _ in range(3):
                sink.write(colour)
        frame = read(tmp_path / f"c{suffix}")[1][0]
        assert np.abs(frame.astype(int) - colour).mean() <= 4, suffix


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize("seconds", [0.2, 3.0])
def test_the_sound_lasts_as_long_as_the_picture(tmp_path: Path, suffix: str, seconds: float) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 24, rate="24000/1001", sound=tone(seconds))
    rate = Fraction(24000, 1001)
    assert write(tmp_path / f"film{suffix}", 24, frame_rate=rate, sounds=[SoundTrack(clip)]) == []
    samples = sound_of(tmp_path / f"film{suffix}")
    assert abs(len(samples) / 16000 - 24 / rate) <= 1 / rate
    loud = np.abs(samples[: int(min(seconds, 0.9) * 16000)].astype(int)).max()
    assert loud > 1000
    if seconds < 0.5:
        assert np.abs(samples[8000:].astype(int)).max() < 300  # silence fills the rest
    assert len(read(tmp_path / f"film{suffix}")[1]) == 24


def test_sound_that_starts_late_stays_late(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "c.mp4", 24, sound=tone(0.4), before_sound=("-itsoffset", "0.5"))
    write(tmp_path / "film.mp4", 24, sounds=[SoundTrack(clip)])
    samples = np.abs(sound_of(tmp_path / "film.mp4").astype(int))
    assert samples[: int(0.42 * 16000)].max() < 300
    assert samples[int(0.55 * 16000) : int(0.85 * 16000)].max() > 1000


def test_the_sound_begins_where_it_is_asked_to(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "c.mp4", 30, sound="aevalsrc='if(gt(t,0.6),sin(2000*t),0)':d=1.2:s=16000")
    write(tmp_path / "film.mp4", 12, sounds=[SoundTrack(clip, 0.5)])
    samples = np.abs(sound_of(tmp_path / "film.mp4").astype(int))
    assert samples[: int(0.06 * 16000)].max() < 300
    assert samples[int(0.15 * 16000) :].max() > 1000


@pytest.mark.parametrize("layout", ["5.1", "stereo"])
def test_surround_sound_is_mixed_down(tmp_path: Path, layout: str) -> None:
    surround = f"anoisesrc=d=0.5:a=0.3,aformat=channel_layouts={layout}"
    clip = write_clip(tmp_path / "c.mp4", 12, sound=surround)
    for suffix in (".mp4", ".webm"):
        assert write(tmp_path / f"film{suffix}", 12, sounds=[SoundTrack(clip)]) == []
        assert probe(tmp_path / f"film{suffix}").audio_track == 0


def undecodable_sound(folder: Path) -> Path:
    """A film whose sound track says it is something that it is not."""
    clip = write_clip(folder / "good.mkv", 12, sound=tone(0.5), options=[*X264[:8], "-c:a", "flac"])
    data = clip.read_bytes()
    assert data.count(b"A_FLAC") == 1
    (folder / "bad.mkv").write_bytes(data.replace(b"A_FLAC", b"A_XXXX"))
    return folder / "bad.mkv"


def test_sound_that_cannot_be_decoded_is_left_out_with_a_warning(tmp_path: Path) -> None:
    clip = undecodable_sound(tmp_path)
    [warning] = write(tmp_path / "film.mp4", sounds=[SoundTrack(clip)])
    assert "bad.mkv" in warning
    assert len(read(tmp_path / "film.mp4")[1]) == 12
    assert probe(tmp_path / "film.mp4").audio_track is None
    with pytest.raises(InputError, match=r"bad\.mkv"):
        write(tmp_path / "strict.mp4", sounds=[SoundTrack(clip)], strict=True)
    assert sorted(os.listdir(tmp_path)) == ["bad.mkv", "film.mp4", "good.mkv"]


@pytest.mark.parametrize("suffix", [*VIDEOS, ".gif", ".webp"])
def test_the_same_frames_give_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 12, sound=tone(0.48))
    digests = set()
    for name in ("a", "b"):
        write(tmp_path / f"{name}{suffix}", sounds=[SoundTrack(clip)])
        digests.add(hashlib.sha256((tmp_path / f"{name}{suffix}").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_a_pattern_holds_exactly_the_frames(tmp_path: Path) -> None:
    write(tmp_path / "new" / "deep" / "%05d.png", 3)
    folder = tmp_path / "new" / "deep"
    assert sorted(os.listdir(folder)) == ["00001.png", "00002.png", "00003.png"]
    for number, frame in enumerate(numbered_frames(3), 1):
        assert np.array_equal(read_image(folder / f"{number:05d}.png"), frame)
    write(folder / "more-%d.png", 2)  # into a folder that exists
    assert sorted(os.listdir(folder))[3:] == ["more-1.png", "more-2.png"]
    assert os.listdir(tmp_path) == ["new"]


def test_a_pattern_replaces_files_only_when_told_to(tmp_path: Path) -> None:
    (tmp_path / "2.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"2\.png exists"):
        write(tmp_path / "%d.png", 3)
    assert os.listdir(tmp_path) == ["2.png"]
    assert (tmp_path / "2.png").read_bytes() == b"mine"
    write(tmp_path / "%d.png", 3, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["1.png", "2.png", "3.png"]
    assert read_image(tmp_path / "2.png").shape == (48, 64, 3)


def in_process(code: str, *words: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Runs `code` in an interpreter of its own, which finds the tests' tools."""
    paths = [str(TESTS), str(ROOT)]
    prelude = f"import sys; sys.path[:0] = {paths!r}\nfrom media_tools import *\n"
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", prelude + code, *words], capture_output=True, timeout=60, **options
    )


def test_stdout_carries_y4m_that_reads_back(tmp_path: Path) -> None:
    done = in_process("write('-', 5, size=(63, 48), frame_rate=Fraction(24000, 1001))")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.startswith(b"YUV4MPEG2 W64 H48 F24000:1001 ")
    assert b"C420" in done.stdout[:80]
    (tmp_path / "film.y4m").write_bytes(done.stdout)
    source, frames = read(tmp_path / "film.y4m")
    assert [number_of(frame) for frame in frames] == list(range(5))
    assert source.frame_rate == Fraction(24000, 1001)


def test_a_reader_of_stdout_that_leaves_is_a_broken_pipe() -> None:
    code = "try: write('-', 400, size=(256, 256))\nexcept BrokenPipeError: sys.exit(77)"
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\nfrom media_tools import *\n{code}"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    os.close(write_end)
    assert done.returncode == 77, done.stderr.decode()


def test_the_kind_follows_the_name() -> None:
    assert [output_kind(f"a{s}") for s in (".mp4", ".MOV", ".mkv", ".webm")] == ["video"] * 4
    assert [output_kind(name) for name in ("a.gif", "a.webp", "-")] == ["gif", "webp", "stdout"]
    assert [output_kind(name) for name in ("f/%05d.png", "a%d.png")] == ["pattern", "pattern"]
    assert [output_kind(name) for name in ("one.png", "a.JPG", "%d/a.jpeg")] == ["picture"] * 3
    assert output_kind("%d.mp4") == "video"
    for name in ("out.xyz", "", "/dev/full", "%d%d.png", "%999d.png", "mp4"):
        with pytest.raises(UsageError):
            output_kind(name)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_one_picture_holds_one_frame_and_appears_whole(tmp_path: Path, suffix: str) -> None:
    target, frames = tmp_path / f"still{suffix}", numbered_frames(2)
    with open_output(target, size=(64, 48), frame_rate=Fraction(25)) as sink:
        sink.write(frames[1])
    away = np.abs(read_image(target).astype(int) - frames[1]).mean()
    assert away == 0 if suffix == ".png" else away < 4
    two = pytest.raises(InputError, match="2 frames")
    with two, open_output(target, size=(64, 48), frame_rate=Fraction(25), overwrite=True) as sink:
        for frame in frames:
            sink.write(frame)
    assert os.listdir(tmp_path) == [target.name]


def test_a_file_that_is_there_is_never_touched_without_overwrite(tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    target.write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"film\.mp4 exists"):
        write(target)
    with (
        pytest.raises(RuntimeError),
        open_output(target, size=(64, 48), frame_rate=Fraction(25), overwrite=True) as sink,
    ):
        sink.write(numbered_frames(1)[0])
        raise RuntimeError
    assert target.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["film.mp4"]
    write(target, overwrite=True)
    assert len(read(target)[1]) == 12


def test_a_name_that_is_taken_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    with (
        pytest.raises(UsageError, match="exists"),
        open_output(target, size=(64, 48), frame_rate=Fraction(25)) as sink,
    ):
        sink.write(numbered_frames(1)[0])
        target.write_bytes(b"precious")
    assert target.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["film.mp4"]


def test_the_output_may_not_be_the_input(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 5, sound=tone(0.2))
    (tmp_path / "link.mp4").hardlink_to(clip)
    before = clip.read_bytes()
    with pytest.raises(UsageError, match="same file"):
        write(tmp_path / "link.mp4", sounds=[SoundTrack(clip)], overwrite=True)
    assert clip.read_bytes() == before


@pytest.mark.parametrize("name", ["film.mp4", "film.gif", "film.webp", "new/%d.png", "%d.png"])
@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_after_an_exception(tmp_path: Path, name: str, failure: type[BaseException]) -> None:
    before = _children()
    with pytest.raises(failure), open_output(tmp_path / name, size=(64, 48), frame_rate=Fraction(25)) as sink:
        for frame in numbered_frames(4):
            sink.write(frame)
        assert os.listdir(tmp_path), "the partial file lies beside the target"
        raise failure
    assert os.listdir(tmp_path) == []
    assert _children() <= before


def _children() -> set[str]:
    """Processes that this one has started and that still live; other tests may have left helpers."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return set(listed.read_text().split()) if listed.exists() else set()


def test_an_output_without_frames_is_an_error(tmp_path: Path) -> None:
    for name in ("film.mp4", "%d.png", "new/%d.png"):
        with (
            pytest.raises(InputError, match="no frames"),
            open_output(tmp_path / name, size=(64, 48), frame_rate=Fraction(25)),
        ):
            pass
    assert os.listdir(tmp_path) == []


def test_a_frame_of_another_shape_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="64x48"),
        open_output(tmp_path / "a.mp4", size=(64, 48), frame_rate=Fraction(25)) as sink,
    ):
        sink.write(np.zeros((64, 48, 3), np.uint8))
    with (
        pytest.raises(ValueError, match="vp9"),
        open_output(tmp_path / "a.webm", size=(64, 48), frame_rate=Fraction(25), matrix="bt709"),
    ):
        pass


@pytest.mark.parametrize(
    "name", ["-dash.mp4", "%d.mp4", "a;b$(c)`d`'e\".mp4", "new\nline.mp4", "concat:x.mp4", "é" * 125 + ".mp4"]
)
def test_any_name_can_be_written(tmp_path: Path, name: str) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 5, sound=tone(0.2))
    write(tmp_path / name, 5, sounds=[SoundTrack(clip)])
    assert sorted(os.listdir(tmp_path)) == sorted(["clip.mp4", name])
    assert len(read(tmp_path / name)[1]) == 5


def test_a_name_that_is_not_utf8_can_be_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"latin-\xe9.mp4")
    write(tmp_path / name, 5)
    assert os.listdir(tmp_path) == [name]


def test_a_missing_folder_and_a_device_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder"):
        write(tmp_path / "no" / "such" / "film.mp4")
    (tmp_path / "full.mp4").symlink_to("/dev/full")
    with pytest.raises(UsageError, match="not a regular file"):
        write(tmp_path / "full.mp4", overwrite=True)


FULL_DISK = ("film.mp4", "film.webp", "new/%d.png")  # a kind each: a film, an animation, pictures
LIMITED = """
import resource, os
from mcnet_cli.errors import SystemFailure
from mcnet_cli.media import SoundTrack
target, limit = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    sounds = [SoundTrack(Path(name)) for name in sys.argv[3:]]
    write(target, 40, size=(128, 128), sounds=sounds, comment="a word " * 20)
except SystemFailure as failure:
    print(failure, failure.hint)
    sys.exit(failure.exit_code)
"""


@pytest.mark.parametrize(
    ("name", "share"),
    [
        pytest.param(name, share, marks=() if share == 0.5 and name in FULL_DISK else pytest.mark.slow)
        for name in (*FULL_DISK, "film.mkv", "film.webm", "film.gif")
        for share in (0.02, 0.5, 0.97)
    ],
)
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, name: str, share: float) -> None:
    whole, place = tmp_path / "whole", tmp_path / "place"
    whole.mkdir()
    place.mkdir()
    write(whole / name, 40, size=(128, 128))
    size = max(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    done = in_process(LIMITED, str(place / name), str(int(size * share)))
    assert done.returncode == 5, (done.returncode, done.stderr.decode())
    assert os.strerror(errno.EFBIG).encode() in done.stdout
    assert b"MB are free in" in done.stdout
    assert os.listdir(place) == []


def test_a_disk_that_fills_while_the_sound_is_added_is_named(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 40, sound="anoisesrc=d=1.6:a=0.3")
    place = tmp_path / "place"
    place.mkdir()
    write(tmp_path / "silent.mp4", 40, size=(128, 128))
    limit = (tmp_path / "silent.mp4").stat().st_size + 8000
    done = in_process(LIMITED, str(place / "film.mp4"), str(limit), str(clip))
    assert done.returncode == 5, (done.returncode, done.stderr.decode())
    assert os.listdir(place) == []


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_disk_that_fills_while_the_comment_is_written_is_named(tmp_path: Path, suffix: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    write(tmp_path / f"bare{suffix}", 40, size=(128, 128))
    limit = (tmp_path / f"bare{suffix}").stat().st_size + 20
    done = in_process(LIMITED, str(place / f"film{suffix}"), str(limit))
    assert done.returncode == 5, (done.returncode, done.stderr.decode())
    assert os.listdir(place) == []


def test_a_film_is_valid_to_a_strict_decoder(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 24, sound=tone(1))
    for suffix in VIDEOS:
        write(tmp_path / f"film{suffix}", 24, sounds=[SoundTrack(clip)])
        ffmpeg("-xerror", "-i", tmp_path / f"film{suffix}", "-f", "null", "-")


def test_a_number_of_threads_gives_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one.mp4", "two.mp4"):
        write(tmp_path / name, threads=1)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    wanted = ffmpeg("-i", f"file:{tmp_path / 'one.mp4'}", "-map", "0:v:0", "-c", "copy", "-f", "h264", "-")
    assert re.search(rb"threads=1 ", wanted), "x264 notes its settings in the stream"

"""`mcnet animate` as people and programs use it: options, summaries, exit codes, streams."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from animation_tools import SIZE, frames_of, has_sound, write_inputs, write_moving_clip, write_photo

from mcnet_cli.cli import main
from mcnet_cli.media import hardware, open_frames, write_image
from mcnet_cli.media.hardware import device_trouble
from mcnet_cli.motion import read_motion

UNCROPPED = ["--source-crop", "none", "--driving-crop", "none", "--device", "cpu", "--precision", "fp32"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a photo, a clip with sound, and tiny weights."""
    return write_inputs(tmp_path_factory.mktemp("files"))


@pytest.fixture
def here(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with copies of these files, whose weights are the default."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("MCNET_WEIGHTS", str(tmp_path / "tiny.safetensors"))
    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield tmp_path
    for number, handler in handlers.items():
        signal.signal(number, handler)


def animate(*words: str, crop: list[str] = UNCROPPED) -> int:
    return main(["animate", *crop, *words])


def process(
    *words: str, crop: list[str] = UNCROPPED, hangs_after_s: float = 120
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "mcnet_cli", "animate", *crop, *words]
    return subprocess.run(command, capture_output=True, timeout=hangs_after_s)


def test_one_line_gives_a_film_with_sound_and_a_summary(here: Path) -> None:
    done = process("photo.png", "clip.mp4")
    said = done.stderr.decode()
    assert (done.returncode, done.stdout) == (0, b""), said
    assert frames_of(here / "photo--clip.mp4").shape == (6, SIZE, SIZE, 3)
    assert has_sound(here / "photo--clip.mp4")
    for words in (
        "photo--clip.mp4: 6 frames at 25 frames/s",
        "times real time",
        "MB of memory",
        "on cpu in fp32 (as asked for), no face detection",
    ):
        assert words in said


def test_json_is_one_object_with_the_documented_fields(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert animate("photo.png", "clip.mp4", "-o", "a.mp4", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["device"], report["precision"], report["detector"]) == ("cpu", "fp32", None)
    assert report["command"].startswith("mcnet animate photo.png clip.mp4")
    (result,) = report["results"]
    assert {*result} == {
        "source", "driving", "output", "frames", "rate", "codec", "quality", "seconds", "damaged", "no_face",
        "bridged",
        "peak_memory_mb",
    }  # fmt: skip
    assert (result["codec"], result["quality"]) == ("h264", "high")
    assert (result["source"], result["driving"], result["output"]) == ("photo.png", "clip.mp4", "a.mp4")
    assert (result["frames"], result["rate"], result["damaged"], result["no_face"]) == (6, "25", False, 0)
    assert result["peak_memory_mb"] > 50
    assert result["seconds"] > 0


def test_stdout_gets_raw_y4m_and_nothing_else(here: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert animate("photo.png", "clip.mp4", "-o", "-") == 0
    out, said = capfdbinary.readouterr()
    assert out.startswith(b"YUV4MPEG2 ")
    (here / "film.y4m").write_bytes(out)
    assert len(frames_of(here / "film.y4m")) == 6
    assert b"stdout: 6 frames" in said


@pytest.mark.skipif(os.name == "nt", reason="names are bytes only on POSIX")
def test_names_may_be_any_bytes(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    odd = os.fsdecode(b"-caf\xe9 %d\n.png")
    (here / "photo.png").rename(here / odd)
    assert animate("-q", "--", odd, "clip.mp4") == 0
    assert capfd.readouterr() == ("", "")
    assert (here / os.fsdecode(b"-caf\xe9 %d\n--clip.mp4")).is_file()


def test_quiet_says_nothing_at_all(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert animate("photo.png", "clip.mp4", "-q") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["photo.png"], 2, "landmarks of a face"),  # which the tiny network lacks, to be moved by numbers
        (["photo.png", "nood"], 3, "look-around"),
        (["photo.png", "clip.mp4", "--face", "left"], 2, "largest, all or a number"),
        (["photo.png", "--face", "0=clip.mp4"], 2, "no crop can be given"),
        (["photo.png", "clip.mp4", "--yaw", "far"], 2, "--yaw"),
        (["photo.png", "clip.mp4", "--region", "nose"], 2, "expression"),
        (["photo.png", "clip.mp4", "--strength", "nose=1"], 2, "expression"),
        (["photo.png", "clip.mp4", "--gaze", "up"], 2, "--gaze"),
        (["photo.png", "clip.mp4", "--loop", "2", "--duration", "3"], 2, "--duration"),
        (["photo.png", "clip.mp4", "-o", "out.png"], 2, "several frames"),
        (["photo.png", "clip.mp4", "-o", "-", "--json"], 2, "both want stdout"),
        (["photo.png", "clip.mp4", "-o", ""], 2, "empty"),
        (["photo.png", "clip.mp4", "-o", "clip.mp4", "-y"], 2, "same file"),
        (["photo.png", "clip.mp4", "-o", "photo.xyz"], 2, "photo.xyz"),
        (["photo.png", "photo.png", "clip.mp4", "-o", "a.mp4"], 2, "folder"),
        (["photo.png", "clip.mp4", "--motion", "odd"], 2, "--motion odd"),
        (["photo.png", "clip.mp4", "--reference", "6"], 2, "6 frames"),
        (["photo.png", "clip.mp4", "--batch-size", "0"], 2, "--batch-size"),
        (["photo.png", "clip.mp4", "--start", "soon"], 2, "soon"),
        (["photo.png", "clip.mp4", "--end", "0"], 2, "--end"),
        (["photo.png", "clip.mp4", "--fps", "0"], 2, "--fps"),
        (["photo.png", "clip.mp4", "--detector", "haar"], 2, "--detector"),
        (["photo.png", "clip.mp4", "--precision", "fp8"], 2, "fp8"),
        (["photo.png", "clip.mp4", "--size", "7"], 2, "--size"),
        (["photo.png", "a.motion", "--compare"], 2, "--compare"),
        (["photo.png", "clip.mp4", "--codec", "prores"], 2, "take h264, "),
        (["photo.png", "clip.mp4", "--quality", "worst"], 2, "draft, good, high or best"),
        (["photo.png", "clip.mp4", "--volume", "loud"], 2, "--volume loud"),
        (["photo.png", "clip.mp4", "--audio", "a.wav", "--no-audio"], 2, "--audio and --no-audio"),
        (["photo.png", "clip.mp4", "--audio", "photo.png"], 3, "photo.png has no sound"),
        (["photo.png", "gone.mp4"], 3, "gone.mp4"),
        (["gone.png", "clip.mp4"], 3, "gone.png"),
        (["clip.mp4", "clip.mp4"], 3, "clip.mp4"),
        (["photo.png", "tiny.safetensors"], 3, "tiny.safetensors"),
        (["photo.png", "clip.mp4", "--start", "60"], 3, "clip.mp4"),
        (["photo.png", "clip.mp4", "-w", "gone.safetensors"], 4, "gone.safetensors"),
        (["photo.png", "clip.mp4", "-w", "photo.png"], 4, "photo.png"),
    ],
)
def test_a_failure_has_its_code_names_what_is_wrong_and_leaves_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, says: str
) -> None:
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    assert animate(*words) == code
    said = capsys.readouterr().err
    assert says in said
    assert 1 <= len(said.splitlines()) <= 3
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


def test_options_reach_the_pipeline(here: Path) -> None:
    words = [
        "--motion",
        "absolute",
        "--reference",
        "3",
        "--strength",
        "1",
        "--no-adapt-scale",
        "--smooth",
        "1",
    ]
    words += [
        "--on-no-face",
        "skip",
        "--face",
        "0",
        "--driving-face",
        "first",
        "--size",
        "32",
        "--compare",
        "--picture",
        "network",
    ]
    words += ["--save-motion", "m.motion", "--crop-json", "crops.json", "--detector", "blazeface"]
    words += ["--start", "0:00.04", "--end", "0.2", "--max-frames", "3", "--fps", "50", "--no-audio"]
    words += ["--batch-size", "2", "--strict", "-w", "tiny.safetensors", "-o", "new/film.mkv"]
    (here / "new").mkdir()
    assert animate("photo.png", "clip.mp4", *words) == 0
    with open_frames(here / "new/film.mkv") as film:
        assert (film.width, film.height, film.frame_rate, film.audio) == (96, 32, 50, None)
        assert len([*film]) == 3
    assert len(read_motion(here / "m.motion")) == 3
    assert json.loads((here / "crops.json").read_text())["sources"] == {"photo.png": []}


def test_a_frame_of_a_video_is_the_portrait(here: Path) -> None:
    picture = ["--picture", "network", "--strength", "0"]
    assert animate("clip.mp4", "clip.mp4", "--source-frame", "0.12", "-o", "a/%d.png", *picture) == 0
    with open_frames(here / "clip.mp4", start_s=0.12) as clip:
        write_image(here / "frame.png", next(clip))
    assert animate("frame.png", "clip.mp4", "-o", "b/%d.png", *picture) == 0
    assert (here / "a/1.png").read_bytes() == (here / "b/1.png").read_bytes()


def test_a_sound_track_is_chosen_by_its_number(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert animate("photo.png", "clip.mp4", "--audio-track", "0", "-o", "film.mp4") == 0
    assert has_sound(here / "film.mp4")
    assert animate("photo.png", "clip.mp4", "--audio-track", "1") == 3
    assert "clip.mp4 has 1 sound track, and no track 1" in capsys.readouterr().err


def test_a_film_is_made_of_what_the_options_say(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--audio", "clip.mp4", "--audio-track", "0", "--volume", "-6dB", "--codec", "h265"]
    words += ["--quality", "best", "--no-metadata", "-o", "film.mov", "--json"]
    assert animate("photo.png", "photo.png", *words) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert (result["codec"], result["quality"]) == ("h265", "best")
    assert has_sound(here / "film.mov")
    assert b"hvc1" in (here / "film.mov").read_bytes()
    assert b"mcnet" not in (here / "film.mov").read_bytes()


def test_video_hardware_that_is_not_there_is_warned_of_and_done_without(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = next(name for name in ("cuda", "videotoolbox") if device_trouble(name) is not None)
    hardware._working_device.cache_clear()  # it warns once a process
    assert animate("photo.png", "clip.mp4", "-o", "film.mp4", "--hwaccel", device) == 0
    says = capsys.readouterr().err
    assert says.count(f"warning: --hwaccel {device}: it can't be used here (") == 1
    assert animate("photo.png", "clip.mp4", "-o", "plain.mp4") == 0
    assert (here / "film.mp4").read_bytes() == (here / "plain.mp4").read_bytes()


def test_a_motion_file_replaces_the_video(here: Path) -> None:
    assert animate("photo.png", "clip.mp4", "-o", "a/%d.png", "--save-motion", "clip.motion") == 0
    assert animate("photo.png", "clip.motion", "-o", "b/%d.png") == 0
    names = [path.name for path in sorted((here / "a").iterdir())]
    assert len(names) == 6
    assert all((here / "a" / name).read_bytes() == (here / "b" / name).read_bytes() for name in names)
    assert animate("photo.png", "clip.motion") == 0
    assert not has_sound(here / "photo--clip.mp4")


def test_several_sources_fill_a_folder_and_the_report(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_photo(here / "other.png", 2.0)
    assert animate("photo.png", "other.png", "clip.mp4", "-o", "films/", "--json") == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [result["output"] for result in results] == ["films/photo--clip.mp4", "films/other--clip.mp4"]
    assert all((here / result["output"]).is_file() for result in results)


def test_several_sources_without_an_output_go_to_the_current_folder(here: Path) -> None:
    write_photo(here / "other.png", 2.0)
    assert animate("photo.png", "other.png", "clip.mp4", "-q") == 0
    assert (here / "photo--clip.mp4").is_file() and (here / "other--clip.mp4").is_file()


def test_a_dry_run_prints_the_plan(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(here.iterdir())
    assert animate("photo.png", "clip.mp4", "--dry-run", "-o", "films/") == 0
    said = capsys.readouterr().err
    for words in (
        "64 x 64",
        "6 frames",
        "tiny.safetensors",
        "cpu in fp32",
        "films/photo--clip.mp4",
        "h264 in high quality",
        "dry run",
    ):
        assert words in said
    assert animate("photo.png", "clip.mp4", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["dry_run"] is True
    assert sorted(here.iterdir()) == before


def test_a_damaged_driving_is_used_with_a_warning_or_refused_if_strict(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_moving_clip(here / "long.mkv", 50, lossless=False)
    (here / "cut.mkv").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    assert animate("photo.png", "cut.mkv", "-o", "a.mp4", "--json") == 0
    out, said = capsys.readouterr()
    (result,) = json.loads(out)["results"]
    assert result["damaged"] is True
    assert 0 < result["frames"] < 50
    assert said.startswith("warning: ") and "cut.mkv" in said
    assert animate("photo.png", "cut.mkv", "-o", "b.mp4", "--strict") == 3
    assert not (here / "b.mp4").exists()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_rendering_leaves_nothing(here: Path, number: int, code: int) -> None:
    write_moving_clip(here / "long.mp4", 2000, lossless=False)
    before = sorted(here.iterdir())
    words = ["photo.png", "long.mp4", "-o", "a.mp4", "--batch-size", "1"]
    child = subprocess.Popen(
        [sys.executable, "-m", "mcnet_cli", "animate", *words, *UNCROPPED], stderr=subprocess.PIPE
    )
    while not [*here.glob(".a.mp4*")]:  # the encoder has begun
        assert child.poll() is None
    child.send_signal(number)
    _, said = child.communicate(timeout=20)
    assert child.returncode == code, said
    assert sorted(here.iterdir()) == before


@pytest.mark.slow
def test_compile_without_a_compiler_warns_and_goes_on(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/no/such/compiler")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(here / "cache"))
    done = process("photo.png", "clip.mp4", "-o", "a/%d.png", "--compile")
    assert done.returncode == 0, done.stderr
    assert b"warning: --compile: can't be done here" in done.stderr
    assert b"Traceback" not in done.stderr
    assert len([*(here / "a").iterdir()]) == 6


@pytest.mark.slow
def test_compiled_frames_are_those_of_the_plain_network(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(here / "cache"))
    for folder, more in (("plain", []), ("compiled", ["--compile"])):
        done = process("photo.png", "clip.mp4", "-o", f"{folder}/%d.png", *more, hangs_after_s=900)
        assert done.returncode == 0, done.stderr
    for name in ("1.png", "6.png"):
        plain, compiled = (frames_of(here / folder / name) for folder in ("plain", "compiled"))
        assert np.abs(plain.astype(int) - compiled).max() <= 2


def test_help_shows_panels_and_loads_nothing_heavy() -> None:
    code = """
import sys
from mcnet_cli.cli import main
assert main(["animate", "--help"]) == 0
heavy = {"torch", "cv2", "numpy", "PIL"} & {*sys.modules}
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for words in ("--reference", "Motion", "Framing", "Picture", "Time", "Machine", "Example"):
        assert words in done.stdout

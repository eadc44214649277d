"""`mcnet preprocess` as people and programs use it: summaries, exit codes, signals, then `mcnet train`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from preprocess_tools import DRIVING, EMPTY, HEAD, contents, frame, index, moving, write_film

from mcnet_cli.media import write_image

Mcnet = Callable[..., subprocess.CompletedProcess[str]]
HERE = {**os.environ, "OMP_NUM_THREADS": "1"}


def process(*words: str | Path, command: str = "preprocess") -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "mcnet_cli", command, *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, timeout=300, env=HERE)


@pytest.fixture
def portraits(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    write_image(folder / "a.png", frame((60, 40, HEAD)))
    write_image(folder / "b.png", EMPTY)
    return folder


def test_the_summary_tells_what_was_kept_and_dropped_and_why(
    mcnet: Mcnet, portraits: Path, tmp_path: Path
) -> None:
    (portraits / "c.mp4").write_bytes(b"no film" * 50)
    command = ("preprocess", portraits, "-o", tmp_path / "clips", "--workers", "1")
    done = mcnet(*command, "--preview")
    assert (done.returncode, done.stdout) == (0, "")
    lines = [line.split() for line in done.stderr.splitlines()]
    for row in (
        ["input", "kept", "frames", "dropped", "why"],
        ["a", "1", "1", "0"],
        ["b", "0", "0", "1", "no", "face"],
    ):
        assert row in lines
    for words in ("c.mp4 is not a video", "kept 1 clip, ", "dropped 1: 1 no face", "failed 1 of 3 inputs"):
        assert words in done.stderr
    assert (tmp_path / "clips" / "preview.png").is_file()
    again = mcnet(*command, "--json", "-q")
    report = json.loads(again.stdout)
    assert (report["inputs"], report["done_before"], report["kept"]) == (3, 3, 1)
    assert report["dropped"] == {"no face": 1}
    assert [failure["source"] for failure in report["failed"]] == [str(portraits / "c.mp4")]


def test_exit_codes_tell_usage_from_bad_inputs(mcnet: Mcnet, portraits: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no film" * 50)
    assert mcnet("preprocess", portraits, "-o", tmp_path / "out", "--rule", "golden").returncode == 2
    assert mcnet("preprocess", portraits).returncode == 2
    for words, says in (
        ([tmp_path / "bad.mp4"], "bad.mp4"),
        ([tmp_path / "missing.mp4"], "missing.mp4"),
        ([portraits, tmp_path / "bad.mp4", "--strict"], "1 of 3 inputs"),
    ):
        done = mcnet("preprocess", *words, "-o", tmp_path / "out", "--workers", "1", "-q", "--json")
        assert done.returncode == 3
        assert 1 <= len(done.stderr.splitlines()) <= 3
        assert says in json.loads(done.stdout)["error"]["message"]


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from mcnet_cli.cli import main; main(['preprocess', '--help'])\n"
    code += "print(sorted({'torch', 'cv2', 'numpy'} & {*sys.modules}), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip().endswith("[]")
    assert "--detect-every" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_whole_clips_only_and_the_next_run_goes_on(
    mcnet: Mcnet, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    write_film(tmp_path / "in" / "b.mp4", moving(150, dx=0))
    write_image(tmp_path / "in" / "a.png", frame((60, 40, HEAD)))
    output = tmp_path / "clips"
    words = [str(tmp_path / "in"), "-o", str(output), "--min-frames", "10", "--workers", "1"]
    line = [sys.executable, "-m", "mcnet_cli", "preprocess", *words]
    child = subprocess.Popen(line, stderr=subprocess.PIPE, env=HERE, start_new_session=True)
    until = time.monotonic() + 120
    while not finished_records(output) and time.monotonic() < until:
        time.sleep(0.02)
    if number == signal.SIGINT:
        os.killpg(child.pid, number)
    else:
        child.send_signal(number)
    _, said = child.communicate(timeout=30)
    assert child.returncode == code
    assert said.decode().splitlines()[-1] in ("mcnet: interrupted", "mcnet: terminated")
    assert [*contents(output)] == ["a-1/a.landmarks.safetensors", "a-1/a.png"]
    done = mcnet("preprocess", *words)
    assert "1 input in" in done.stderr
    assert "1 done before" in done.stderr
    assert [row["status"] for row in index(output)] == ["kept", "kept"]


def finished_records(output: Path) -> list[Path]:
    found = output.glob("clips.records/[!.]*.json")  # not those that are being written
    return [path for path in found if json.loads(path.read_text())["wanted"]]


def train_on(clips: Path, run: Path) -> None:
    done = process(
        clips, "-o", run, "--config", "lite", "--steps", "1", "--device", "cpu", "-q", command="train"
    )
    assert done.returncode == 0, done.stderr
    assert (run / "weights.safetensors").is_file()


@pytest.mark.slow
def test_what_it_makes_goes_straight_into_training(tmp_path: Path) -> None:
    assert process(DRIVING, "-o", tmp_path / "clips", "--min-frames", "60").returncode == 0
    assert [row["status"] for row in index(tmp_path / "clips")] == ["kept"]
    train_on(tmp_path / "clips", tmp_path / "run")

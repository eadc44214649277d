"""`mcnet evaluate` as people and programs use it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from animation_tools import write_moving_clip, write_tiny
from training_tools import environment

Mcnet = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny weights and two clips."""
    folder = tmp_path_factory.mktemp("place")
    write_tiny(folder / "tiny.safetensors")
    (folder / "clips").mkdir()
    for name in "ab":
        write_moving_clip(folder / "clips" / f"{name}.mp4", 3)
    return folder


@pytest.mark.slow
def test_a_table_for_people_and_a_report_on_disk(
    mcnet: Mcnet, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(place))
    (place / "clips" / "[bold]broken.mp4").write_bytes(b"no film" * 50)
    words = [place / "clips", "-w", place / "tiny.safetensors", "-o", tmp_path / "report"]
    done = mcnet("evaluate", *words, "--device", "cpu")
    (place / "clips" / "[bold]broken.mp4").unlink()
    assert (done.returncode, done.stdout) == (0, "")
    lines = [line for line in done.stderr.splitlines() if not line.startswith("evaluating")]
    header = next(line for line in lines if "frames" in line)
    for title in ("clips", "L1", "error/copy", "mouth/copy", "PSNR", "SSIM", "AKD", "flow agreement"):
        assert title in header
    assert {"a.mp4", "b.mp4", "tiny", "copy"} <= {
        line.split()[0] for line in done.stderr.splitlines() if line
    }
    for words in ("skipped lpips: alexnet is not", "left out: ", "[bold]broken.mp4 is not a"):
        assert words in done.stderr
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.html",
        "report.json",
        "report.csv",
        "report.md",
        "sheet.png",
    }


@pytest.mark.slow
def test_json_is_one_object_on_stdout(mcnet: Mcnet, place: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("source,driving\na,b\n")
    words = ["--protocol", "reenactment", "--pairs", pairs, "--metrics", "mouth,l1", "--json", "-q"]
    done = mcnet("evaluate", place / "clips", "-w", place / "tiny.safetensors", "--device", "cpu", *words)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert [(clip["source"], clip["driving"], clip["mouth"]) for clip in data["clips"]] == [
        ("a.mp4", "b.mp4", None)
    ]
    assert data["metrics"]["mouth"]["clips"] == 0
    assert "real frames" in data["skipped"]["l1"]["reason"]
    assert data["output"] is None


def test_a_card_s_table_comes_out_of_one_command(mcnet: Mcnet, place: Path, tmp_path: Path) -> None:
    weights = ["-w", place / "tiny.safetensors", "-w", write_tiny(place / "other.safetensors", seed=1)]
    words = ["--metrics", "l1", "--set", "smooth=0.5", "--vary", "motion=relative", "--markdown", "-q"]
    clips = tmp_path / "clips"
    shutil.copytree(place / "clips", clips, ignore=shutil.ignore_patterns("b.mp4"))
    done = mcnet("evaluate", clips, "--device", "cpu", *weights, *words)
    (place / "other.safetensors").unlink()
    assert done.returncode == 0, done.stderr
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]
    assert lines[0] == ["", "parameters, M", "L1", "error/copy"]
    assert [line[0] for line in lines[2:]] == [
        "tiny",
        "tiny, motion=relative",
        "other",
        "other, motion=relative",
        "copy",
    ]
    assert lines[-1][-1] == "1.000"


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (2, "clips -w tiny.safetensors --metrics beauty", "there is no 'beauty'"),
        (2, "clips -w tiny.safetensors --metrics aed", "add --recognizer FILE.onnx"),
        (2, "clips -w tiny.safetensors --vary smoth=1", "names are motion, reference"),
        (2, "clips -w tiny.safetensors --markdown --json", "take one of them"),
        (4, "clips -w tiny.safetensors --recognizer tiny.safetensors", "is no ONNX network"),
        (3, "missing -w tiny.safetensors", "missing doesn't exist"),
        (3, "bad -w tiny.safetensors -o report", "no clip can be used"),
        (4, "clips -w nobody-knows", "mcnet fetch-weights --list"),
        (4, "clips -w mcnet-official -o report", "mcnet fetch-weights --from-file"),
    ],
)
def test_exit_codes_tell_usage_clips_and_weights_apart(
    mcnet: Mcnet,
    monkeypatch: pytest.MonkeyPatch,
    place: Path,
    tmp_path: Path,
    code: int,
    words: str,
    said: str,
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("MCNET_CACHE", str(tmp_path))
    (place / "bad").mkdir(exist_ok=True)
    (place / "bad" / "x.mp4").write_bytes(b"no film" * 50)
    before = {path.name for path in place.iterdir()}
    done = mcnet("evaluate", *words.split(), "--device", "cpu", "-q")
    assert done.returncode == code, done.stderr
    assert not done.stdout or "--json" in words
    assert said in done.stderr
    assert {path.name for path in place.iterdir()} == before, "no report is left behind"


@pytest.mark.slow
def test_a_signal_leaves_no_report(place: Path, tmp_path: Path) -> None:
    write_moving_clip(tmp_path / "long.mp4", 600)
    (tmp_path / "clips").mkdir()
    (tmp_path / "long.mp4").rename(tmp_path / "clips" / "long.mp4")
    words = [str(tmp_path / "clips"), "-w", str(place / "tiny.safetensors"), "-o", str(tmp_path / "report")]
    child = subprocess.Popen(
        [sys.executable, "-m", "mcnet_cli", "evaluate", *words, "--device", "cpu", "-q"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    until = time.monotonic() + 60
    while len(os.listdir(tmp_path)) < 2 and time.monotonic() < until:  # until the partial folder is there
        time.sleep(0.05)
    time.sleep(0.5)
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=60)
    assert (child.returncode, said) == (143, "mcnet: terminated\n")
    assert os.listdir(tmp_path) == ["clips"]

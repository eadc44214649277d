"""`mcnet live` on the command line: what it says where something is missing, and its report."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from animation_tools import frames_of
from places import EXAMPLES

Mcnet = Callable[..., subprocess.CompletedProcess[str]]
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"


@pytest.fixture
def without_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


def test_without_a_display_it_says_what_works_without_one(mcnet: Mcnet, without_display: None) -> None:
    done = mcnet("live", PORTRAIT, "--input", DRIVING)
    assert done.returncode == 5
    assert "there is no display" in done.stderr and "-o FILE" in done.stderr


def test_a_camera_that_is_not_there_is_an_input_that_cannot_be_used(mcnet: Mcnet, tmp_path: Path) -> None:
    done = mcnet("live", PORTRAIT, "--camera", "97", "-o", tmp_path / "film.mp4")
    assert done.returncode == 3
    assert "there is no camera 97" in done.stderr and "--input" in done.stderr
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "Missing argument"),
        ([PORTRAIT, "--every-frame"], 2, "--every-frame"),
        ([PORTRAIT, "--background", "transparent"], 2, "no transparency"),
        ([PORTRAIT, "--json", "-o", "-"], 2, "stdout"),
        ([PORTRAIT, "--input", "missing.mp4"], 3, "missing.mp4"),
        (["missing.jpg"], 3, "missing.jpg"),
        ([DRIVING, "--input", DRIVING, "-o", "film.mp4"], 3, "driving.mp4"),
    ],
)
def test_what_makes_no_sense_is_said_at_once(
    mcnet: Mcnet,
    words: list[str | Path],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = mcnet("live", *words)
    assert done.returncode == code and message in done.stderr


def test_a_virtual_camera_that_is_missing_comes_with_the_line_that_mends_it(
    mcnet: Mcnet, without_display: None
) -> None:
    done = mcnet("live", PORTRAIT, "--input", DRIVING, "--virtual-camera")
    assert done.returncode == 5
    assert "virtual" in done.stderr
    assert "pip install" in done.stderr or "v4l2loopback" in done.stderr


@pytest.mark.slow
def test_json_has_frames_latency_and_the_film(mcnet: Mcnet, without_display: None, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    words = ["--input", DRIVING, "--record", film, "--seconds", "0.4", "--json", "-q", "--size", "256"]
    done = mcnet("live", PORTRAIT, *words)
    assert done.returncode == 0, done.stderr
    assert "there is no display" in done.stderr  # a warning: the film is made all the same
    report = json.loads(done.stdout)
    assert report["recordings"] == [str(film)]
    assert report["frames"]["shown"] >= 1
    assert 0 < report["latency_ms"]["median"] <= report["latency_ms"]["p95"]
    assert report["size_px"] == {"first": 256, "last": 256}
    assert len(frames_of(film)) <= 10


@pytest.mark.slow
def test_ctrl_c_ends_a_session_and_keeps_its_film(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    command = [sys.executable, "-m", "mcnet_cli", "live", PORTRAIT, "--input", DRIVING, "-o", film]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    deadline = time.monotonic() + 60
    while not [*tmp_path.glob(".film.mp4.*.part.mp4")] and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "film.mp4 is complete" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
    assert len(frames_of(film)) >= 1

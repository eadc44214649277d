"""`mcnet train` as a process: options, exit codes, signals, locks."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from training_tools import PAPER, environment, mcnet_train, options, train_command, write_clips

from mcnet_cli.checkpoint import read_weights

QUICK = options(base=PAPER)
Mcnet = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"))


def started(clips: Path, run: Path, *words: str) -> subprocess.Popen[str]:
    command = train_command(clips, run, *QUICK, *words)
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())


def wait_for_step(run: Path, step: int) -> None:
    log, deadline = run / "log.jsonl", time.monotonic() + 300
    while time.monotonic() < deadline:
        if log.is_file() and any(f'"step": {step},' in line for line in log.read_text().splitlines()):
            return
        time.sleep(0.05)
    raise AssertionError("it never got there")


def test_a_run_reports_as_json_and_its_card_says_how(
    mcnet: Mcnet, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", str(clips), "-o", str(tmp_path / "run"), "--device", "cpu", *QUICK]
    words += ["--steps", "2", "--seed", "3", "--json"]
    monkeypatch.setattr(sys, "argv", ["mcnet", *words])  # the card says what the process was called with
    done = mcnet(*words)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["steps"], report["clips"], report["skipped_steps"]) == (2, 3, 0)
    card = read_weights(Path(report["weights"])).card
    assert card["command"].startswith(f"mcnet train {clips.name} -o run --device cpu --set model.size=64")
    assert str(tmp_path) not in json.dumps(card)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--steps", "2", "--minutes", "1"], 2, "give one of them"),
        (["--set", "losses.perceptul=5"], 2, "the nearest is losses.perceptual"),
        (["--config", "no-such-recipe"], 2, "there are lite, mcnet"),
        (["--config", "gone.toml"], 3, "gone.toml"),
        (["--freeze", "everything"], 2, "only keypoints"),
        (["--init", "no-such-weights"], 4, "no-such-weights"),
        (["--precision", "fp16"], 2, "fp16"),
    ],
)
def test_wrong_options_end_before_anything_is_written(
    mcnet: Mcnet, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    (tmp_path / "clips").mkdir()
    done = mcnet("train", tmp_path / "clips", "-o", tmp_path / "run", *words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_folder_without_clips_is_code_3(mcnet: Mcnet, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    done = mcnet("train", tmp_path / "clips", "-o", tmp_path / "run", "--steps", "1")
    assert done.returncode == 3
    assert "no clips in" in done.stderr
    assert len(done.stderr.splitlines()) <= 3


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_first_and_the_next_run_goes_on(
    mcnet: Mcnet, clips: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    child = started(clips, tmp_path / "run", "--steps", "100000")
    wait_for_step(tmp_path / "run", 2)
    child.send_signal(number)
    _, said = child.communicate(timeout=300)
    assert child.returncode == code, said
    saved = [int(path.name[5:]) for path in (tmp_path / "run" / "checkpoints").glob("step-*")]
    assert len(saved) == 1
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))
    words = ("--device", "cpu", "--steps", str(saved[0] + 1), "--resume")
    done = mcnet("train", clips, "-o", tmp_path / "run", *words)
    assert done.returncode == 0, done.stderr  # the run knows its own settings
    assert (tmp_path / "run" / "weights.safetensors").is_file()


@pytest.mark.slow
def test_a_run_in_use_is_refused_until_its_process_is_dead(mcnet: Mcnet, clips: Path, tmp_path: Path) -> None:
    words = ("train", clips, "-o", tmp_path / "run", "--device", "cpu", *QUICK, "--steps", "1")
    child = started(clips, tmp_path / "run", "--steps", "100000")
    try:
        wait_for_step(tmp_path / "run", 1)
        done = mcnet(*words)
        assert done.returncode == 2
        assert f"in use by process {child.pid} on " in done.stderr
    finally:
        child.kill()
        child.wait()
    assert mcnet(*words).returncode == 0


def test_check_data_shows_what_is_usable(mcnet: Mcnet, tmp_path: Path) -> None:
    folder = write_clips(tmp_path / "clips", "ab")
    (folder / "bad#1.mp4").write_bytes(b"bad")
    words = ("train", folder, "-o", tmp_path / "run", "--device", "cpu", *QUICK, "--check-data")
    done = mcnet(*words)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^a\.mp4 +a +6 +64² +not used$", done.stderr, re.M), done.stderr
    assert re.search(r"^bad#1\.mp4 +bad +0 .*not a video", done.stderr, re.M), done.stderr
    assert "2 usable clips of 2 identities, 1 not usable" in done.stderr
    for name in "ab":
        (folder / f"{name}.mp4").write_bytes(b"bad")
    refused = mcnet(*words, "--json")
    assert refused.returncode == 3
    assert json.loads(refused.stdout)["bad"] == 3


def test_check_data_explains_how_it_understands_the_folder(mcnet: Mcnet, tmp_path: Path) -> None:
    write_clips(tmp_path / "data" / "train", "ab")
    write_clips(tmp_path / "data" / "test", "c")
    words = ("train", tmp_path / "data", "-o", tmp_path / "run", "--device", "cpu", *QUICK, "--check-data")
    done = mcnet(*words)
    assert "it trains on train/ and measures on test/" in done.stderr
    assert "2 usable clips of 2 identities" in done.stderr
    assert re.search(r"^held out, in .*test:$\n.*\n^c\.mp4 ", done.stderr, re.M), done.stderr
    write_clips(tmp_path / "data" / "more", "d")
    assert "train/, test/ count as people" in mcnet(*words).stderr


def test_a_dry_run_shows_the_plan_and_writes_nothing(mcnet: Mcnet, clips: Path, tmp_path: Path) -> None:
    words = ("train", clips, "-o", tmp_path / "run", "--device", "cpu", *QUICK)
    done = mcnet(*words, "--epochs", "20", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["clips"], plan["identities"], plan["frames"]) == (3, 3, 18)
    assert plan["steps"] == 20 * 3 // 2
    assert plan["parameters"] > 1000
    assert plan["seconds_a_step"] > 0
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs limits of Unix")
def test_a_full_disk_is_code_5_and_earlier_checkpoints_stay(
    mcnet: Mcnet, clips: Path, tmp_path: Path
) -> None:
    import resource

    run = tmp_path / "run"
    words = ("train", clips, "-o", run, "--device", "cpu", *QUICK, "--steps")
    assert mcnet(*words, "2").returncode == 0
    before = sorted(path.name for path in (run / "checkpoints").iterdir())
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # noqa: E731
    done = mcnet_train(clips, run, *QUICK, "--steps", "4", preexec_fn=small)
    assert done.returncode == 5, done.stderr
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == before
    assert mcnet(*words, "4").returncode == 0


@pytest.mark.slow
def test_a_killed_run_ends_in_the_same_bits_as_one_that_was_not(clips: Path, tmp_path: Path) -> None:
    words = [*QUICK, "--set", "checkpoint_every=2"]
    assert mcnet_train(clips, tmp_path / "whole", *words, "--steps", "20").returncode == 0
    child = started(clips, tmp_path / "killed", *words[len(QUICK) :], "--steps", "20")
    wait_for_step(tmp_path / "killed", 10)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert mcnet_train(clips, tmp_path / "killed", *words, "--steps", "20").returncode == 0
    for name in ("weights", "state"):
        file = f"checkpoints/step-00000020/{name}.safetensors"
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "killed" / file).read_bytes()

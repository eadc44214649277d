"""`mcnet batch` as people and programs use it: lines, sums, exit codes."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from batch_tools import PLAIN, write_inputs

Mcnet = Callable[..., subprocess.CompletedProcess[str]]
SETTINGS = [word for name, value in PLAIN.items() for word in ("--set", f"{name}={value}")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_inputs(tmp_path)


@pytest.mark.slow
def test_a_product_is_made_reported_and_gone_on_with(mcnet: Mcnet, place: Path) -> None:
    (place / "broken.mp4").write_bytes(b"no film" * 50)
    words = ["--product", "[ab]*.png", "*.mp4", "-o", "films", *SETTINGS, "--set", "weights=tiny.safetensors"]
    plan = mcnet("batch", *words, "--dry-run")
    assert (plan.returncode, plan.stdout) == (0, "")
    assert "6 films to make of 2 sources and 3 drivings, in 3 tasks" in plan.stderr
    assert not (place / "films").exists()
    done = mcnet("batch", *words, "--workers", "1", "--json", "-q")
    assert done.returncode == 3
    *lines, sums, error = map(json.loads, done.stdout.splitlines())
    assert sorted((line["output"], line["status"]) for line in lines) == sorted(
        (f"films/{source}--{driving}.mp4", "failed" if driving == "broken" else "done")
        for source in ("anna", "bert")
        for driving in ("broken", "clip0", "clip1")
    )
    assert {key: sums[key] for key in ("jobs", "done", "done_before", "failed", "frames")} == {
        "jobs": 6,
        "done": 4,
        "done_before": 0,
        "failed": 2,
        "frames": 14,
    }
    assert error["error"]["message"] == "2 of 6 jobs failed"
    (place / "broken.mp4").unlink()
    again = mcnet("batch", *words)
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr.splitlines()[-1].endswith("4 done before")
    assert sorted(path.name for path in (place / "films").glob("*.mp4")) == [
        f"{source}--clip{number}.mp4" for source in ("anna", "bert") for number in range(2)
    ]


def test_a_batch_of_which_nothing_can_be_made_leaves_nothing(mcnet: Mcnet, place: Path) -> None:
    words = ["--product", "anna.png", "none.mp4", "-o", "films"]
    assert mcnet("batch", *words).returncode == 3
    assert mcnet("batch").returncode == 2
    assert mcnet("batch", "jobs.jsonl", "--set", "strength").returncode == 2
    assert mcnet("batch", "nowhere.jsonl").returncode == 3
    (place / "jobs.csv").write_text("source,driving\nanna.png,clip0.mp4,more\n")
    assert mcnet("batch", "jobs.csv").returncode == 2
    assert not (place / "films").exists()

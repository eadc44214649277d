"""`mcnet motions` and `mcnet edit` as people and programs use them."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mcnet_cli import read_motion

Mcnet = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_motions_are_listed_with_their_lengths(mcnet: Mcnet) -> None:
    names = {"idle", "nod", "shake", "smile", "blink", "wink", "surprise", "look-around", "talk", "sing"}
    listed = json.loads(mcnet("motions", "--json").stdout)["motions"]
    assert {motion["name"] for motion in listed} == names
    assert all(1 <= motion["seconds"] <= 10 for motion in listed)
    shown = mcnet("motions").stderr
    assert all(name in shown for name in names)


def test_motions_are_combined_and_edited_into_a_file(mcnet: Mcnet) -> None:
    words = ["talk", "--add", "nod", "--yaw", "0:0,3:15", "--gaze", "0:0,0,1:0.5,-0.2", "--ping-pong"]
    done = mcnet("edit", *words, "-o", "speech.motion", "--json")
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert report["output"] == "speech.motion" and not report["is_recorded"]
    controls = read_motion(Path("speech.motion")).controls
    assert controls is not None and len(controls) == report["frames"] > 300
    assert controls["yaw"].max() == pytest.approx(20, abs=6)
    assert controls["gaze_x"].max() == pytest.approx(0.5, abs=0.3)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nod"], 2, "--output"),
        (["nod", "-o", "a.mp4"], 2, ".motion"),
        (["nood", "-o", "a.motion"], 3, "look-around"),
        (["nod", "-o", "a.motion", "--mix", "smile=lots"], 2, "--mix"),
        (["nod", "-o", "a.motion", "--gaze", "source"], 2, "X,Y"),
        (["nod", "-o", "a.motion", "--yaw", "1:2:x"], 2, "--yaw"),
        (["nod", "-o", "a.motion", "--speed", "0"], 2, "--speed"),
        (["nod", "-o", "a.motion", "--start", "9"], 3, "nothing is left"),
    ],
)
def test_a_failure_has_its_code_says_why_and_leaves_nothing(
    mcnet: Mcnet, here: Path, words: list[str], code: int, says: str
) -> None:
    done = mcnet("edit", *words)
    assert done.returncode == code
    assert says in done.stderr
    assert not list(here.iterdir())

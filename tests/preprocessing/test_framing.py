"""Clips are cropped as the weights that they are for want faces."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from preprocess_tools import contents, cut_up, index, landmarks_of, moving, run, write_film
from safetensors.numpy import save_file

from mcnet_cli.errors import UsageError, WeightsError
from mcnet_cli.face import Framing
from mcnet_cli.preprocessing import Settings, choose_framing

CLOSE = {"face_height": 0.6, "center_x": 0.45, "center_y": 0.56}


def weights(path: Path, **metadata: str) -> Path:
    """A file whose header is that of weights; nobody may want more of it."""
    save_file({"x": np.zeros(1, np.float32)}, path, metadata={"mcnet.format": "1", **metadata})
    return path


def test_the_shipped_weights_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MCNET_WEIGHTS", raising=False)
    assert choose_framing("framing") == Framing()


def test_the_framing_of_other_weights_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = weights(tmp_path / "close.safetensors", **{"mcnet.framing": json.dumps(CLOSE)})
    assert choose_framing("framing", str(path)) == Framing(**CLOSE)
    monkeypatch.setenv("MCNET_WEIGHTS", str(path))
    assert choose_framing("framing") == Framing(**CLOSE)
    assert choose_framing("paper") == Framing.PAPER


def test_weights_that_do_not_say_get_the_papers_square_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = weights(tmp_path / "silent.safetensors")
    with caplog.at_level(logging.WARNING):
        assert choose_framing("framing", str(path)) == Framing.PAPER
    assert "silent.safetensors doesn't say" in caplog.text


@pytest.mark.parametrize("content", ["text", "nonsense", "another", "missing"])
def test_what_are_no_weights_is_an_error_of_weights(tmp_path: Path, content: str) -> None:
    path = tmp_path / "w.safetensors"
    if content == "text":
        path.write_bytes(b"<html>" * 50)
    elif content == "nonsense":
        weights(path, **{"mcnet.framing": '{"face_height": 7}'})
    elif content == "another":
        save_file({"points": np.zeros(1, np.float32)}, path)
    with pytest.raises(WeightsError, match=r"w\.safetensors"):
        choose_framing("framing", str(path))


def test_the_papers_rule_asks_no_weights() -> None:
    with pytest.raises(UsageError, match="--rule paper"):
        choose_framing("paper", "lite")
    assert Settings(rule="paper", framing=Framing(**CLOSE)).framing == Framing.PAPER


def test_faces_are_as_high_and_where_the_framing_says(tmp_path: Path) -> None:
    film = write_film(tmp_path / "still.mp4", moving(12, dx=0))
    (row,) = cut_up(film, tmp_path / "out", framing=Framing(**CLOSE), min_face=50).rows
    assert row["framing"] == CLOSE
    points = landmarks_of(tmp_path / "out" / row["clip"])["points"].astype(np.float32)
    low, high = points.min(1), points.max(1)
    assert np.median(high[:, 1] - low[:, 1]) / 256 == pytest.approx(0.6, abs=0.02)
    assert np.median((low + high) / 2, axis=0) / 256 == pytest.approx((0.45, 0.56), abs=0.02)


@pytest.mark.slow
def test_another_framing_is_another_work(tmp_path: Path) -> None:
    film = write_film(tmp_path / "still.mp4", moving(12, dx=0))
    run(tmp_path / "clips", film)
    before = contents(tmp_path / "clips")
    report = run(tmp_path / "clips", film, settings={"framing": Framing(**CLOSE)})
    assert report.worked_on == 1
    assert report.as_json()["framing"] == CLOSE
    assert "0.6 high" in report.as_text()
    assert index(tmp_path / "clips")[0]["framing"] == CLOSE
    assert contents(tmp_path / "clips").keys() == before.keys()
    assert contents(tmp_path / "clips") != before
    assert run(tmp_path / "clips", film, settings={"framing": Framing(**CLOSE)}).worked_on == 0


def test_a_framing_is_read_without_loading_torch(tmp_path: Path) -> None:
    path = weights(tmp_path / "close.safetensors", **{"mcnet.framing": json.dumps(CLOSE)})
    film = write_film(tmp_path / "still.mp4", moving(2, dx=0))
    words = ["preprocess", str(film), "-o", str(tmp_path / "clips"), "-w", str(path), "--dry-run", "--json"]
    code = f"import sys; from mcnet_cli.cli import main; code = main({words!r})\n"
    code += "assert code == 0 and 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["waiting"] == [str(film)]

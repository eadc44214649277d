import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from places import ROOT

from mcnet_cli.files import asset


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as users install it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's files alone, in front of any other copy of the package."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(folder: Path, code: str) -> str:
    """What `code` prints where the package lies in `folder`; nothing of the checkout is in reach."""
    script = f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().strip()


def test_the_wheel_carries_the_weights_and_the_face_models_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for name in (
        "mcnet-lite.safetensors",
        "mcnet-lite.md",
        "face/NOTICE",
        "face/face_mesh.tflite",
        "face/face_mesh_lips.tflite",
        "face/face_mesh_left_eye.tflite",
        "face/face_mesh_right_eye.tflite",
        "face/face_detection_full_range.tflite",
        "face/face_detection_back.tflite",
    ):
        assert f"mcnet_cli/assets/{name}" in names
    assert "mcnet_cli/py.typed" in names
    assert not [name for name in names if not name.startswith(("mcnet_cli/", "mcnet_cli-"))]
    assert not [name for name in names if "__pycache__" in name or "test" in name.lower()]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_an_installed_wheel_finds_its_own_weights(installed: Path) -> None:
    code = "from mcnet_cli.weights import resolve_weights; print(resolve_weights(None))"
    found = Path(run(installed, code))
    assert found == installed / "mcnet_cli" / "assets" / "mcnet-lite.safetensors"
    assert found.read_bytes() == (ROOT / "weights" / "mcnet-lite.safetensors").read_bytes()


def test_a_checkout_finds_the_same_file() -> None:
    assert asset("mcnet-lite.safetensors") == ROOT / "weights" / "mcnet-lite.safetensors"


def test_the_console_script_is_mcnet(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "mcnet = mcnet_cli.cli:main" in archive.read(entry).decode()


def test_the_default_weights_are_small_enough_to_ship() -> None:
    assert asset("mcnet-lite.safetensors").stat().st_size <= 16 << 20


def test_nothing_needs_torchvision_and_versions_are_bounded_where_measured() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = " ".join(project["dependencies"])
    assert "torchvision" not in wanted
    assert "opencv-python>=4.10,<5" in wanted
    assert project["requires-python"] == ">=3.11"

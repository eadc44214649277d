"""`mcnet web` as a command: it starts, says where it is and what it warns of, and cleans up when it ends."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from urllib.request import urlopen

import pytest
from animation_tools import write_tiny

LONGEST_S = 60
Mcnet = Callable[..., CompletedProcess[str]]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The temporary folder of the programs that are started."""
    made = tmp_path / "temporary"
    made.mkdir()
    return made


@pytest.fixture
def started(folder: Path, weights: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts `mcnet web` with some words; it is killed at the end, if it still runs."""
    processes: list[subprocess.Popen[str]] = []

    def start(*words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "mcnet_cli", "web", "--port", "0", "-w", str(weights), *words]
        environment = {**os.environ, "TMPDIR": str(folder)}
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def address_of(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    name, _, address = process.stderr.readline().strip().partition(": ")
    assert name == "mcnet web"
    return address


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_it_serves_on_this_machine_until_ctrl_c_and_leaves_no_files(
    started: Callable[..., "subprocess.Popen[str]"], folder: Path
) -> None:
    process = started()
    address = address_of(process)
    assert address.startswith("http://127.0.0.1:")
    with urlopen(address, timeout=LONGEST_S) as page:
        assert b"<title>mcnet</title>" in page.read()
    urlopen(f"{address}/sessions", data=b"", timeout=LONGEST_S).close()
    urlopen(f"{address}/motions", timeout=LONGEST_S).close()  # answers when torch is loaded
    assert len(files_in(folder)) == 1  # the lock
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LONGEST_S)
    assert (process.returncode, "warning" in said, files_in(folder)) == (130, False, [])


def test_what_a_killed_server_leaves_goes_when_the_next_one_starts(
    started: Callable[..., "subprocess.Popen[str]"], folder: Path
) -> None:
    killed = started()
    urlopen(f"{address_of(killed)}/sessions", data=b"", timeout=LONGEST_S).close()
    killed.kill()
    killed.wait(LONGEST_S)
    left = {path for path in folder.glob("*/*") if path.is_dir()}
    assert len(left) == 1
    address_of(started())
    assert not {path for path in left if path.exists()}


def test_other_machines_are_let_in_with_a_warning(
    started: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    process = started("--host", "0.0.0.0")
    address_of(process)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("warning: everybody on the network can use this server")


@pytest.mark.slow
def test_weights_that_cannot_be_had_end_it(started: Callable[..., "subprocess.Popen[str]"]) -> None:
    process = started("-w", "gone.safetensors")
    _, said = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 4
    assert "gone.safetensors" in said


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--port", "70000"], 2, "--port"),
        (["--host", "256.1.1.1"], 2, "--host"),
        (["--max-seconds", "0"], 2, "--max-seconds"),
        (["--max-disk", "1"], 2, "--max-disk"),
        (["--password-file", "gone.txt"], 3, "gone.txt"),
    ],
)
def test_what_makes_no_sense_has_its_exit_code(mcnet: Mcnet, words: list[str], code: int, says: str) -> None:
    done = mcnet("web", "--port", "0", *words)
    assert (done.returncode, says in done.stderr) == (code, True)


def test_the_server_starts_before_anything_heavy_is_loaded() -> None:
    script = (
        "import sys, mcnet_cli.web; print([n for n in ('torch', 'cv2', 'numpy', 'PIL') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_its_libraries_it_says_how_to_get_them() -> None:
    script = (
        "import sys; sys.modules['uvicorn'] = None; from mcnet_cli.cli import main; sys.exit(main(['web']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, "mcnet web needs some libraries more" in done.stderr) == (5, True)
    assert "install" in done.stderr


def test_files_are_in_the_folder_of_this_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mcnet_cli.web.settings import Limits
    from mcnet_cli.web.storage import opened_storage

    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with opened_storage(Limits()) as storage:
        assert storage.root.parent.parent == folder
        assert storage.root.parent.name.startswith("mcnet-web-")

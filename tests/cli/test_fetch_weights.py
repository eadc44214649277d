"""`mcnet fetch-weights`, and how the other commands come by missing weights."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from animation_tools import write_moving_clip, write_photo, write_tiny
from hub_server import Hub, running_hub

from mcnet_cli.cli import main

ADDRESS, FILE = "hf:someone/faces/net.safetensors", "someone/faces/net.safetensors"
TOKEN = "hf_a-secret-token"
UNCROPPED = ["--source-crop", "none", "--driving-crop", "none", "--device", "cpu", "--precision", "fp32"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny weights, a photo and a clip."""
    folder = tmp_path_factory.mktemp("files")
    write_tiny(folder / "tiny.safetensors")
    write_photo(folder / "photo.png")
    write_moving_clip(folder / "clip.mp4")
    return folder


@pytest.fixture
def here(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with copies of these files; an empty cache and an empty torch hub."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MCNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.delenv("MCNET_WEIGHTS", raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield tmp_path
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def hub(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        server.add(FILE, (here / "tiny.safetensors").read_bytes())
        yield server


def fetch(*words: str) -> int:
    return main(["fetch-weights", *words])


def animate(*words: str) -> int:
    return main(["animate", "photo.png", "clip.mp4", "-o", "film.mp4", "-y", *UNCROPPED, *words])


def test_weights_from_a_file_are_used_by_their_name(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch("--from-file", "tiny.safetensors", "--name", "mine") == 0
    said = capsys.readouterr().err
    assert "6 keypoints with jacobians, no epoch stated" in said
    assert "mcnet animate -w mine" in said
    assert animate("-w", "tiny.safetensors", "--no-metadata") == 0
    plain = (here / "film.mp4").read_bytes()
    (here / "tiny.safetensors").unlink()
    assert animate("-w", "mine", "--no-metadata") == 0  # which tells the weights' file
    assert (here / "film.mp4").read_bytes() == plain


def test_a_file_on_the_hub_is_fetched_listed_verified_used_and_removed(
    hub: Hub, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(ADDRESS) == 0
    assert "fetched, sha256 " in capsys.readouterr().err
    assert fetch(ADDRESS) == 0
    assert "here already, and whole" in capsys.readouterr().err
    assert fetch("--list") == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(ADDRESS))
    assert "present" in line
    assert fetch("--verify", ADDRESS) == 0
    assert "verified" in capsys.readouterr().out
    hub.files.clear()
    assert animate("-w", ADDRESS) == 0
    assert fetch("--remove", ADDRESS) == 0
    assert [*(here / "cache").glob("hub/*/blobs/*")] == []
    assert fetch("--remove", ADDRESS) == 4


def test_verifying_ends_with_4_where_something_is_damaged(
    hub: Hub, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch("--from-file", "tiny.safetensors", "--name", "mine") == 0
    (path,) = (here / "cache" / "mine").glob("*.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert fetch("--verify", "mine") == 4
    out = capsys.readouterr().out
    assert "damaged" in out
    assert "mcnet fetch-weights --force --name mine --from-file FILE" in out
    assert animate("-w", "mine") == 4
    assert fetch("--from-file", "tiny.safetensors", "--name", "mine", "--force") == 0
    assert fetch("--verify", "mine") == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--list"],
        ["--from-file", "tiny.safetensors", "--name", "mine"],
        [ADDRESS],
        ["--verify"],
        ["--remove", "kept"],
    ],
)
def test_json_is_one_object_for_each(hub: Hub, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch("--from-file", "tiny.safetensors", "--name", "kept", "-q") == 0
    fetch(*words, "--json")
    report = json.loads(capsys.readouterr().out)
    assert {"version", "cache", "weights"} <= {*report}
    for status in report["weights"]:
        assert {"name", "kind", "state", "size", "licence", "sha256", "path"} <= {*status}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "say which weights"),
        (["--list", "--verify"], 2, "exclude each other"),
        (["vgg19", "--name", "mine"], 2, "--name belongs to --from-file"),
        (["vgg19", "--list"], 2, "take no other name"),
        (["vgg19", "--sha256", "12"], 2, "64 hexadecimal digits"),
        (["--verify", "--force"], 2, "are for fetching"),
        (["--from-file", "tiny.safetensors", "--sha256", "0" * 64], 2, "are for fetching"),
        (["lite", "--force"], 2, "downloads from the hub"),
        (["--from-file", "tiny.safetensors", "--name", "../mine"], 2, "can't be a name"),
        (["--from-file", "tiny.safetensors", "--name", "vgg19"], 2, "name of other weights"),
        (["--from-file", "gone.pth", "--name", "mine"], 4, "gone.pth"),
        (["--from-file", "photo.png", "--name", "mine"], 4, "photo.png"),
        (["--remove", "lite"], 2, "ships with mcnet-cli"),
        (["--remove", "s3fd"], 2, "not in mcnet's cache"),
        (["--remove", "vgg19"], 4, "not in the cache"),
        (["--verify", "vgg19"], 4, "not on this machine"),
        (["nothing"], 4, "no weights are called nothing"),
        (["hf:../../etc/passwd"], 4, "not a hub address"),
        (["mcnet-official"], 4, "shared drive"),
        (["s3fd"], 4, "s3fd-619a316812.pth"),
        (["hf:someone/else/net.pth"], 4, "does not exist"),
        (["hf:someone/faces/other.pth"], 4, "there is no other.pth"),
        ([ADDRESS, "--sha256", "0" * 64], 4, "wrong checksum"),
    ],
)
def test_a_failure_has_its_code_and_at_most_three_lines(
    hub: Hub, here: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, says: str
) -> None:
    assert fetch("-q", *words) == code
    out, said = capsys.readouterr()
    assert out == ""
    assert says in said
    assert 1 <= len(said.splitlines()) <= 3
    kept = {path.name for path in (here / "cache").rglob("*") if path.is_file()}
    assert not {name for name in kept if not name.endswith((".lock", "CACHEDIR.TAG", "main", "other.pth"))}


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mcnet_cli", *words]
    env = {**os.environ, **environment}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=env, stdin=subprocess.DEVNULL
    )


def test_offline_is_the_systems_failure(hub: Hub) -> None:
    done = run("fetch-weights", ADDRESS, HF_HUB_OFFLINE="1")
    assert (done.returncode, done.stdout) == (5, "")
    assert "HF_HUB_OFFLINE" in done.stderr
    assert hub.requests == []


@pytest.mark.slow
def test_an_unreachable_hub_is_announced_before_the_wait(here: Path) -> None:
    done = run("fetch-weights", ADDRESS, HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 5
    announcement, failure, _hint = done.stderr.splitlines()
    assert "half a minute" in announcement
    assert "can't be reached" in failure


@pytest.mark.slow
def test_the_token_is_in_no_output_even_at_its_most_talkative(hub: Hub) -> None:
    hub.add("someone/faces/secret.pth", b"", refuse=(403, "GatedRepo"))
    for name in ("secret.pth", "gone.pth"):
        done = run("fetch-weights", f"hf:someone/faces/{name}", "-v", "--json")
        assert done.returncode == 4
        assert "Traceback" in done.stderr
        assert TOKEN not in done.stderr + done.stdout
    assert f"Bearer {TOKEN}" in hub.tokens


def test_ctrl_c_in_a_download_leaves_nothing(hub: Hub, here: Path) -> None:
    sending = threading.Event()
    hub.before_body = lambda: (sending.set(), time.sleep(60))  # type: ignore[func-returns-value,return-value]
    command = [sys.executable, "-m", "mcnet_cli", "fetch-weights", ADDRESS, "-q"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert sending.wait(60)
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=10)[1] == "mcnet: interrupted\n"
    assert child.returncode == 130
    assert [*(here / "cache").glob("*/record.json"), *(here / "cache").glob("hub/*/blobs/*")] == []


# ---------------------------------------------------------------- agreeing


def test_animate_names_the_command_where_nobody_can_be_asked(
    mcnet: Callable[..., subprocess.CompletedProcess[str]], hub: Hub, here: Path
) -> None:
    done = mcnet("animate", "photo.png", "clip.mp4", *UNCROPPED, "-w", ADDRESS)
    assert done.returncode == 4
    assert done.stderr.splitlines()[1] == f"  mcnet fetch-weights {ADDRESS}"
    assert hub.requests == []
    assert not (here / "cache").exists()


def test_animate_fetches_what_was_agreed_to_beforehand(hub: Hub, here: Path) -> None:
    assert animate("-w", ADDRESS, "--fetch") == 0
    assert hub.bodies == [None]
    assert (here / "film.mp4").is_file()


def test_train_begins_with_weights_that_were_agreed_to_beforehand(
    mcnet: Callable[..., subprocess.CompletedProcess[str]], hub: Hub
) -> None:
    paper = ("--set", "keypoints.supervision=none")
    words = ("train", "no-clips", "-o", "run", "--init", ADDRESS, *paper)
    refused = mcnet(*words)
    assert refused.returncode == 4
    assert refused.stderr.splitlines()[1] == f"  mcnet fetch-weights {ADDRESS}"
    assert hub.bodies == []
    agreed = mcnet(*words, "--fetch")
    assert (agreed.returncode, hub.bodies) == (3, [None]), "the clips are missing, the weights came"


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 4)])
def test_animate_asks_on_a_terminal(hub: Hub, here: Path, answer: str, code: int) -> None:
    command = [sys.executable, "-m", "mcnet_cli", "animate", "photo.png", "clip.mp4", "-o", "film.mp4"]
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [*command, *UNCROPPED, "-w", ADDRESS], stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    )
    os.close(theirs)
    said = b""
    while b"Download it?" not in said and select.select([ours], [], [], 60)[0]:
        said += os.read(ours, 4096)
    assert f"{ADDRESS} is not on this machine".encode() in said
    os.write(ours, answer.encode())
    drain = threading.Thread(target=_drain, args=(ours,), daemon=True)
    drain.start()
    assert child.wait(60) == code
    assert hub.bodies == ([None] if code == 0 else [])
    assert (here / "film.mp4").is_file() == (code == 0)


def _drain(terminal: int) -> None:
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:
        pass


def test_the_help_says_what_a_killed_download_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch("--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "a download that was killed starts again" in said

"""The command line: exit codes and messages; signals, names, streams and progress of real processes."""

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

Fail = Callable[..., subprocess.CompletedProcess[str]]

# A command of the real application that fails as a test asks.
COMMAND = """
import errno, os, signal, sys, time
from types import SimpleNamespace
import typer
from mcnet_cli.cli import application
from mcnet_cli.cli._console import console
from mcnet_cli.cli._options import Json, Quiet, Verbose
from mcnet_cli.errors import InputError, SystemFailure, UsageError, WeightsError, shown
from mcnet_cli.progress import Progress

@application().command()
def fail(name: str = "", json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    {body}
"""
FAILING = f"""{COMMAND}
from mcnet_cli.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def fail(mcnet: Fail) -> Fail:
    """Runs the failing command, or with no `body` the command that the words name, within this process."""
    from mcnet_cli.cli import application

    def run(*words: str, body: str = "") -> subprocess.CompletedProcess[str]:
        exec(COMMAND.replace("{body}", body or "pass"), {})
        try:
            return mcnet(*(["fail"] if body else []), *words)
        finally:
            application().registered_commands.pop()

    return run


def run(*words: str, body: str = "", **options: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        FAILING.replace("{body}", body or "pass"),
        *(["fail"] if body else []),
        *words,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload]


def started(body: str) -> subprocess.Popen[str]:
    """The failing command, once it has said that it runs."""
    child = subprocess.Popen(
        [sys.executable, "-c", FAILING.replace("{body}", body), "fail"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.parametrize(
    ("error", "code"), [("UsageError", 2), ("InputError", 3), ("WeightsError", 4), ("SystemFailure", 5)]
)
def test_an_expected_error_is_two_lines_and_its_own_code(fail: Fail, error: str, code: int) -> None:
    done = fail(body=f"raise {error}('portrait.jpg is not a picture', hint='convert it')")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == "mcnet: portrait.jpg is not a picture\n  convert it\n"


def test_a_long_message_is_cut_to_three_lines(fail: Fail) -> None:
    done = fail(body="raise InputError('a\\nb\\nc\\nd', hint='e\\nf')")
    assert done.stderr == "mcnet: a\nb\n  e\n"


def test_names_are_escaped_unwrapped_and_never_markup() -> None:
    name = "[red]" + "x" * 150 + "\n\x1b[31m[/red].jpg"
    done = run(
        "--name", name, body="raise InputError(f'{shown(name)} is gone')", env={**os.environ, "COLUMNS": "40"}
    )
    assert done.stderr == "mcnet: [red]" + "x" * 150 + "\\n\\x1b[31m[/red].jpg is gone\n"


@pytest.mark.skipif(os.name == "nt", reason="names are bytes only on POSIX")
def test_a_name_that_is_not_utf8_is_escaped() -> None:
    done = run("--name", os.fsdecode(b"caf\xe9.jpg"), body="raise InputError(f'{name} is gone')")
    assert done.stderr == "mcnet: caf\\udce9.jpg is gone\n"
    assert done.returncode == 3


def test_json_gives_the_error_as_one_object_on_stdout(fail: Fail) -> None:
    done = fail("--json", body="raise WeightsError('a.pth is cut', hint='fetch it anew')")
    assert done.returncode == 4
    report = json.loads(done.stdout)
    assert report["error"] == {"code": 4, "message": "a.pth is cut", "hint": "fetch it anew"}
    assert report["version"]
    assert "a.pth is cut" in done.stderr


def test_json_is_heard_even_when_another_option_is_wrong(fail: Fail) -> None:
    done = fail("--json", "--nonsense", body="pass")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == 2
    assert len(done.stderr.splitlines()) <= 3


@pytest.mark.parametrize("words", [["--nonsense"], ["no-such-command"], [], ["fail", "--name"]])
def test_wrong_usage_is_code_2_in_at_most_three_lines(fail: Fail, words: list[str]) -> None:
    done = fail(*words)
    assert done.returncode == 2
    assert 1 <= len(done.stderr.splitlines()) <= 3
    assert "--help" in done.stderr


@pytest.mark.parametrize(
    ("number", "code"),
    [(name, 5) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EMFILE", "ENOMEM")]
    + [(name, 3) for name in ("ENOENT", "EACCES", "EISDIR", "ELOOP")],
)
def test_errors_of_the_system_have_the_code_of_their_cause(fail: Fail, number: str, code: int) -> None:
    done = fail(body=f"raise OSError(errno.{number}, os.strerror(errno.{number}), 'clip.mp4')")
    assert done.returncode == code
    assert "clip.mp4" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 3


@pytest.mark.parametrize(
    "error",
    ["MemoryError", 'RuntimeError("[enforce fail] DefaultCPUAllocator: can\'t allocate memory: 8 bytes")'],
)
def test_out_of_memory_is_the_systems_failure(fail: Fail, error: str) -> None:
    done = fail(body=f"raise {error}")
    assert done.returncode == 5
    assert done.stderr.startswith("mcnet: out of memory\n")


def test_anything_else_is_a_bug_with_a_traceback(fail: Fail) -> None:
    done = fail(body="raise ZeroDivisionError('oh')")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        "mcnet: this is a bug in mcnet (ZeroDivisionError). Please report"
    )


def test_an_os_error_that_names_no_file_is_a_bug(fail: Fail) -> None:
    assert fail(body="raise OSError(errno.ENOENT, 'odd')").returncode == 1


def test_verbose_shows_the_traceback_of_an_expected_error(fail: Fail) -> None:
    done = fail("-v", body="raise InputError('clip.mp4 is empty')")
    assert done.returncode == 3
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("mcnet: clip.mp4 is empty\n")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_runs_finally_blocks_and_gives_its_code(
    number: int, code: int, word: str, tmp_path: Path
) -> None:
    part = tmp_path / "part"
    part.touch()
    child = started(f"""
    try:
        print("ready", flush=True)
        time.sleep(30)
    finally:
        os.unlink({str(part)!r})
""")
    child.send_signal(number)
    _, said = child.communicate(timeout=10)
    assert (child.returncode, said) == (code, f"mcnet: {word}\n")
    assert not part.exists()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_at_once(number: int, code: int) -> None:
    child = started("""
    try:
        print("ready", flush=True)
        time.sleep(30)
    finally:
        print("undoing", flush=True)
        time.sleep(30)
""")
    child.send_signal(number)
    assert child.stdout is not None
    assert child.stdout.readline() == "undoing\n"
    child.send_signal(number)
    began = time.monotonic()
    assert child.wait(10) == code
    assert time.monotonic() - began < 5


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_a_library_turns_into_another_error_keeps_its_code(number: int, code: int) -> None:
    body = f"""
    try:
        os.kill(os.getpid(), {int(number)})
        time.sleep(30)
    except BaseException:
        raise ImportError("numpy failed to load")
"""
    done = run(body=body)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_progress_stops_a_run_whose_interrupt_was_swallowed() -> None:
    body = """
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
    except KeyboardInterrupt:
        pass
    console.progress(Progress("rendering", 1, 2))
    os._exit(9)
"""
    assert run("-q", body=body).returncode == 130


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_the_import_of_torch_has_its_code(number: int, code: int) -> None:
    body = f"""
    import threading
    threading.Timer(0.15, os.kill, [os.getpid(), {int(number)}]).start()
    import torch
    time.sleep(30)
"""
    done = run(body=body)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_reader_that_leaves_ends_the_run_quietly() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", FAILING.replace("{body}", "[print('x' * 9999) for _ in range(99)]"), "fail"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None and child.stderr is not None
    child.stdout.close()
    assert child.wait(30) == 0
    assert child.stderr.read() == b""
    child.stderr.close()


def test_a_broken_pipe_elsewhere_is_the_systems_failure(fail: Fail) -> None:
    assert fail(body="raise BrokenPipeError(errno.EPIPE, 'Broken pipe')").returncode == 5


def test_progress_is_plain_lines_without_a_terminal_and_nothing_when_quiet() -> None:
    body = """
    import mcnet_cli.cli._console as module
    module.PLAIN_INTERVAL_S = 0
    console.progress(Progress("rendering", 1, 4))
    time.sleep(0.01)
    console.progress(Progress("rendering", 2, 4))
"""
    loud = run(body=body).stderr.splitlines()
    assert loud and all(line.startswith("rendering: ") and "/4 frames, " in line for line in loud)
    assert loud[-1].endswith(" s left")
    assert run("-q", body=body).stderr == ""


def test_a_report_is_text_on_stderr_or_json_on_stdout(fail: Fail) -> None:
    body = "console.report(SimpleNamespace(as_json=lambda: {'frames': 3}, as_text=lambda: '3 frames'))"
    plain, machine, quiet = fail(body=body), fail("--json", body=body), fail("-q", body=body)
    assert (plain.stdout, plain.stderr) == ("", "3 frames\n")
    assert (json.loads(machine.stdout), machine.stderr) == ({"frames": 3}, "")
    assert (quiet.stdout, quiet.stderr) == ("", "")


def test_warnings_of_the_package_are_shown_and_those_of_libraries_are_not() -> None:
    body = """
    import logging, warnings
    logging.getLogger("mcnet_cli.media").warning("the clip is damaged")
    logging.getLogger("mcnet_cli.media").info("asking the hub")
    logging.getLogger("somebody").warning("deprecated")
    warnings.warn("old")
"""
    assert run(body=body).stderr == "warning: the clip is damaged\nasking the hub\n"
    assert run("-q", body=body).stderr == "warning: the clip is damaged\n"
    assert "deprecated" in run("-v", body=body).stderr


def test_help_has_an_example_and_loads_nothing_heavy() -> None:
    code = """
import sys
from mcnet_cli.cli import main
assert main(["--help"]) == 0
heavy = {"torch", "cv2", "numpy", "PIL", "safetensors", "huggingface_hub", "face_alignment"} & {*sys.modules}
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "mcnet animate portrait.jpg driving.mp4" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(
    "words",
    [
        ["train", "none"],
        ["evaluate", "none"],
        ["batch", "none"],
        ["benchmark"],
        ["animate", "a.jpg", "idle"],
    ],
    ids=lambda words: words[0],
)
def test_a_signal_waits_while_torch_loads_which_it_would_abort(words: list[str], tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[2] / "examples" / "portrait.jpg", tmp_path / "a.jpg")
    code = f"""
import signal, sys
from mcnet_cli.cli import main
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            signal.raise_signal(signal.SIGINT)
        if name == "torch.nn":
            print("torch loads", flush=True)
sys.meta_path.insert(0, Finder())
sys.exit(main({words}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert (done.stdout, done.returncode) == ("torch loads\n", 130), done.stderr


def test_python_m_gives_the_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mcnet_cli", "--version"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("mcnet ")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_after_the_work_ends_the_process_without_a_traceback(number: int, code: int) -> None:
    body = f"""
import gc, os, sys
from mcnet_cli.cli import main
gc.freeze = lambda: os.kill(os.getpid(), {number:d})  # which is the last thing that `main` does
sys.argv = ["mcnet", "--version"]
sys.exit(main())
"""
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (code, "")

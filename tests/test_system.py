"""What differs between operating systems, each feature with and without what only Unix has."""

import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from animation_tools import frames_of, has_sound
from places import EXAMPLES, ROOT, TESTS
from training_tools import PAPER, options

from mcnet_cli import system

BOTH_WAYS = pytest.mark.parametrize("unix", [True, False], ids=["unix", "portable"])
WITHOUT_UNIX = str(TESTS / "without_unix")
# Text that stands for a question about the system, or for what not every system has.
PLATFORM = re.compile(
    r"sys\.platform|os\.name\b|platform\.system|hasattr\((?:os|signal|select)\b|/dev/|/proc|"
    r"\bimport (?:fcntl|resource|msvcrt|pwd|grp|termios)\b|"
    r"pass_fds|start_new_session|preexec_fn|SIGKILL|SIGHUP|SIGPIPE|SIGXFSZ|"
    r"os\.(?:fork|killpg|getpgid|setsid|getuid|mkfifo|sched_|statvfs|O_DIRECTORY)"
)
HOLDER = """
import sys
from pathlib import Path
from mcnet_cli import system
try:
    with system.locked(Path(sys.argv[1]), wait=False):
        print("mine", flush=True)
        sys.stdin.read()
except system.LockHeld as error:
    print(error, flush=True)
"""


def environment(*, unix: bool) -> dict[str, str]:
    """For a child process that has what only Unix has, or lacks it."""
    paths = [str(ROOT)] if unix else [WITHOUT_UNIX, str(ROOT)]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
    }


def hide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes from this process what system.py looks for."""
    for module in ("fcntl", "resource"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delattr(os, "setsid")
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.delattr(os, "fork")
    monkeypatch.delattr(signal, "pthread_sigmask")
    monkeypatch.delattr(select, "poll")


def test_nothing_but_system_py_asks_for_the_platform() -> None:
    for path in (ROOT / "mcnet_cli").rglob("*.py"):
        if path != Path(system.__file__):
            found = PLATFORM.search(path.read_text(encoding="utf-8"))
            assert not found, f"{path.relative_to(ROOT)} has {found and found[0]}: ask system.py"


@BOTH_WAYS
def test_a_lock_keeps_others_out_until_its_holder_ends(tmp_path: Path, unix: bool) -> None:
    # all in processes of their own: this one's locks may be of the other kind already
    def contender() -> tuple[subprocess.Popen[str], str]:
        child = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", HOLDER, tmp_path / ".lock"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(unix=unix),
            text=True,
        )
        assert child.stdout
        return child, child.stdout.readline()

    holder, said = contender()
    assert said == "mine\n"
    other, refused = contender()
    assert (f"process {holder.pid} on " if unix else "another process") in refused
    holder.communicate("")
    last, said = contender()
    assert said == "mine\n"
    for child in (other, last):
        child.communicate("")


@BOTH_WAYS
def test_a_file_set_aside_frees_its_name_and_can_be_read_by_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unix: bool
) -> None:
    if not unix:
        hide(monkeypatch)
    film, again = tmp_path / "film", tmp_path / "again"
    film.write_bytes(b"frames")
    with system.set_aside(film) as aside:
        assert not film.exists()
        assert [path.name for path in tmp_path.iterdir()] == ([] if unix else ["film.aside"])
        film.write_bytes(b"frames and sound")
        read = [sys.executable, "-c", "import sys; print(open(sys.argv[1]).read())", str(aside.path)]
        child = subprocess.Popen(read, stdout=subprocess.PIPE, **system.child_options(aside.descriptors))
        assert child.communicate()[0] == b"frames\n"
        aside.copy_to(again)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "film"]
    assert (film.read_bytes(), again.read_bytes()) == (b"frames and sound", b"frames")


def test_a_ctrl_c_at_the_terminal_does_not_reach_children() -> None:
    ask = [sys.executable, "-c", "import os; print(os.getsid(0))"]
    done = subprocess.run(ask, stdout=subprocess.PIPE, **system.child_options())
    assert int(done.stdout) != os.getsid(0)


def test_signals_that_are_held_arrive_afterwards() -> None:
    arrived: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: arrived.append(number))
    try:
        with system.signals_held([signal.SIGTERM]):
            signal.raise_signal(signal.SIGTERM)
            assert not arrived
        assert arrived == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells of a running child")
def test_a_childs_memory_is_its_own_and_not_what_this_process_held_when_it_started_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(system, "_largest_child_kb", 0)
    held = bytearray(200 << 20)
    code = "held = bytearray(100 << 20); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        child.stdout.readline()
        system.note_memory_of_child(child.pid)
        child.communicate(b"\n")
    system.note_memory_of_child(child.pid)  # one that has ended changes nothing
    own, with_child = (system.peak_memory_mb(with_children=which) for which in (False, True))
    assert own
    assert with_child
    assert 100 < with_child - own < 180
    assert own > len(held) >> 20


def test_without_what_unix_has_the_answers_are_modest(monkeypatch: pytest.MonkeyPatch) -> None:
    own, with_children = (system.peak_memory_mb(with_children=which) for which in (False, True))
    assert own
    assert with_children
    assert 10 < own <= with_children
    assert 1 <= system.processor_count() <= (os.cpu_count() or 1)
    hide(monkeypatch)
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert system.peak_memory_mb(with_children=True) is None
    assert system.processor_count() == os.cpu_count()
    assert system.worker_start_method() == "spawn"
    assert system.reader_has_left(sys.__stdout__.fileno() if sys.__stdout__ else 1)
    with system.signals_held([signal.SIGTERM]):
        system.release_signals([signal.SIGTERM])


def test_a_reader_who_leaves_a_pipe_is_noticed() -> None:
    reader, writer = os.pipe()
    assert not system.reader_has_left(writer)
    os.close(reader)
    assert system.reader_has_left(writer)
    os.close(writer)


def test_the_stand_in_for_windows_hides_and_refuses(tmp_path: Path) -> None:
    (tmp_path / "open.txt").touch()
    script = f"""
import os, subprocess, sys
def fails(act, *errors):
    try: act()
    except errors: return
    sys.exit(f"{{act}} worked")
for module in ("fcntl", "resource", "pwd", "grp", "termios"): fails(lambda: __import__(module), ImportError)
fails(lambda: os.fork(), AttributeError)
fails(lambda: open("/dev/fd/0") and os.stat("/dev/fd/0"), OSError)
fails(lambda: os.open({str(tmp_path)!r}, os.O_RDONLY), PermissionError)
fails(lambda: subprocess.Popen([sys.executable], start_new_session=True), ValueError)
with open({str(tmp_path / "open.txt")!r}) as file:
    fails(lambda: os.unlink(file.name), PermissionError)
    fails(lambda: os.replace(file.name, file.name + "2"), PermissionError)
    fails(lambda: os.fsync(file.fileno()), OSError)
os.unlink(file.name)
"""
    done = subprocess.run([sys.executable, "-c", script], env=environment(unix=False), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert not (tmp_path / "open.txt").exists()


@pytest.mark.slow
def test_the_commands_work_without_what_only_unix_has(tmp_path: Path) -> None:
    def mcnet(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mcnet_cli", *words]
        done = subprocess.run(
            command, env=environment(unix=False), cwd=tmp_path, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{words}\n{done.stderr}"
        return done

    portrait, driving = str(EXAMPLES / "portrait.jpg"), str(EXAMPLES / "driving.mp4")
    cpu = ("--device", "cpu", "--precision", "fp32")
    mcnet("animate", portrait, driving, "--max-frames", "3", "--size", "256", "-o", "film.mp4", *cpu)
    assert len(frames_of(tmp_path / "film.mp4")) == 3
    assert has_sound(tmp_path / "film.mp4")
    mcnet("preprocess", driving, "-o", "clips", "--fps", "5", "--min-frames", "8", "--workers", "2")
    assert list(tmp_path.glob("clips/**/*.mp4"))
    tiny = (*options("data.workers=1", base=PAPER), "--steps", "2", "--device", "cpu")
    mcnet("train", "clips", "-o", "run", *tiny)
    assert (tmp_path / "run" / "weights.safetensors").is_file()
    assert "all is well" in mcnet("doctor", "--cache-dir", "cache").stdout


def test_a_display_that_does_not_answer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":9876")
    assert not system.has_display()
    monkeypatch.delenv("DISPLAY")
    assert not system.has_display()


@pytest.mark.skipif(sys.platform != "linux", reason="pipes of other systems have their own size")
def test_a_pipe_holds_more_than_64_kb() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with open(reader, "rb"), open(writer, "wb", buffering=0) as pipe:
        system.enlarge_pipe(pipe)
        assert pipe.write(bytes(1 << 19)) == 1 << 19


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupts_wait_until_what_they_would_break_is_done(number: int) -> None:
    came: list[int] = []
    before = signal.signal(number, lambda number, _frame: came.append(number))
    try:
        with system.interrupts_noted() as noted:
            signal.raise_signal(number)
            assert not came
        assert (noted, came) == ([number], []), "whoever has waited decides"
        signal.raise_signal(number)
        assert len(came) == 1, "at once again"
    finally:
        signal.signal(number, before)


def test_interrupts_that_our_parent_has_us_ignore_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with system.interrupts_noted() as noted:
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
        assert not noted
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_second_interrupt_acts_at_once() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), system.interrupts_noted(lambda: done.append("told")) as noted:
        signal.raise_signal(signal.SIGTERM)
        done.append("waits")
        signal.raise_signal(signal.SIGINT)
        done.append("too late")
    assert (noted, done) == ([signal.SIGTERM], ["told", "waits"])

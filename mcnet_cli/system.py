"""What differs between operating systems, with a portable way beside whatever only Unix has.

No other module asks which system it runs on. Each function looks for the feature that it needs, not for the
name of a system, so tests can hide a feature and run the portable way on Linux.
"""

import contextlib
import ctypes
import getpass
import os
import platform
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from mcnet_cli.errors import SystemFailure, shown

_PIPE_BYTES = 1 << 20  # as much as Linux lets a user ask for
_NICENESS = 10  # of 19; 0 is usual
_SIGXFSZ = 25  # the same number on Linux and macOS; Windows has no such signal


class LockHeld(Exception):  # noqa: N818 - a state that callers put into their user's words
    """Another process holds a lock. Its message says which one, as far as that is known."""


@contextlib.contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Holds the lock file `path`. The system releases the lock if this process dies.

    Unix locks by `lockf`: forked workers don't inherit it, as they would with `flock`. Elsewhere the filelock
    package locks by what there is: `msvcrt` on Windows, exclusive creation as the last resort.

    wait: whether to wait for another holder. Otherwise the holder's process and host are kept in the file.

    Raises:
        LockHeld: another process holds it, and `wait` is false.
        OSError: the file can't be opened or locked.
    """
    try:
        import fcntl
    except ImportError:
        with _locked_by_library(path, wait=wait):
            yield
        return
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except (BlockingIOError, PermissionError) as error:
            file.seek(0)
            raise LockHeld(file.read(100).strip() or "another process") from error
        if not wait:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}\n")
            file.flush()
        yield


@contextlib.contextmanager
def _locked_by_library(path: Path, *, wait: bool) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise LockHeld("another process") from error
    try:
        yield
    finally:
        lock.release()


def sync_file(path: Path) -> None:
    """Has the disk keep what was written to `path`. It is opened for writing, as Windows wants it."""
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` durable, where the system opens folders and the file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def user_cache_folder() -> Path:
    """The system's folder for caches of this user. RuntimeError if there is no home folder."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base)


def private_temporary_folder(name: str) -> Path:
    """A folder in the system's temporary folder that this user alone can read; made if it isn't there.

    SystemFailure if it can't be made, or if another user has made it: such a folder could be a trap.
    """
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    folder = Path(tempfile.gettempdir()) / f"{name}-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise SystemFailure(f"can't use {shown(folder)}: {error.strerror or error}") from error
    if not stat.S_ISDIR(status.st_mode) or (
        hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o077)
    ):
        raise SystemFailure(
            f"{shown(folder)} is not a private folder of this user", hint="remove it, or set TMPDIR"
        )
    return folder


_largest_child_kb = 0


def note_memory_of_child(pid: int) -> None:
    """Keeps in mind how much memory a running child has held, for `peak_memory_mb`; Linux alone knows."""
    global _largest_child_kb
    with contextlib.suppress(OSError, ValueError):
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        peaks = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")]
        _largest_child_kb = max([_largest_child_kb, *peaks])  # none once it has ended


def peak_memory_mb(*, with_children: bool) -> float | None:
    """Most memory that this process has held, plus that of its largest finished child if `with_children`.

    On Linux these are the children that `note_memory_of_child` was told of: `getrusage` would count what this
    process held when it started them. Windows tells through psutil, if that is installed, and of this process
    alone. None where nobody knows.
    """
    try:
        import resource
    except ImportError:
        return _peak_memory_by_psutil()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if with_children and Path("/proc/self/status").exists():
        peak += _largest_child_kb
    elif with_children:
        peak += resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)  # from bytes on macOS, else kB


def _peak_memory_by_psutil() -> float | None:
    try:
        import psutil
    except ImportError:
        return None
    peak = getattr(psutil.Process().memory_info(), "peak_wset", None)  # on Windows alone
    return None if peak is None else round(peak / (1 << 20), 1)


def processor_name() -> str:
    """What the processor calls itself."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def processor_count() -> int:
    """How many processors this process may use; where the system doesn't say, how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def yield_cores() -> None:
    """Has this process compute when others don't want to, for good; Windows doesn't know that."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)


def worker_start_method() -> str:
    """How `multiprocessing` starts workers that read data: by `fork` on Linux, else by `spawn`.

    Forked workers start at once and share memory. On macOS the system's own libraries may not survive a fork.
    """
    return "fork" if hasattr(os, "fork") and sys.platform != "darwin" else "spawn"


def child_options(descriptors: Iterable[int] = ()) -> dict[str, Any]:
    """Arguments of `subprocess.Popen` for a child that a Ctrl-C at the terminal doesn't reach.

    On Unix it has its own session, inherits the open `descriptors`, and inherits that SIGXFSZ and SIGPIPE are
    ignored: a full disk or a closed pipe is then an error message, not a death. On Windows it has its own
    process group and opens no console window.
    """
    if hasattr(os, "setsid"):
        return {"start_new_session": True, "restore_signals": False, "pass_fds": tuple(descriptors)}
    new_group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    no_window = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    return {"creationflags": new_group | no_window}


def enlarge_pipe(pipe: IO[bytes]) -> None:
    """Has a pipe hold 1 MB instead of 64 kB, where the system can: both ends wait less for each other."""
    try:
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):  # not on Linux, or this user's pipes hold too much already
        pass


def exceeded_size_limit(status: int) -> bool:
    """Whether a child with this exit status was killed because a file grew over the limit on its size."""
    return status == -_SIGXFSZ


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file whose name is free for another one.

    path: what we and child processes open. descriptors: what children must inherit for that.
    """

    path: Path
    descriptors: tuple[int, ...] = ()

    def copy_to(self, path: Path) -> None:
        """Copies the whole file."""
        for descriptor in self.descriptors:
            os.lseek(descriptor, 0, os.SEEK_SET)  # some systems share the position with whoever reads it
        shutil.copyfile(self.path, path)


@contextlib.contextmanager
def set_aside(path: Path) -> Iterator[SetAside]:
    """Frees the name of the file `path` and keeps its content until the block is left.

    On Unix the file lives on without a name, so that nothing is left of it even if we are killed. Elsewhere
    it gets a second name beside the first, which `files.sweep_partials` removes if we are killed.
    """
    if hasattr(os, "setsid") and Path("/dev/fd").is_dir():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            path.unlink()
            yield SetAside(Path(f"/dev/fd/{descriptor}"), (descriptor,))
        finally:
            os.close(descriptor)
        return
    renamed = path.with_name(f"{path.name}.aside")
    path.rename(renamed)
    try:
        yield SetAside(renamed)
    finally:
        renamed.unlink(missing_ok=True)


@contextlib.contextmanager
def signals_held(numbers: Iterable[int]) -> Iterator[None]:
    """Holds signals back until the block is left; processes started in it hold them until `release_signals`.

    Windows can't hold signals back: there this does nothing.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def release_signals(numbers: Iterable[int]) -> None:
    """Lets signals through that whoever started this process held back."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


def reader_has_left(descriptor: int) -> bool:
    """Whether `descriptor` is a pipe that nobody reads any more (`mcnet ... | head`). True if unknown."""
    if not hasattr(select, "poll"):
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, 0)
        return any(state & select.POLLERR for _, state in poll.poll(0))
    except (OSError, ValueError):
        return True


def has_display() -> bool:
    """Whether there is a display that windows can be opened on.

    On Linux that is an X server that answers, or where the library is missing that could ask it, one that
    $DISPLAY names. Windows and macOS always have one.
    """
    if sys.platform in ("win32", "darwin"):
        return True
    if not os.environ.get("DISPLAY"):
        return False
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return True
    xcb.xcb_connect.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
    answers = not xcb.xcb_connection_has_error(connection)
    xcb.xcb_disconnect(connection)
    return answers


def lacks_system_library(error: ImportError) -> bool:
    """Whether an import failed because a shared library of the system is missing."""
    return any(mark in str(error) for mark in (".so", ".dylib", "DLL load failed"))


def load_torch() -> None:
    """Imports torch, about a second in which Ctrl-C and TERM wait.

    It would swallow a signal that comes while it loads numpy, and others would abort the process.
    """
    with interrupts_noted() as came:
        import torch  # noqa: F401
    if came:
        signal.raise_signal(came[0])


@contextlib.contextmanager
def interrupts_noted(on_first: Callable[[], object] = lambda: None) -> Iterator[list[int]]:
    """Lets Ctrl-C and TERM wait, for whoever asks for the numbers of those that came, which it yields.

    A second one acts at once, as it would have before; one that our parent had us ignore stays ignored. In
    threads, which no signal interrupts, nothing changes.

    on_first: called when the first one comes.
    """
    came: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, _frame: FrameType | None) -> None:
        restore()
        came.append(number)
        on_first()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        before |= {number: handler for number, handler in handlers.items() if handler is not signal.SIG_IGN}
        for number in before:
            signal.signal(number, note)
    try:
        yield came
    finally:
        restore()

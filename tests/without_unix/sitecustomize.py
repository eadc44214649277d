"""Stands in for Windows on Linux: hides what only Unix has, and refuses what Windows refuses.

Python runs this file when it starts, in every process that has this folder on PYTHONPATH. What only Unix has
is missing then, and files can't be removed or renamed while this process or one of its children has them
open. The standard library keeps what its own code for Linux calls.
"""

import errno
import multiprocessing.popen_fork
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MODULES = ("fcntl", "grp", "pwd", "resource", "termios")
ATTRIBUTES: dict[types.ModuleType, tuple[str, ...]] = {
    os: (
        "chown", "fork", "forkpty", "geteuid", "getgid", "getpgid", "getpgrp", "getsid", "getuid", "killpg",
        "mkfifo", "nice", "posix_spawn", "sched_getaffinity", "setpgid", "setsid",
    ),
    signal: (
        "SIGALRM", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGUSR1", "SIGUSR2", "SIGXFSZ",
        "pthread_kill", "pthread_sigmask", "setitimer", "sigpending", "sigwait",
    ),
    select: ("epoll", "poll"),
}  # fmt: skip
DESCRIPTORS = "/dev/fd"


def hide() -> None:
    """Takes away the modules and attributes."""
    for user in (subprocess, multiprocessing.popen_fork):
        own = types.ModuleType("signal")
        own.__dict__.update(signal.__dict__)
        user.signal = own  # type: ignore[attr-defined]
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it fails
    for module, names in ATTRIBUTES.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    shutil._use_fd_functions = False  # type: ignore[attr-defined]  # `rmtree` calls the functions below


class Popen(subprocess.Popen[Any]):
    """Children that are started as Windows can start them."""

    def __init__(self, args: Any, *more: Any, **options: Any) -> None:
        for name in ("pass_fds", "start_new_session", "preexec_fn", "process_group", "user", "group"):
            if options.get(name):
                raise ValueError(f"{name} is not supported here")
        if any(DESCRIPTORS in str(word) for word in ([args] if isinstance(args, str) else args)):
            raise ValueError(f"there is no {DESCRIPTORS} here")
        super().__init__(args, *more, **options)


def without_descriptors(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of a path, for which /dev/fd isn't there."""

    def call(path: Any, *more: Any, **options: Any) -> Any:
        if isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(DESCRIPTORS):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return function(path, *more, **options)

    return call


def without_open_folders(function: Callable[..., int]) -> Callable[..., int]:
    """`os.open`, which Windows allows for files alone."""

    def call(path: Any, *more: Any, **options: Any) -> int:
        if Path(os.fsdecode(path)).is_dir():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return function(path, *more, **options)

    return call


def open_files() -> Iterator[str]:
    """The files that this process and its children have open or mapped."""
    processes = [Path("/proc/self")]
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    if children.exists():
        processes += [Path("/proc", number) for number in children.read_text(encoding="ascii").split()]
    for process in processes:
        try:
            yield from (os.readlink(link) for link in process.joinpath("fd").iterdir())  # noqa: PTH115
            maps = process.joinpath("maps").read_text(encoding="utf-8", errors="surrogateescape")
            yield from (line.split(maxsplit=5)[5] for line in maps.splitlines() if line.count("/"))
        except OSError:  # it has ended, or closed the file meanwhile
            continue


def only_closed(function: Callable[..., None], *, replaces: bool = True) -> Callable[..., None]:
    """`function` of one or two paths, which fails if any of them is open; a folder, if a file in it is."""

    def call(path: Any, *others: Any, **options: Any) -> None:
        for name in (path, *others):
            place = Path(os.fsdecode(name)).absolute()
            real = str(place.parent.resolve() / place.name)
            if any(file == real or file.startswith(f"{real}/") for file in open_files()):
                raise PermissionError(errno.EACCES, "it is being used by a process", str(name))
        if not replaces and os.path.lexists(others[0]):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(others[0]))
        function(path, *others, **options)

    return call


def only_writable(function: Callable[[int], None]) -> Callable[[int], None]:
    """`os.fsync`, which Windows allows for files that are open for writing."""

    def call(descriptor: int) -> None:
        facts = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii")
        flags = int(facts.split("flags:")[1].split()[0], 8)
        if flags & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        function(descriptor)

    return call


hide()
subprocess.Popen = Popen  # type: ignore[misc]
tempfile.TemporaryFile = tempfile.NamedTemporaryFile  # type: ignore[assignment]  # as on Windows
os.stat = without_descriptors(os.stat)
os.open = without_descriptors(without_open_folders(os.open))
os.unlink = os.remove = only_closed(os.unlink)
os.rename = only_closed(os.rename, replaces=False)
os.replace = only_closed(os.replace)
os.fsync = only_writable(os.fsync)  # type: ignore[assignment]

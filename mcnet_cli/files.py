"""Reads and writes files safely: regular files only, atomic outputs. Finds the files that ship with mcnet."""

import contextlib
import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from mcnet_cli.errors import InputError, McnetError, SystemFailure, UsageError, WeightsError, shown
from mcnet_cli.system import sync_file, sync_folder

PACKAGE = Path(__file__).resolve().parent

SYSTEM_ERRNOS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EROFS,
    }
)


def system_failure(error: OSError, path: str | Path) -> SystemFailure:
    """The failure of a disk or of memory while `path` was written, with what is free in its folder."""
    folder = next(folder for folder in Path(path).absolute().parents if folder.exists())
    hint = None
    with contextlib.suppress(OSError):
        hint = f"{shutil.disk_usage(folder).free >> 20} MB are free in {shown(folder.resolve())}"
    return SystemFailure(f"can't write {shown(path)}: {error.strerror or error}", hint=hint)


def require_regular_file(path: Path, *, error: type[McnetError] = InputError) -> os.stat_result:
    """Raises `error` unless `path` is a regular file (links followed): a pipe or device may never end."""
    try:
        status = path.stat()
    except (OSError, ValueError) as failure:
        reason = getattr(failure, "strerror", None) or str(failure)
        raise error(f"can't open {shown(path)}: {reason}", hint="check the name") from failure
    if stat.S_ISDIR(status.st_mode):
        raise error(f"{shown(path)} is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise error(f"{shown(path)} is not a regular file (a pipe or a device)")
    if not os.access(path, os.R_OK):
        raise error(f"can't open {shown(path)}: Permission denied")
    return status


def check_free(target: Path, *, overwrite: bool, inputs: tuple[Path, ...] = ()) -> None:
    """UsageError if `target` may not be written: taken without `overwrite`, a folder, or one of `inputs`."""
    try:
        status = target.stat()
    except OSError:
        return
    if stat.S_ISDIR(status.st_mode):
        raise UsageError(f"the output {shown(target)} is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"the output {shown(target)} is not a regular file")
    for path in inputs:
        with contextlib.suppress(OSError):
            if os.path.samestat(path.stat(), status):
                raise UsageError(f"the output {shown(target)} is the same file as the input {shown(path)}")
    if not overwrite:
        raise UsageError(
            f"{shown(target)} exists already", hint="choose another -o, or replace it with --overwrite"
        )


def require_folder(target: Path) -> None:
    """UsageError unless the folder is there in which `target` is to be written."""
    if not target.parent.is_dir():
        raise UsageError(
            f"can't write {shown(target)}: there is no folder {shown(target.parent)}", hint="make it first"
        )


def stamp_of(path: Path) -> tuple[int, int] | None:
    """A file's size in bytes and its time in nanoseconds; None if there is no file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def unique_name(name: str, taken: set[str]) -> str:
    """`name`, or else `name~2` and so on, which is added to those that are `taken`.

    Upper and lower case count as the same, as on some file systems.
    """
    number, candidate = 1, name
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{name}~{number}"
    taken.add(candidate.casefold())
    return candidate


@contextlib.contextmanager
def made_folders(folder: Path) -> Iterator[None]:
    """Makes a folder and those above it; removes the new ones that are empty if the block fails.

    SystemFailure if one can't be made.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        try:
            for path in reversed(missing):
                path.mkdir()
        except OSError as error:
            raise system_failure(error, folder) from error
        yield
    except BaseException:
        for path in missing:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, unless they are there; SystemFailure if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemFailure(f"can't make the folder {shown(folder)}: {error.strerror}") from error


def _short_name(target: Path) -> str:
    """The first 100 bytes of a name, which leave room for what makes a temporary name of it."""
    return target.name.encode("utf-8", "surrogateescape")[:100].decode("utf-8", "ignore")


def partial_name(target: Path) -> Path:
    """A fresh temporary name beside `target`; never longer than the file system's limit."""
    return target.with_name(f".{_short_name(target)}.{secrets.token_hex(4)}.part{target.suffix[:20]}")


def sweep_partials(target: Path, *, older_s: float = 60) -> None:
    """Removes what killed runs to the same target left behind, if it is older than a minute or as said."""
    stem = _short_name(target)
    with contextlib.suppress(OSError):
        for entry in os.scandir(target.parent):
            name = entry.name
            if not (name.startswith(f".{stem}.") and ".part" in name[len(stem) + 10 :]):
                continue
            with contextlib.suppress(OSError):
                if time.time() - entry.stat().st_mtime >= older_s:
                    shutil.rmtree(entry.path) if entry.is_dir() else os.unlink(entry.path)


def publish(part: Path, target: Path, *, overwrite: bool) -> None:
    """Gives the complete file `part` its final name; without `overwrite` a taken name is not replaced."""
    sync_file(part)
    if overwrite:
        os.replace(part, target)
    else:
        try:
            os.link(part, target)
        except FileExistsError as error:
            raise UsageError(f"{shown(target)} exists already", hint="replace it with --overwrite") from error
        except OSError:  # a file system without hard links
            check_free(target, overwrite=False)
            os.replace(part, target)
        else:
            part.unlink()
    sync_folder(target.parent)


@contextlib.contextmanager
def atomic_output(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yields a temporary path beside `target` and renames it at the end; on any exception it is removed.

    Raises UsageError if the target is taken, SystemFailure if the disk fails.
    """
    check_free(target, overwrite=overwrite)
    sweep_partials(target)
    part = partial_name(target)
    try:
        yield part
        publish(part, target, overwrite=overwrite)
    except OSError as error:
        raise system_failure(error, target) from error
    finally:
        part.unlink(missing_ok=True)


def asset(name: str) -> Path:
    """The file `name` (such as "face/face_mesh.tflite") that ships with mcnet.

    An installed wheel has the folder as `mcnet_cli/assets`, a source checkout as `weights`. WeightsError if
    neither has the file.
    """
    for folder in (PACKAGE / "assets", PACKAGE.parent / "weights"):
        path = folder / name
        if path.is_file():
            return path
    raise WeightsError(f"{name} is missing: it ships with mcnet-cli", hint="install mcnet-cli again")

"""The folder where weights are kept, and what it knows about each from its first use on.

    CACHE/NAME/record.json   where the file lies, its sha256 and size, where it came from
    CACHE/NAME/NAME-XXXXXXXX.safetensors   weights that mcnet converted
    CACHE/NAME/.lock         held while a process fetches, converts or removes
    CACHE/hub/...            huggingface_hub's own layout

A record is written last and replaced as a whole, so what it names is complete. Every use hashes the file.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mcnet_cli.errors import SystemFailure, WeightsError, shown
from mcnet_cli.files import atomic_output, require_regular_file, system_failure
from mcnet_cli.system import user_cache_folder
from mcnet_cli.weights.registry import CACHE_NAME, HUB_PREFIX

if TYPE_CHECKING:
    from filelock import BaseFileLock

HUB_FOLDER = "hub"
RECORD, LOCK = "record.json", ".lock"
RECORD_LIMIT = 1 << 16  # bytes
ORPHAN_AGE_S = 24 * 3600

log = logging.getLogger(__name__)


def default_root() -> Path:
    """`$MCNET_CACHE`, else `mcnet` in the platform's folder for caches."""
    try:
        if chosen := os.environ.get("MCNET_CACHE"):
            return Path(chosen).expanduser()
        return user_cache_folder() / "mcnet"
    except RuntimeError as error:  # nobody's process: no HOME, and no line in the list of users
        raise SystemFailure("there is no home folder to keep weights in", hint="set MCNET_CACHE") from error


def sha256_of(path: Path) -> str:
    """Hexadecimal. SystemFailure if the disk fails."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SystemFailure(f"can't read {shown(path)}: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class Record:
    """A file in the cache.

    name: by which people call it. file: relative to the cache's root. size: in bytes. origin: its hub address
    with the commit, or the file that was converted. licence: in words. pinned: whether its sha256 was known
    before the first download.
    """

    name: str
    file: str
    sha256: str
    size: int
    origin: str
    licence: str
    pinned: bool

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if type(getattr(self, field.name)) is not field.type:
                raise ValueError(field.name)

    @property
    def fix(self) -> str:
        """What to do if the file is damaged."""
        if self.origin.startswith(HUB_PREFIX):
            return f"get it again: mcnet fetch-weights {shlex.quote(self.name)}"
        return f"convert it again: mcnet fetch-weights --force --name {self.name} --from-file FILE"


class Cache:
    """Weights on this machine; nothing is made before something is kept. WeightsError for a bad name."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (default_root() if root is None else root).absolute()

    @property
    def hub(self) -> Path:
        """huggingface_hub's folder."""
        return self.inside(self.root / HUB_FOLDER)

    def folder(self, name: str) -> Path:
        """Where what belongs to `name` lies. This function alone lets names become paths."""
        if not CACHE_NAME.fullmatch(name) or name == HUB_FOLDER:
            raise WeightsError(
                f"{shown(name)} can't be a name of weights",
                hint="take letters, digits, and . _ - after the first; at most 100 of them",
            )
        return self.inside(self.root / name)

    def inside(self, path: Path) -> Path:
        """`path` if it lies in the cache, links followed; else WeightsError."""
        try:
            if path.resolve().is_relative_to(self.root.resolve()):
                return path
        except (OSError, RuntimeError):  # a loop of links
            pass
        raise WeightsError(f"{shown(path)} leads out of the cache", hint="remove that link")

    def names(self) -> list[str]:
        """Of everything with a record."""
        folders = (path.parent.name for path in self.root.glob(f"*/{RECORD}"))
        return sorted(name for name in folders if name != HUB_FOLDER and CACHE_NAME.fullmatch(name))

    def record(self, name: str) -> Record | None:
        """What is known about `name`, None if nothing; WeightsError if the record is damaged."""
        path = self.inside(self.folder(name) / RECORD)
        if not path.exists():
            return None
        try:
            if require_regular_file(path, error=WeightsError).st_size > RECORD_LIMIT:
                raise ValueError
            return Record(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise WeightsError(
                f"{shown(path)} is damaged", hint=f"mcnet fetch-weights --remove {name}, then get it again"
            ) from error

    def path(self, record: Record) -> Path:
        """The recorded file; WeightsError unless it is there, in the cache, with the recorded size."""
        path = self.inside(self.root / record.file)
        size = require_regular_file(path, error=WeightsError).st_size
        if size != record.size:
            raise WeightsError(
                f"{shown(path)} is damaged: it has {size} bytes, not {record.size}",
                hint=record.fix,
            )
        return path

    def keep(self, name: str, record: Record) -> None:
        """Makes a complete file of the cache the one of `name`. Call it with the lock held."""
        with atomic_output(self.inside(self.folder(name) / RECORD), overwrite=True) as part:
            part.write_text(json.dumps(dataclasses.asdict(record), indent=1) + "\n", encoding="ascii")

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[Path]:
        """Holds the lock of `name`, waiting for other processes; yields its folder, which exists then.

        If nothing has been kept at the end, the folder goes again, unless it holds files of others.
        """
        folder = self.folder(name)
        lock = self._acquire(name, folder)
        try:
            yield folder
        finally:
            if not (folder / RECORD).exists():
                with contextlib.suppress(OSError):
                    self.sweep(name)
                    (folder / LOCK).unlink()  # a process that waits for it sees that it is gone
                    folder.rmdir()
            lock.release()

    def _acquire(self, name: str, folder: Path) -> "BaseFileLock":
        from filelock import FileLock, Timeout

        patience_s = 0.0
        while True:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                return FileLock(self.inside(folder / LOCK)).acquire(timeout=patience_s).lock
            except Timeout:
                log.info("another mcnet is at work on %s; waiting for it", name)
                patience_s = -1  # as long as it takes
            except FileNotFoundError:  # the other one has removed the folder: make it anew
                continue
            except OSError as error:
                raise system_failure(error, folder / LOCK) from error

    def sweep(self, name: str) -> None:
        """Removes what killed runs have left: files of `name` without a record, and old parts of downloads.

        Call it with the lock held. A day is longer than any download; younger ones may be another process's.
        """
        keep = self._file_of(name)
        ours = re.compile(rf"{re.escape(name)}-[0-9a-f]{{8}}\.safetensors|\..+\.[0-9a-f]{{8}}\.part.*")
        for path in self.folder(name).iterdir():
            if ours.fullmatch(path.name) and path.relative_to(self.root).as_posix() != keep:
                with contextlib.suppress(OSError):
                    path.unlink()
        for part in self.hub.glob("models--*/blobs/*.incomplete"):
            with contextlib.suppress(OSError):
                if time.time() - part.lstat().st_mtime > ORPHAN_AGE_S:
                    part.unlink()

    def remove(self, name: str) -> None:
        """Forgets `name` and deletes its file, unless another name has the same one."""
        with self.locked(name) as folder:
            record = None
            with contextlib.suppress(WeightsError):
                record = self.record(name)
            (folder / RECORD).unlink(missing_ok=True)
            if record is not None and not any(self._file_of(other) == record.file for other in self.names()):
                with contextlib.suppress(WeightsError):
                    self.discard(self.root / record.file)

    def _file_of(self, name: str) -> str | None:
        with contextlib.suppress(WeightsError):
            if record := self.record(name):
                return record.file
        return None

    def discard(self, path: Path) -> None:
        """Deletes a file of the cache and the links that lead to it, as huggingface_hub makes them."""
        self.inside(path)
        while path.is_symlink():
            following = path.parent / path.readlink()
            path.unlink(missing_ok=True)
            path = following
        path.unlink(missing_ok=True)

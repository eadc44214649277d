"""The folder where weights are kept, and downloads from the hub into it.

    CACHE/NAME/record.json   where the file lies, its sha256 and size, where it came from
    CACHE/NAME/NAME-XXXXXXXX.safetensors   weights that mcnet converted
    CACHE/NAME/.lock         held while a process fetches, converts or removes
    CACHE/hub/...            huggingface_hub's own layout

A record is written last and replaced as a whole, so the file that it names is complete. A killed download
starts again, and what it left is removed when it is a day old.
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

from mcnet_cli.checkpoint.safetensors_file import read_header
from mcnet_cli.errors import McnetError, SystemFailure, WeightsError, shown
from mcnet_cli.files import atomic_output, require_regular_file, system_failure
from mcnet_cli.progress import OnProgress
from mcnet_cli.system import load_torch, user_cache_folder
from mcnet_cli.weights.hub import download
from mcnet_cli.weights.registry import CACHE_NAME, HUB_PREFIX, Entry, HubFile

if TYPE_CHECKING:
    from filelock import BaseFileLock

HUB_FOLDER, RECORD, LOCK = "hub", "record.json", ".lock"
RECORD_LIMIT = 1 << 16  # bytes
ORPHAN_AGE_S = 24 * 3600  # longer than any download; younger parts may be another process's

log = logging.getLogger(__name__)


def default_root() -> Path:
    """`$MCNET_CACHE`, else `mcnet` in the platform's folder for caches."""
    try:
        if chosen := os.environ.get("MCNET_CACHE"):
            return Path(chosen).expanduser()
        return user_cache_folder() / "mcnet"
    except RuntimeError as error:  # a user without HOME and without an entry in the list of users
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
    """Weights on this machine. Folders appear when something is kept. WeightsError for a bad name."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (default_root() if root is None else root).absolute()

    @property
    def hub(self) -> Path:
        """huggingface_hub's folder."""
        return self.inside(self.root / HUB_FOLDER)

    def folder(self, name: str) -> Path:
        """The folder of `name`. No other function turns a name into a path."""
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
        except (OSError, RuntimeError):  # links that lead in a circle
            pass
        raise WeightsError(f"{shown(path)} leads out of the cache", hint="remove that link")

    def names(self) -> list[str]:
        """All names with a record."""
        folders = (path.parent.name for path in self.root.glob(f"*/{RECORD}"))
        return sorted(name for name in folders if name != HUB_FOLDER and CACHE_NAME.fullmatch(name))

    def record(self, name: str) -> Record | None:
        """The record of `name`, None if there is none; WeightsError if it is damaged."""
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

    def intact_record(self, name: str) -> Record | None:
        """The record of `name`; None if there is none or it is damaged."""
        with contextlib.suppress(WeightsError):
            return self.record(name)
        return None

    def path(self, record: Record) -> Path:
        """The recorded file; WeightsError unless it is there, in the cache, with the recorded size."""
        path = self.inside(self.root / record.file)
        size = require_regular_file(path, error=WeightsError).st_size
        if size != record.size:
            raise WeightsError(
                f"{shown(path)} is damaged: it has {size} bytes, not {record.size}", hint=record.fix
            )
        return path

    def keep(self, name: str, record: Record) -> None:
        """Makes a complete file of the cache the one of `name`. Call it with the lock held."""
        with atomic_output(self.inside(self.folder(name) / RECORD), overwrite=True) as part:
            part.write_text(json.dumps(dataclasses.asdict(record), indent=1) + "\n", encoding="ascii")

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[Path]:
        """Holds the lock of `name`, waiting for other processes; yields its folder, which exists then.

        At the end the folder is removed if nothing has been kept, unless it holds files of others.
        """
        folder = self.folder(name)
        lock = self._acquire(name, folder)
        try:
            yield folder
        finally:
            self._sweep(name, folder)
            if not (folder / RECORD).exists():
                with contextlib.suppress(OSError):
                    (folder / LOCK).unlink()  # a process that waits for it sees that it is gone
                    folder.rmdir()
            lock.release()

    def _acquire(self, name: str, folder: Path) -> "BaseFileLock":
        from filelock import FileLock, Timeout

        timeout_s = 0.0
        while True:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                return FileLock(self.inside(folder / LOCK)).acquire(timeout=timeout_s).lock
            except Timeout:
                log.info("another mcnet is at work on %s; waiting for it", name)
                timeout_s = -1  # as long as it takes
            except FileNotFoundError:  # the other process has removed the folder: make it anew
                continue
            except OSError as error:
                raise system_failure(error, folder / LOCK) from error

    def _sweep(self, name: str, folder: Path) -> None:
        """Removes files of `name` without a record: what was replaced, or what killed runs left."""
        ours = re.compile(rf"{re.escape(name)}-[0-9a-f]{{8}}\.safetensors|\..+\.[0-9a-f]{{8}}\.part.*")
        with contextlib.suppress(OSError, WeightsError):  # a damaged record doesn't say which file to keep
            record = self.record(name)
            for path in folder.iterdir():
                if ours.fullmatch(path.name) and not (record and path == self.root / record.file):
                    path.unlink()

    def sweep_downloads(self) -> None:
        """Removes the parts that killed downloads left a day ago or earlier."""
        for part in self.hub.glob("models--*/blobs/*.incomplete"):
            with contextlib.suppress(OSError):
                if time.time() - part.lstat().st_mtime > ORPHAN_AGE_S:
                    part.unlink()

    def remove(self, name: str) -> None:
        """Forgets `name` and deletes its file, unless another name has the same one."""
        with self.locked(name) as folder:
            record = self.intact_record(name)
            (folder / RECORD).unlink(missing_ok=True)
            others = (self.intact_record(other) for other in self.names())
            if record and all(other is None or other.file != record.file for other in others):
                with contextlib.suppress(WeightsError):
                    self.discard(self.root / record.file)

    def discard(self, path: Path) -> None:
        """Deletes a file of the cache and the links that lead to it, as huggingface_hub makes them."""
        self.inside(path)
        while path.is_symlink():
            following = path.parent / path.readlink()
            path.unlink(missing_ok=True)
            path = following
        path.unlink(missing_ok=True)


def fetch_file(
    entry: Entry,
    cache: Cache,
    *,
    sha256: str | None = None,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> tuple[Path, bool]:
    """The verified file of an entry whose source is the hub, and whether it was downloaded just now.

    sha256: what the file must have, besides what the registry and the cache know. force: download even if it
    is there. Raises WeightsError if the hub doesn't have the file or its content is wrong (it is deleted
    then), NetworkFailure, or SystemFailure.
    """
    assert isinstance(entry.source, HubFile)
    name = entry.cache_name
    with cache.locked(name):
        cache.sweep_downloads()
        known = cache.intact_record(name)
        wanted = {digest for digest in (sha256, entry.source.sha256, known and known.sha256) if digest}
        if known and not force and (path := _undamaged(cache, known)):
            _check_digest(entry, path, known.sha256, wanted)
            return path, False
        source = HubFile.parse(known.origin) if known else entry.source
        path = download(entry, source, cache.hub, on_progress, force=force or known is not None)
        path = cache.inside(cache.root / HUB_FOLDER / path.relative_to(cache.hub.resolve()))
        try:
            if path.is_symlink() and re.fullmatch("[0-9a-f]{64}", blob := path.readlink().name):
                wanted.add(blob)  # the hub announces the sha256 of large files, and the library names them so
            digest = sha256_of(path)
            _check_digest(entry, path, digest, wanted)
            _check_content(entry, path)
        except McnetError:
            cache.discard(path)
            raise
        commit = path.relative_to(cache.root).parts[3]  # hub/models--…/snapshots/COMMIT/FILE
        cache.keep(
            name,
            Record(
                name=entry.name,
                file=path.relative_to(cache.root).as_posix(),
                sha256=digest,
                size=path.stat().st_size,
                origin=HubFile(source.repository, source.file, commit).address,
                licence=entry.licence,
                pinned=bool(sha256 or entry.source.sha256) or bool(known and known.pinned),
            ),
        )
        return path, True


def _undamaged(cache: Cache, record: Record) -> Path | None:
    with contextlib.suppress(McnetError):
        path = cache.path(record)
        return path if sha256_of(path) == record.sha256 else None
    return None


def _check_digest(entry: Entry, path: Path, digest: str, wanted: set[str]) -> None:
    if wrong := sorted(wanted - {digest}):
        raise WeightsError(
            f"{shown(entry.name)} has a wrong checksum: {shown(path.name)} has the sha256 {digest}, "
            f"not {wrong[0]}; it is not used",
            hint="try again; if it stays so, it has changed on the hub, or something alters it on the way",
        )


def _check_content(entry: Entry, path: Path) -> None:
    """Raises WeightsError unless the file can be what it should be; nothing in it runs."""
    if entry.kind == "model":
        load_torch()
        from mcnet_cli.checkpoint import read_weights

        read_weights(path)
    elif path.suffix == ".safetensors":
        read_header(path)

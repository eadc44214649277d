"""Uploads and films of visitors, in one folder. They go when their visitor leaves, or the server ends.

Names of files and folders are random: whoever knows a name may use it, and nobody can guess one.
"""

import contextlib
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mcnet_cli.files import system_failure
from mcnet_cli.system import LockHeld, locked, private_temporary_folder
from mcnet_cli.web.errors import TooMuch, Unknown
from mcnet_cli.web.settings import MB, Limits

MAX_VISITORS = 1000
MAX_NAME_CHARS = 100  # characters of a file's name that are kept to be shown


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a visitor. name: what the visitor calls it, which is shown and never opened."""

    id: str
    path: Path
    name: str


@dataclass(eq=False)
class Visitor:
    """A page that is open, or a job of a program. used: when it was last heard of, by the monotonic clock."""

    id: str
    folder: Path
    uploads: dict[str, Upload] = field(default_factory=dict)
    used: float = field(default_factory=time.monotonic)

    def new_path(self, suffix: str) -> Path:
        """A file's path that nothing has yet."""
        return self.folder / (_new_id() + suffix)

    def add(self, path: Path, name: str) -> Upload:
        """Gives a file in the visitor's folder an id."""
        upload = Upload(_new_id(), path, name)
        self.uploads[upload.id] = upload
        return upload


class Storage:
    """All visitors and their files. `opened_storage` makes one. Used from one thread."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self.root, self.limits = root, limits
        self._visitors: dict[str, Visitor] = {}

    def new_visitor(self) -> Visitor:
        """A visitor with an empty folder. TooMuch if there are too many.

        Before that, those who have no files make room: nobody can keep others out by opening sessions.
        """
        if len(self._visitors) >= MAX_VISITORS:
            without_files = [visitor for visitor in self._visitors.values() if not visitor.uploads]
            if not without_files:
                raise TooMuch("too many visitors at the moment", hint="try again later")
            self.remove(min(without_files, key=lambda visitor: visitor.used).id)
        name = _new_id()
        visitor = Visitor(name, self.root / name)
        try:
            visitor.folder.mkdir(mode=0o700)
        except OSError as error:
            raise system_failure(error, visitor.folder) from error
        self._visitors[name] = visitor
        return visitor

    def visitor(self, name: str) -> Visitor:
        """The visitor of that id, who is now kept longer."""
        if name not in self._visitors:
            raise Unknown("this session has ended, and its files are gone", hint="load the page again")
        visitor = self._visitors[name]
        visitor.used = time.monotonic()
        return visitor

    def upload(self, name: str) -> tuple[Visitor, Upload]:
        """The upload of that id and whose it is."""
        for visitor in self._visitors.values():
            if name in visitor.uploads:
                visitor.used = time.monotonic()
                return visitor, visitor.uploads[name]
        raise Unknown("there is no such file any more", hint="upload it again")

    def remove(self, name: str) -> None:
        """Forgets a visitor and deletes the files."""
        if visitor := self._visitors.pop(name, None):
            shutil.rmtree(visitor.folder, ignore_errors=True)

    def remove_idle(self, busy: frozenset[str] = frozenset()) -> None:
        """Removes visitors who haven't been heard of for as long as files are kept, but none `busy`."""
        now = time.monotonic()
        for visitor in [*self._visitors.values()]:
            if visitor.id in busy:
                visitor.used = now  # so that a film is kept as long after it is made
            elif visitor.used < now - 60 * self.limits.keep_minutes:
                self.remove(visitor.id)

    def require_room(self, size: int) -> None:
        """TooMuch if so many bytes more would be over the limit of all files together."""
        if self._bytes() + size > self.limits.disk_mb * MB:
            raise TooMuch("the server has no room for more files at the moment", hint="try again later")

    def _bytes(self) -> int:
        total = 0
        for path in self.root.rglob("*"):
            with contextlib.suppress(OSError):  # removed meanwhile
                total += path.stat().st_size
        return total


@contextlib.contextmanager
def opened_storage(limits: Limits, base: Path | None = None) -> Iterator[Storage]:
    """A new folder for a server's files, which is removed at the end; those of killed servers go first.

    base: where these folders are; None: a folder of this user in the system's temporary folder.

    Raises SystemFailure if the folder can't be made.
    """
    if base is None:
        base = private_temporary_folder("mcnet-web")
    _remove_stale(base)
    name = _new_id()
    lock, root = base / f"{name}.lock", base / name
    with locked(lock, wait=False):
        try:
            root.mkdir(mode=0o700)
            yield Storage(root, limits)
        finally:
            shutil.rmtree(root, ignore_errors=True)
            lock.unlink(missing_ok=True)


def _remove_stale(base: Path) -> None:
    """Removes the folders of servers that were killed: nobody holds their locks any more."""
    for lock in base.glob("*.lock"):
        with contextlib.suppress(LockHeld, OSError), locked(lock, wait=False):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)


def shown_name(name: str | None, otherwise: str) -> str:
    """What a file is called that a visitor names so: without folders, unprintable characters and excess."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    printable = "".join(c if c.isprintable() else "_" for c in last).strip()
    stem, dot, suffix = printable.rpartition(".") if "." in printable else (printable, "", "")
    if not stem.strip("."):
        return otherwise
    return stem[:MAX_NAME_CHARS] + dot + suffix[:10]


def _new_id() -> str:
    """Names things by 128 random bits."""
    return secrets.token_hex(16)

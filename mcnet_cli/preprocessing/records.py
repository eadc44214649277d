"""What has been done: one record a file, from which the index is made. Records make a run resumable.

A record is written when all clips of its file are in place. It counts as long as the clips are there with
their sizes, and the file's size and time and what was asked for are as they were.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mcnet_cli.errors import SystemFailure, UsageError, shown
from mcnet_cli.files import atomic_output, system_failure
from mcnet_cli.preprocessing.inputs import Source
from mcnet_cli.preprocessing.request import Settings
from mcnet_cli.preprocessing.writer import remove
from mcnet_cli.system import locked

INDEX = "clips.jsonl"
FOLDER = "clips.records"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Record:
    """A file that has been worked on.

    source: its absolute path. stamp: its size and time, None if it could not be looked at. wanted: digests of
    the settings and of the segments; empty while the work goes on. files: sizes of what was written, by name
    below the output folder. rows: of the index. warnings: of damage that could be got over.
    """

    name: str
    source: str
    stamp: tuple[int, int] | None
    wanted: str
    files: dict[str, int]
    rows: list[dict[str, Any]]
    warnings: list[str]
    format: int = FORMAT

    @property
    def is_finished(self) -> bool:
        """Whether the work on it has ended, well or not."""
        return bool(self.wanted)

    @property
    def failure(self) -> str | None:
        """Why the file could not be used; None if it could."""
        return next((row["reason"] for row in self.rows if row["status"] == "failed"), None)

    @property
    def is_damaged(self) -> bool:
        """Whether it could be used only in part."""
        return any(row.get("damaged") for row in self.rows)


def stamp_of(path: Path) -> tuple[int, int] | None:
    """A file's size in bytes and time in nanoseconds."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def wanted_of(source: Source, settings: Settings) -> str:
    """What is asked for, as a digest."""
    return f"{settings.digest}-{source.digest}"


def unfinished_record(source: Source, files: Iterable[str]) -> Record:
    """The record of a file that is being worked on: should we be killed, `files` are to be removed."""
    absolute = os.path.abspath(source.path)  # noqa: PTH100 - links stay
    return Record(source.name, absolute, stamp_of(source.path), "", dict.fromkeys(files, 0), [], [])


def failed_record(source: Source, settings: Settings, reason: str) -> Record:
    """The record of a file that can't be used."""
    row = {"clip": None, "status": "failed", "reason": reason, "source": str(source.path)}
    return done_record(source, settings, {}, [row], [])


def done_record(
    source: Source,
    settings: Settings,
    files: dict[str, int],
    rows: list[dict[str, Any]],
    warnings: list[str],
) -> Record:
    """The record of a file on which the work has ended."""
    absolute = os.path.abspath(source.path)  # noqa: PTH100 - links stay
    stamp = stamp_of(source.path)
    return Record(source.name, absolute, stamp, wanted_of(source, settings), files, rows, warnings)


class Records:
    """The records in `output`/clips.records."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output / FOLDER

    def path(self, name: str) -> Path:
        """The record of the source called `name`."""
        return self.folder / f"{hashlib.sha256(name.casefold().encode()).hexdigest()[:24]}.json"

    def read(self, name: str) -> Record | None:
        """A record, if there is one that makes sense."""
        return _read(self.path(name))

    def write(self, record: Record) -> None:
        """Keeps a record; SystemFailure if the disk fails."""
        text = json.dumps(asdict(record), separators=(",", ":"))
        with atomic_output(self.path(record.name), overwrite=True) as part:
            part.write_text(text, encoding="ascii")

    def is_done(self, source: Source, settings: Settings) -> bool:
        """Whether nothing is left to do for a source."""
        record = self.read(source.name)
        return (
            record is not None
            and record.wanted == wanted_of(source, settings)
            and record.stamp == stamp_of(source.path)
            and all(_size(self.output / name) == size for name, size in record.files.items())
        )

    def forget(self, source: Source) -> None:
        """Removes a source's record, then its files."""
        if record := self.read(source.name):
            self.path(source.name).unlink(missing_ok=True)
            remove(self.output / name for name in record.files)

    def check_owner(self, source: Source) -> None:
        """UsageError if the clips called like this source's are another video's, which still exists."""
        record = self.read(source.name)
        if record is None or _same_file(record, source) or not os.path.lexists(record.source):
            return
        raise UsageError(
            f"{shown(self.output)} holds clips of another {shown(source.name)}, {shown(record.source)}",
            hint="choose another -o, or give both videos at once",
        )

    def all(self) -> dict[str, Record]:
        """Every record that makes sense, by the name of its source."""
        found = (_read(path) for path in self.folder.glob("*.json") if not path.name.startswith("."))
        return {record.name: record for record in found if record is not None}

    def write_index(self, order: Sequence[str]) -> dict[str, Record]:
        """Writes clips.jsonl from all records and returns them: first those in `order`, then others by name.

        Whoever writes last has seen every record: shards of one run may end at the same time.
        """
        with self._locked():
            records = self.all()
            ordered = [records[name] for name in order if name in records]
            named = set(order)
            ordered += [records[name] for name in sorted(records) if name not in named]
            lines = [json.dumps(row) + "\n" for record in ordered for row in record.rows]
            with atomic_output(self.output / INDEX, overwrite=True) as part:
                part.write_text("".join(lines), encoding="ascii")
        return records

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with locked(self.folder / "lock", wait=True):
                yield
        except OSError as error:
            raise system_failure(error, self.folder / "lock") from error


def _read(path: Path) -> Record | None:
    try:
        values = json.loads(path.read_text(encoding="ascii"))
        if values["format"] != FORMAT:
            return None
        values["stamp"] = values["stamp"] and tuple(values["stamp"])
        return Record(**values)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _size(path: Path) -> int | None:
    stamp = stamp_of(path)
    return None if stamp is None else stamp[0]


def _same_file(record: Record, source: Source) -> bool:
    """Also one that has been moved: its size and time are the same."""
    absolute = os.path.abspath(source.path)  # noqa: PTH100
    return record.source == absolute or record.stamp == stamp_of(source.path)


def prepare(output: Path) -> None:
    """Makes the output folder with its records' folder; SystemFailure if that can't be."""
    try:
        (output / FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemFailure(f"can't make the folder {shown(output)}: {error.strerror}") from error

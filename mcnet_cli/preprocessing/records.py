"""What has been done: one record per input file. The index is made from them, and a run resumes by them.

A record is written when all clips of its file are in place. It is valid while the clips exist in their sizes,
the input file has the same size and time, and the settings are the same.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mcnet_cli.errors import UsageError, shown
from mcnet_cli.files import atomic_output, make_folder, stamp_of, system_failure
from mcnet_cli.preprocessing.inputs import InputFile
from mcnet_cli.preprocessing.request import Settings
from mcnet_cli.preprocessing.writer import remove
from mcnet_cli.system import locked

INDEX = "clips.jsonl"
FOLDER = "clips.records"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Record:
    """What has been done with an input file.

    source: its absolute path. stamp: its size and time, None if they can't be read. wanted: digests of the
    settings and of the segments; empty while the work goes on. files: sizes of what was written, by name
    below the output folder. rows: of the index. warnings: about damage.
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
        """Whether the work on it has ended, with or without success."""
        return bool(self.wanted)

    @property
    def failure(self) -> str | None:
        """Why the file could not be used; None if it could."""
        return next((row["reason"] for row in self.rows if row["status"] == "failed"), None)

    @property
    def is_damaged(self) -> bool:
        """Whether only part of the file could be used."""
        return any(row.get("damaged") for row in self.rows)


def wanted_of(file: InputFile, settings: Settings) -> str:
    """Digests of what is asked for."""
    return f"{settings.digest}-{file.digest}"


def unfinished_record(file: InputFile, files: Iterable[str]) -> Record:
    """The record of a file that is being worked on. If the run is killed, the next one removes `files`."""
    return Record(file.name, _absolute(file), stamp_of(file.path), "", dict.fromkeys(files, 0), [], [])


def failed_record(file: InputFile, settings: Settings, reason: str) -> Record:
    """The record of a file that can't be used."""
    row = {"clip": None, "status": "failed", "reason": reason, "source": str(file.path)}
    return done_record(file, settings, {}, [row], [])


def done_record(
    file: InputFile,
    settings: Settings,
    files: dict[str, int],
    rows: list[dict[str, Any]],
    warnings: list[str],
) -> Record:
    """The record of a file on which the work has ended."""
    stamp, wanted = stamp_of(file.path), wanted_of(file, settings)
    return Record(file.name, _absolute(file), stamp, wanted, files, rows, warnings)


def _absolute(file: InputFile) -> str:
    return os.path.abspath(file.path)  # noqa: PTH100 - symbolic links must stay


class Records:
    """The records in `output`/clips.records."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output / FOLDER

    def path(self, name: str) -> Path:
        """The record of the source called `name`."""
        return self.folder / f"{hashlib.sha256(name.casefold().encode()).hexdigest()[:24]}.json"

    def read(self, name: str) -> Record | None:
        """A record, if there is a readable one."""
        return _read(self.path(name))

    def write(self, record: Record) -> None:
        """Writes a record; SystemFailure if the disk fails."""
        text = json.dumps(asdict(record), separators=(",", ":"))
        with atomic_output(self.path(record.name), overwrite=True) as part:
            part.write_text(text, encoding="ascii")

    def is_done(self, file: InputFile, settings: Settings) -> bool:
        """Whether a valid record says that nothing is left to do for a file."""
        record = self.read(file.name)
        return (
            record is not None
            and record.wanted == wanted_of(file, settings)
            and record.stamp == stamp_of(file.path)
            and all(_size(self.output / name) == size for name, size in record.files.items())
        )

    def forget(self, file: InputFile) -> None:
        """Removes a file's record, then its clips."""
        if record := self.read(file.name):
            self.path(file.name).unlink(missing_ok=True)
            remove(self.output / name for name in record.files)

    def check_owner(self, file: InputFile) -> None:
        """UsageError if the clips with this file's name belong to another video that still exists."""
        record = self.read(file.name)
        if record is None or _same_file(record, file) or not os.path.lexists(record.source):
            return
        raise UsageError(
            f"{shown(self.output)} holds clips of another {shown(file.name)}, {shown(record.source)}",
            hint="choose another -o, or give both videos at once",
        )

    def all(self) -> dict[str, Record]:
        """Every readable record, by the name of its input file."""
        found = (_read(path) for path in self.folder.glob("*.json") if not path.name.startswith("."))
        return {record.name: record for record in found if record is not None}

    def write_index(self, order: Sequence[str]) -> dict[str, Record]:
        """Writes clips.jsonl from all records and returns them: first those in `order`, then others by name.

        The lock makes sure that the last writer has seen every record: shards may end at the same time.
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


def _same_file(record: Record, file: InputFile) -> bool:
    """Whether a record is about this file, also if it has been moved: then its size and time are the same."""
    return record.source == _absolute(file) or record.stamp == stamp_of(file.path)


def prepare(output: Path) -> None:
    """Makes the output folder and the records' folder in it; SystemFailure if that fails."""
    make_folder(output)
    make_folder(output / FOLDER)

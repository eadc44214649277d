"""What is known of the films of a batch: one small file a film, in `batch.records` beside the films.

A record is begun before the work on a film and completed after it. The film itself appears whole or not at
all, so a record that was only begun tells as well: the job is done if the film isn't the one of before.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mcnet_cli.animation import AnimationRequest
from mcnet_cli.errors import SystemFailure, shown
from mcnet_cli.files import atomic_output, stamp_of

FOLDER = "batch.records"
FORMAT = 1

Stamp = tuple[int, int]  # size in bytes, time in nanoseconds


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a film.

    wanted: digest of all that it depends on. before: the film that was there when the work began, None for
    none. replaces: whether that one was the batch's own. made: the film when the work ended, None while it
    goes on. run: the run that began the work. attempts: how often it did. facts: for reports.
    """

    wanted: str
    before: Stamp | None
    replaces: bool
    made: Stamp | None
    run: str
    attempts: int
    facts: dict[str, Any]
    format: int = FORMAT

    def owns(self, film: Path) -> bool:
        """Whether the film that is there, if there is one, was made by the batch."""
        stamp = stamp_of(film)
        return stamp is None or self.is_of(stamp) or (self.replaces and stamp == self.before)

    def is_of(self, stamp: Stamp | None) -> bool:
        """Whether a film with this stamp is what the recorded work has made."""
        return stamp is not None and (stamp == self.made if self.made else stamp != self.before)


def record_path(film: Path) -> Path:
    """The file of a film's record."""
    digest = hashlib.sha256(os.fsencode(film.name)).hexdigest()[:24]
    return film.parent / FOLDER / f"{digest}.json"


def read_record(film: Path) -> Record | None:
    """A film's record, if there is a readable one."""
    try:
        values = json.loads(record_path(film).read_text(encoding="ascii"))
        if values["format"] != FORMAT:
            return None
        for name in ("before", "made"):
            values[name] = values[name] and tuple(values[name])
        return Record(**values)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_record(film: Path, record: Record) -> None:
    """Writes a film's record; SystemFailure if the disk fails."""
    path = record_path(film)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemFailure(f"can't make the folder {shown(path.parent)}: {error.strerror}") from error
    with atomic_output(path, overwrite=True) as part:
        part.write_text(json.dumps(asdict(record), separators=(",", ":")), encoding="ascii")


def begin(film: Path, wanted: str, run: str) -> Record:
    """Writes that the work on a film begins. Attempts of the same run are counted."""
    known = read_record(film)
    if known is not None and (known.wanted, known.run, known.made) == (wanted, run, None):
        record = replace(known, attempts=known.attempts + 1)
    else:
        replaces = known is not None and known.owns(film)
        record = Record(wanted, stamp_of(film), replaces, None, run, 1, {})
    write_record(film, record)
    return record


def wanted_of(request: AnimationRequest, weights: str) -> str:
    """A digest of all that a film depends on: options, inputs with their sizes and times, and `weights`."""
    values = {name: value for name, value in vars(request).items() if name not in ("fetch", "overwrite")}
    files = [*request.inputs, *([] if request.crop_json is None else [request.crop_json])]
    text = repr((sorted(values.items()), [stamp_of(path) for path in files], weights))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]

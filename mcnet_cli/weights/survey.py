"""What weights there are, and the state of each on this machine."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mcnet_cli.errors import McnetError, WeightsError, shown
from mcnet_cli.weights.cache import RECORD, Cache, Record
from mcnet_cli.weights.registry import Embedded, Entry, HubFile, Manual, TorchHubFile, entry_of, own, registry
from mcnet_cli.weights.resolve import Found, find

State = Literal["present", "verified", "absent", "damaged"]


@dataclass(frozen=True, slots=True)
class Status:
    """Weights and their state.

    state: `present` is here with the right size, `verified` was hashed just now as well.
    size: for people; exact if the file is here. checksum: how well its sha256 is known, in words.
    origin: where it comes from. problem: what is wrong with a damaged one, and fix: what to do.
    """

    name: str
    kind: str
    state: State
    size: str
    licence: str
    checksum: str
    purpose: str
    origin: str
    sha256: str | None = None
    path: Path | None = None
    problem: str | None = None
    fix: str | None = None

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return dataclasses.asdict(self) | {"path": None if self.path is None else str(self.path)}


def survey(cache: Cache, *, verify: bool = False) -> list[Status]:
    """The registered weights and all others in the cache; `verify`: hash those that are here."""
    registered = [*registry().values()]
    folders = {entry.cache_name for entry in registered}
    others = [_entry_in(folder, cache) for folder in cache.names() if folder not in folders]
    return [status_of(entry, cache, verify=verify) for entry in registered + others]


def find_entry(name: str, cache: Cache) -> Entry:
    """The entry of a registered name, a hub address or a name in the cache; WeightsError for any other."""
    if entry := entry_of(name):
        return entry
    if (cache.folder(name) / RECORD).exists():
        return own(name)
    raise WeightsError(f"no weights are called {shown(name)}", hint="see mcnet fetch-weights --list")


def _entry_in(folder: str, cache: Cache) -> Entry:
    try:
        record = cache.record(folder)
        entry = record and entry_of(record.name)
    except WeightsError:  # its status will say so
        entry = None
    return entry if entry and entry.cache_name == folder else own(folder)


def status_of(entry: Entry, cache: Cache, *, verify: bool = False) -> Status:
    """The state of one; `verify`: hash its file."""
    found: Found | None = None
    state: State = "absent"
    problem = fix = None
    try:
        found = find(entry, cache)
        if found:
            _ = verify and found.verified()
            state = "verified" if verify and found.sha256 else "present"
    except McnetError as error:
        state = "absent" if isinstance(entry.source, Embedded) and not found else "damaged"
        problem, fix = str(error), error.hint
    record = found.record if found else None
    return Status(
        name=entry.name,
        kind=entry.kind,
        state=state,
        size=f"{found.path.stat().st_size / 1e6:.1f} MB" if found else entry.size,
        licence=record.licence if record else entry.licence,
        checksum=_checksum(entry, record),
        purpose=entry.purpose,
        origin=record.origin if record else _origin(entry),
        sha256=record.sha256 if record else None,
        path=found.path if found else None,
        problem=problem,
        fix=fix,
    )


def _checksum(entry: Entry, record: Record | None) -> str:
    match entry.source:
        case Embedded(sha256=str()) | HubFile(sha256=str()):
            return "pinned"
        case Embedded():
            return "none"
        case TorchHubFile():
            return f"{entry.source.sha256_prefix}..."
        case HubFile() if record is None:
            return "first use is trusted"
        case Manual() if record is None:
            return "recorded when converted"
        case _:
            return "pinned" if record and record.pinned else "recorded at first use"


def _origin(entry: Entry) -> str:
    match entry.source:
        case Embedded():
            return "ships with mcnet-cli"
        case HubFile():
            return entry.source.address
        case TorchHubFile(url) | Manual(url=url):
            return url


def as_table(rows: list[Status]) -> str:
    """For people: a line each, then what is wrong."""
    titles = ("NAME", "KIND", "STATE", "SIZE", "CHECKSUM", "LICENCE", "FOR")
    cells = [titles, *((s.name, s.kind, s.state, s.size, s.checksum, s.licence, s.purpose) for s in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells)
    lines = ["  ".join(row).rstrip() for row in padded]
    for status in rows:
        if status.problem:
            lines += [status.problem, f"  {status.fix}"] if status.fix else [status.problem]
    return "\n".join(lines)

"""What `mcnet fetch-weights` does: lists, fetches, converts and removes weights."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mcnet_cli import __version__
from mcnet_cli.errors import McnetError, UsageError, WeightsError, shown
from mcnet_cli.progress import OnProgress
from mcnet_cli.reports import aligned, json_values
from mcnet_cli.weights.registry import (
    HUB_PREFIX,
    Embedded,
    Entry,
    HubFile,
    Manual,
    TorchHubFile,
    entry_of,
    own,
    registry,
)
from mcnet_cli.weights.resolve import find, find_entry, how_to_get, torch_hub_folder
from mcnet_cli.weights.store import RECORD, Cache, Record, fetch_file, sha256_of

State = Literal["present", "verified", "absent", "damaged"]


@dataclass(frozen=True, slots=True)
class Status:
    """Weights and their state on this machine.

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
        return json_values(self)


@dataclass(frozen=True, slots=True)
class CacheReport:
    """What was done, in words, and the state of the weights that it was about.

    inferred: from the content of a converted checkpoint.
    """

    cache: Path
    done: str
    weights: list[Status]
    inferred: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        report: dict[str, Any] = {
            "version": __version__,
            "cache": str(self.cache),
            "weights": [status.as_json() for status in self.weights],
        }
        return report | ({"inferred": self.inferred} if self.inferred is not None else {})

    def as_text(self) -> str:
        """For people."""
        return self.done


def show(name: str | None, cache: Cache, *, verify: bool) -> CacheReport:
    """The state of `name`, or of all weights; `verify`: hashed again."""
    if name is None:
        rows = survey(cache, verify=verify)
    else:
        rows = [status_of(find_entry(name, cache), cache, verify=verify)]
        if rows[0].state == "absent":
            raise WeightsError(f"{shown(name)} is not on this machine", hint="see mcnet fetch-weights --list")
    return CacheReport(cache.root, f"{as_table(rows)}\ncache: {shown(cache.root)}", rows)


def survey(cache: Cache, *, verify: bool = False) -> list[Status]:
    """The registered weights and all others in the cache; `verify`: hash those that are here."""
    registered = [*registry().values()]
    folders = {entry.cache_name for entry in registered}
    others = [_entry_in(folder, cache) for folder in cache.names() if folder not in folders]
    return [status_of(entry, cache, verify=verify) for entry in registered + others]


def _entry_in(folder: str, cache: Cache) -> Entry:
    try:
        record = cache.record(folder)
        entry = record and entry_of(record.name)
    except WeightsError:  # its status will say so
        entry = None
    return entry if entry and entry.cache_name == folder else own(folder)


def status_of(entry: Entry, cache: Cache, *, verify: bool = False) -> Status:
    """The state of one; `verify`: hash its file."""
    found, problem, fix = None, None, None
    state: State = "absent"
    try:
        if found := find(entry, cache):
            if verify:
                found.verified()
            state = "verified" if verify else "present"
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
        case Embedded() | HubFile(sha256=str()):
            return "pinned"
        case TorchHubFile():
            return f"{entry.source.sha256_prefix}..."
        case _ if record:
            return "pinned" if record.pinned else "recorded at first use"
        case HubFile():
            return "first use is trusted"
        case Manual():
            return "recorded when converted"


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
    cells = ((s.name, s.kind, s.state, s.size, s.checksum, s.licence, s.purpose) for s in rows)
    lines = aligned([titles, *cells])
    for status in rows:
        if status.problem:
            lines += [status.problem, f"  {status.fix}"] if status.fix else [status.problem]
    return "\n".join(lines)


def fetch(
    name: str, cache: Cache, *, sha256: str | None, force: bool, on_progress: OnProgress | None
) -> CacheReport:
    """Gets registered weights or a file of the hub, or finds that they are here.

    WeightsError for what can't be downloaded, with where people get it.
    """
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UsageError("--sha256: it must have 64 hexadecimal digits")
    entry = find_entry(name, cache)
    if isinstance(entry.source, HubFile):
        wanted = sha256.lower() if sha256 else None
        path, fetched = fetch_file(entry, cache, sha256=wanted, force=force, on_progress=on_progress)
        status = status_of(entry, cache)
        done = f"{'fetched' if fetched else 'here already, and whole'}, sha256 {status.sha256}"
    elif sha256 is not None or force:
        raise UsageError("--sha256 and --force are for downloads from the hub")
    elif found := find(entry, cache):
        path, status, done = found.verified(), status_of(entry, cache), "here, and whole"
    else:
        raise how_to_get(entry)
    return CacheReport(cache.root, f"{shown(name)}: {done}\n  {shown(path)}", [status])


def convert_file(source: Path, name: str | None, cache: Cache, *, force: bool) -> CacheReport:
    """Converts a checkpoint to mcnet's format, tensor by tensor equal, as weights called `name` in the cache.

    name: by default the file's own, up to its first dot. Raises UsageError for a name that is taken,
    WeightsError for a file that isn't a network's weights.
    """
    from mcnet_cli.checkpoint import read_weights, write_weights  # torch loads here
    from mcnet_cli.checkpoint.official import read_epoch
    from mcnet_cli.model.presets import described

    name = name or source.name.partition(".")[0]
    _check_name(name, cache)
    with cache.locked(name) as folder:
        if not force and (folder / RECORD).exists():
            raise UsageError(
                f"there are weights called {name} already",
                hint="choose another --name, or replace them: --force",
            )
        weights, digest = read_weights(source), sha256_of(source)
        registered = registry().get(name)
        licence = registered.licence if registered else "not stated in the file"
        if "licence" in weights.card:
            licence = shown(str(weights.card["licence"])[:100])
        origin = {"file": shown(source.name), "sha256": digest}
        target = folder / f"{name}-{digest[:8]}.safetensors"
        write_weights(
            target,
            weights.state,
            weights.config,
            framing=weights.framing,
            smooth=weights.smooth,
            card={"licence": licence, **weights.card, "converted_from": origin},
            half=False,
        )
        record = Record(
            name=name,
            file=target.relative_to(cache.root).as_posix(),
            sha256=sha256_of(target),
            size=target.stat().st_size,
            origin=f"{shown(source.name)}, sha256 {digest}",
            licence=licence,
            pinned=False,
        )
        cache.keep(name, record)
    keypoints, epoch = weights.config.keypoints, read_epoch(source)
    inferred = {
        "architecture": described(weights.config),
        "keypoints": keypoints.count,
        "jacobians": keypoints.jacobians,
        "epoch": epoch,
    }
    done = (
        f"{name}: {described(weights.config)}, {keypoints.count} keypoints "
        f"{'with' if keypoints.jacobians else 'without'} jacobians, "
        f"{'no epoch stated' if epoch is None else f'epoch {epoch}'}\n"
        f"  licence: {licence}\n  {shown(target)}\nuse it with: mcnet animate -w {name}"
    )
    return CacheReport(cache.root, done, [status_of(find_entry(name, cache), cache)], inferred)


def _check_name(name: str, cache: Cache) -> None:
    """UsageError unless people may give `name` to their weights."""
    try:
        cache.folder(name)
    except WeightsError as error:
        raise UsageError(f"--name: {error}", hint=error.hint) from error
    entry = registry().get(name)
    if entry and not (entry.kind == "model" and isinstance(entry.source, Manual)):
        raise UsageError(f"--name {name}: that is the name of other weights", hint="choose another")
    if name.startswith(HUB_PREFIX.replace(":", "--")):
        raise UsageError(f"--name {name}: names that begin so are for downloads", hint="choose another")


def remove(name: str, cache: Cache) -> CacheReport:
    """Deletes weights from the cache; UsageError for those that lie elsewhere."""
    entry = find_entry(name, cache)
    if isinstance(entry.source, Embedded):
        raise UsageError(f"{name} ships with mcnet-cli and can't be removed")
    if isinstance(entry.source, TorchHubFile):
        raise UsageError(f"{name} is not in mcnet's cache", hint=f"it belongs in {shown(torch_hub_folder())}")
    if entry.cache_name not in cache.names():
        raise WeightsError(f"{shown(name)} is not in the cache", hint="see mcnet fetch-weights --list")
    cache.remove(entry.cache_name)
    return CacheReport(cache.root, f"{shown(name)}: removed", [])

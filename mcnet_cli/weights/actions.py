"""What `mcnet fetch-weights` does, each with the report that it ends with."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcnet_cli import __version__
from mcnet_cli.errors import UsageError, WeightsError, shown
from mcnet_cli.weights.cache import Cache
from mcnet_cli.weights.download import OnProgress, fetch_file
from mcnet_cli.weights.registry import Embedded, HubFile, TorchHubFile
from mcnet_cli.weights.resolve import find, how_to_get, torch_hub_folder
from mcnet_cli.weights.survey import Status, as_table, find_entry, status_of, survey


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
        done = f"{shown(name)}: {'fetched' if fetched else 'here already, and whole'}, sha256 {status.sha256}"
        return CacheReport(cache.root, f"{done}\n  {shown(path)}", [status])
    if sha256 is not None or force:
        raise UsageError("--sha256 and --force are for downloads from the hub")
    found = find(entry, cache)
    if found is None:
        raise how_to_get(entry)
    path = found.verified()
    return CacheReport(
        cache.root, f"{shown(name)}: here, and whole\n  {shown(path)}", [status_of(entry, cache)]
    )


def convert_file(source: Path, name: str | None, cache: Cache, *, force: bool) -> CacheReport:
    """Converts a checkpoint into weights called `name`, by default like the file."""
    from mcnet_cli.weights.convert import convert

    made = convert(source, name or source.name.partition(".")[0], cache, force=force)
    done = (
        f"{made.name}: {made.as_text()}\n  licence: {made.licence}\n"
        f"  {shown(made.path)}\nuse it with: mcnet animate -w {made.name}"
    )
    return CacheReport(cache.root, done, [status_of(find_entry(made.name, cache), cache)], made.as_json())


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

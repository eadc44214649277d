"""From a name to a verified file: the one place where commands find their weights."""

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mcnet_cli.assets import asset
from mcnet_cli.errors import WeightsError, shown
from mcnet_cli.weights.cache import Cache, Record, sha256_of
from mcnet_cli.weights.download import NetworkFailure, OnProgress, fetch_file
from mcnet_cli.weights.registry import (
    CACHE_NAME,
    Embedded,
    Entry,
    HubFile,
    Manual,
    TorchHubFile,
    entry_of,
    own,
    registry,
)

DEFAULT = "lite"
VARIABLE = "MCNET_WEIGHTS"


def _refuse(_entry: Entry) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Fetch:
    """What to do about missing weights that could be downloaded.

    agree: asked whether an entry may be. on_progress: told how the download goes.
    """

    agree: Callable[[Entry], bool] = _refuse
    on_progress: OnProgress | None = None


NEVER = Fetch()


def resolve_weights(name: str | None = None, *, fetch: Fetch = NEVER, cache: Cache | None = None) -> Path:
    """The file of a network's weights, by a registered name, a name in the cache, a hub address or a path.

    In this order; without a name `$MCNET_WEIGHTS`, else `lite`. A path is returned unread. WeightsError if
    there are no such weights, if they are damaged, or missing and `fetch` did not agree to get them.
    """
    name = name or os.environ.get(VARIABLE) or DEFAULT
    if entry := entry_of(name):
        if entry.kind != "model":
            raise WeightsError(f"{name} is no network's weights: it is for {entry.purpose}", hint=_models())
        return resolve_file(name, fetch=fetch, cache=cache)
    if not CACHE_NAME.fullmatch(name):
        return Path(name)
    if found := find(own(name), cache or Cache()):
        return found.verified()
    if Path(name).exists():
        return Path(name)
    raise WeightsError(f"{name} is not a known name of weights, and there is no such file", hint=_models())


def _models() -> str:
    names = ", ".join(entry.name for entry in registry().values() if entry.kind == "model")
    return f"there are {names}; more by mcnet fetch-weights --list; or give a file"


def resolve_file(name: str, *, fetch: Fetch = NEVER, cache: Cache | None = None) -> Path:
    """The verified file of a registered name (of any kind) or a hub address.

    WeightsError if it is damaged, or missing and `fetch` did not agree to get it.
    """
    cache = cache or Cache()
    entry = _required(name)
    if found := find(entry, cache):
        return found.verified()
    if not isinstance(entry.source, HubFile):
        raise how_to_get(entry)
    if fetch.agree(entry):
        try:
            return fetch_file(entry, cache, on_progress=fetch.on_progress)[0]
        except NetworkFailure as error:
            raise WeightsError(str(error), hint=error.hint) from error
    raise WeightsError(
        f"{shown(name)} is not on this machine ({entry.size}, licence: {entry.licence})",
        hint=f"mcnet fetch-weights {shlex.quote(name)}",
    )


def cached_path(name: str, *, cache: Cache | None = None) -> Path | None:
    """The verified file of a registered name (of any kind) or a hub address; None if it isn't here.

    WeightsError if it is here and damaged.
    """
    found = find(_required(name), cache or Cache())
    return found.verified() if found else None


def _required(name: str) -> Entry:
    if entry := entry_of(name):
        return entry
    raise WeightsError(f"no weights are called {shown(name)}", hint="see mcnet fetch-weights --list")


@dataclass(frozen=True, slots=True)
class Found:
    """A file on this machine, of the right size where that is known.

    sha256: it, or what it must begin with, or nothing if nobody knows. record: the cache's, None outside it.
    """

    path: Path
    sha256: str
    record: Record | None = None

    def verified(self) -> Path:
        """The path, hashed just now; WeightsError if it is damaged."""
        if self.sha256 and not (digest := sha256_of(self.path)).startswith(self.sha256):
            raise WeightsError(
                f"{shown(self.path)} is damaged: its sha256 begins with {digest[:10]}, "
                f"not with {self.sha256[:10]}",
                hint=self.record.fix if self.record else "remove it, and get it again",
            )
        return self.path


def find(entry: Entry, cache: Cache) -> Found | None:
    """Where the file of an entry lies; None if it isn't here, WeightsError if what is here can't be it."""
    match entry.source:
        case Embedded(file, sha256):
            return Found(asset(file), sha256 or "")
        case TorchHubFile():
            path = torch_hub_folder() / entry.source.file
            return Found(path, entry.source.sha256_prefix) if path.exists() else None
        case _:
            if (record := cache.record(entry.cache_name)) is None:
                return None
            if isinstance(entry.source, HubFile) and entry.source.sha256 not in (None, record.sha256):
                raise WeightsError(
                    f"{entry.name} in the cache is not what this mcnet wants: another sha256 is pinned",
                    hint=f"mcnet fetch-weights --remove {entry.name}, then get it again",
                )
            return Found(cache.path(record), record.sha256, record)


def how_to_get(entry: Entry) -> WeightsError:
    """The error that says how people get weights which mcnet can't download."""
    match entry.source:
        case Manual(why, url):
            message = f"{entry.name} is not on this machine, and mcnet can't download it: {why}"
            how = f"get it as {url} says, then: mcnet fetch-weights --from-file FILE --name {entry.name}"
        case TorchHubFile(url):
            message = (
                f"{entry.name} is not on this machine: it comes from its authors' server, not from the hub"
            )
            how = f"put {url} into {shown(torch_hub_folder())}"
        case _:
            raise ValueError(entry.name)
    return WeightsError(message, hint=how)


def torch_hub_folder() -> Path:
    """Where torch hub keeps checkpoints, and face-alignment and torchvision look for theirs.

    As torch.hub.get_dir() has it, without loading torch.
    """
    base = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(base).expanduser() / "hub" / "checkpoints"

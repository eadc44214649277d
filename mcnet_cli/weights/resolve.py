"""Turns a name into a verified file: the one place where commands find their weights."""

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mcnet_cli.errors import WeightsError, shown
from mcnet_cli.files import asset
from mcnet_cli.progress import OnProgress
from mcnet_cli.weights.hub import NetworkFailure
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
from mcnet_cli.weights.store import RECORD, Cache, Record, fetch_file, sha256_of

if TYPE_CHECKING:
    from mcnet_cli.model import MCNet

DEFAULT = "lite"
VARIABLE = "MCNET_WEIGHTS"


def _refuse(_entry: Entry) -> bool:
    """Agrees to no download. It has a name, so that requests can travel to other processes."""
    return False


@dataclass(frozen=True, slots=True)
class Fetch:
    """What to do about missing weights that could be downloaded.

    agree: asked whether an entry may be downloaded. on_progress: called while it is.
    """

    agree: Callable[[Entry], bool] = _refuse
    on_progress: OnProgress | None = None


NEVER = Fetch()


def weights_name(name: str | None = None) -> str:
    """What is asked for by `name`: without one, `$MCNET_WEIGHTS`, then `lite`."""
    return name or os.environ.get(VARIABLE) or DEFAULT


def resolve_weights(name: str | None = None, *, fetch: Fetch = NEVER, cache: Cache | None = None) -> Path:
    """The file of a network's weights: by a registered name, a hub address, a name in the cache or a path.

    They are tried in this order; without a name, `$MCNET_WEIGHTS`, then `lite`. A path is returned unread.
    WeightsError if there are no such weights, or they are damaged, or missing and `fetch` didn't agree.
    """
    name = weights_name(name)
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


def load_model(weights: str | Path | None = None, *, device: str = "auto") -> "MCNet":
    """The bare network of a weights file, for those who study it: evaluation mode, float32, no gradients.

    Args: as for `Animator.load`.

    Raises WeightsError, or UsageError for a device that isn't there.

    Example:
        >>> from mcnet_cli import load_model
        >>> model = load_model("lite", device="cpu")
        >>> model.config.size
        256
    """
    from mcnet_cli.checkpoint import build_model, read_weights  # torch loads here
    from mcnet_cli.devices import choose_device

    place = choose_device(device)
    return build_model(read_weights(resolve_weights(None if weights is None else str(weights))), place)


def resolve_file(name: str, *, fetch: Fetch = NEVER, cache: Cache | None = None) -> Path:
    """The verified file of a registered name (of any kind), a hub address or a name in the cache.

    WeightsError if it is damaged, or missing and `fetch` didn't agree to download it.
    """
    cache = cache or Cache()
    entry = find_entry(name, cache)
    if found := find(entry, cache):
        return found.verified()
    if not isinstance(entry.source, HubFile):
        raise how_to_get(entry)
    if not fetch.agree(entry):
        raise WeightsError(
            f"{shown(name)} is not on this machine ({entry.size}, licence: {entry.licence})",
            hint=f"mcnet fetch-weights {shlex.quote(name)}",
        )
    try:
        return fetch_file(entry, cache, on_progress=fetch.on_progress)[0]
    except NetworkFailure as error:
        raise WeightsError(str(error), hint=error.hint) from error


def cached_path(name: str, *, cache: Cache | None = None) -> Path | None:
    """Like `resolve_file`, but None if the file isn't on this machine; WeightsError only if it is damaged."""
    cache = cache or Cache()
    found = find(find_entry(name, cache), cache)
    return found.verified() if found else None


def find_entry(name: str, cache: Cache) -> Entry:
    """The entry of a registered name, a hub address or a name in the cache; WeightsError for any other."""
    if entry := entry_of(name):
        return entry
    if (cache.folder(name) / RECORD).exists():
        return own(name)
    raise WeightsError(f"no weights are called {shown(name)}", hint="see mcnet fetch-weights --list")


@dataclass(frozen=True, slots=True)
class Found:
    """A file on this machine, of the right size where that is known.

    sha256: the digest or its first digits. record: the cache's, None for files outside the cache.
    """

    path: Path
    sha256: str
    record: Record | None = None

    def verified(self) -> Path:
        """The path, after hashing the file; WeightsError if it is damaged."""
        if not (digest := sha256_of(self.path)).startswith(self.sha256):
            raise WeightsError(
                f"{shown(self.path)} is damaged: its sha256 begins with {digest[:10]}, "
                f"not with {self.sha256[:10]}",
                hint=self.record.fix if self.record else "remove it, and get it again",
            )
        return self.path


def find(entry: Entry, cache: Cache) -> Found | None:
    """The file of an entry; None if it isn't on this machine, WeightsError if what is there can't be it."""
    match entry.source:
        case Embedded(file, sha256):
            return Found(asset(file), sha256)
        case TorchHubFile():
            path = torch_hub_folder() / entry.source.file
            return Found(path, entry.source.sha256_prefix) if path.exists() else None
        case HubFile() | Manual():
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

    The same as `torch.hub.get_dir()`, without loading torch.
    """
    base = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(base).expanduser() / "hub" / "checkpoints"

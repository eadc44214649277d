"""Downloads from the hub, by huggingface_hub alone, checked by us: it looks only at sizes.

Within a run a dropped connection is resumed. Across runs it can't be (its temporary names are unique): a
download that was killed starts again, and what it left is swept when it is a day old.
"""

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mcnet_cli.errors import McnetError, SystemFailure, WeightsError, shown
from mcnet_cli.files import SYSTEM_ERRNOS, system_failure
from mcnet_cli.weights.cache import HUB_FOLDER, Cache, Record, sha256_of
from mcnet_cli.weights.registry import Entry, HubFile

OnProgress = Callable[[str, int, int | None], None]
"""Called with the name, the bytes that have arrived, and how many there will be."""

_SHA256 = re.compile(r"[0-9a-f]{64}")

log = logging.getLogger(__name__)


class NetworkFailure(SystemFailure):
    """The hub can't be reached, or what it sends never arrives whole."""


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
    is there. Raises WeightsError for what the hub doesn't have or whose content is wrong (it is removed from
    use then), NetworkFailure, or SystemFailure.
    """
    assert isinstance(entry.source, HubFile)
    name = entry.cache_name
    with cache.locked(name):
        cache.sweep(name)
        known = _known(cache, name)
        wanted = {digest for digest in (sha256, entry.source.sha256, known and known.sha256) if digest}
        if known and not force and (path := _intact(cache, known)):
            _check(entry, path, known.sha256, wanted)
            return path, False
        source = HubFile.parse(known.origin) if known else entry.source
        path = _download(entry, source, cache, on_progress, force=force or known is not None)
        try:
            digest = _announced(path, wanted)
            _check(entry, path, digest, wanted)
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


def _known(cache: Cache, name: str) -> Record | None:
    """What earlier downloads have recorded; a damaged record is none."""
    with contextlib.suppress(WeightsError):
        return cache.record(name)
    return None


def _intact(cache: Cache, record: Record) -> Path | None:
    with contextlib.suppress(McnetError):
        path = cache.path(record)
        return path if sha256_of(path) == record.sha256 else None
    return None


def _announced(path: Path, wanted: set[str]) -> str:
    """The file's sha256. Of large files the hub announces it (in the blob's name): then it joins `wanted`."""
    if path.is_symlink() and _SHA256.fullmatch(blob := path.readlink().name):
        wanted.add(blob)
    return sha256_of(path)


def _check(entry: Entry, path: Path, digest: str, wanted: set[str]) -> None:
    if wrong := sorted(wanted - {digest}):
        raise WeightsError(
            f"{shown(entry.name)} has a wrong checksum: {shown(path.name)} has the sha256 {digest}, "
            f"not {wrong[0]}; it is not used",
            hint="try again; if it stays so, it has changed on the hub, or something alters it on the way",
        )


def _check_content(entry: Entry, path: Path) -> None:
    """Raises WeightsError unless the file can be what it should be; nothing in it runs."""
    if entry.kind == "model":
        from mcnet_cli.checkpoint import read_weights

        read_weights(path)
    elif path.suffix == ".safetensors":
        from mcnet_cli.checkpoint.safetensors_file import read_header

        read_header(path)


def _download(
    entry: Entry, source: HubFile, cache: Cache, on_progress: OnProgress | None, *, force: bool
) -> Path:
    from huggingface_hub import constants, hf_hub_download

    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    if constants.HF_HUB_OFFLINE:
        raise NetworkFailure(
            f"can't fetch {shown(entry.name)}: HF_HUB_OFFLINE forbids downloads",
            hint="unset it",
        )
    log.info(
        "fetching %s (%s) from %s; if that can't be reached, it takes half a minute to be sure",
        entry.name,
        entry.size,
        _host(endpoint),
    )
    try:
        with _instead_of_its_log(entry.name):
            path = hf_hub_download(
                source.repository,
                source.file,
                revision=source.revision,
                cache_dir=cache.hub,
                endpoint=endpoint,
                force_download=force,
                tqdm_class=_bar(entry.name, on_progress),
            )
    except (McnetError, MemoryError):
        raise
    except Exception as error:
        raise _explained(error, entry, source, cache, _host(endpoint)) from error
    return cache.inside(cache.root / HUB_FOLDER / Path(path).relative_to(cache.hub.resolve()))


def _host(endpoint: str) -> str:
    """Without a user and password that may stand in it."""
    return re.sub(r"//[^/@]*@", "//", endpoint)


def _bar(name: str, on_progress: OnProgress | None) -> Any:
    """A progress bar of huggingface_hub's kind that shows nothing and reports instead."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined,unused-ignore]

    class Bar(tqdm):
        def __init__(self, *_args: Any, total: int | None = None, initial: int = 0, **_options: Any) -> None:
            super().__init__(disable=True)  # type: ignore[no-untyped-call]
            self.total: int | None = total
            self.n: float = initial

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if on_progress and self.total:
                on_progress(name, int(self.n), int(self.total))

    return Bar


@contextlib.contextmanager
def _instead_of_its_log(name: str) -> Iterator[None]:
    """Says in one line what huggingface_hub would say in several, with addresses that may hold signatures."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "resume" in str(record.msg).lower():
                log.info("the connection broke while %s was fetched; going on where it was", name)

    logger = logging.getLogger("huggingface_hub")
    before, logger.handlers = logger.handlers, [Handler()]
    propagates, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before, propagates


def _explained(error: Exception, entry: Entry, source: HubFile, cache: Cache, host: str) -> McnetError:
    """The failure in our words: those of the library may quote addresses and headers."""
    from huggingface_hub import errors

    if isinstance(error, ValueError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # "force download failed", because of this
    cause = error.__cause__
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(cause, errors.HfHubHTTPError):
        error = cause  # "nor is it in the cache"
    what = f"can't fetch {shown(entry.name)}"
    where = f"{source.repository} on {host}"
    match error:
        case errors.RemoteEntryNotFoundError():
            return WeightsError(f"{what}: there is no {source.file} in {where}", hint="check the file's name")
        case errors.RevisionNotFoundError():
            return WeightsError(
                f"{what}: there is no {source.revision} of {where}", hint="check the revision"
            )
        case errors.GatedRepoError():
            hint = f"accept the terms on the page of {where}, then set HF_TOKEN"
            return WeightsError(f"{what}: its authors want to be asked first (HTTP 403)", hint=hint)
        case errors.HfHubHTTPError():
            return _refused(error.response.status_code, what, where)
        case errors.LocalEntryNotFoundError(__cause__=errors.FileMetadataError()):
            hint = "check HF_ENDPOINT and the proxy, and whether the network wants a log-in"
            return NetworkFailure(f"{what}: what answers at {host} is not a hub", hint=hint)
        case errors.LocalEntryNotFoundError():
            return NetworkFailure(
                f"{what}: {host} can't be reached", hint="check the connection and the proxy"
            )
        case OSError() if error.errno in SYSTEM_ERRNOS or error.filename is not None:
            return system_failure(error, cache.hub / source.file)
        case OSError():
            pass
        case _ if not type(error).__module__.startswith("httpx"):
            raise error
    return NetworkFailure(f"{what}: the connection to {host} keeps breaking", hint="try again later")


def _refused(status: int, what: str, where: str) -> McnetError:
    match status:
        case 401 | 404:
            hint = "check the name; for a private repository set HF_TOKEN"
            return WeightsError(f"{what}: {where} does not exist or is private (HTTP {status})", hint=hint)
        case 403:
            hint = "set HF_TOKEN to a token that may read it"
            return WeightsError(f"{what}: access to {where} is forbidden (HTTP 403)", hint=hint)
        case _:
            return NetworkFailure(f"{what}: {where} answers with HTTP {status}", hint="try again later")

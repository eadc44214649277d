"""Downloads from the Hugging Face hub through huggingface_hub, with its failures in mcnet's words.

The library retries and resumes dropped connections within a run. It checks sizes only; the callers check the
sha256. Its messages and log may quote addresses with signatures or headers, so none of them is passed on.
"""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mcnet_cli.errors import McnetError, SystemFailure, WeightsError, shown
from mcnet_cli.files import SYSTEM_ERRNOS, system_failure
from mcnet_cli.progress import OnProgress, Progress
from mcnet_cli.weights.registry import Entry, HubFile

log = logging.getLogger(__name__)


class NetworkFailure(SystemFailure):
    """The hub can't be reached, or what it sends never arrives whole."""


def download(
    entry: Entry, source: HubFile, folder: Path, on_progress: OnProgress | None, *, force: bool
) -> Path:
    """The path of `source` in huggingface_hub's `folder`, downloaded if it isn't there or by `force`.

    Raises WeightsError if the hub doesn't give the file out, NetworkFailure, or SystemFailure.
    """
    from huggingface_hub import constants, hf_hub_download

    if constants.HF_HUB_OFFLINE:
        raise NetworkFailure(
            f"can't fetch {shown(entry.name)}: HF_HUB_OFFLINE forbids downloads", hint="unset it"
        )
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    host = re.sub(r"//[^/@]*@", "//", endpoint)  # without user and password
    log.info(
        "fetching %s (%s) from %s; if that can't be reached, it takes half a minute to be sure",
        entry.name,
        entry.size,
        host,
    )
    try:
        with _library_log_replaced(entry.name):
            path = hf_hub_download(
                source.repository,
                source.file,
                revision=source.revision,
                cache_dir=folder,
                endpoint=endpoint,
                force_download=force,
                tqdm_class=_progress_bar(entry.name, on_progress),
            )
    except (McnetError, MemoryError):
        raise
    except Exception as error:
        raise _explained(error, entry, source, folder, host) from error
    return Path(path)


def _progress_bar(name: str, on_progress: OnProgress | None) -> Any:
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
                on_progress(
                    Progress(f"fetching {name}", int(self.n) // 10**6, int(self.total) // 10**6, "MB")
                )

    return Bar


@contextlib.contextmanager
def _library_log_replaced(name: str) -> Iterator[None]:
    """Logs one line of ours where the library resumes a connection, and nothing else of its log."""

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


def _explained(error: Exception, entry: Entry, source: HubFile, folder: Path, host: str) -> McnetError:
    """What a failure of the library means, built from its type and HTTP status alone."""
    from huggingface_hub import errors

    if isinstance(error, ValueError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # "force download failed", because of this
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(
        error.__cause__, errors.HfHubHTTPError
    ):
        error = error.__cause__  # "nor is it in the cache"
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    where = f"{source.repository} on {host}"
    kind: type[McnetError] = NetworkFailure
    match error:
        case errors.RemoteEntryNotFoundError():
            kind, says = WeightsError, f"there is no {source.file} in {where}"
            hint = "check the file's name"
        case errors.RevisionNotFoundError():
            kind, says = WeightsError, f"there is no {source.revision} of {where}"
            hint = "check the revision"
        case errors.GatedRepoError():
            kind, says = WeightsError, "its authors want to be asked first (HTTP 403)"
            hint = f"accept the terms on the page of {where}, then set HF_TOKEN"
        case errors.HfHubHTTPError() if status in (401, 404):
            kind, says = WeightsError, f"{where} does not exist or is private (HTTP {status})"
            hint = "check the name; for a private repository set HF_TOKEN"
        case errors.HfHubHTTPError() if status == 403:
            kind, says = WeightsError, f"access to {where} is forbidden (HTTP 403)"
            hint = "set HF_TOKEN to a token that may read it"
        case errors.HfHubHTTPError():
            says, hint = f"{where} answers with HTTP {status}", "try again later"
        case errors.LocalEntryNotFoundError(__cause__=errors.FileMetadataError()):
            says = f"what answers at {host} is not a hub"
            hint = "check HF_ENDPOINT and the proxy, and whether the network wants a log-in"
        case errors.LocalEntryNotFoundError():
            says, hint = f"{host} can't be reached", "check the connection and the proxy"
        case OSError() if error.errno in SYSTEM_ERRNOS or error.filename is not None:
            return system_failure(error, folder / source.file)
        case _ if isinstance(error, OSError) or type(error).__module__.startswith("httpx"):
            says, hint = f"the connection to {host} keeps breaking", "try again later"
        case _:
            raise error
    return kind(f"can't fetch {shown(entry.name)}: {says}", hint=hint)

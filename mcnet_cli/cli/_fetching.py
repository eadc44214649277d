"""Agreeing to downloads: beforehand by --fetch, or when asked on a terminal."""

import sys
from typing import Annotated

import typer

from mcnet_cli.cli._console import console
from mcnet_cli.progress import Progress
from mcnet_cli.weights import Entry, Fetch

Agreed = Annotated[
    bool,
    typer.Option(
        "--fetch",
        help="Agree beforehand to download weights that are missing. Otherwise it is asked on a terminal, "
        "and an error elsewhere.",
    ),
]


def fetch_policy(agreed: bool) -> Fetch:
    """What commands hand to whoever resolves names of weights. `agreed`: --fetch was given."""
    return Fetch(agree=(lambda _entry: True) if agreed else _ask, on_progress=show_download)


def show_download(name: str, done: int, total: int | None) -> None:
    """Progress of a download, in millions of bytes."""
    console.progress(Progress(f"fetching {name}", done // 10**6, total and total // 10**6, "MB"))


def _ask(entry: Entry) -> bool:
    """Only where somebody can see the question and answer it."""
    if console.json or not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        return False
    console.line(f"{entry.name} is not on this machine: {entry.size}, licence: {entry.licence}.")
    return typer.confirm("Download it?", default=False, err=True)

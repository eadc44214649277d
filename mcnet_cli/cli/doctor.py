"""`mcnet doctor`: what is installed, what works, what to do."""

from pathlib import Path
from typing import Annotated

import typer

from mcnet_cli.cli._console import console
from mcnet_cli.cli._options import Json, Quiet, Verbose


def doctor(
    cache_dir: Annotated[
        Path | None,
        typer.Option(
            "--cache-dir",
            metavar="DIR",
            help="Where weights are looked for. Default: $MCNET_CACHE, else mcnet in the platform's cache.",
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what is installed, what works, and a line to fix each problem.

    Ends with 0, or the code of the worst problem. Optional things that are absent are notes.

    Example: mcnet doctor --json
    """
    from mcnet_cli.doctor import examine
    from mcnet_cli.weights import Cache

    diagnosis = examine(Cache(cache_dir))
    console.show(diagnosis)
    if diagnosis.exit_code:
        raise typer.Exit(diagnosis.exit_code)

"""`mcnet fetch-weights`: weights by name, listed, fetched, converted, verified and removed."""

from pathlib import Path
from typing import Annotated

import typer

from mcnet_cli.cli._console import console
from mcnet_cli.cli._options import Json, Quiet, Verbose, panel
from mcnet_cli.errors import UsageError, WeightsError

action_option, cache_option = panel("Instead of fetching"), panel("How")


def fetch_weights(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|hf:OWNER/REPO[@REV]/FILE",
            help="Registered weights (see --list), or a file of any model repository on the hub.",
            show_default=False,
        ),
    ] = None,
    list_: Annotated[
        bool, action_option("--list", help="Show all weights with state, size, checksum, licence.")
    ] = False,
    from_file: Annotated[
        Path | None,
        action_option(
            "--from-file",
            metavar="FILE",
            help="Convert a checkpoint that you have, such as an official .pth.tar; afterwards it is "
            "--weights NAME. No code in it runs.",
        ),
    ] = None,
    verify: Annotated[
        bool, action_option("--verify", help="Hash again what is here: NAME, or all without it.")
    ] = False,
    remove: Annotated[bool, action_option("--remove", help="Delete NAME from the cache.")] = False,
    given_name: Annotated[
        str | None,
        cache_option(
            "--name", metavar="NAME", help="How to call the converted file. Default: the file's own name."
        ),
    ] = None,
    sha256: Annotated[
        str | None,
        cache_option(
            "--sha256",
            metavar="HEX",
            help="What the downloaded file must have. Where neither this nor the list says, the first "
            "download is trusted, and every later one must equal it.",
        ),
    ] = None,
    force: Annotated[
        bool, cache_option("--force", help="Download again, or replace converted weights.")
    ] = False,
    cache_dir: Annotated[
        Path | None,
        cache_option(
            "--cache-dir",
            metavar="DIR",
            help="Default: $MCNET_CACHE, else mcnet in the platform's folder for caches.",
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Fetch weights by name, or list, convert, verify and remove them.

    Downloads go through huggingface_hub, with HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and proxies.

    A dropped connection is resumed; a download that was killed starts again.

    What that left behind is swept a day later. Every file is hashed before each use.

    Example: mcnet fetch-weights --from-file 00000099-checkpoint.pth.tar --name mcnet-official
    """
    from mcnet_cli import weights

    chosen = [list_, from_file is not None, verify, remove]
    if sum(chosen) > 1:
        raise UsageError("--list, --from-file, --verify and --remove exclude each other")
    if given_name is not None and from_file is None:
        raise UsageError(
            "--name belongs to --from-file", hint="mcnet fetch-weights --from-file FILE --name NAME"
        )
    if (sha256 is not None and any(chosen)) or (force and (list_ or verify or remove)):
        raise UsageError("--sha256 and --force are for fetching")
    if (list_ or from_file is not None) and name is not None:
        raise UsageError(f"{name}: --list and --from-file take no other name")
    cache = weights.Cache(cache_dir)
    if from_file is not None:
        report = weights.convert_file(from_file, given_name, cache, force=force)
    elif list_ or verify:
        report = weights.show(name, cache, verify=verify)
    elif name is None:
        raise UsageError("say which weights", hint="mcnet fetch-weights --list shows what there is")
    elif remove:
        report = weights.remove(name, cache)
    else:
        report = weights.fetch(name, cache, sha256=sha256, force=force, on_progress=console.progress)
    (console.show if list_ or verify else console.report)(report)
    if verify and any(status.problem for status in report.weights):
        raise typer.Exit(WeightsError.exit_code)

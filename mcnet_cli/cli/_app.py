"""The typer application: one module a command, which imports what it needs when it runs."""

import importlib
from typing import Annotated

import typer

from mcnet_cli import __version__

EXAMPLE = "Example: mcnet animate portrait.jpg driving.mp4 -o result.mp4"
COMMANDS = ("animate", "preprocess", "train", "evaluate", "fetch-weights", "doctor")

app = typer.Typer(
    name="mcnet",
    help="Make a still portrait move like the person in a driving video.",
    epilog=EXAMPLE,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"mcnet {__version__}")
        raise typer.Exit


@app.callback()
def _mcnet(
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


for _name in COMMANDS:
    _module = _name.replace("-", "_")
    app.command(_name)(getattr(importlib.import_module(f"mcnet_cli.cli.{_module}"), _module))

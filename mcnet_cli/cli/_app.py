"""The typer application: one module a command, which imports what it needs when it runs."""

import importlib
import importlib.util
from typing import Annotated

import typer

from mcnet_cli import __version__

EXAMPLE = "Example: mcnet animate portrait.jpg driving.mp4 -o result.mp4"
COMMANDS = ("animate", "preprocess", "train")

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
    if importlib.util.find_spec(f"mcnet_cli.cli.{_name}"):
        app.command(_name)(getattr(importlib.import_module(f"mcnet_cli.cli.{_name}"), _name))

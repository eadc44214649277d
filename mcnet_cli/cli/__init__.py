"""The command line. `main` is the one place where errors are shown and become exit codes.

Nothing but signal handling is imported before the handlers stand: loading typer, and later torch, takes a
while, and a Ctrl-C in that time must end the program like any other.
"""

import functools
import gc
import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from mcnet_cli import __version__
from mcnet_cli.cli import _signals

if TYPE_CHECKING:
    import typer

EXAMPLE = "Example: mcnet animate portrait.jpg driving.mp4 -o result.mp4"
COMMANDS = (
    "animate",
    "live",
    "batch",
    "motions",
    "edit",
    "preprocess",
    "train",
    "evaluate",
    "fetch-weights",
    "web",
    "benchmark",
    "doctor",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `mcnet` with `arguments` (by default the process's own) and returns the exit code.

    0 done, 1 a bug in mcnet, 2 usage, 3 an input can't be used, 4 weights can't be used, 5 the system failed
    us, 130 interrupted, 143 terminated. A second signal ends the process at once.
    """
    _signals.install()
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(words)
        _signals.end_at_once()  # in here, so that a signal is either caught below or ends the process
    except BaseException as error:  # really all: a signal may arrive as any of them
        _signals.end_at_once()
        from mcnet_cli.cli._console import conclude

        code = conclude(error, words)
    if _signals.exit_code() is not None:
        gc.collect()  # it may have come before a block was entered that it left: its clean-up runs now
    if arguments is None:
        gc.freeze()  # the process ends with this: it would take half a second to look through all of torch
    return _signals.exit_code() or code


def _run(words: list[str]) -> int:
    """Parses `words` and runs their command; whatever goes wrong is raised."""
    import typer

    from mcnet_cli.cli._console import console

    console.reset()
    try:
        command = typer.main.get_command(application())
        with command.make_context("mcnet", list(words)) as context:  # it empties the list
            command.invoke(context)
    except typer.Exit as error:  # --help and --version end by it
        return int(error.exit_code)
    finally:
        console.close()
    sys.stdout.flush()
    return 0


@functools.cache
def application() -> "typer.Typer":
    """All commands. Each is a module of its own, which imports what is heavy when it runs."""
    import typer

    app = typer.Typer(
        name="mcnet",
        help="Make a still portrait move like the person in a driving video.",
        epilog=EXAMPLE,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )

    def show_version(wanted: bool) -> None:
        if wanted:
            print(f"mcnet {__version__}")
            raise typer.Exit

    @app.callback()
    def options_without_a_command(
        _version: Annotated[
            bool, typer.Option("--version", help="Show the version.", callback=show_version, is_eager=True)
        ] = False,
    ) -> None:
        pass

    for name in COMMANDS:
        module = name.replace("-", "_")
        app.command(name)(getattr(importlib.import_module(f"mcnet_cli.cli.{module}"), module))
    return app

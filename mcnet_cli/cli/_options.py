"""Options that commands share, e.g. `def animate(..., device: Device = "auto", quiet: Quiet = False)`."""

from typing import Annotated, Any

import typer

from mcnet_cli.cli._console import console

MACHINE = "Machine"
MESSAGES = "Messages"
OUTPUT = "Output"

Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda|cuda:N|mps",
        help="Where the network runs. auto: a GPU if there is one.",
        rich_help_panel=MACHINE,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="auto|fp32|bf16|fp16",
        help="Numbers that the network computes with. auto: bf16 where the device gains by it, else fp32.",
        rich_help_panel=MACHINE,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("-y", "--overwrite", help="Replace an existing output.", rich_help_panel=OUTPUT),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON object on stdout, the result or the error; everything else goes to stderr.",
        callback=console.set_json,
        is_eager=True,
        rich_help_panel=MESSAGES,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "-q",
        "--quiet",
        help="No progress and no summary, only warnings and errors.",
        callback=console.set_quiet,
        is_eager=True,
        rich_help_panel=MESSAGES,
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "-v",
        "--verbose",
        help="Say more, and show the traceback of errors.",
        callback=console.set_verbose,
        is_eager=True,
        rich_help_panel=MESSAGES,
    ),
]


def weights_option(text: str, panel: str | None = None) -> Any:
    """-w/--weights with a help text that ends with where the default comes from."""
    return typer.Option(
        "-w",
        "--weights",
        metavar="NAME|FILE|hf:OWNER/REPO[@REV]/FILE",
        help=f"{text} Default: $MCNET_WEIGHTS, else lite.",
        show_default=False,
        rich_help_panel=panel,
    )


def detector_option(text: str, panel: str) -> Any:
    """--detector; the text says what else depends on it."""
    return typer.Option("--detector", metavar="blazeface|face-alignment", help=text, rich_help_panel=panel)


def batch_size_option(panel: str) -> Any:
    """--batch-size, which `animation.parse_batch_size` reads."""
    return typer.Option(
        "--batch-size",
        metavar="auto|N",
        help="Frames computed at once. auto: by the memory there is.",
        rich_help_panel=panel,
    )

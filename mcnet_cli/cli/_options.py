"""Options that several commands have, e.g. `def animate(..., device: Device = "auto", quiet: Quiet = False)`.

What is typed for them, `mcnet_cli.options` parses.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from mcnet_cli.cli._console import console
from mcnet_cli.options import DETECTORS
from mcnet_cli.weights import Entry, Fetch

Declare = Callable[..., Any]  # as typer.Option, for the options of one panel of a command's help


def panel(title: str) -> Declare:
    """What declares the options that a command's help shows together, below a title."""
    return partial(typer.Option, rich_help_panel=title)


machine_option, message_option, output_option = panel("Machine"), panel("Messages"), panel("Output")
face_option = panel("Pose and expression by numbers, added to the motion: a number, or TIME:VALUE,...")
motion_option, time_option = panel("Motion"), panel("Time")

Device = Annotated[
    str,
    machine_option(
        "--device",
        metavar="auto|cpu|cuda|cuda:N|mps",
        help="Where the network runs. auto: a GPU if there is one.",
    ),
]
Precision = Annotated[
    str,
    machine_option(
        "--precision",
        metavar="auto|fp32|bf16|fp16",
        help="Numbers that the network computes with. auto: bf16 where the device gains by it, else fp32.",
    ),
]
Overwrite = Annotated[bool, output_option("-y", "--overwrite", help="Replace an existing output.")]
AllowFetch = Annotated[
    bool,
    typer.Option(
        "--fetch",
        help="Agree beforehand to download weights that are missing. Otherwise it is asked on a terminal, "
        "and an error elsewhere.",
    ),
]


def _json_option(text: str) -> Any:
    return message_option("--json", help=text, callback=console.set_json, is_eager=True)


Json = Annotated[
    bool,
    _json_option("Print one JSON object on stdout, the result or the error; everything else goes to stderr."),
]
JsonLines = Annotated[
    bool,
    _json_option(
        "Print lines of JSON on stdout: each job when it is done, the sums, and the error if there is one."
    ),
]
Quiet = Annotated[
    bool,
    message_option(
        "-q",
        "--quiet",
        help="No progress and no summary, only warnings and errors.",
        callback=console.set_quiet,
        is_eager=True,
    ),
]
Verbose = Annotated[
    bool,
    message_option(
        "-v",
        "--verbose",
        help="Say more, and show the traceback of errors.",
        callback=console.set_verbose,
        is_eager=True,
    ),
]


def _number(name: str, unit: str, text: str) -> Any:
    return face_option(name, metavar=unit, help=text)


Yaw = Annotated[
    str | None, _number("--yaw", "DEGREES", "Turn the head to the picture's right: --yaw 15. Below 0 left.")
]
Pitch = Annotated[str | None, _number("--pitch", "DEGREES", "Look up: --pitch 10. Below 0 down.")]
Roll = Annotated[
    str | None, _number("--roll", "DEGREES", "Tilt the head clockwise. There and back: --roll 0:0,1:8,2:0.")
]
Mouth = Annotated[
    str | None, _number("--mouth", "SHARE", "Open the mouth: --mouth 0.4. 1 is as wide as the jaw goes.")
]
Smile = Annotated[
    str | None, _number("--smile", "SHARE", "Smile: --smile 0.5. 1 is broad, -1 draws the corners down.")
]
Eyes = Annotated[
    str | None, _number("--eyes", "SHARE", "-1 shuts the eyes, 1 opens them wide. A blink: 1:0,1.1:-1,1.4:0.")
]
Brows = Annotated[
    str | None, _number("--brows", "SHARE", "Raise the brows: --brows 0.5. Below 0 they frown.")
]

Region = Annotated[
    str,
    motion_option(
        "--region",
        metavar="lips|eyes|brows|expression|pose|all,...",
        help="What moves; several with commas. --region lips,eyes leaves the head still; pose moves the "
        "head and leaves the expression.",
    ),
]
Strength = Annotated[
    str,
    motion_option(
        "--strength",
        metavar="FACTOR|REGION=FACTOR,...",
        help="Factor on relative motion; 0 is a still. By region: --strength lips=1.3,pose=0.6.",
    ),
]
Start = Annotated[str, time_option("--start", metavar="TIME", help="Begin here; seconds or H:MM:SS.")]
End = Annotated[str | None, time_option("--end", metavar="TIME", help="Stop here.")]
Speed = Annotated[
    float, time_option("--speed", metavar="FACTOR", help="Factor on the motion's speed; 0.5 is half as fast.")
]
PingPong = Annotated[
    bool, time_option("--ping-pong", help="After its end the motion goes back to its beginning.")
]
Loop = Annotated[
    int,
    time_option("--loop", metavar="N", help="Run the motion N times, blended where it begins again."),
]
Duration = Annotated[
    str | None,
    time_option(
        "--duration", metavar="TIME", help="How long it lasts: --duration 10. It is cut, or repeated."
    ),
]
FadeIn = Annotated[
    str,
    time_option(
        "--fade-in-motion",
        metavar="TIME",
        help="Begin with the photo as it is, and leave it in this time: --fade-in-motion 0.5.",
    ),
]
Return = Annotated[
    bool,
    time_option(
        "--return", help="End with the photo as it is, by as slow a way as --fade-in-motion, else in 0.6 s."
    ),
]
GAZE_HELP = (
    "X,Y turns the eyes further, from -1,-1 (left and down) to 1,1: --gaze 0.5,0. Keyframes: TIME:X,Y,..."
)


def weights_option(text: str, declare: Declare = typer.Option) -> Any:
    """-w/--weights with a help text that ends with where the default comes from."""
    return declare(
        "-w",
        "--weights",
        metavar="NAME|FILE|hf:OWNER/REPO[@REV]/FILE",
        help=f"{text} Default: $MCNET_WEIGHTS, else lite.",
        show_default=False,
    )


def detector_option(
    declare: Declare, text: str = "What finds faces. face-alignment is slow and needs files of its own."
) -> Any:
    """--detector; a text of a command's own says what else depends on it."""
    return declare("--detector", metavar="|".join(DETECTORS), help=text)


def engine_option() -> Any:
    """--engine; the text is the same for all."""
    return machine_option(
        "--engine",
        metavar="local|ray",
        help="local: processes of this machine. ray: a Ray cluster (RAY_ADDRESS, else a local one).",
    )


def workers_option(text: str) -> Any:
    """--workers; the text says how many there are by default."""
    return machine_option("--workers", metavar="N", help=text)


def batch_size_option(declare: Declare) -> Any:
    """--batch-size; the text is the same for all."""
    return declare(
        "--batch-size", metavar="auto|N", help="Frames computed at once. auto: by the memory there is."
    )


def fetch_policy(agreed: bool) -> Fetch:
    """Whether weights that are missing may be downloaded. agreed: --fetch was given."""
    return Fetch(agree=(lambda _entry: True) if agreed else _ask, on_progress=console.progress)


def _ask(entry: Entry) -> bool:
    """Asks the user where there is a terminal to see the question and answer it; elsewhere it is no."""
    if console.json or not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        return False
    console.line(f"{entry.name} is not on this machine: {entry.size}, licence: {entry.licence}.")
    return typer.confirm("Download it?", default=False, err=True)

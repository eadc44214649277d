"""`mcnet edit`: options to a request, the result to text or JSON."""

from pathlib import Path
from typing import Annotated

import typer

from mcnet_cli.cli._console import console
from mcnet_cli.cli._options import (
    GAZE_HELP,
    AllowFetch,
    Brows,
    Duration,
    End,
    Eyes,
    FadeIn,
    Json,
    Loop,
    Mouth,
    Overwrite,
    PingPong,
    Pitch,
    Quiet,
    Return,
    Roll,
    Smile,
    Speed,
    Start,
    Verbose,
    Yaw,
    face_option,
    fetch_policy,
    panel,
    time_option,
    weights_option,
)
from mcnet_cli.errors import UsageError

combine_option = panel("Combining")


def edit(
    motions: Annotated[
        list[Path],
        typer.Argument(
            metavar="MOTION...",
            help="Motion files, or motions by name (see mcnet motions). One goes over into the next.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.motion", help="The new file.", show_default=False)
    ],
    overwrite: Overwrite = False,
    add: Annotated[
        Path | None,
        combine_option("--add", metavar="MOTION", help="One that happens at the same time, such as blink."),
    ] = None,
    mix: Annotated[
        str | None,
        combine_option(
            "--mix",
            metavar="MOTION[=SHARE]",
            help="One that is mixed in, by a share from 0 to 1 (default 0.5).",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        weights_option("Weights that recordings of several people were made with.", combine_option),
    ] = None,
    fetch: AllowFetch = False,
    start: Start = "0",
    end: End = None,
    backwards: Annotated[bool, time_option("--backwards", help="From the end to the beginning.")] = False,
    speed: Speed = 1.0,
    ping_pong: PingPong = False,
    loop: Loop = 1,
    duration: Duration = None,
    fade_in_motion: FadeIn = "0",
    return_: Return = False,
    fps: Annotated[
        str | None,
        time_option(
            "--fps", metavar="RATE", help="Frames a second; new ones are interpolated. Default: as it is."
        ),
    ] = None,
    yaw: Yaw = None,
    pitch: Pitch = None,
    roll: Roll = None,
    mouth: Mouth = None,
    smile: Smile = None,
    eyes: Eyes = None,
    brows: Brows = None,
    gaze: Annotated[str | None, face_option("--gaze", metavar="X,Y", help=GAZE_HELP)] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Cut, slow down, repeat, combine and change motions.

    Example: mcnet edit talk --add nod --yaw 0:0,3:15 -o speech.motion
    """
    from mcnet_cli import options
    from mcnet_cli.animation.command_line import parse_options
    from mcnet_cli.motion import EditRequest, MotionEdit
    from mcnet_cli.motion import edit as make

    if gaze in ("driving", "source"):
        raise UsageError(f"--gaze {gaze}: must be X,Y or TIME:X,Y,...")
    typed = {"yaw": yaw, "pitch": pitch, "roll": roll, "mouth": mouth, "smile": smile, "eyes": eyes}
    typed |= {"brows": brows, "gaze": gaze}
    controls = parse_options({name: text for name, text in typed.items() if text is not None})
    mixed_in, share = (None, 0.5) if mix is None else options.parse_mix(mix)
    request = EditRequest(
        motions=tuple(motions),
        output=output,
        add=add,
        mix=mixed_in,
        share=share,
        edit=MotionEdit(
            start_s=options.parse_time(start),
            end_s=None if end is None else options.parse_time(end),
            backwards=backwards,
            speed=speed,
            ping_pong=ping_pong,
            loop=loop,
            duration_s=None if duration is None else options.parse_time(duration),
            fade_in_s=options.parse_time(fade_in_motion),
            returns=return_,
            rate=None if fps is None else options.parse_rate(fps),
        ),
        **controls,
        weights=weights,
        fetch=fetch_policy(fetch),
        overwrite=overwrite,
    )
    console.report(make(request))

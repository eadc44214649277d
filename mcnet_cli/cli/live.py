"""`mcnet live`: options to a request, the session's figures to text or JSON."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mcnet_cli.cli._console import console
from mcnet_cli.cli._options import (
    AllowFetch,
    Device,
    Json,
    Overwrite,
    Precision,
    Quiet,
    Region,
    Strength,
    Verbose,
    fetch_policy,
    motion_option,
    output_option,
    panel,
    weights_option,
)
from mcnet_cli.errors import UsageError

camera_option, picture_option = panel("Camera"), panel("Picture")


def live(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE...", help="Portraits; one moves at a time.", show_default=False),
    ],
    camera: Annotated[
        int | None,
        camera_option("--camera", metavar="N", help="Which camera; the system counts from 0, the default."),
    ] = None,
    input_: Annotated[
        Path | None,
        camera_option(
            "--input",
            metavar="FILE",
            help="A video in place of the camera. It plays at its own pace, whatever is left out.",
        ),
    ] = None,
    every_frame: Annotated[
        bool,
        camera_option(
            "--every-frame", help="Leave out no frame of --input, however long that takes: for films."
        ),
    ] = False,
    mirror: Annotated[
        bool | None,
        camera_option(
            "--mirror/--no-mirror",
            help="Move like a mirror image. Default: with a camera, but not for a virtual one.",
            show_default=False,
        ),
    ] = None,
    driving_face: Annotated[
        str,
        camera_option(
            "--driving-face",
            metavar="largest|first|N",
            help="Who moves the portrait, if the camera sees several. largest: whoever is largest, and after "
            "they left another. first: only the first one. N: from 0, left to right.",
        ),
    ] = "largest",
    seconds: Annotated[
        float | None,
        camera_option("--seconds", metavar="N", help="End by itself, so long after following began."),
    ] = None,
    output: Annotated[
        str | None,
        output_option(
            "-o",
            "--output",
            metavar="FILE|-",
            help="Write a film instead of showing a window, with the input's sound; Ctrl-C ends it. "
            "- is raw y4m on stdout.",
        ),
    ] = None,
    record: Annotated[
        str | None,
        output_option(
            "--record",
            metavar="FILE",
            help="Write a film beside the window, from the first calibration on, with the input's sound. "
            "The key r ends it, and begins another (FILE~2).",
        ),
    ] = None,
    overwrite: Overwrite = False,
    virtual_camera: Annotated[
        bool,
        output_option(
            "--virtual-camera",
            help="Be a camera for other programs, such as video calls. Needs pyvirtualcam (the extra live), "
            "and on Linux the kernel module v4l2loopback.",
        ),
    ] = False,
    weights: Annotated[str | None, weights_option("Weights of the network, as for mcnet animate.")] = None,
    fetch: AllowFetch = False,
    region: Region = "all",
    strength: Strength = "1",
    gaze: Annotated[
        str,
        motion_option(
            "--gaze",
            metavar="driving|source",
            help="driving: eyes turn as yours do. source: they go on looking where the portrait's do.",
        ),
    ] = "driving",
    steady: Annotated[
        bool,
        motion_option(
            "--steady/--no-steady", help="Steady what hardly moves. Fast motion stays as it is either way."
        ),
    ] = True,
    face: Annotated[
        str,
        picture_option(
            "--face",
            metavar="largest|all|N",
            help="Which face of the portrait moves; N from 0, left to right. all: every one.",
        ),
    ] = "largest",
    picture: Annotated[
        str,
        picture_option(
            "--picture", metavar="photo|face", help="The whole photo, or the square around the face."
        ),
    ] = "photo",
    background: Annotated[
        str,
        picture_option(
            "--background",
            metavar="still|moving|COLOUR|FILE",
            help="still: the photo's own stands still. moving: it bends along. Or a colour, or a picture.",
        ),
    ] = "still",
    size: Annotated[
        int | None,
        picture_option(
            "--size",
            metavar="PIXELS",
            help="Bounds the photo's longer side. Default: 1080. It becomes smaller by itself where "
            "fewer than 20 frames a second can be drawn.",
        ),
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Move a portrait by a camera, in a window.

    Look straight ahead with a calm face for the first second: motion is relative to it. Keys: c calibrate
    again, n next portrait, m mirror, r record, s show the camera, q quit.

    Example: mcnet live portrait.jpg
    """
    if json and output == "-":
        raise UsageError("--json and -o - both want stdout", hint="write the film to a file")
    from mcnet_cli import live as session
    from mcnet_cli import options

    choices: dict[str, Any] = {"gaze": gaze, "picture": picture}  # the request checks them
    request = session.LiveRequest(
        **choices,
        sources=tuple(sources),
        camera=camera,
        input=input_,
        every_frame=every_frame,
        output=output,
        record=record,
        overwrite=overwrite,
        virtual_camera=virtual_camera,
        mirror=mirror,
        duration_s=seconds,
        weights=weights,
        fetch=fetch_policy(fetch),
        device=device,
        precision=precision,
        region=options.parse_names(region),
        strength=options.parse_strength(strength),
        steady=steady,
        face=options.parse_face(face),
        driving_face=options.parse_driving_face(driving_face),
        background=options.parse_background(background),
        size=size,
    )
    console.report(session.live(request, console.progress))

"""Options of `animate` and `edit`: pose and expression by numbers, and what happens to a motion in time."""

from typing import Annotated, Any

from mcnet_cli.cli._options import panel

face_option = panel("Pose and expression by numbers, added to the motion: a number, or TIME:VALUE,...")
time_option = panel("Time")


def _number(name: str, unit: str, text: str) -> Any:
    return face_option(name, metavar=unit, help=text)


Yaw = Annotated[
    str | None, _number("--yaw", "DEGREES", "Turn the head to the picture's right; below 0 to its left.")
]
Pitch = Annotated[str | None, _number("--pitch", "DEGREES", "Look up; below 0 down.")]
Roll = Annotated[
    str | None, _number("--roll", "DEGREES", "Tilt the head clockwise. There and back: --roll 0:0,1:8,2:0.")
]
Mouth = Annotated[
    str | None, _number("--mouth", "SHARE", "Open the mouth: 1 is as wide as the jaw goes; below 0 shut it.")
]
Smile = Annotated[
    str | None, _number("--smile", "SHARE", "1 smiles broadly, -1 draws the mouth's corners down.")
]
Eyes = Annotated[str | None, _number("--eyes", "SHARE", "-1 shuts the eyes, 1 opens them wide.")]
Brows = Annotated[str | None, _number("--brows", "SHARE", "1 raises the brows, -1 frowns.")]

Speed = Annotated[
    float, time_option("--speed", metavar="FACTOR", help="Factor on the motion's speed; 0.5 is half as fast.")
]
PingPong = Annotated[
    bool, time_option("--ping-pong", help="After its end the motion goes back to its beginning.")
]
Loop = Annotated[
    int,
    time_option("--loop", metavar="N", help="Run the motion so often, blended where it begins again."),
]
Duration = Annotated[
    str | None,
    time_option("--duration", metavar="TIME", help="How long it lasts: the motion is cut, or repeated."),
]
FadeIn = Annotated[
    str,
    time_option(
        "--fade-in-motion", metavar="TIME", help="Begin with the photo as it is, and leave it in this time."
    ),
]
Return = Annotated[
    bool,
    time_option(
        "--return", help="End with the photo as it is, by as slow a way as --fade-in-motion, else in 0.6 s."
    ),
]
GAZE_HELP = "X,Y turns the eyes further, from -1,-1 (left and down) to 1,1. Keyframes: TIME:X,Y,TIME:X,Y,..."


def parse_controls(gaze: object, **typed: str | None) -> dict[str, Any]:
    """Tracks for `Keyframes.of`, of what was typed for the options of their names.

    gaze: as `options.parse_gaze` returns it. Raises UsageError for what is no number and no track.
    """
    from mcnet_cli import options

    tracks: dict[str, Any] = {
        name: options.parse_track(f"--{name}", text) for name, text in typed.items() if text is not None
    }
    return tracks if not isinstance(gaze, tuple) else {**tracks, "gaze_x": gaze[0], "gaze_y": gaze[1]}

"""Options of several commands that say what moves, by which numbers, and what happens to it in time."""

from typing import Annotated, Any

from mcnet_cli.cli._options import panel

face_option = panel("Pose and expression by numbers, added to the motion: a number, or TIME:VALUE,...")
motion_option, time_option = panel("Motion"), panel("Time")


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


def parse_controls(gaze: object, **typed: str | None) -> dict[str, Any]:
    """Tracks for `Keyframes.of`, of what was typed for the options of their names.

    gaze: as `options.parse_gaze` returns it. Raises UsageError for what is no number and no track.
    """
    from mcnet_cli import options

    tracks: dict[str, Any] = {
        name: options.parse_track(f"--{name}", text) for name, text in typed.items() if text is not None
    }
    return tracks if not isinstance(gaze, tuple) else {**tracks, "gaze_x": gaze[0], "gaze_y": gaze[1]}

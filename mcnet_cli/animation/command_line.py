"""From a request to the command line that makes the same film."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mcnet_cli.animation.request import AnimationRequest
from mcnet_cli.face import CropBox
from mcnet_cli.motion import Keyframes
from mcnet_cli.options import CONTROL_OPTIONS, parse_background

# Fields whose option has another name; all others are called as their option is.
_NAMES = {
    "start_s": "start",
    "end_s": "end",
    "source_frame_s": "source-frame",
    "duration_s": "duration",
    "fade_in_s": "fade-in-motion",
    "returns": "return",
}
# `sources` and `driving` are arguments, and `fetch` says who agreed to a download.
_LEFT_OUT = {"sources", "driving", "fetch", "controls", "face_drivings"}
_DIGITS = 9  # after the point, which is what the options that are numbers take


def command_line(request: AnimationRequest) -> str:
    """The line, quoted for a POSIX shell, with those options alone that differ from their defaults.

    Raises ValueError for controls that the command line has no options for, such as one eye's alone.

    Example:
        >>> from pathlib import Path
        >>> from mcnet_cli import AnimationRequest
        >>> from mcnet_cli.animation.command_line import command_line
        >>> command_line(AnimationRequest(sources=(Path("my photo.jpg"),), driving=Path("a.mp4"), size=512))
        "mcnet animate 'my photo.jpg' a.mp4 --size 512"
    """
    driving = () if request.driving is None else (request.driving,)
    words = ["mcnet", "animate", *map(_file, (*request.sources, *driving))]
    for field in fields(request):
        value = getattr(request, field.name)
        if field.name not in _LEFT_OUT and value != field.default:
            words += _option(_NAMES.get(field.name, field.name.replace("_", "-")), value)
    for number, path in request.face_drivings:
        words += ["--face", f"{number}={path}"]
    words += _controls(request.controls)
    return shlex.join(words)


def _option(name: str, value: Any) -> list[str]:
    """An option and its value as they are typed; of flags, which have no value, the name alone."""
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", _text(value)]


def _controls(keyframes: Keyframes) -> list[str]:
    """The options for pose and expression."""
    tracks = dict(keyframes.tracks)
    words = []
    across, up = tracks.pop("gaze_x", ()), tracks.pop("gaze_y", ())
    if [time for time, _ in across] != [time for time, _ in up]:
        raise ValueError("there is no option for one direction of the gaze alone")
    if across:
        looks = [(time, f"{_number(x)},{_number(y)}") for (time, x), (_, y) in zip(across, up, strict=True)]
        words += _track("gaze", looks)
    if "left_eye" in tracks and tracks["left_eye"] == tracks.get("right_eye"):
        del tracks["right_eye"]
        tracks["eyes"] = tracks.pop("left_eye")
    for name, track in tracks.items():
        if name not in CONTROL_OPTIONS:
            raise ValueError(f"there is no option for {name}")
        words += _track(name, [(time, _number(value)) for time, value in track])
    return words


def _track(name: str, track: Sequence[tuple[float, str]]) -> list[str]:
    """An option for what changes in time, or stays: a single keyframe at the beginning is its value alone."""
    stays = len(track) == 1 and track[0][0] == 0
    return [
        f"--{name}",
        track[0][1] if stays else ",".join(f"{_number(time)}:{said}" for time, said in track),
    ]


def _text(value: Any) -> str:
    if isinstance(value, Path):
        return _file(value)
    if isinstance(value, CropBox):
        return ",".join(_number(side, None) for side in (value.x, value.y, value.width, value.height))
    if isinstance(value, Mapping):  # strengths of regions
        return ",".join(f"{name}={_number(factor)}" for name, factor in value.items())
    if isinstance(value, tuple) and isinstance(value[0], str):  # regions
        return ",".join(value)
    if isinstance(value, tuple):  # a colour's red, green and blue
        return "#" + "".join(f"{level:02x}" for level in value)
    if isinstance(value, float):
        return _number(value)
    return str(Fraction(value)) if isinstance(value, Fraction) else str(value)


def _number(value: float, digits: int | None = _DIGITS) -> str:
    """A number without an exponent, which options don't take."""
    return np.format_float_positional(value, precision=digits, trim="-")


def _file(path: Path) -> str:
    """A path that can't be taken for an option, nor for a background's colour or word."""
    text = str(path)
    is_ambiguous = text.startswith(("-", "#")) or not isinstance(parse_background(text), Path)
    return f"./{text}" if is_ambiguous else text

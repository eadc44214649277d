"""Options of `mcnet animate` as people type them: from texts to a request, and back to a command line."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mcnet_cli import options
from mcnet_cli.animation.request import AnimationRequest
from mcnet_cli.errors import UsageError, shown
from mcnet_cli.face import CropBox, parse_crop
from mcnet_cli.motion import Keyframes
from mcnet_cli.options import CONTROL_OPTIONS, parse_background

# `sources` and `driving` are arguments, and `fetch` says who agreed to a download.
_LEFT_OUT = {"sources", "driving", "fetch", "controls", "face_drivings"}
_DIGITS = 9  # after the point, which is what the options that are numbers take


def _keyframes(name: str, text: str) -> Keyframes:
    return Keyframes.of(**{name: options.parse_track(f"--{name}", text)})


def _flag(text: str) -> bool:
    return {"true": True, "false": False}[text.strip().lower()]


def _same(parse: Callable[[str], Any], *names: str) -> dict[str, tuple[str, Callable[[str], Any]]]:
    """Options whose field has their name."""
    return {name: (name.replace("-", "_"), parse) for name in names}


# The options of `mcnet animate` by their names: the field of AnimationRequest, and what makes its value of a
# text. Left out are those of whole runs, and --save-motion, whose file a batch would make after the film that
# tells that a job is done.
OPTIONS: dict[str, tuple[str, Callable[[str], Any]]] = {
    **_same(str, "weights", "device", "precision", "detector"),
    **_same(str, "motion", "on-no-face", "picture", "codec", "quality", "hwaccel"),
    **_same(_flag, "adapt-scale", "compare", "metadata", "compile", "strict", "ping-pong"),
    **_same(float, "smooth", "speed"),
    **_same(int, "size", "max-frames", "audio-track", "loop"),
    **_same(options.parse_reference, "reference"),
    **_same(options.parse_names, "region"),
    **_same(options.parse_strength, "strength"),
    **{name: ("controls", partial(_keyframes, name)) for name in CONTROL_OPTIONS},
    "gaze": ("gaze", options.parse_gaze),
    "duration": ("duration_s", options.parse_time),
    "fade-in-motion": ("fade_in_s", options.parse_time),
    "return": ("returns", _flag),
    "face": ("face", lambda text: options.parse_faces([text])),
    **_same(options.parse_driving_face, "driving-face"),
    **_same(options.parse_background, "background"),
    **_same(options.parse_audio, "audio"),
    **_same(options.parse_volume, "volume"),
    **_same(options.parse_rate, "fps"),
    **_same(options.parse_batch_size, "batch-size"),
    **_same(Path, "crop-json"),
    **_same(partial(parse_crop, "--source-crop"), "source-crop"),
    **_same(partial(parse_crop, "--driving-crop"), "driving-crop"),
    "start": ("start_s", options.parse_time),
    "end": ("end_s", options.parse_time),
    "source-frame": ("source_frame_s", options.parse_time),
}
# Fields by the options that set them; all others are called as their option is.
_NAMES = {field: name for name, (field, _) in OPTIONS.items() if field != "controls"}


def option_name(typed: str) -> str:
    """The name of an option, with dashes, of a text in which it may be a field's."""
    return typed.strip().replace("_", "-")


def parse_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `OPTIONS` that are given, by name with text or JSON values, as fields of `AnimationRequest`.

    UsageError for values that make no sense.
    """
    fields: dict[str, Any] = {}
    for typed, value in values.items():
        name = option_name(typed)
        field, parse = OPTIONS[name]
        if field in fields and field != "controls":
            raise UsageError(f"--{name}: is given twice")
        try:
            parsed = parse(_typed(value))
            if name == "face":
                field, parsed = ("face_drivings", parsed[1]) if parsed[1] else (field, parsed[0])
            if name == "gaze" and not isinstance(parsed, str):
                field, parsed = "controls", Keyframes.of(gaze_x=parsed[0], gaze_y=parsed[1])
            fields[field] = fields[field] | parsed if field in fields else parsed
        except (ValueError, KeyError) as error:
            kinds = {_flag: "true or false", int: "a whole number", float: "a number"}
            kind = kinds.get(parse, "a text")
            raise UsageError(f"--{name} {shown(str(value))}: must be {kind}") from error
    return fields


def _typed(value: Any) -> str:
    """What would be typed on the command line for a JSON value."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise ValueError
    return str(value)


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

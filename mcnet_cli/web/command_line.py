"""The `mcnet animate` line that makes the same film as a request."""

import shlex
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mcnet_cli.animation import AnimationRequest
from mcnet_cli.face import CropBox
from mcnet_cli.options import parse_background

# Fields whose option has another name; all others are called as their option is.
_NAMES = {"start_s": "start", "end_s": "end", "source_frame_s": "source-frame"}
# Not told by values: `sources` and `driving` are arguments, and `fetch` says who agreed to a download.
_LEFT_OUT = {"sources", "driving", "fetch"}


def command_line(request: AnimationRequest) -> str:
    """The line, quoted for a POSIX shell, with those options alone that differ from their defaults.

    Example:
        >>> from pathlib import Path
        >>> from mcnet_cli import AnimationRequest
        >>> from mcnet_cli.web.command_line import command_line
        >>> command_line(AnimationRequest(sources=(Path("my photo.jpg"),), driving=Path("a.mp4"), size=512))
        "mcnet animate 'my photo.jpg' a.mp4 --size 512"
    """
    words = ["mcnet", "animate", *map(_file, (*request.sources, request.driving))]
    for field in fields(request):
        value = getattr(request, field.name)
        if field.name not in _LEFT_OUT and value != field.default:
            words += _option(_NAMES.get(field.name, field.name.replace("_", "-")), value)
    return shlex.join(words)


def _option(name: str, value: Any) -> list[str]:
    """An option and its value as they are typed; of flags, which have no value, the name alone."""
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", _text(value)]


def _text(value: Any) -> str:
    if isinstance(value, Path):
        return _file(value)
    if isinstance(value, CropBox):
        return ",".join(map(_number, (value.x, value.y, value.width, value.height)))
    if isinstance(value, tuple):  # a colour's red, green and blue
        return "#" + "".join(f"{level:02x}" for level in value)
    if isinstance(value, float):
        return _number(value)
    return str(Fraction(value)) if isinstance(value, Fraction) else str(value)


def _number(value: float) -> str:
    """All digits of a number, without an exponent, which times can't have."""
    return np.format_float_positional(value, trim="-")


def _file(path: Path) -> str:
    """A path that can't be taken for an option, nor for a background's colour or word."""
    text = str(path)
    is_ambiguous = text.startswith(("-", "#")) or not isinstance(parse_background(text), Path)
    return f"./{text}" if is_ambiguous else text

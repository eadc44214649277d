"""The options of `mcnet animate` that visitors have, in the words of its `--help`."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args, get_type_hints

from mcnet_cli.errors import UsageError, shown

Kind = Literal["flag", "choice", "several", "number", "text", "file"]
# Where the page shows an option: always, in a fold, as the boxes around faces, or as a slider.
Place = Literal["at hand", "folded", "boxes", "sliders"]

# Left out are options that name outputs, or say what the server computes with. No text is taken for a path:
# files are sent.
PLACES: Mapping[str, Place] = {
    **dict.fromkeys(("region", "strength", "picture", "background", "smooth"), "at hand"),
    **dict.fromkeys(("face", "source-crop"), "boxes"),
    **dict.fromkeys(("yaw", "pitch", "roll", "mouth", "smile", "eyes", "brows"), "sliders"),
    **dict.fromkeys(
        (
            *("motion", "reference", "adapt-scale", "gaze"),
            *("speed", "loop", "ping-pong", "duration", "fade-in-motion", "return"),
            *("driving-face", "driving-crop", "on-no-face"),
            *("audio", "no-audio", "audio-track", "volume", "codec", "quality", "metadata"),
            *("size", "compare", "start", "end", "max-frames", "fps", "strict"),
        ),
        "folded",
    ),
}
# How far sliders go, which is less than the command line does; both of `gaze`'s numbers from -1 to 1.
SLIDERS: Mapping[str, tuple[float, float]] = {
    "yaw": (-30, 30),
    "pitch": (-20, 20),
    "roll": (-20, 20),
    "mouth": (0, 1),
    "smile": (-1, 1),
    "eyes": (-1, 1),
    "brows": (-1, 1),
}
FILM_KINDS = (".mp4", ".webm", ".mov", ".gif", ".webp")
MAX_VALUE_CHARS = 100  # characters


@dataclass(frozen=True, slots=True)
class Option:
    """An option as the page shows it. default: None if it is left to the program."""

    name: str
    place: Place
    kind: Kind
    help: str
    metavar: str
    choices: tuple[str, ...]
    default: str | None

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def described(command: Callable[..., None]) -> tuple[Option, ...]:
    """The options of a typer command's function that visitors have, in the order of `PLACES`.

    Parameters are called as their options are.
    """
    found = {}
    hints = get_type_hints(command, include_extras=True)
    for parameter in inspect.signature(command).parameters.values():
        name = parameter.name.rstrip("_").replace("_", "-")  # such as `return_`
        if name in PLACES:
            value_type, declared = get_args(hints[parameter.name])
            found[name] = _described(name, value_type, declared, parameter.default)
    return tuple(found[name] for name in PLACES if name in found)


def _described(name: str, value_type: Any, declared: Any, default: Any) -> Option:
    metavar = declared.metavar or ""
    words = metavar.removesuffix(",...").split("|")
    kind: Kind = "text"
    if metavar == "FILE":
        kind = "file"
    elif value_type is bool:
        kind = "flag"
        default = str(default).lower()
    elif len(words) > 1 and all(word.islower() for word in words):
        kind = "choice" if metavar.islower() and "," not in metavar else "several"
    elif {value_type, *get_args(value_type)} & {int, float}:
        kind = "number"
    return Option(
        name=name,
        place=PLACES[name],
        kind=kind,
        help=declared.help,
        metavar=metavar,
        choices=tuple(words) if kind in ("choice", "several") else (),
        default=None if default is None else str(default),
    )


def require_visitors_options(values: Mapping[str, str]) -> dict[str, str]:
    """The values that were given, by names with dashes. UsageError for an option that visitors don't have."""
    given = {}
    for typed, value in values.items():
        name = typed.replace("_", "-")
        if name not in PLACES:
            raise UsageError(f"there is no option {shown(typed[:40])}", hint=f"there are {', '.join(PLACES)}")
        if len(value) > MAX_VALUE_CHARS:
            raise UsageError(f"{name}: is longer than {MAX_VALUE_CHARS} characters")
        if value != "":
            given[name] = value
    if given.pop("no-audio", "false") == "true":
        given["audio"] = "false"  # as `parse_options` knows it
    return given

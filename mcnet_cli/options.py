"""Values that people type, turned once into what the program uses; and the checks that options share."""

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

from mcnet_cli.errors import UsageError

FaceChoice = Literal["largest", "all"] | int  # of a source; numbers count from 0, left to right
DrivingFace = Literal["largest", "first"] | int
DetectorName = Literal["blazeface", "face-alignment"]
BackgroundName = Literal["still", "moving", "transparent"]
BackgroundChoice = BackgroundName | tuple[int, int, int] | Path  # a colour: red, green, blue

CONTROL_OPTIONS = ("yaw", "pitch", "roll", "mouth", "smile", "eyes", "brows")
DETECTORS: tuple[DetectorName, ...] = get_args(DetectorName)
SIZE_LIMITS_PX = (16, 4096)  # of a result's side
RATE_LIMITS = (Fraction(1, 100), Fraction(1000))  # frames a second
_BACKGROUNDS: tuple[BackgroundName, ...] = get_args(BackgroundName)


def parse_rate(text: str) -> Fraction:
    """A frame rate such as `25`, `29.97` or `30000/1001`; UsageError otherwise."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9}|/[0-9]{1,9})?", text):
        raise UsageError(f"--fps {text}: must be a rate such as 25, 29.97 or 30000/1001")
    try:
        return Fraction(text)
    except ZeroDivisionError:
        raise UsageError(f"--fps {text}: the denominator is 0") from None


def parse_time(text: str) -> float:
    """Seconds from `83.5`, `1:23.5` or `0:01:23.5`; UsageError otherwise."""
    if not re.fullmatch(r"([0-9]{1,6}:){0,2}[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise UsageError(f"{text}: must be a time in seconds or as H:MM:SS, such as 83.5 or 1:23.5")
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def parse_shard(text: str) -> tuple[int, int]:
    """`2/8`, the second of eight parts, as (1, 8); UsageError otherwise."""
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"--shard {text}: must be like 2/8, the second of eight parts")
    return int(found[1]) - 1, int(found[2])


def parse_names(text: str) -> tuple[str, ...]:
    """Names between commas, each once, in the order in which they were typed."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def parse_batch_size(text: str) -> int | None:
    """`auto` (None) or a number; UsageError otherwise."""
    if text == "auto":
        return None
    return _number(text, f"--batch-size {text}: must be auto or a number")


def parse_reference(text: str) -> Literal["best", "first"] | int:
    """`best`, `first` or a frame's number from 0; UsageError otherwise."""
    if text == "best" or text == "first":
        return "best" if text == "best" else "first"
    return _number(text, f"--reference {text}: must be best, first or a frame's number from 0")


def parse_face(text: str) -> FaceChoice:
    """`largest`, `all` or a face's number from 0, left to right; UsageError otherwise."""
    if text == "largest" or text == "all":
        return "largest" if text == "largest" else "all"
    return _number(text, f"--face {text}: must be largest, all or a number from 0, left to right")


def parse_faces(
    texts: Sequence[str],
) -> tuple[FaceChoice, tuple[tuple[int, Path], ...]]:
    """A choice as of `parse_face`; or `N=DRIVING,...`, faces by number with their drivings.

    UsageError for any other text. A comma parts two drivings only where another `N=` follows: names of files
    may have some.
    """
    if len(texts) == 1 and "=" not in texts[0]:
        return parse_face(texts[0]), ()
    pairs = [pair for text in texts for pair in re.split(r",(?=\s*[0-9]+=)", text)]
    drivings: dict[int, Path] = {}
    for pair in pairs:
        number, equals, driving = pair.strip().partition("=")
        if not (equals and driving and re.fullmatch("[0-9]{1,6}", number)):
            raise UsageError(
                f"--face {pair}: must be a face's number and its driving, such as --face 0=a.mp4,1=b.mp4"
            )
        if int(number) in drivings:
            raise UsageError(f"--face {int(number)}=...: that face has two drivings")
        drivings[int(number)] = Path(driving)
    return "largest", tuple(drivings.items())


def parse_driving_face(text: str) -> DrivingFace:
    """`largest`, `first` or a face's number from 0, left to right; UsageError otherwise."""
    if text == "largest" or text == "first":
        return "largest" if text == "largest" else "first"
    return _number(text, f"--driving-face {text}: must be largest, first or a number from 0, left to right")


def parse_strength(text: str) -> float | dict[str, float]:
    """A factor, or factors by region such as `lips=1.3,pose=0.6`; UsageError otherwise."""
    if "=" not in text:
        return _factor("--strength", text)
    pairs = [pair.partition("=") for pair in text.split(",")]
    return {name.strip(): _factor("--strength", value) for name, _, value in pairs}


def parse_track(option: str, text: str) -> tuple[tuple[float, float], ...]:
    """Keyframes: a number, or `TIME:VALUE,...` as (seconds, value); UsageError otherwise."""
    if ":" not in text:
        return ((0.0, _factor(option, text)),)
    track = []
    for pair in text.split(","):
        time, _, value = pair.strip().rpartition(":")
        track.append((parse_time(time), _factor(option, value)))
    return tuple(track)


def parse_gaze(
    text: str,
) -> Literal["driving", "source"] | tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]:
    """`driving`, `source`, or where eyes look: `X,Y`, or keyframes `TIME:X,Y,...` as tracks of X and of Y.

    UsageError for any other text.
    """
    if text == "driving" or text == "source":
        return "driving" if text == "driving" else "source"
    numbers = text.split(",")
    if len(numbers) % 2:
        raise UsageError(f"--gaze {text}: must be driving, source, X,Y or TIME:X,Y,...")
    across, up = [], []
    for first, second in zip(numbers[::2], numbers[1::2], strict=True):
        time, _, x = first.strip().rpartition(":")
        seconds = parse_time(time) if time else 0.0
        across.append((seconds, _factor("--gaze", x)))
        up.append((seconds, _factor("--gaze", second)))
    return tuple(across), tuple(up)


def parse_mix(text: str) -> tuple[Path, float]:
    """`MOTION` or `MOTION=SHARE` as a path and a share, 0.5 without one; UsageError otherwise."""
    name, separator, share = text.rpartition("=")
    if not separator:
        return Path(text), 0.5
    return Path(name), _factor("--mix", share)


def _factor(option: str, text: str) -> float:
    """A number as people type it; UsageError otherwise."""
    if not re.fullmatch(r"[+-]?([0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9})", text.strip()):
        raise UsageError(f"{option} {text or '(empty)'}: must be a number, such as 0.5")
    return float(text)


def parse_background(text: str) -> BackgroundChoice:
    """`still`, `moving` or `transparent`, a colour as red, green and blue, or the path of a picture.

    Colours are `#rgb`, `#rrggbb` and the names of CSS. Any other text is a path, which isn't looked up; a
    file that is named like a word or a colour is given as `./red`. Raises UsageError for an empty text, and
    for one that starts with `#` and is no colour.
    """
    for word in _BACKGROUNDS:
        if text == word:
            return word
    from PIL import ImageColor

    if text.lower() in ImageColor.colormap or re.fullmatch(r"#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})", text):
        red, green, blue = ImageColor.getrgb(text)[:3]
        return red, green, blue
    if not text or text.startswith("#"):
        raise UsageError(
            f"--background {text}: must be still, moving, transparent, a colour such as #20c0ff or white,"
            " or a picture's file",
            hint="a file whose name starts with # is given as ./#NAME",
        )
    return Path(text)


def parse_audio(text: str) -> bool | Path:
    """`true` and `false`, or the path of a file with sound, which isn't looked up."""
    words = {"true": True, "false": False}
    return words.get(text.strip().lower(), Path(text))


def parse_volume(text: str) -> float:
    """A factor such as `0.5`, or decibels such as `-6dB`, as a factor; UsageError otherwise."""
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    if found := re.fullmatch(r"([+-]?[0-9]{1,3}(\.[0-9]{1,9})?) ?dB", text, re.IGNORECASE):
        return float(10 ** (float(found[1]) / 20))
    raise UsageError(f"--volume {text}: must be a factor such as 0.5, or decibels such as -6dB")


def _number(text: str, otherwise: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise UsageError(otherwise)
    return int(text)


def listed(names: Sequence[str]) -> str:
    """Names that can be chosen from, as text: `a, b or c`."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def require_among(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """UsageError if the option `name` has a value that isn't one of the allowed ones."""
    if value not in allowed:
        raise UsageError(f"{name} {value}: must be {listed(allowed)}")


def require_between(
    name: str, value: float | Fraction | None, low: float | Fraction, high: float | Fraction | None
) -> None:
    """UsageError if a value is NaN, infinite or out of range; None for a value or for `high`: no bound."""
    if value is None or (low <= value and (high is None or value <= high) and value != float("inf")):
        return
    most = "" if high is None else f" and at most {float(high):g}"
    raise UsageError(f"{name} {value}: must be at least {float(low):g}{most}")

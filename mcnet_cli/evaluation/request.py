"""What is asked of an evaluation: protocols, figures, and the settings by which portraits are moved."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from mcnet_cli.engines import ENGINES
from mcnet_cli.errors import UsageError
from mcnet_cli.framing import LIMITS
from mcnet_cli.options import DETECTORS, require_among, require_between
from mcnet_cli.weights import NEVER, Fetch

RECONSTRUCTION, REENACTMENT, ANIMATION = "reconstruction", "reenactment", "animation"
PROTOCOLS = (RECONSTRUCTION, REENACTMENT, ANIMATION)


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric: one number for each clip.

    title: as tables have it. unit: in words. better: `more`, `less`, or `one` for ratios that should be 1.
    needs_truth: whether made frames are compared with the real ones, which exist only in a reconstruction.
    default_for: protocols that measure it without being asked.
    """

    title: str
    unit: str
    better: Literal["more", "less", "one"]
    needs_truth: bool
    default_for: tuple[str, ...]

    def badness(self, value: float) -> float:
        """Larger for worse values; infinite for NaN, a value that could not be measured."""
        if math.isnan(value):
            return math.inf
        if self.better == "one":
            return abs(math.log(max(value, 1e-9)))
        return value if self.better == "less" else -value


OVER_COPY = "L1 over that of showing the source unmoved"
VARIES = "how much it varies over frames, result over driving"
TRUTH, ACROSS = (RECONSTRUCTION,), (REENACTMENT, ANIMATION)
FIGURES = {
    "l1": Figure("L1", "of the range of values", "less", True, TRUTH),
    "error_over_copy": Figure("error/copy", OVER_COPY, "less", True, ()),
    "mouth_over_copy": Figure("mouth/copy", f"{OVER_COPY}, around the mouth", "less", True, TRUTH),
    "inner_mouth_over_copy": Figure(
        "inner mouth/copy", f"{OVER_COPY}, between open lips", "less", True, TRUTH
    ),
    "psnr": Figure("PSNR", "dB", "more", True, TRUTH),
    "ssim": Figure("SSIM", "1 is equal", "more", True, TRUTH),
    "lpips": Figure("LPIPS", "0 is equal", "less", True, TRUTH),
    "akd": Figure("AKD", "pixels at 256 x 256", "less", True, TRUTH),
    "landmarks": Figure("landmark distance", "% of the eye distance", "less", True, TRUTH),
    "flow": Figure("flow agreement", "cosine of the optical flows from the source", "more", True, TRUTH),
    "sharpness": Figure("sharpness", "mean absolute Laplacian, result over real", "one", True, TRUTH),
    "mouth": Figure("mouth", "correlation of its opening with the driving's", "more", False, ACROSS),
    "eyes": Figure("eyes", "correlation of the lids' opening with the driving's", "more", False, ACROSS),
    "smile": Figure("smile", "correlation of the mouth's width with the driving's", "more", False, ACROSS),
    "brows": Figure("brows", "correlation of their height with the driving's", "more", False, ACROSS),
    "gaze": Figure(
        "gaze", "correlation of the irises' sideways place with the driving's", "more", False, ACROSS
    ),
    **{
        f"{name}_gain": Figure(f"{name} gain", VARIES, "one", False, ACROSS)
        for name in ("mouth", "eyes", "smile", "brows", "gaze")
    },
    "lids_gain": Figure(
        "lids gain",
        f"{VARIES}, each over how far its eyes open: large eyes close further",
        "one",
        False,
        ACROSS,
    ),
    "motion": Figure("motion", "how far the upper face moves, result over driving", "one", False, ACROSS),
    "identity": Figure(
        "identity", "0 is the source's face, 1 as unlike as the driving's", "less", False, ACROSS
    ),
    "jitter": Figure("jitter", "second differences of the mesh, result over driving", "one", False, ACROSS),
    "aed": Figure("AED", "distance of face embeddings", "less", False, ()),
    "csim": Figure("CSIM", "cosine of face embeddings", "more", False, ()),
}
RECOGNIZED = ("aed", "csim")  # measured by default where a face recognition network is given
METRICS = tuple(name for name in FIGURES if name != "error_over_copy")  # that one comes with l1


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How portraits are moved and cropped; None for what the protocol has, else the weights, else `animate`.

    motion, reference, adapt_scale, strength, smooth, gaze: as the options of `mcnet animate`. keypoints:
    `tracked` landmarks if the weights take them, or what the `network` detects. picture: the square
    that the `network` makes, as the paper measures it, or the one around the `face`, put together at the
    portrait's own size as `mcnet animate --picture face` does. size: side in pixels to which frames and the
    driving's are brought for comparison; None for the network's. paint: False shows the warped portrait
    without what the network paints, a baseline for the inside of mouths. face_height, center_x, center_y: the
    framing of portraits and drivings, as `Framing` has it.
    """

    motion: Literal["relative", "absolute"] | None = None
    reference: Literal["best", "first"] | int | None = None
    adapt_scale: bool | None = None
    strength: float | None = None
    smooth: float | None = None
    gaze: Literal["driving", "source"] | None = None
    keypoints: Literal["tracked", "network"] | None = None
    picture: Literal["network", "face"] | None = None
    size: int | None = None
    paint: bool | None = None
    face_height: float | None = None
    center_x: float | None = None
    center_y: float | None = None

    @classmethod
    def parse(cls, text: str, option: str = "--vary") -> "Settings":
        """From `NAME=VALUE,NAME=VALUE`, such as `motion=absolute,smooth=0`; UsageError for anything else."""
        values: dict[str, Any] = {}
        for part in text.split(","):
            name, equals, value = (word.strip() for word in part.partition("="))
            if not equals or name not in _PARSERS:
                raise UsageError(
                    f"{option} {text}: {part.strip()!r} sets nothing",
                    hint=f"give NAME=VALUE; names are {', '.join(_PARSERS)}",
                )
            if name in values:
                raise UsageError(f"{option} {text}: {name} is set twice")
            parse, expected = _PARSERS[name]
            try:
                values[name] = parse(value)
            except (ValueError, KeyError) as error:
                raise UsageError(f"{option} {part.strip()}: {name} must be {expected}") from error
        return cls(**values)

    @property
    def given(self) -> dict[str, Any]:
        """The settings that are not None."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def transfer(self) -> dict[str, Any]:
        """Those of them that `animation.Transfer` takes."""
        return {name: value for name, value in self.given.items() if name in TRANSFER}

    @property
    def framing(self) -> dict[str, float]:
        """Those of them that say how faces are cropped."""
        return {name: value for name, value in self.given.items() if name in LIMITS}

    def changed(self, others: "Settings") -> "Settings":
        """These settings, with those that `others` give in their place."""
        return replace(self, **others.given)

    def __str__(self) -> str:
        """As `parse` reads it."""
        words = {True: "on", False: "off"}
        return ", ".join(
            f"{name}={words[value] if isinstance(value, bool) else value}"
            for name, value in self.given.items()
        )


def _number(low: float, high: float, kind: type[float] = float) -> tuple[Callable[[str], Any], str]:
    """Parses a float or an int between two limits, and says in words what it takes; so do those below."""

    def parse(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return parse, f"a {'whole ' if kind is int else ''}number from {low:g} to {high:g}"


def _word(*words: str) -> tuple[Callable[[str], Any], str]:
    return {word: word for word in words}.__getitem__, " or ".join(words)


def _reference(text: str) -> str | int:
    if text in ("best", "first"):
        return text
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


TRANSFER = ("motion", "reference", "adapt_scale", "strength", "smooth", "gaze")
SIZES_PX = (32, 2048)
SWITCH: tuple[Callable[[str], Any], str] = {"on": True, "off": False}.__getitem__, "on or off"
_PARSERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "motion": _word("relative", "absolute"),
    "reference": (_reference, "best, first or the number of a frame"),
    "adapt_scale": SWITCH,
    "strength": _number(0, 10),
    "smooth": _number(0, 100),
    "gaze": _word("driving", "source"),
    "keypoints": _word("tracked", "network"),
    "picture": _word("network", "face"),
    "size": _number(*SIZES_PX, int),
    "paint": SWITCH,
    **{name: _number(*limits) for name, limits in LIMITS.items()},
}


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """The options of `mcnet evaluate`; UsageError where they make no sense.

    clips: a folder of clips; square face clips for reconstruction and reenactment. portraits: a folder of
    pictures that they move, for animation. pairs: a CSV file with the columns source and driving, for
    protocols across people. weights: names, paths or hub addresses; none for the environment's, else the
    default. settings: how all rows move portraits; variations: a further row for each weights file that
    differs by these. metrics: names, None for the protocols' own. recognizer: an ONNX file, or the name of
    one. output: the report's folder. every: each N-th frame is made and measured. max_frames: at most so many
    frames of a clip are read. detector: of faces; with face-alignment `akd` compares its 68 landmarks,
    otherwise the mesh's 468. engine, workers: what measures; None for this process alone, or on Ray for half
    the processors.
    """

    clips: Path
    protocols: tuple[str, ...] = (RECONSTRUCTION,)
    portraits: Path | None = None
    pairs: Path | None = None
    weights: tuple[str, ...] = ()
    settings: Settings = Settings()
    variations: tuple[Settings, ...] = ()
    metrics: tuple[str, ...] | None = None
    recognizer: str | None = None
    output: Path | None = None
    overwrite: bool = False
    fetch: Fetch = NEVER
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    detector: str = "blazeface"
    every: int = 1
    max_frames: int | None = None
    strict: bool = False
    engine: str = "local"
    workers: int | None = None

    def __post_init__(self) -> None:
        require_among("--engine", self.engine, ENGINES)
        require_between("--workers", self.workers, 1, 1024)
        self._check_protocols()
        self._check_metrics()
        require_among("--detector", self.detector, DETECTORS)
        require_between("--every", self.every, 1, None)
        require_between("--max-frames", self.max_frames, 2, None)
        for change in (self.settings, *self.variations):
            whole = self.settings.changed(change)
            if whole.paint is False and whole.picture != "face":
                raise UsageError(
                    "paint=off: only frames at the portrait's size can leave out what is painted",
                    hint="add picture=face",
                )
            if (
                RECONSTRUCTION in self.protocols
                and whole.strength not in (None, 1)
                and whole.motion != "relative"
            ):
                raise UsageError(
                    f"strength={whole.strength:g}: {RECONSTRUCTION} takes keypoints as they are",
                    hint="add motion=relative",
                )
            if ANIMATION not in self.protocols and change.framing:
                raise UsageError(
                    f"{', '.join(change.framing)}: only portraits are cropped",
                    hint=f"take --protocol {ANIMATION}",
                )
            if ANIMATION in self.protocols and change.keypoints == "network":
                raise UsageError(
                    "keypoints=network: faces that are cropped are tracked",
                    hint=f"take --protocol {REENACTMENT}",
                )

    def _check_protocols(self) -> None:
        if not self.protocols or not {*self.protocols} <= {*PROTOCOLS}:
            unknown = next((name for name in self.protocols if name not in PROTOCOLS), "")
            raise UsageError(f"--protocol {unknown}: must be {', '.join(PROTOCOLS[:-1])} or {PROTOCOLS[-1]}")
        if ANIMATION in self.protocols and len(self.protocols) > 1:
            raise UsageError(
                f"--protocol: {ANIMATION} takes other clips than the others", hint="run it by itself"
            )
        if (ANIMATION in self.protocols) != (self.portraits is not None):
            raise UsageError(
                f"--portraits and --protocol {ANIMATION} belong together", hint="give both or none"
            )
        if self.pairs is not None and self.protocols == (RECONSTRUCTION,):
            raise UsageError("--pairs: a reconstruction has none", hint=f"add --protocol {REENACTMENT}")

    def _check_metrics(self) -> None:
        for name in self.metrics or ():
            if name not in METRICS:
                raise UsageError(f"--metrics: there is no {name!r}", hint=f"there are {', '.join(METRICS)}")
            if name in RECOGNIZED and self.recognizer is None:
                raise UsageError(
                    f"--metrics {name}: it needs a face recognition network",
                    hint="add --recognizer FILE.onnx, ArcFace's or SFace's for example",
                )
        if self.metrics == ():
            raise UsageError("--metrics: none is named", hint=f"there are {', '.join(METRICS)}")

    def wanted(self, protocol: str) -> tuple[str, ...]:
        """The metrics asked for in a protocol."""
        if self.metrics is not None:
            return tuple(name for name in METRICS if name in self.metrics)
        extra = RECOGNIZED if self.recognizer is not None else ()
        return tuple(name for name in METRICS if protocol in FIGURES[name].default_for or name in extra)

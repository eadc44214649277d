"""What `live` is asked for, and what it says in the end."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mcnet_cli import __version__
from mcnet_cli.errors import UsageError, counted, shown
from mcnet_cli.files import check_free, require_folder
from mcnet_cli.media import output_kind
from mcnet_cli.media.frames import require_local_file
from mcnet_cli.options import (
    SIZE_LIMITS_PX,
    BackgroundChoice,
    DrivingFace,
    FaceChoice,
    require_among,
    require_between,
)
from mcnet_cli.weights import NEVER, Fetch

MAX_SIDE_PX = 1080  # longer side of the photo, if nothing else is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRequest:
    """What to move by a camera, and where to show it. UsageError where values contradict each other.

    How motion is carried over is checked when the network is loaded.

    Attributes:
        sources: portraits; one moves at a time.
        camera: its number, as OpenCV counts cameras; None: 0, unless there is an `input`.
        input: a video in place of the camera; it plays at its own pace.
        every_frame: no frame of `input` is left out, however long that takes.
        output: a film to write instead of showing a window.
        record: a film to write beside the window, from the first calibration on.
        overwrite: films may replace files.
        virtual_camera: other programs get the result as a camera's.
        mirror: pictures are mirrored before they are followed. None: a camera's are, unless the result goes
            to a virtual camera.
        duration_s: ends so many seconds after following began; None: with the input, or when asked to.
        weights, fetch, device, precision: as for `AnimationRequest`.
        region, strength, gaze: as in `Transfer`. steady: what hardly moves is steadied.
        face, driving_face, picture, background: as for `AnimationRequest`, without transparency.
        size: bounds the longer side of the photo in pixels; None: 1080, and less where that takes too long.
    """

    sources: tuple[Path, ...]
    camera: int | None = None
    input: Path | None = None
    every_frame: bool = False
    output: str | Path | None = None
    record: str | Path | None = None
    overwrite: bool = False
    virtual_camera: bool = False
    mirror: bool | None = None
    duration_s: float | None = None
    weights: str | None = None
    fetch: Fetch = NEVER
    device: str = "auto"
    precision: str = "auto"
    region: tuple[str, ...] = ("all",)
    strength: float | Mapping[str, float] = 1.0
    gaze: Literal["driving", "source"] = "driving"
    steady: bool = True
    face: FaceChoice = "largest"
    driving_face: DrivingFace = "largest"
    picture: Literal["photo", "face"] = "photo"
    background: BackgroundChoice = "still"
    size: int | None = None

    def __post_init__(self) -> None:
        if not self.sources:
            raise UsageError("a source is needed", hint="mcnet live portrait.jpg")
        require_between("--camera", self.camera, 0, None)
        if self.camera is not None and self.input is not None:
            raise UsageError("--camera and --input: the portrait follows one of them", hint="leave one out")
        require_between("--seconds", self.duration_s, 0.1, None)
        require_between("--size", self.size, *SIZE_LIMITS_PX)
        require_among("--picture", self.picture, ("photo", "face"))
        if self.background == "transparent":
            raise UsageError("--background transparent: a window shows no transparency", hint="take a colour")
        if self.every_frame and self.input is None:
            raise UsageError("--every-frame: a camera doesn't wait", hint="give a video by --input FILE")
        if self.output is not None and self.record is not None:
            raise UsageError("-o and --record both write the film", hint="-o FILE does it without a window")
        if self.film is not None and output_kind(self.film) == "picture":
            raise UsageError(f"{shown(self.film)} is one picture, and a session is a film", hint="take .mp4")

    @property
    def film(self) -> str | None:
        """The film that is written from the first calibration on; None if none is asked for."""
        asked = self.output if self.record is None else self.record
        return None if asked is None else os.fspath(asked)

    @property
    def is_mirrored(self) -> bool:
        """Whether pictures are mirrored to begin with."""
        if self.mirror is None:
            return self.input is None and not self.virtual_camera
        return self.mirror

    @property
    def wants_window(self) -> bool:
        """Whether a window is shown, where there is a display."""
        return self.output is None

    @property
    def needs_window(self) -> bool:
        """Whether nothing would come of the run without one."""
        return self.film is None and not self.virtual_camera

    def require_files(self) -> None:
        """InputError if a file isn't there, UsageError if the film's name is taken."""
        background = (self.background,) if isinstance(self.background, Path) else ()
        inputs = [*self.sources, *background]
        if self.input is not None and not self.input.is_dir():
            inputs.append(self.input)
        for path in inputs:
            require_local_file(path)
        if self.film is not None and output_kind(self.film) not in ("stdout", "pattern"):
            require_folder(Path(self.film))
            check_free(Path(self.film), overwrite=self.overwrite, inputs=tuple(inputs))


@dataclass(frozen=True, slots=True)
class LiveReport:
    """What a session was like.

    Attributes:
        name: the camera, or the input.
        captured, shown: frames that were taken, and that were shown; the others were left out.
        lost: shown frames in which the camera saw no face.
        seconds: from the first frame that was shown to the last one.
        latency_ms, latency_p95_ms: from capture to display, median and 95th percentile; None where frames
            had to wait for each other, because none was to be left out.
        size: longer side in pixels of what was drawn, at the end. asked_size: at the beginning.
        recordings: the films.
        device, precision: what the network ran on, and computed with.
    """

    name: str
    captured: int
    shown: int
    lost: int
    seconds: float
    latency_ms: int | None
    latency_p95_ms: int | None
    size: int
    asked_size: int
    device: str
    precision: str
    recordings: tuple[str, ...] = field(default=())

    @property
    def rate(self) -> float:
        """Shown frames a second."""
        return (self.shown - 1) / self.seconds if self.shown > 1 and self.seconds > 0 else 0.0

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "version": __version__,
            "input": self.name,
            "frames": {"captured": self.captured, "shown": self.shown, "without_face": self.lost},
            "seconds": round(self.seconds, 3),
            "frames_per_second": round(self.rate, 2),
            "latency_ms": {"median": self.latency_ms, "p95": self.latency_p95_ms},
            "size_px": {"first": self.asked_size, "last": self.size},
            "recordings": list(self.recordings),
            "device": self.device,
            "precision": self.precision,
        }

    def as_text(self) -> str:
        """Two lines, and one for each film."""
        lost = f", {counted(self.lost, 'frame')} without a face" if self.lost else ""
        latency = ""
        if self.latency_ms is not None:
            latency = (
                f"from capture to display {self.latency_ms} ms in the median, "
                f"{self.latency_p95_ms} ms in the 95th percentile; "
            )
        smaller = "" if self.size == self.asked_size else f", down from {self.asked_size} to keep pace"
        films = [f"{shown(film)} is complete" for film in self.recordings if film != "-"]
        return "\n".join(
            [
                f"{self.name}: {self.shown} of {counted(self.captured, 'frame')} shown in "
                f"{self.seconds:.1f} s, {self.rate:.1f} frames/s{lost}",
                f"  {latency}{self.size} px{smaller}; on {self.device} in {self.precision}",
                *films,
            ]
        )

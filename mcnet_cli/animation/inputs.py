"""What a run reads: its inputs, all checked before the long work, and the file of crops of an earlier run."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from mcnet_cli.animation.driving import decoded_rate
from mcnet_cli.animation.request import AnimationRequest, Crop
from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.face import CropBox
from mcnet_cli.files import atomic_output, require_regular_file
from mcnet_cli.media import FrameSource, is_picture, open_frames, probe_sound
from mcnet_cli.media.frames import require_local_file
from mcnet_cli.media.kinds import is_video
from mcnet_cli.motion.bundled import names_of_motions
from mcnet_cli.motion.motion_file import is_motion_file

CROPS_FILE_LIMIT = 1 << 20  # bytes
MAX_CROP_PX = 1e6


def require_inputs(request: AnimationRequest) -> None:
    """InputError if one of a request's inputs isn't there, is no regular file, or a video where none can be.

    InputError too for a file of sound that has none. UsageError for a source's time if no source has any.
    """
    drivings = [each.driving for each in request.by_driving]
    for path in request.inputs:
        if not (path in drivings and path.is_dir()):
            _require_known_name(path, drivings)
            require_local_file(path)
    if isinstance(request.audio, Path):
        probe_sound(request.audio, request.audio_track)
    if request.source_frame_s is not None:
        if all(map(is_picture, request.sources)):
            raise UsageError("--source-frame: no source is a video, so there is no frame to choose")
        return
    for path in filter(is_video, request.sources):
        if request.face_drivings:
            raise InputError(
                f"{shown(path)} is a video, and a source is a picture",
                hint="--face N=DRIVING takes the place of a driving after the sources: leave that out",
            )
        driving = request.driving
        if driving is None or request.bundled is not None:
            break
        if not driving.is_dir() and not is_motion_file(driving) and is_picture(driving):
            raise InputError(
                f"{shown(path)} is a video and {shown(driving)} a picture: the portrait comes first",
                hint=f"mcnet animate {shown(driving)} {shown(path)}",
            )
        raise InputError(
            f"{shown(path)} is a video, and a source is a picture",
            hint="--source-frame TIME takes a frame of it, such as --source-frame 0 for the first",
        )


def _require_known_name(path: Path, drivings: Sequence[Path | None]) -> None:
    """InputError for a driving that is no file but looks like the name of a motion."""
    if path in drivings and len(path.parts) == 1 and not path.suffix and not path.exists():
        raise InputError(
            f"{shown(path)}: there is no such file, and no motion of that name",
            hint=f"the motions are {names_of_motions()}",
        )


def open_driving(request: AnimationRequest) -> FrameSource:
    """The driving's frames, between --start and --end; at most as many a second as it has."""
    assert request.driving is not None
    fps = request.fps if request.compare else decoded_rate(request.driving, request.fps)
    return open_frames(
        request.driving,
        fps=fps,
        start_s=request.start_s,
        end_s=request.end_s,
        max_frames=request.max_frames,
        strict=request.strict,
        audio_track=request.driving_track,
        hwaccel=request.hwaccel,
    )


class Crops:
    """What is cropped on both sides. A box in the options wins over the file, and the file over `auto`.

    The file: {"driving": [x, y, width, height] or null, "sources": {NAME: [[x, y, width, height], ...]}}.

    path: the file; it is read if it exists. source, driving: the options.
    """

    def __init__(self, path: Path | None, source: Crop, driving: Crop) -> None:
        self._path, self._source, self._driving = path, source, driving
        self._saved: dict[str, Any] | None = None
        if path is not None and path.exists():
            self._saved = _read_crops(path)

    @property
    def driving(self) -> Crop:
        """What the network sees of the driving's frames."""
        if self._driving != "auto" or self._saved is None or self._saved["driving"] is None:
            return self._driving
        return CropBox(*self._saved["driving"])

    def source(self, path: Path) -> list[CropBox] | Literal["auto", "none"]:
        """What the network sees of a source, a box for each face."""
        if isinstance(self._source, CropBox):
            return [self._source]
        if self._source == "none" or self._saved is None or path.name not in self._saved["sources"]:
            return self._source
        return [CropBox(*box) for box in self._saved["sources"][path.name]]

    def save(self, driving: CropBox | None, sources: dict[Path, tuple[CropBox, ...]]) -> None:
        """Writes what was cropped, if a file is asked for that doesn't exist yet."""
        if self._path is None or self._saved is not None:
            return
        data = {
            "driving": driving and _numbers(driving),
            "sources": {path.name: [_numbers(box) for box in boxes] for path, boxes in sources.items()},
        }
        with atomic_output(self._path, overwrite=False) as part:
            part.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _numbers(box: CropBox) -> list[float]:
    return [round(float(side), 3) for side in (box.x, box.y, box.width, box.height)]


def _read_crops(path: Path) -> dict[str, Any]:
    """The file, all boxes checked."""
    if require_regular_file(path).st_size > CROPS_FILE_LIMIT:
        raise InputError(f"{shown(path)} is too large for a file of crops")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        driving, sources = data.get("driving"), data.get("sources", {})
        boxes = [box for named in sources.values() for box in named]
        if not all(map(_is_box, boxes if driving is None else [driving, *boxes])):
            raise ValueError
        if not all(sources.values()):
            raise ValueError
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(
            f"{shown(path)} is not a file of crops", hint="delete it, and the next run writes a new one"
        ) from error
    return {"driving": driving, "sources": sources}


def _is_box(box: Sequence[object]) -> bool:
    numbers = [n for n in box if isinstance(n, int | float) and math.isfinite(n) and abs(n) <= MAX_CROP_PX]
    return len(numbers) == len(box) == 4 and min(numbers[2:]) >= 1

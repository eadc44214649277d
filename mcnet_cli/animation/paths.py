"""The files that a run reads and writes, all checked before the long work, and what it crops."""

import json
import math
import os
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mcnet_cli.animation.request import AnimationRequest, Crop
from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.face import CropBox
from mcnet_cli.files import atomic_output, check_free, made_folders, require_folder, require_regular_file
from mcnet_cli.media import (
    Coding,
    FrameSource,
    choose_coding,
    decoded_rate,
    is_picture,
    open_frames,
    output_kind,
    probe_sound,
)
from mcnet_cli.media.frames import require_local_file
from mcnet_cli.media.kinds import is_video
from mcnet_cli.media.output import numbered
from mcnet_cli.motion.bundled import names_of_motions
from mcnet_cli.motion.motion_file import is_motion_file

CROPS_FILE_LIMIT = 1 << 20  # bytes
MAX_CROP_PX = 1e6
NAME_LIMIT = 255  # bytes, what nearly all file systems allow
FILM_SUFFIX = ".mp4"


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
    return driving_opener(request)()


def driving_opener(request: AnimationRequest) -> Callable[[], FrameSource]:
    """What opens the driving's frames, also in another process."""
    assert request.driving is not None
    fps = request.fps if request.compare else decoded_rate(request.driving, request.fps)
    return partial(
        open_frames,
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


@dataclass(frozen=True, slots=True)
class Output:
    """One film.

    target: a file, a PNG pattern, or `-` for stdout. kind: as `media.output_kind` calls it. coding: how its
    frames are stored.
    """

    target: str
    kind: str
    coding: Coding

    @property
    def may_have_sound(self) -> bool:
        """Whether this kind of file can hold sound."""
        return self.kind == "video"


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the films of a run go.

    films: one a source. new_folder: the folder that `-o FOLDER/` asks for, which is made if it isn't there;
    None if no folder was asked for by name.
    """

    films: tuple[Output, ...]
    new_folder: Path | None

    def made_folder(self) -> AbstractContextManager[None]:
        """Makes the folder for the films, and removes it if the block fails before anything is in it."""
        return nullcontext() if self.new_folder is None else made_folders(self.new_folder)


def checked_paths(request: AnimationRequest) -> tuple[Outputs, Crops]:
    """Where the films go, and what is cropped, if outputs and inputs can be used.

    Raises as `plan_outputs` and `require_inputs` do; InputError for a bad file of crops.
    """
    outputs = plan_outputs(request)
    require_inputs(request)
    return outputs, Crops(request.crop_json, request.source_crop, request.driving_crop)


def plan_outputs(request: AnimationRequest) -> Outputs:
    """Where the films go. UsageError for a bad, taken or ambiguous name, or one of an input."""
    if not request.sources:
        raise UsageError("a source is needed", hint="mcnet animate SOURCE... DRIVING")
    text = None if request.output is None else os.fspath(request.output)
    if text == "":
        raise UsageError("-o: the output's name is empty")
    new_folder = Path(text) if text is not None and text.endswith((os.sep, "/")) else None
    if text is not None and new_folder is None and (text == "-" or not Path(text).is_dir()):
        if len(request.sources) > 1:
            raise UsageError(
                f"-o {shown(text)}: with several sources the output must be a folder",
                hint="end its name with a slash",
            )
        films: tuple[Output, ...] = (planned(request, text),)
    else:
        folder = Path(text or "")
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"-o {shown(folder)} is a file, not a folder")
        is_still = request.driving is None and request.controls and not request.controls.seconds
        suffix = ".png" if is_still and request.duration_s is None else FILM_SUFFIX
        names = [default_name(source, request.performed, suffix) for source in request.sources]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(
                    f"two sources would both become {shown(name)}", hint="rename one of them, or run twice"
                )
        films = tuple(planned(request, str(folder / name)) for name in names)
    outputs = Outputs(films, new_folder)
    _check_outputs(request, outputs)
    return outputs


def planned(request: AnimationRequest, target: str) -> Output:
    """The output of that name. UsageError if it can't hold what the request asks for."""
    kind, alpha = output_kind(target), request.background == "transparent"
    output = Output(
        target, kind, choose_coding(target, codec=request.codec, quality=request.quality, alpha=alpha)
    )
    if not output.may_have_sound and (isinstance(request.audio, Path) or request.volume != 1):
        name = "--audio" if isinstance(request.audio, Path) else "--volume"
        raise UsageError(
            f"{name}: {'stdout' if target == '-' else shown(target)} holds no sound",
            hint="take .mp4, .mov, .mkv or .webm",
        )
    return output


def default_name(source: Path, driving: Path, suffix: str = FILM_SUFFIX) -> str:
    """`SOURCE--DRIVING.mp4`; over-long names are cut so that the file system takes it."""
    room = NAME_LIMIT - len("--" + suffix)
    stems = [Path(os.path.abspath(path)).stem or "root" for path in (source, driving)]  # noqa: PTH100
    sizes = [len(os.fsencode(stem)) for stem in stems]
    if sum(sizes) > room:
        most = max(room - min(sizes), room // 2)  # the shorter name stays whole if the other fits beside it
        stems = [os.fsencode(stem)[:most].decode("utf-8", "ignore") for stem in stems]
    return "--".join(stems) + suffix


def _check_outputs(request: AnimationRequest, outputs: Outputs) -> None:
    inputs = request.inputs
    films = outputs.films
    files = [Path(output.target) for output in films if output.kind not in ("pattern", "stdout")]
    if request.save_motion is not None:
        if request.save_motion.resolve() in [file.resolve() for file in files]:
            raise UsageError(f"--save-motion and -o are the same file, {shown(request.save_motion)}")
        files.append(request.save_motion)
    for file in files:
        check_free(file, overwrite=request.overwrite, inputs=inputs)
        if file.parent != outputs.new_folder:
            require_folder(file)
    if films[0].kind == "pattern":
        _check_pattern(Path(films[0].target), inputs, overwrite=request.overwrite)


def _check_pattern(pattern: Path, inputs: tuple[Path, ...], *, overwrite: bool) -> None:
    """UsageError if a file of the pattern would replace an input, or lie in a folder that is the driving."""
    folder = pattern.parent
    if not folder.is_dir():
        return
    for path in inputs:
        if path.exists() and folder.samefile(path if path.is_dir() else path.parent):
            digits = re.search("[0-9]+", path.name)
            if path.is_dir() or (digits and numbered(pattern.name, int(digits[0])) == path.name):
                raise UsageError(f"the output {shown(pattern)} would replace the input {shown(path)}")
    first = pattern.with_name(numbered(pattern.name, 1))
    if not overwrite and first.exists():
        raise UsageError(
            f"{shown(first)} exists already", hint="choose another -o, or replace it with --overwrite"
        )

"""From motion to the frames of a film: render, resize, paste back, compare, encode."""

import contextlib
import itertools
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.animation.engine import Engine
from mcnet_cli.animation.extraction import Driving, face_picture, open_driving
from mcnet_cli.animation.outputs import Output
from mcnet_cli.animation.pictures import Picture, resized, side_by_side
from mcnet_cli.animation.request import AnimationRequest, OnProgress, Progress
from mcnet_cli.animation.retarget import PreparedMotion, keypoints_for
from mcnet_cli.animation.sources import EncodedFace, Source, encode
from mcnet_cli.errors import InputError, shown
from mcnet_cli.face import feather_mask, paste
from mcnet_cli.media import open_output
from mcnet_cli.model import Keypoints

RENDERING = "rendering"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A finished film: its frames, and what had to be left out."""

    frames: int
    warnings: tuple[str, ...]


def pastes_back(request: AnimationRequest) -> bool:
    """Whether the result is the whole photo; several faces have no other place to go."""
    return request.paste_back or request.face == "all"


def output_size(request: AnimationRequest, source: Source, network_size: int) -> tuple[int, int]:
    """(width, height) of the result."""
    side = request.size or network_size
    width, height = source.size if pastes_back(request) else (side, side)
    return (2 * width + height, height) if request.compare else (width, height)


def render(
    source: Source,
    driving: Driving,
    prepared: PreparedMotion,
    engine: Engine,
    request: AnimationRequest,
    output: Output,
    on_progress: OnProgress,
) -> Rendered:
    """Renders one source and writes its film, which appears under its name when it is complete."""
    audio, start_s, warnings = _sound(driving, prepared, request, output)
    photo = source.read()
    faces = encode(source, photo, engine)
    total = len(prepared.rows)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(
            open_output(
                Path(output.target) if output.kind != "stdout" else "-",
                size=output_size(request, source, engine.size),
                frame_rate=driving.motion.rate,
                audio=audio,
                audio_start_s=start_s,
                overwrite=request.overwrite,
                strict=request.strict,
            )
        )
        results: Iterator[Picture] = stack.enter_context(
            contextlib.closing(_results(photo, faces, prepared, engine, request))
        )
        if request.compare:
            before = photo if pastes_back(request) else faces[0].picture
            shown_driving = stack.enter_context(
                contextlib.closing(driving_pictures(request, driving, prepared.rows, engine.size))
            )
            results = (
                side_by_side(before, face, result)
                for face, result in zip(shown_driving, results, strict=True)
            )
        for number, frame in enumerate(results, 1):
            sink.write(frame)
            on_progress(Progress(RENDERING, number, total))
    return Rendered(sink.frames_written, (*warnings, *sink.warnings))


def _results(
    photo: Picture,
    faces: list[EncodedFace],
    prepared: PreparedMotion,
    engine: Engine,
    request: AnimationRequest,
) -> Generator[Picture, None, None]:
    """The result's frames, one after the other: squares, or whole photos."""
    side = request.size or engine.size
    mask = feather_mask(side)
    motions = [keypoints_for(face, prepared, request, engine) for face in faces]

    def moved(batch: tuple[Keypoints, ...]) -> list[NDArray[np.uint8]]:
        return [engine.render(face.state, keypoints) for face, keypoints in zip(faces, batch, strict=True)]

    with contextlib.closing(engine.in_order(moved, zip(*motions, strict=True))) as batches:
        for pictures in itertools.chain.from_iterable(zip(*batch, strict=True) for batch in batches):
            squares = [resized(picture, side, side) for picture in pictures]
            if not pastes_back(request):
                yield squares[0]
                continue
            frame = photo
            for face, square in zip(faces, squares, strict=True):
                if face.face.box is None:
                    frame = resized(square, photo.shape[1], photo.shape[0])
                else:
                    frame = paste(frame, square, face.face.box, mask)
            yield frame


def driving_pictures(
    request: AnimationRequest, driving: Driving, rows: NDArray[np.intp], size: int
) -> Generator[Picture, None, None]:
    """What the network saw of the driving's frames `rows`, decoded once more."""
    wanted = iter(rows.tolist())
    row = next(wanted, None)
    with open_driving(request) as frames:
        for number, frame in enumerate(frames):
            if number == row:
                yield face_picture(frame, driving.box, size)
                row = next(wanted, None)
                if row is None:
                    return
    raise InputError(f"{shown(request.driving)} changed while it was read")


def _sound(
    driving: Driving, prepared: PreparedMotion, request: AnimationRequest, output: Output
) -> tuple[Path | None, float, tuple[str, ...]]:
    """The file with the sound, where it starts, and warnings.

    Frames left out at the start or end take their sound along. With a gap in between the sound would run
    ahead of the picture, so there is none then.
    """
    if driving.audio is None or not request.audio or not output.may_have_sound:
        return None, 0.0, ()
    first, last = prepared.rows[0], prepared.rows[-1]
    if last - first + 1 != len(prepared.rows):
        return None, 0.0, ("no sound: frames were left out in between (--on-no-face hold keeps it)",)
    return driving.audio, driving.audio_start_s + float(first / driving.motion.rate), ()

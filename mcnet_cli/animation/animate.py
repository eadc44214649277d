"""`animate`: files in, films out. The steps in the order in which they happen; the work is `Animator`'s."""

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.animation.animator import Animator
from mcnet_cli.animation.crops import Crops
from mcnet_cli.animation.driving import Driving, pictures_of, read_motion_file
from mcnet_cli.animation.frames import film_size, longest_side
from mcnet_cli.animation.motion import is_motion_file, write_motion
from mcnet_cli.animation.outputs import Output, plan_outputs
from mcnet_cli.animation.report import AnimationReport, AnimationResult, peak_memory_mb
from mcnet_cli.animation.request import AnimationRequest, Background, open_driving, require_inputs
from mcnet_cli.animation.source import Portrait, SourceFace, encode, face_picture
from mcnet_cli.arrays import Picture, side_by_side
from mcnet_cli.errors import shown
from mcnet_cli.media import open_output, read_image, read_photo
from mcnet_cli.progress import OnProgress, Progress, silent

RENDERING = "rendering"

log = logging.getLogger(__name__)


def animate(request: AnimationRequest, on_progress: OnProgress | None = None) -> AnimationReport:
    """Makes the sources move like the driving, and writes a film for each.

    The driving is read once, whatever the number of sources. What can fail is checked before the long work:
    outputs, inputs, weights, faces in the sources. A film appears under its name when it is complete.

    Args:
        request: what to animate, and how.
        on_progress: told after each frame that was read or rendered; it may raise to stop the run.

    Raises:
        UsageError: options that contradict themselves, or outputs that are taken.
        InputError: a source or driving that can't be used.
        WeightsError: weights that can't be found or used.
        SystemFailure: ffmpeg, the disk or memory failed.

    Example:
        >>> from pathlib import Path
        >>> from mcnet_cli import AnimationRequest, animate
        >>> request = AnimationRequest(
        ...     sources=(Path("portrait.jpg"),), driving=Path("driving.mp4"), output="film.mp4", max_frames=5
        ... )
        >>> report = animate(request)
        >>> report.results[0].output, report.results[0].frames
        ('film.mp4', 5)
    """
    began, tell = time.monotonic(), on_progress or silent
    outputs = plan_outputs(request)
    require_inputs(request)
    crops = Crops(request.crop_json, request.source_crop, request.driving_crop)
    asked = request.background
    background: Background = read_image(asked) if isinstance(asked, Path) else asked
    animator = Animator.load(
        request.weights,
        device=request.device,
        precision=request.precision,
        detector=request.detector if request.uses_detector else None,
        batch_size=request.batch_size,
        compiled=request.compile,
        fetch=request.fetch,
    )
    found = [animator.faces(path, face=request.face, crop=crops.source(path)) for path in request.sources]
    driving = _read_driving(request, animator, crops, tell)
    request.transfer.require_reference(driving.motion)
    results = []
    with outputs.made_folder():
        for path, faces, output in zip(request.sources, found, outputs.films, strict=True):
            film = _write_film(path, faces, driving, animator, request, background, output, tell)
            for warning in film.warnings:
                log.warning("%s: %s", shown(output.target), warning)
            now = time.monotonic()
            results.append(
                AnimationResult(
                    source=path,
                    driving=request.driving,
                    output=output.target,
                    frames=film.frames,
                    rate=driving.motion.rate,
                    seconds=now - began,
                    damaged=driving.damaged,
                    no_face=driving.no_face,
                    peak_memory_mb=peak_memory_mb(),
                )
            )
            began = now
        if request.save_motion is not None:
            write_motion(request.save_motion, driving.motion, overwrite=request.overwrite)
        boxes = (tuple(face.box for face in faces if face.box is not None) for faces in found)
        crops.save(driving.box, dict(zip(request.sources, boxes, strict=True)))
    return AnimationReport(
        device=str(animator.compute.device),
        precision=animator.compute.precision,
        why=animator.compute.why,
        weights=animator.weights.path,
        detector=None if animator.finder is None else animator.finder.detector.name,
        results=tuple(results),
    )


def _read_driving(
    request: AnimationRequest, animator: Animator, crops: Crops, on_progress: OnProgress
) -> Driving:
    requires_face = request.on_no_face == "fail"
    if is_motion_file(request.driving):
        return read_motion_file(
            request.driving,
            animator.renderer.config,
            animator.renderer.digest,
            span=request.span,
            fps=request.fps,
            requires_face=requires_face,
        )
    return animator.read_driving(
        partial(open_driving, request),
        crop=crops.driving,
        whole_landmarks=request.save_motion is not None,
        requires_face=requires_face,
        on_progress=on_progress,
    )


@dataclass(frozen=True, slots=True)
class _Film:
    """A finished film: its frames, and what had to be left out."""

    frames: int
    warnings: tuple[str, ...]


def _write_film(
    path: Path,
    faces: tuple[SourceFace, ...],
    driving: Driving,
    animator: Animator,
    request: AnimationRequest,
    background: Background,
    output: Output,
    on_progress: OnProgress,
) -> _Film:
    """Renders one source and writes its film."""
    rows = request.transfer.shown_frames(driving.motion)
    audio, start_s, warnings = _sound(driving, rows, request, output)
    photo, alpha = read_photo(path)
    portrait = encode(
        photo, faces, animator.renderer, longest=longest_side(request, output.kind), alpha=alpha
    )
    size = film_size(request, output.kind, photo.shape[1::-1], faces[0].box, animator.size)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(
            open_output(
                Path(output.target) if output.kind != "stdout" else "-",
                size=size,
                frame_rate=driving.motion.rate,
                audio=audio,
                audio_start_s=start_s,
                overwrite=request.overwrite,
                strict=request.strict,
                alpha=request.background == "transparent",
            )
        )
        frames: Iterator[Picture] = stack.enter_context(
            contextlib.closing(
                animator.render(
                    portrait,
                    driving.motion,
                    request.transfer,
                    picture=request.picture,
                    background=background,
                    size=None if request.picture == "photo" else size[1],
                )
            )
        )
        if request.compare:
            compared = pictures_of(driving, partial(open_driving, request), rows, size[1])
            frames = _side_by_side(
                portrait, request, size[1], stack.enter_context(contextlib.closing(compared)), frames
            )
        for number, frame in enumerate(frames, 1):
            sink.write(frame)
            on_progress(Progress(RENDERING, number, len(rows)))
    return _Film(sink.frames_written, (*warnings, *sink.warnings))


def _side_by_side(
    portrait: Portrait,
    request: AnimationRequest,
    height: int,
    driving: Iterator[Picture],
    results: Iterator[Picture],
) -> Iterator[Picture]:
    """Source, driving and result beside each other, all as high as the result."""
    source = portrait.photo
    if request.picture != "photo":
        source = face_picture(portrait.photo, portrait.shown_boxes[0], height)
    for seen, result in zip(driving, results, strict=True):
        yield side_by_side(source, seen, result)


def _sound(
    driving: Driving, rows: NDArray[np.intp], request: AnimationRequest, output: Output
) -> tuple[Path | None, float, tuple[str, ...]]:
    """The file with the sound, where it starts, and warnings.

    Frames left out at the start or end take their sound along. With a gap in between the sound would run
    ahead of the picture, so there is none then.
    """
    if driving.audio is None or not request.audio or not output.may_have_sound:
        return None, 0.0, ()
    first, last = rows[0], rows[-1]
    if last - first + 1 != len(rows):
        return None, 0.0, ("no sound: frames were left out in between (--on-no-face hold keeps it)",)
    return driving.audio, driving.audio_start_s + float(first / driving.motion.rate), ()

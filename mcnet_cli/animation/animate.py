"""`animate` and its dry run `plan`: files in, films out, in the order in which it happens.

The work on pictures is `Animator`'s.
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from mcnet_cli.animation.animator import Animator
from mcnet_cli.animation.caches import Caches, LruCache, Source
from mcnet_cli.animation.command_line import command_line
from mcnet_cli.animation.driving import pictures_of
from mcnet_cli.animation.frames import film_size, longest_side
from mcnet_cli.animation.paths import Crops, Output, open_driving, plan_outputs, require_inputs
from mcnet_cli.animation.performance import Performance, performance, planned_driving, read_performance
from mcnet_cli.animation.renderer import suitable_batch_size
from mcnet_cli.animation.report import AnimationPlan, AnimationReport, AnimationResult, PlannedSource, made_by
from mcnet_cli.animation.request import AnimationRequest, Background
from mcnet_cli.animation.source import FaceFinder, Portrait, face_picture, find_faces, framing_of
from mcnet_cli.arrays import Picture, side_by_side
from mcnet_cli.checkpoint import Weights, read_weights
from mcnet_cli.devices import choose
from mcnet_cli.errors import UsageError, shown
from mcnet_cli.media import SoundTrack, open_output, probe_sound, read_image, read_still
from mcnet_cli.motion.motion_file import write_motion
from mcnet_cli.progress import OnProgress, Progress, silent
from mcnet_cli.system import peak_memory_mb
from mcnet_cli.weights import resolve_weights

RENDERING = "rendering"

log = logging.getLogger(__name__)


def animate(request: AnimationRequest, on_progress: OnProgress | None = None) -> AnimationReport:
    """Makes the sources move like the driving, and writes a film for each.

    The driving is read once, whatever the number of sources. What can fail is checked before the long work:
    outputs, inputs, weights, faces in the sources. A film appears under its name when it is complete.

    Args:
        request: what to animate, and how.
        on_progress: called after each frame that was read or rendered; it may raise to stop the run.

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
    # No source comes twice in one run, so only one is kept.
    return animate_with(Caches(sources=LruCache(1)), request, on_progress or silent)


def animate_with(caches: Caches, request: AnimationRequest, tell: OnProgress) -> AnimationReport:
    """As `animate`, with what is in the caches of earlier runs: the network, the driving, the sources."""
    began = time.monotonic()
    outputs = plan_outputs(request)
    require_inputs(request)
    crops = Crops(request.crop_json, request.source_crop, request.driving_crop)
    asked = request.background
    background: Background = read_image(asked) if isinstance(asked, Path) else asked
    animator = caches.animator(request)
    found = [caches.source_faces(request, path, crops) for path in request.sources]
    drivings = [
        caches.driving(each, crops, partial(read_performance, each, animator, crops, tell))
        for each in request.by_driving
    ]
    is_picture = outputs.films[0].kind == "picture"
    shows = performance(drivings, request, is_picture=is_picture)
    if is_picture and len(shows.rows) > 1:
        raise UsageError(
            f"{shown(outputs.films[0].target)} is one picture, and the result has several frames",
            hint="take a film such as .mp4, a pattern such as frames/%05d.png, or --max-frames 1",
        )
    results = []
    with outputs.made_folder():
        for path, faces, output in zip(request.sources, found, outputs.films, strict=True):
            source = caches.source(request, path, faces, longest_side(request, output.kind))
            frames = _write_film(source, shows, animator, request, background, output, tell)
            now = time.monotonic()
            results.append(
                AnimationResult(
                    source=path,
                    driving=request.performed,
                    output=output.target,
                    frames=frames,
                    rate=shows.rate,
                    codec=output.coding.codec,
                    quality=output.coding.quality,
                    seconds=now - began,
                    damaged=shows.damaged,
                    no_face=shows.no_face,
                    bridged=shows.bridged,
                    peak_memory_mb=peak_memory_mb(with_children=True),
                )
            )
            began = now
        if request.save_motion is not None:
            write_motion(request.save_motion, shows.kept, overwrite=request.overwrite)
        boxes = (tuple(face.box for face in faces if face.box is not None) for faces in found)
        crops.save(shows.drivings[0].box, dict(zip(request.sources, boxes, strict=True)))
    return AnimationReport(
        device=str(animator.compute.device),
        precision=animator.compute.precision,
        why=animator.compute.why,
        weights=animator.weights.path,
        detector=None if animator.finder is None else animator.finder.detector.name,
        results=tuple(results),
        command=_command(request),
    )


def plan(request: AnimationRequest) -> AnimationPlan:
    """What `animate` would do: looks for the sources' faces and reads the driving's header.

    Nothing is rendered or written. Raises as `animate` does, as far as faults show up that early.

    Example:
        >>> from pathlib import Path
        >>> from mcnet_cli import AnimationRequest, plan
        >>> request = AnimationRequest(sources=(Path("portrait.jpg"),), driving=Path("driving.mp4"))
        >>> [source.output_size for source in plan(request).sources]
        [(512, 512)]
    """
    outputs = plan_outputs(request)
    require_inputs(request)
    crops = Crops(request.crop_json, request.source_crop, request.driving_crop)
    compute = choose(request.device, request.precision)
    weights = read_weights(resolve_weights(request.weights, fetch=request.fetch))
    finder = FaceFinder(request.detector, str(compute.device)) if request.uses_detector else None
    drivings = [planned_driving(each, weights) for each in request.by_driving]
    return AnimationPlan(
        device=str(compute.device),
        precision=compute.precision,
        why=compute.why,
        weights=weights.path,
        detector=None if finder is None else finder.detector.name,
        batch_size=request.batch_size or suitable_batch_size(weights.config, compute),
        sources=tuple(
            _planned_source(request, path, film, crops, weights, finder)
            for path, film in zip(request.sources, outputs.films, strict=True)
        ),
        driving=drivings[0],
        other_drivings=tuple(drivings[1:]),
    )


def _command(request: AnimationRequest) -> str | None:
    try:
        return command_line(request)
    except ValueError:  # one eye's control alone, say
        return None


def _write_film(
    source: Source,
    shows: Performance,
    animator: Animator,
    request: AnimationRequest,
    background: Background,
    output: Output,
    on_progress: OnProgress,
) -> int:
    """Renders one source and writes its film; how many frames it has. Warns of what had to be left out."""
    rows = shows.rows
    sounds, warnings = _sounds(shows, request, output)
    portrait = source.portrait
    size = film_size(request, output.kind, source.size, portrait.faces[0].face.box, animator.size)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(
            open_output(
                Path(output.target) if output.kind != "stdout" else "-",
                size=size,
                frame_rate=shows.rate,
                sounds=sounds,
                volume=request.volume,
                overwrite=request.overwrite,
                strict=request.strict,
                alpha=request.background == "transparent",
                codec=request.codec,
                quality=request.quality,
                hwaccel=request.hwaccel,
                comment=made_by(animator.weights.path) if request.metadata else None,
            )
        )
        frames: Iterator[Picture] = stack.enter_context(
            contextlib.closing(
                animator.render(
                    portrait,
                    shows.motions[0] if len(shows.motions) == 1 else shows.motions,
                    shows.transfer,
                    picture=request.picture,
                    background=background,
                    size=None if request.picture == "photo" else size[1],
                )
            )
        )
        if request.compare:
            compared = pictures_of(shows.drivings[0], partial(open_driving, request), rows, size[1])
            frames = _side_by_side(
                portrait, request, size[1], stack.enter_context(contextlib.closing(compared)), frames
            )
        for number, frame in enumerate(frames, 1):
            sink.write(frame)
            on_progress(Progress(RENDERING, number, len(rows)))
    for warning in (*warnings, *sink.warnings):
        log.warning("%s: %s", shown(output.target), warning)
    return sink.frames_written


def _side_by_side(
    portrait: Portrait,
    request: AnimationRequest,
    height: int,
    driving: Iterator[Picture],
    results: Iterator[Picture],
) -> Iterator[Picture]:
    """Source, driving and result beside each other, all as high as the result."""
    source = portrait.shown
    if request.picture != "photo":
        source = face_picture(portrait.photo, portrait.shown_boxes[0], height)
    for seen, result in zip(driving, results, strict=True):
        yield side_by_side(source, seen, result)


def _sounds(
    shows: Performance, request: AnimationRequest, output: Output
) -> tuple[list[SoundTrack], tuple[str, ...]]:
    """The tracks of sound, and warnings.

    Frames left out at the start or end take the drivings' sound along. With a gap in between the sound would
    run ahead of the picture, so there is none then.
    """
    if isinstance(request.audio, Path):
        return [SoundTrack(request.audio, track=probe_sound(request.audio, request.audio_track))], ()
    heard = [driving.sound for driving in shows.drivings if driving.sound is not None]
    if not heard or not request.audio or not output.may_have_sound:
        return [], ()
    if not request.edit.keeps_time:
        return [], ("no sound: the driving's doesn't fit another speed (--audio FILE gives it some)",)
    first, last = shows.rows[0], shows.rows[-1]
    if last - first + 1 != len(shows.rows):
        return [], ("no sound: frames were left out in between (--on-no-face hold keeps it)",)
    skipped_s = float(first / shows.rate)
    return [replace(sound, start_s=sound.start_s + skipped_s) for sound in heard], ()


def _planned_source(
    request: AnimationRequest,
    path: Path,
    film: Output,
    crops: Crops,
    weights: Weights,
    finder: FaceFinder | None,
) -> PlannedSource:
    photo, framing = read_still(path, request.source_frame_s)[0], framing_of(weights)
    faces = find_faces(
        photo, finder, framing, name=shown(path), face=request.moved, crop_to=crops.source(path)
    )
    size = photo.shape[1], photo.shape[0]
    box, network = faces[0].box, weights.config.size
    boxes = [face.box for face in faces if face.box is not None]
    return PlannedSource(
        path=path,
        size=size,
        crops=tuple((b.x, b.y, b.width, b.height) for b in boxes),
        output=film.target,
        output_size=film_size(request, film.kind, size, box, network),
        codec=film.coding.codec,
        quality=film.coding.quality,
    )

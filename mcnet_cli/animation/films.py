"""Films of the sources of a request: the work of `animate`, from files to files, once torch is loaded.

Several runs share what they load, read and encode through `Caches`: the network, drivings, sources.
"""

import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from mcnet_cli.animation.animator import Animator
from mcnet_cli.animation.command_line import command_line
from mcnet_cli.animation.driving import Driving, pictures_of
from mcnet_cli.animation.frames import film_size, longest_side
from mcnet_cli.animation.paths import Crops, Output, Outputs, checked_paths, open_driving
from mcnet_cli.animation.performance import Performance, performance, read_performance
from mcnet_cli.animation.report import AnimationReport, AnimationResult, made_by
from mcnet_cli.animation.request import AnimationRequest, Background
from mcnet_cli.animation.source import Portrait, SourceFace, encode, face_picture
from mcnet_cli.arrays import Picture, side_by_side
from mcnet_cli.devices import beside_another_process
from mcnet_cli.errors import UsageError, shown
from mcnet_cli.files import stamp_of
from mcnet_cli.media import SoundTrack, open_output, probe_sound, read_image, read_still
from mcnet_cli.motion.following import FollowingAhead
from mcnet_cli.motion.motion_file import write_motion
from mcnet_cli.progress import OnProgress, Progress
from mcnet_cli.system import peak_memory_mb

Value = TypeVar("Value")
RENDERING = "rendering"
DRIVINGS_KEPT = 4  # about 0.7 kB a frame each
SOURCES_KEPT = 16  # 21 MB each for photos of 1920 x 1080 pixels, measured with `lite`

log = logging.getLogger(__name__)


class LruCache(Generic[Value]):
    """Keeps the `limit` values that were used last. A key names all that its value depends on."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key, made if it isn't there."""
        if key not in self._values:
            while len(self._values) >= self._limit:  # before the new one is made, so that memory is bounded
                self._values.popitem(last=False)
            self._values[key] = make()
        self._values.move_to_end(key)
        return self._values[key]


@dataclass(frozen=True, eq=False)
class Source:
    """A source that has been encoded. size: (width, height) of its picture as it was read."""

    portrait: Portrait
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Caches:
    """The caches of `animate`. A file counts as another one when its size or its time has changed."""

    animators: LruCache[Animator] = field(default_factory=lambda: LruCache(1))
    drivings: LruCache[Driving] = field(default_factory=lambda: LruCache(DRIVINGS_KEPT))
    faces: LruCache[tuple[SourceFace, ...]] = field(default_factory=lambda: LruCache(SOURCES_KEPT))
    sources: LruCache[Source] = field(default_factory=lambda: LruCache(SOURCES_KEPT))

    def animator(self, request: AnimationRequest) -> Animator:
        """The network that a request asks for, on its device."""
        return self.animators.get(
            _network_of(request),
            lambda: Animator.load(
                request.weights,
                device=request.device,
                precision=request.precision,
                detector=request.detector if request.uses_detector else None,
                batch_size=request.batch_size,
                compiled=request.compile,
                fetch=request.fetch,
            ),
        )

    def driving(self, request: AnimationRequest, crops: Crops, read: Callable[[], Driving]) -> Driving:
        """The request's driving; `read` is called if it isn't in the cache."""
        who = request.driving_face, request.on_no_face == "fail"
        how = request.fps, request.span, request.strict, request.driving_track
        key = (
            _network_of(request),
            request.performed,
            None if request.driving is None else stamp_of(request.driving),
            who,
            how,
            str(crops.driving),
            request.save_motion is None,
        )
        return self.drivings.get(key, read)

    def source_faces(self, request: AnimationRequest, path: Path, crops: Crops) -> tuple[SourceFace, ...]:
        """The faces of a source that move."""
        animator, crop = self.animator(request), crops.source(path)
        key = _network_of(request), path, stamp_of(path), request.source_frame_s, request.moved, str(crop)
        return self.faces.get(
            key,
            lambda: animator.faces(
                path, face=request.moved, crop=crop, source_frame_s=request.source_frame_s
            ),
        )

    def source(
        self, request: AnimationRequest, path: Path, faces: tuple[SourceFace, ...], longest: int
    ) -> Source:
        """A source, encoded with the faces that were found in it."""
        animator = self.animator(request)

        def encoded() -> Source:
            photo, alpha = read_still(path, request.source_frame_s)
            portrait = encode(photo, faces, animator.renderer, longest=longest, alpha=alpha)
            return Source(portrait, (photo.shape[1], photo.shape[0]))

        boxes = str([face.box for face in faces])
        key = _network_of(request), path, stamp_of(path), request.source_frame_s, boxes, longest
        return self.sources.get(key, encoded)


def _network_of(request: AnimationRequest) -> Hashable:
    """What the network and all that it has seen depend on."""
    detector = request.detector if request.uses_detector else None
    return (
        request.weights,
        request.device,
        request.precision,
        detector,
        request.batch_size,
        request.compile,
    )


def animate_with(caches: Caches, request: AnimationRequest, tell: OnProgress) -> AnimationReport:
    """As `animate`, with what is in the caches of earlier runs: the network, the driving, the sources."""
    began_s = time.monotonic()
    outputs, crops = checked_paths(request)
    return made_films(caches, request, outputs, crops, None, tell, began_s=began_s)


def made_films(
    caches: Caches,
    request: AnimationRequest,
    outputs: Outputs,
    crops: Crops,
    ahead: FollowingAhead | None,
    tell: OnProgress,
    *,
    began_s: float,
) -> AnimationReport:
    """As `animate_with`, once outputs and inputs have been checked.

    ahead: a process that follows the face in the only driving already. began_s: when the work began, by
    `time.monotonic`.
    """
    asked = request.background
    background: Background = read_image(asked) if isinstance(asked, Path) else asked
    with contextlib.nullcontext() if ahead is None else beside_another_process():
        animator = caches.animator(request)
        found = [caches.source_faces(request, path, crops) for path in request.sources]
    drivings = [
        caches.driving(each, crops, partial(read_performance, each, animator, crops, ahead, tell))
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
                    seconds=now - began_s,
                    damaged=shows.damaged,
                    no_face=shows.no_face,
                    bridged=shows.bridged,
                    peak_memory_mb=peak_memory_mb(with_children=True),
                )
            )
            began_s = now
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

"""`animate` and its dry run `plan`: files in, films out.

What can be checked without torch is checked first. While it loads, a process of its own follows the face in
the driving.
"""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mcnet_cli.animation.paths import Crops, Output, checked_paths, driving_opener
from mcnet_cli.animation.report import AnimationPlan, AnimationReport, PlannedSource
from mcnet_cli.animation.request import AnimationRequest
from mcnet_cli.checkpoint import weights_landmarks
from mcnet_cli.errors import McnetError, shown
from mcnet_cli.media import read_still
from mcnet_cli.motion.following import FollowingAhead, Order, following_ahead
from mcnet_cli.motion.motion_file import is_motion_file
from mcnet_cli.processes import log_level
from mcnet_cli.progress import OnProgress, silent
from mcnet_cli.system import load_torch
from mcnet_cli.weights import resolve_weights

if TYPE_CHECKING:
    from mcnet_cli.animation.source import FaceFinder
    from mcnet_cli.checkpoint import Weights


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
    began_s = time.monotonic()
    outputs, crops = checked_paths(request)
    with _following_ahead(request, crops) as ahead:
        load_torch()
        from mcnet_cli.animation.films import Caches, LruCache, made_films

        # No source comes twice in one run, so only one is kept.
        caches = Caches(sources=LruCache(1))
        return made_films(caches, request, outputs, crops, ahead, on_progress or silent, began_s=began_s)


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
    outputs, crops = checked_paths(request)

    from mcnet_cli.animation.performance import planned_driving  # torch loads here
    from mcnet_cli.animation.renderer import suitable_batch_size
    from mcnet_cli.animation.source import FaceFinder
    from mcnet_cli.checkpoint import read_weights
    from mcnet_cli.devices import choose

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


@contextlib.contextmanager
def _following_ahead(request: AnimationRequest, crops: Crops) -> Iterator[FollowingAhead | None]:
    """A process that follows the face in the driving while torch loads; None where that gains nothing."""
    order = None if "torch" in sys.modules else _order(request, crops)
    if order is None:
        yield None
        return
    with following_ahead(order) as ahead:
        yield ahead


def _order(request: AnimationRequest, crops: Crops) -> Order | None:
    """What that process is to do; None if it can't be known without torch, or no face has to be followed."""
    driving = request.driving
    if driving is None or request.bundled is not None or is_motion_file(driving) or request.face_drivings:
        return None
    if request.detector != "blazeface" or crops.driving != "auto":
        return None
    try:
        landmarks = weights_landmarks(resolve_weights(request.weights))
        opened = driving_opener(request)
    except McnetError:  # which is told in its turn
        return None
    if landmarks is None:
        return None
    return Order(
        opened,
        request.driving_face,
        whole=request.save_motion is not None,
        exact=landmarks,
        requires_face=request.on_no_face == "fail",
        level=log_level(),
    )


def _planned_source(
    request: AnimationRequest,
    path: Path,
    film: Output,
    crops: Crops,
    weights: "Weights",
    finder: "FaceFinder | None",
) -> PlannedSource:
    from mcnet_cli.animation.frames import film_size
    from mcnet_cli.animation.source import find_faces, framing_of

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

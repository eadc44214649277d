"""From the driving's motion to keypoints for one face."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.animation.engine import Engine
from mcnet_cli.animation.hair import Hair
from mcnet_cli.animation.landmark_track import telling
from mcnet_cli.animation.motion import Motion
from mcnet_cli.animation.openings import Openings
from mcnet_cli.animation.reference import best_reference, hull_scale
from mcnet_cli.animation.request import AnimationRequest
from mcnet_cli.animation.sources import EncodedFace
from mcnet_cli.errors import UsageError
from mcnet_cli.face import OUTER
from mcnet_cli.model import Keypoints, transfer_motion


@dataclass(frozen=True, slots=True)
class PreparedMotion:
    """The driving's motion with its gaps closed, smoothed.

    shown: the driving's frames that the result shows, in order. still: per driving frame, whether the source
    is shown unmoved there.
    """

    motion: Motion
    rows: NDArray[np.intp]
    still: NDArray[np.bool_]


def prepare_motion(motion: Motion, request: AnimationRequest, smooth: float | None) -> PreparedMotion:
    """Applies --on-no-face and --smooth (`smooth` if that isn't given)."""
    sigma = request.smooth if request.smooth is not None else smooth or 0.0
    skips, stays = request.on_no_face == "skip", request.on_no_face == "source"
    rows = np.flatnonzero(motion.found) if skips else np.arange(len(motion))
    return PreparedMotion(motion.held().smoothed(sigma), rows, ~motion.found & stays)


def choose_reference(motion: Motion, request: AnimationRequest, face: EncodedFace) -> int:
    """The driving's frame that relative motion starts from; UsageError for a frame that doesn't exist."""
    if request.reference == "first":
        return int(motion.found.argmax())
    if request.reference != "best":
        check_reference(motion, request)
        return int(request.reference)
    if motion.landmarks is not None and face.face.landmarks is not None:
        return best_reference(telling(face.face.landmarks), telling(motion.landmarks), motion.found)
    return best_reference(face.state.keypoints.values[0].float().cpu().numpy(), motion.values, motion.found)


def check_reference(motion: Motion, request: AnimationRequest) -> None:
    """UsageError if --reference names a frame that the driving doesn't have."""
    if request.reference not in ("best", "first") and int(request.reference) >= len(motion):
        raise UsageError(
            f"--reference {request.reference}: the driving has {len(motion)} frames, counted from 0"
        )


def keypoints_for(
    face: EncodedFace, prepared: PreparedMotion, request: AnimationRequest, engine: Engine
) -> Iterator[Keypoints]:
    """The keypoints of the result's frames for `face`, in batches for `engine`.

    Relative: as `relative_motion` says, the driving times --strength.
    """
    source = face.state.keypoints.map(lambda t: t.float().cpu())
    reference, scale = source, 1.0
    if request.motion == "relative":
        row = choose_reference(prepared.motion, request, face)
        reference = prepared.motion.keypoints(row)
        if request.adapt_scale:
            scale = hull_scale(*(on_face(k.values[0].numpy(), engine.landmarks) for k in (source, reference)))
    for start in range(0, len(prepared.rows), engine.batch_size):
        rows = prepared.rows[start : start + engine.batch_size]
        moved = prepared.motion[rows].keypoints(slice(None))
        if request.motion == "relative":
            driving = _strengthened(moved, reference, request.strength)
            moved = relative_motion(driving, reference, source, scale, engine.landmarks)
        yield _with_still(moved, source, prepared.still[rows])


def relative_motion(
    driving: Keypoints,
    reference: Keypoints,
    source: Keypoints,
    scale: float,
    landmarks: tuple[int, ...] | None,
) -> Keypoints:
    """Keypoints of B frames: source + scale · (driving - reference), jacobians alike (FOMM, sec. 3.3).

    Where keypoints are landmarks, mouth and lids are as `Openings` says, and hair as `Hair`. driving: B
    frames; reference, source: one.
    """
    openings, hair = Openings.among(landmarks), Hair.among(landmarks)
    if hair is not None:
        driving = hair.near_head(driving, reference)
    moved = transfer_motion(driving, reference, source, scale)
    return moved if openings is None else openings.carried(moved, driving, reference, source, scale)


def on_face(values: NDArray[np.float32], landmarks: tuple[int, ...] | None) -> NDArray[np.float32]:
    """Of (K, 2) keypoints those on the face mesh, whose size doesn't depend on shoulders; all if none is."""
    mesh = [place for place, point in enumerate(landmarks or ()) if point not in OUTER]
    return values[mesh] if mesh else values


def _strengthened(driving: Keypoints, reference: Keypoints, factor: float) -> Keypoints:
    """The driving further from the reference, or nearer to it."""
    if factor == 1:
        return driving
    values = reference.values + factor * (driving.values - reference.values)
    if driving.jacobians is None or reference.jacobians is None:
        return Keypoints(values)
    return Keypoints(values, reference.jacobians + factor * (driving.jacobians - reference.jacobians))


def _with_still(moved: Keypoints, source: Keypoints, still: NDArray[np.bool_]) -> Keypoints:
    """The source's own keypoints in the frames that are `still`."""
    for row in np.flatnonzero(still):
        moved.values[row] = source.values[0]
        if moved.jacobians is not None and source.jacobians is not None:
            moved.jacobians[row] = source.jacobians[0]
    return moved

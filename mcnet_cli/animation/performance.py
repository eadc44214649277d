"""The motion that a run of `animate` shows: read from a driving or made without one, then edited in time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.animation.animator import Animator
from mcnet_cli.animation.driving import Driving
from mcnet_cli.animation.paths import Crops, open_driving
from mcnet_cli.animation.report import PlannedDriving
from mcnet_cli.animation.request import AnimationRequest
from mcnet_cli.checkpoint import Weights, detector_digest
from mcnet_cli.errors import UsageError
from mcnet_cli.model import ModelConfig
from mcnet_cli.motion.blending import controls_of, in_step
from mcnet_cli.motion.bundled import BUNDLED_RATE
from mcnet_cli.motion.controls import Controls
from mcnet_cli.motion.following import FollowingAhead
from mcnet_cli.motion.motion import Motion
from mcnet_cli.motion.motion_file import known_motion
from mcnet_cli.motion.timing import EASE_S, MotionEdit
from mcnet_cli.motion.transfer import Transfer
from mcnet_cli.progress import OnProgress

STILL_FILM_S = 3.0  # how long a film lasts in which controls stay as they are


def read_performance(
    request: AnimationRequest,
    animator: Animator,
    crops: Crops,
    ahead: FollowingAhead | None,
    on_progress: OnProgress,
) -> Driving:
    """The driving as it is: a file's, a bundled motion, or none at all, for controls to move the source."""
    requires_face = request.on_no_face == "fail"
    renderer = animator.renderer
    motion = _without_pictures(request, renderer.config, renderer.digest, requires_face=requires_face)
    if motion is not None:
        return Driving(motion, None, int((~motion.found).sum()))
    return animator.read_driving(
        partial(open_driving, request),
        crop=crops.driving,
        face=request.driving_face,
        whole_landmarks=request.save_motion is not None,
        requires_face=requires_face,
        ahead=ahead,
        on_progress=on_progress,
    )


def edited(driving: Driving, request: AnimationRequest, *, is_picture: bool) -> tuple[Driving, Transfer]:
    """What a film shows of a driving, and how it is carried over.

    is_picture: whether the result is one picture.
    """
    motion, edit = driving.motion, request.edit
    if request.driving is None and request.controls and not is_picture:
        motion, edit = _moving_still(request)
    if request.fps is not None and motion.rate != request.fps:
        edit = replace(edit, rate=request.fps)
    played = edit.applied(motion)
    transfer = request.transfer
    if isinstance(transfer.reference, int) and played is not motion:
        transfer.require_reference(motion)
        transfer = replace(transfer, reference=_shown_at(transfer.reference, edit, motion))
    if request.controls:
        controls = request.controls.controls(len(played), played.rate)
        ramp = edit.ramp(len(played), played.rate)
        transfer = replace(
            transfer, controls=controls if ramp is None else Controls(controls.values * ramp[:, None])
        )
    return replace(driving, motion=played), transfer


@dataclass(frozen=True, slots=True, eq=False)
class Performance:
    """All that moves the faces of a source.

    drivings: one for all faces, or one for each. motions: what the film shows of them, all of one length and
    rate. transfer: how they are carried over to the source.
    """

    drivings: tuple[Driving, ...]
    motions: tuple[Motion, ...]
    transfer: Transfer

    @property
    def kept(self) -> Motion:
        """What `--save-motion` writes: the first face's motion and what the transfer's controls add to it."""
        motion, more = self.motions[0], self.transfer.controls
        return motion if more is None else replace(motion, controls=controls_of(motion) + more)

    @property
    def rate(self) -> Fraction:
        """Frames a second."""
        return self.motions[0].rate

    @property
    def rows(self) -> NDArray[np.intp]:
        """Numbers of the frames that the film shows."""
        return self.transfer.shown_frames(*self.motions)

    @property
    def no_face(self) -> int:
        """Frames of all drivings without a face."""
        return sum(driving.no_face for driving in self.drivings)

    @property
    def bridged(self) -> int:
        """Frames of all drivings in which something is before the face."""
        return sum(driving.bridged for driving in self.drivings)

    @property
    def damaged(self) -> bool:
        """Whether one of the drivings could be read only in part."""
        return any(driving.damaged for driving in self.drivings)


def performance(drivings: Sequence[Driving], request: AnimationRequest, *, is_picture: bool) -> Performance:
    """What a film shows of the drivings of `request.by_driving`; is_picture: whether it is one picture."""
    pairs = zip(drivings, request.by_driving, strict=True)
    played, transfers = zip(*(edited(*pair, is_picture=is_picture) for pair in pairs), strict=True)
    for driving, transfer in zip(played, transfers, strict=True):
        transfer.require_reference(driving.motion)
    return Performance(played, in_step([driving.motion for driving in played]), transfers[0])


def _moving_still(request: AnimationRequest) -> tuple[Motion, MotionEdit]:
    """A motion in which only controls move the source, for as long as they do, and its edit."""
    edit, rate = request.edit, request.fps or BUNDLED_RATE
    if not request.controls.seconds and not edit.fade_in_s:
        edit = replace(edit, fade_in_s=EASE_S)
    seconds = edit.duration_s or (0 if request.controls.seconds else STILL_FILM_S)
    count = max(request.controls.frames(rate), round(seconds * rate))
    return Motion.of(Controls.none(count), rate), edit


def _shown_at(number: int, edit: MotionEdit, motion: Motion) -> int:
    """Which frame of the edited motion shows frame `number`, or the nearest. UsageError if it is cut off."""
    numbers = Controls.none(len(motion))
    numbers.values[:, 0] = np.arange(len(motion))
    shown = replace(edit, fade_in_s=0, returns=False).applied(Motion.of(numbers, motion.rate)).controls
    assert shown is not None
    away = np.abs(shown.values[:, 0] - number)
    if away.min() > 1:
        raise UsageError(f"--reference {number}: the film doesn't show that frame of the driving")
    return int(away.argmin())


def planned_driving(request: AnimationRequest, weights: Weights) -> PlannedDriving:
    """What is known of a driving before it is read."""
    name = request.performed
    motion = _without_pictures(request, weights.config, detector_digest(weights))
    if motion is not None:
        return PlannedDriving(name, None, "none", len(motion), motion.rate, False)
    with open_driving(request) as frames:
        crop = request.driving_crop
        return PlannedDriving(
            path=name,
            size=(frames.width, frames.height),
            crop=crop if isinstance(crop, str) else str(crop),
            frames=frames.frame_count_hint,
            rate=frames.frame_rate,
            sound=frames.audio is not None,
        )


def _without_pictures(
    request: AnimationRequest, config: ModelConfig, digest: str, *, requires_face: bool = False
) -> Motion | None:
    """The motion, where no pictures have to be read for it; arguments as for `known_motion`."""
    name = request.performed
    if request.driving is None and request.bundled is None:
        return Motion.of(Controls.none(1), request.fps or BUNDLED_RATE)
    return known_motion(name, config, digest, span=request.span, fps=request.fps, requires_face=requires_face)

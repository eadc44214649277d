"""Retargeting: a driving's motion becomes the keypoints and the gaze of one source.

`Retargeting` smooths the motion, chooses the reference frame and the scale, and applies
`relative_motion` and controls frame by frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mcnet_cli.animation.source import EncodedFace, SourceFace
from mcnet_cli.compositing import Gaze
from mcnet_cli.errors import UsageError
from mcnet_cli.face import ROLL_POINTS, lies, remaining_roll_deg, roll_deg
from mcnet_cli.face.topology import MESH_POINTS, OUTER_EYE_CORNERS
from mcnet_cli.model import Keypoints
from mcnet_cli.motion.controls import Controls
from mcnet_cli.motion.gaze import EyeLandmarks, GazeTransfer, gaze_shifts
from mcnet_cli.motion.heads import ControlledFace, RegionalMotion
from mcnet_cli.motion.motion import Motion
from mcnet_cli.motion.reference import (
    LID_PLACES,
    TELLING_POINTS,
    best_reference,
    hull_scale,
    on_face,
    reference_weights,
    single_reference,
    telling,
)
from mcnet_cli.motion.relative_motion import LidsAndLips, damped_turns, relative_motion, strengthened
from mcnet_cli.motion.transfer import Transfer

Points = NDArray[Any]

_ROLL_PLACES = [TELLING_POINTS.tolist().index(point) for point in ROLL_POINTS]


@dataclass(frozen=True, slots=True, eq=False)
class SourcePose:
    """How a source is posed in B frames: its keypoints, and its irises where they are known."""

    keypoints: Keypoints
    gaze: Gaze | None = None

    def __getitem__(self, rows: slice) -> "SourcePose":
        """That of some of the frames."""
        return SourcePose(self.keypoints[rows], None if self.gaze is None else self.gaze[rows])


class Retargeting:
    """One driving's motion, ready to be carried over to one source.

    Args:
        motion: the driving's.
        transfer: how it is carried over.
        face: the one that moves.
        numbers: which landmark each keypoint is; empty for learned keypoints.
        smooth: sigma of the smoothing in frames, for learned keypoints where the transfer doesn't say.
    """

    def __init__(
        self,
        motion: Motion,
        transfer: Transfer,
        face: EncodedFace,
        numbers: Sequence[int],
        smooth: float,
    ) -> None:
        transfer.require_reference(motion)
        is_relative = transfer.motion == "relative" and motion.is_recorded
        self._roll_deg = _roll_between(motion, face.face) if is_relative else 0.0
        if self._roll_deg:
            motion = motion.rolled(self._roll_deg)
        self._transfer, self._numbers = transfer, tuple(numbers)
        self._source = face.source.keypoints.map(lambda t: t.float().cpu())
        self._shows_source = ~motion.found & (transfer.no_face == "source")
        self._smooth = smooth
        self._motion = self._held_and_smoothed(motion)
        self._reference, self._scale = self._source, 1.0
        self._factors = transfer.factors
        self._lids_and_lips = LidsAndLips.among(self._numbers)
        self._face, self._by_region = None, None
        has_regions = len({*self._factors.values()}) > 1
        has_controls = transfer.controls is not None or motion.controls is not None
        if has_controls or has_regions:
            self._require_landmarks()
        if has_controls:
            self._face = ControlledFace(face.face.landmarks, self._numbers)
        if has_regions:
            self._by_region = RegionalMotion.of(self._numbers, self._factors)
        self._controls = self._all_controls(motion)
        weights = None
        if is_relative:
            weights = self._reference_weights(motion, face.face.landmarks)
            self._reference = self._motion.mean_keypoints(weights)
            if transfer.adapt_scale:
                ours, theirs = (
                    on_face(k.values[0].numpy(), self._numbers) for k in (self._source, self._reference)
                )
                self._scale = hull_scale(ours, theirs)
        self._gaze = self._gaze_transfer(motion, face.face, weights)

    def pose(self, rows: NDArray[np.intp]) -> SourcePose:
        """The source in the driving's frames `rows`."""
        keypoints = self.keypoints(rows)
        return SourcePose(keypoints, None if self._gaze is None else self._gaze.gaze(rows, keypoints))

    def keypoints(self, rows: NDArray[np.intp]) -> Keypoints:
        """The source's keypoints in the driving's frames `rows`."""
        moved = self._carried_over(self._motion[rows])
        if self._motion.weights is not None:
            moved = strengthened(moved, self._source, torch.from_numpy(self._motion.weights[rows]))
        moved = self._controlled(moved, rows)
        for row in np.flatnonzero(self._shows_source[rows]):
            moved.values[row] = self._source.values[0]
            if moved.jacobians is not None and self._source.jacobians is not None:
                moved.jacobians[row] = self._source.jacobians[0]
        return moved

    def pose_of(self, frame: Motion, shift: Points, weight: float) -> SourcePose:
        """The source in a frame that isn't the motion's, such as a camera's, and is taken as it is.

        The motion is one frame then, the reference. frame: in the same crop. shift: (2,) how far its irises
        are from where they rest, as `gaze_shifts` returns it. weight: of the frame beside the source.
        """
        row = np.zeros(1, np.intp)
        rolled = frame.rolled(self._roll_deg) if self._roll_deg else frame
        keypoints = strengthened(self._carried_over(rolled), self._source, weight)
        keypoints = self._controlled(keypoints, row)
        if self._gaze is None:
            return SourcePose(keypoints)
        turned = weight * self._factors["eyes"] * shift + self._controls.gaze_shifts[row]
        return SourcePose(keypoints, self._gaze.shifted(torch.from_numpy(turned).float(), keypoints))

    def _carried_over(self, frames: Motion) -> Keypoints:
        """The source's keypoints in frames of the driving, as what was recorded of them moves them."""
        if not frames.is_recorded:
            return self._source.map(lambda t: t.expand(len(frames), *t.shape[1:]).clone())
        moved = frames.keypoints(slice(None))
        if self._transfer.motion == "absolute":
            return moved
        if self._by_region is None:
            driving = strengthened(moved, self._reference, self._factors["pose"])
        else:
            driving = Keypoints(self._by_region(moved.values, self._reference.values))
        driving = damped_turns(driving, self._reference, self._source, self._numbers)
        lips = self._factors["lips"]
        return relative_motion(driving, self._reference, self._source, self._scale, self._numbers, lips)

    def _controlled(self, moved: Keypoints, rows: NDArray[np.intp]) -> Keypoints:
        """Keypoints of frames `rows` with what the controls add."""
        controls = self._controls.rows(rows)
        if controls and self._face is not None and self._lids_and_lips is not None:
            moved = self._lids_and_lips.kept_apart(self._face.moved(moved, controls))
        return moved

    def _all_controls(self, motion: Motion) -> Controls:
        """The motion's and the transfer's, for each frame."""
        controls = Controls.none(len(motion))
        if motion.controls is not None and self._face is not None:
            turns = self._face.room_to_turn(self._source)
            controls += motion.controls.scaled(self._factors | {"pose": turns * self._factors["pose"]})
        if self._transfer.controls is not None:
            controls += self._transfer.controls
        return controls

    def _require_landmarks(self) -> None:
        if self._lids_and_lips is None:
            raise UsageError(
                "regions and controls need weights whose keypoints are landmarks of a face",
                hint="take the default, lite",
            )

    def _held_and_smoothed(self, motion: Motion) -> Motion:
        """The motion, smoothed as the transfer says; frames without a face lie between those around."""
        if self._transfer.smooth is None and self._numbers:
            return motion.held().steadied()
        return motion.held().smoothed(
            self._smooth if self._transfer.smooth is None else self._transfer.smooth
        )

    def _gaze_transfer(
        self, motion: Motion, face: SourceFace, reference: NDArray[np.float32] | None
    ) -> GazeTransfer | None:
        """What moves the irises; None if nothing is known of them.

        reference: (T,) the weights of the frames that motion starts from; None in absolute motion.
        """
        if face.landmarks is None or face.irises is None or not {*OUTER_EYE_CORNERS} <= {*self._numbers}:
            return None
        corners = [self._numbers.index(corner) for corner in OUTER_EYE_CORNERS]
        shifts = None
        if self._transfer.gaze == "driving":
            own = EyeLandmarks.of(face.landmarks, face.irises).places
            whole = motion.landmarks is None or motion.landmarks.shape[1] == MESH_POINTS
            numbers = None if whole else TELLING_POINTS.tolist()
            shifts = gaze_shifts(motion, own if reference is None else reference, numbers)
        if shifts is None:
            shifts = np.zeros((len(motion), 2))
        # In the keypoints' unit, so that the filter smooths the gaze as strongly as the keypoints.
        width = 0.25 * float(np.ptp(self._reference.values[0, corners, 0].numpy()) + 1e-6)
        series = replace(motion, values=(width * shifts[:, None]).astype(np.float32), jacobians=None)
        shifts = self._factors["eyes"] * self._held_and_smoothed(series).values[:, 0] / width
        if motion.weights is not None:
            shifts = motion.weights[:, None] * shifts
        shifts = shifts + self._controls.gaze_shifts
        shifts[self._shows_source] = 0
        return GazeTransfer(shifts, face.landmarks, face.irises, self._source, corners)

    def _reference_weights(self, motion: Motion, source_landmarks: Points | None) -> NDArray[np.float32]:
        """(T,) how much each frame counts in what relative motion starts from."""
        reference, usable = self._transfer.reference, motion.found
        if isinstance(reference, int):
            return single_reference(reference, len(motion))
        if motion.weights is not None and (usable & (motion.weights > 0)).any():
            usable = usable & (motion.weights > 0)
        if reference == "first":
            return single_reference(int(usable.argmax()), len(motion))
        if motion.landmarks is not None and source_landmarks is not None:
            return reference_weights(telling(source_landmarks), telling(motion.landmarks), usable, LID_PLACES)
        # Learned keypoints: the mean of their local frames would be none of a face.
        frame = best_reference(self._source.values[0].numpy(), self._motion.values, usable)
        return single_reference(frame, len(motion))


def _roll_between(motion: Motion, face: SourceFace) -> float:
    """Degrees by which a motion has to be rolled to be rolled as the source's face.

    A mouth opens along the face, not along the picture. 0 where the two differ by no more than people tilt
    their heads, which is part of the motion, unless the source lies in its photo.
    """
    if motion.landmarks is None or face.roll_deg is None or not motion.found.any():
        return 0.0
    places = _ROLL_PLACES if motion.landmarks.shape[1] == len(TELLING_POINTS) else list(ROLL_POINTS)
    theirs = roll_deg(motion.landmarks[motion.found][:, places])
    degrees = (face.roll_deg - theirs + 180) % 360 - 180
    return degrees if lies(degrees) or remaining_roll_deg(face.roll_deg, face.turned_by) else 0.0

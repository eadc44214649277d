"""`LiveAnimator`: a portrait moves with frames that come one by one, as a camera brings them.

Of a driving that is read whole, `animation.driving` knows all frames: it smooths forwards and backwards, and
chooses its crop and its reference among them. Here nothing is known of later frames: motion is relative to a
face that is calibrated first, and smoothed forwards alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.animation.animator import Animator
from mcnet_cli.animation.frames import frames_of, naming_weights
from mcnet_cli.animation.renderer import Renderer
from mcnet_cli.animation.request import Background, PictureKind, require_shown
from mcnet_cli.animation.retarget import Retargeting, SourcePose
from mcnet_cli.animation.source import EncodedFace, Portrait, face_picture, on_square
from mcnet_cli.arrays import Picture
from mcnet_cli.errors import InputError, UsageError
from mcnet_cli.face import CropBox, Framing, clip_box, rolled_box, turned
from mcnet_cli.live.tracking import Tracking, TrackingHere
from mcnet_cli.motion.gaze import EyeLandmarks, LiveGaze
from mcnet_cli.motion.landmark_track import LandmarkTrack
from mcnet_cli.motion.motion import Motion, next_velocity, weight_of_new
from mcnet_cli.motion.reference import TELLING_POINTS
from mcnet_cli.motion.transfer import Transfer
from mcnet_cli.options import DrivingFace

Floats = NDArray[np.float64]

MIN_FOUND_SHARE = 0.5  # of the frames for calibration, which have to show a face
# A face that is lost: how long its last pose stays, how long the portrait then takes to become itself again,
# and how long it takes to follow a face that is back.
HOLD_S, LEAVE_S, RETURN_S = 0.5, 1.0, 0.3
MIN_STEP_S = 1e-3  # what the filter takes for the time between two frames, at least
EYE_PER_CORNERS = 0.25  # width of an eye over the distance of the outer corners, about
NO_RATE = Fraction(1)  # of frames that come at no fixed pace


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """The face that motion is relative to.

    motion: one frame, the median of those that were looked at. box: what is cropped from each frame. turns:
    quarter turns, counterclockwise, that bring the face upright. eyes: where its irises rest.
    """

    motion: Motion
    box: CropBox
    turns: int
    eyes: EyeLandmarks


@dataclass(frozen=True, slots=True, eq=False)
class FollowedFace:
    """A face in one frame.

    calibration: what it is relative to. motion: of this frame alone; where no face was found the last one.
    shift: (2,) of the irises, in widths of the eyes. weight: in [0, 1], 1 where the portrait moves as the
    face does, 0 where it is as in its photo, because the face is lost. found: whether there is a face.
    """

    calibration: Calibration
    motion: Motion
    shift: Floats
    weight: float
    found: bool


class LiveAnimator:
    """Moves a portrait with frames that come one by one, without knowing those that follow.

    `calibrate` it with a second of a face at rest, which motion is relative to; then each `frame` gives a
    picture. What `Animator.render` smooths forwards and backwards is smoothed forwards alone here. A face
    that is lost holds its last pose for half a second, then the portrait eases back to what its photo shows.

    `frame` is `follow`, then `draw`. These two may run in two threads, one frame apart; neither may be called
    by several threads at once.

    Args:
        animator: the network, with a detector.
        portrait: from `Animator.portrait` of this animator; another one may be set at any time.
        transfer: how motion is carried over. Its reference is the calibrated face. Motion is relative, and
            `smooth` is None (what hardly moves is steadied) or 0 (nothing is).
        face: whose motion it is, if there are several: see `Animator.motion`.
        picture, background: as for `Animator.render`.
        tracking: finds the landmarks of that face, such as a process of its own; None: in this process.

    Raises:
        UsageError: an animator without a detector, or what can't be done live.
        InputError: nobody to put before another background.

    Example:
        >>> from mcnet_cli import Animator, LiveAnimator
        >>> animator = Animator.load("lite")
        >>> live = LiveAnimator(animator, animator.portrait("portrait.jpg"))
        >>> camera = [animator.portrait("portrait.jpg").photo] * 4
        >>> calibration = live.calibrate(camera[:2])
        >>> live.frame(camera[2], time_s=0.0).shape
        (512, 512, 3)
    """

    def __init__(
        self,
        animator: Animator,
        portrait: Portrait,
        transfer: Transfer | None = None,
        *,
        face: DrivingFace = "largest",
        picture: PictureKind = "photo",
        background: Background = "still",
        tracking: Tracking | None = None,
    ) -> None:
        self._transfer = transfer or Transfer()
        if self._transfer.motion != "relative" or self._transfer.smooth:
            raise UsageError("live motion is relative and can't be smoothed by a Gaussian: that looks ahead")
        if animator.finder is None:
            raise UsageError("without a detector no face is found", hint="load the animator with one")
        require_shown(picture, background)
        self._animator, self._shown = animator, (picture, background)
        self._follower = Follower(
            animator.renderer,
            tracking or TrackingHere(partial(animator.finder.tracker, face), animator.landmarks),
            animator.framing,
            steady=self._transfer.smooth is None,
        )
        self.portrait = portrait

    @property
    def portrait(self) -> Portrait:
        """Who is moved."""
        return self._portrait

    @portrait.setter
    def portrait(self, portrait: Portrait) -> None:
        self._make = frames_of(portrait, self._animator.renderer, *self._shown, size=None)
        self._portrait = portrait
        self._calibration: Calibration | None = None
        self._retargetings: list[Retargeting] = []

    def calibrate(self, frames: Sequence[Picture]) -> Calibration:
        """Takes the face in these frames as the one at rest; (H, W, 3) uint8 RGB arrays of one size.

        A second of frames, or some of them, is enough; their median counts.

        Raises InputError if fewer than half of them show a face.
        """
        return self._follower.calibrate(frames)

    def frame(self, frame: Picture, time_s: float) -> Picture:
        """The portrait moved as the face in the next frame is.

        Args:
            frame: (H, W, 3) uint8 RGB, as large as those that it was calibrated by.
            time_s: when it was taken, in seconds of any clock.

        Raises UsageError before the first calibration.
        """
        return self.draw(self.follow(frame, time_s))

    def follow(self, frame: Picture, time_s: float) -> FollowedFace:
        """The first half of `frame`: what the face does; about a third of the work."""
        return self._follower.follow(frame, time_s)

    def draw(self, followed: FollowedFace) -> Picture:
        """The second half of `frame`: the portrait, moved as the face that was followed."""
        with naming_weights(self._animator.weights.path):
            if self._calibration is not followed.calibration:
                # only now, since the portrait may have changed meanwhile
                self._calibration = followed.calibration
                self._retargetings = [self._retargeting(face) for face in self._portrait.faces]
            poses = [
                each.pose_of(followed.motion, followed.shift, followed.weight) for each in self._retargetings
            ]
            (picture,) = self._make(poses)
        return picture

    def warm_up(self) -> None:
        """Draws the portrait as it is, unseen: first frames take several times as long as others."""
        self._make(
            [
                SourcePose(face.source.keypoints.map(lambda t: t.float().cpu()))
                for face in self._portrait.faces
            ]
        )

    def _retargeting(self, face: EncodedFace) -> Retargeting:
        assert self._calibration is not None
        transfer = replace(self._transfer, reference=0, smooth=0.0)
        return Retargeting(self._calibration.motion, transfer, face, self._animator.landmarks, 0.0)


class Follower:
    """Follows one face through frames that come one by one.

    renderer: the network whose keypoints are found. tracking: finds the face's landmarks. framing: how the
    network wants faces cropped. steady: whether what hardly moves is steadied.
    """

    def __init__(
        self,
        renderer: Renderer,
        tracking: Tracking,
        framing: Framing,
        *,
        steady: bool = True,
    ) -> None:
        self._renderer, self._tracking, self._framing = renderer, tracking, framing
        self._is_steady = steady
        self._track: LandmarkTrack
        self._calibration: Calibration | None = None

    def calibrate(self, frames: Sequence[Picture]) -> Calibration:
        """Takes a face at rest as what motion is relative to: the median of (H, W, 3) frames of one size.

        Raises InputError if fewer than half of the frames show a face.
        """
        self._tracking.restart()
        for frame in frames:
            self._track = self._tracking.add(frame, keeps=True)
        found = self._track.found.copy()
        if not found.any() or found.mean() < MIN_FOUND_SHARE:
            raise InputError("no face was seen", hint="look at the camera, with light on the face")
        box = clip_box(self._track.samples, self._framing)
        seen = self._motion([frame for frame, shown in zip(frames, found, strict=True) if shown], box)
        motion = seen.median()
        self._calibration = Calibration(motion, box, self._track.turns, _eyes(motion))
        self._last, self._shift = motion, np.zeros(2)
        self._gaze, self._presence = LiveGaze(self._calibration.eyes), Presence()
        self._steady_keypoints, self._steady_gaze = OneEuro(), OneEuro()
        # The gaze is smoothed as strongly as the keypoints, so in their unit, half a side of the crop.
        left, right = self._calibration.eyes.outer * (max(frames[0].shape[:2]) / box.width)
        self._eye_width = EYE_PER_CORNERS * float(np.linalg.norm(right - left))
        return self._calibration

    def follow(self, frame: Picture, time_s: float) -> FollowedFace:
        """The face in the next (H, W, 3) frame, which was taken at `time_s` seconds of whatever clock.

        Raises UsageError before the first calibration.
        """
        calibration = self._calibration
        if calibration is None:
            raise UsageError("no face has been calibrated yet", hint="call calibrate first")
        self._track = self._tracking.add(frame, keeps=False)
        is_found = bool(self._track.found[0])
        if is_found:
            motion = self._motion([frame], calibration.box)
            shift = self._gaze.shift(_eyes(motion))
            if self._is_steady:
                motion = replace(motion, values=self._steady_keypoints(motion.values, time_s))
                shift = self._steady_gaze(self._eye_width * shift, time_s) / self._eye_width
            self._last, self._shift = motion, shift
        weight = self._presence.weight(is_found, time_s)
        return FollowedFace(calibration, self._last, self._shift, weight, is_found)

    def _motion(self, frames: Sequence[Picture], box: CropBox) -> Motion:
        """Of the frames of the track that show a face, which are given."""
        track, renderer = self._track, self._renderer
        found = track.found.copy()
        jacobians = None
        if renderer.landmarks:
            values = on_square(track.exact[found], box, (0, 0), renderer.size)
        else:
            upright = [turned(frame, track.turns) for frame in frames]
            rolled = rolled_box(box, track.roll_deg, (upright[0].shape[1], upright[0].shape[0]))
            pictures = [face_picture(frame, rolled, renderer.size, track.roll_deg) for frame in upright]
            keypoints = [renderer.detect_keypoints([picture]) for picture in pictures]
            values = np.concatenate([each.values.numpy() for each in keypoints])
            if renderer.config.keypoints.jacobians:
                jacobians = np.concatenate([np.asarray(each.jacobians) for each in keypoints])
        return Motion(
            values,
            jacobians,
            track.landmarks[found],
            found[found],
            NO_RATE,
            renderer.digest,
            track.irises[found],
        )


class Presence:
    """How much of a face's motion is shown, as the face is lost and found again."""

    def __init__(self) -> None:
        self._weight = 1.0
        self._seen_s: float | None = None
        self._last_s: float | None = None

    def weight(self, found: bool, time_s: float) -> float:
        """In [0, 1], in a frame at this time; it changes smoothly."""
        passed = 0.0 if self._last_s is None else max(time_s - self._last_s, 0.0)
        self._last_s = time_s
        if found:
            self._seen_s = time_s
            self._weight = min(1.0, self._weight + passed / RETURN_S)
        elif self._seen_s is None or time_s - self._seen_s > HOLD_S:
            self._weight = max(0.0, self._weight - passed / LEAVE_S)
        return self._weight**2 * (3 - 2 * self._weight)


class OneEuro:
    """The filter of `Motion.steadied` (Casiez et al., CHI 2012), forwards in time alone and at any pace.

    Points at rest lag behind by a third of a second, points that move by nearly nothing.
    """

    def __init__(self) -> None:
        self._time_s = 0.0
        self._new: Floats | None = None
        self._steady: Floats
        self._velocity: Floats

    def __call__(self, points: NDArray[Any], time_s: float) -> NDArray[np.float32]:
        """(..., 2) the points of the next frame, steadied."""
        new = points.astype(np.float64)
        if self._new is None:
            self._steady, self._velocity = new, np.zeros_like(new)
        else:
            rate = 1 / max(time_s - self._time_s, MIN_STEP_S)
            self._velocity = next_velocity(self._velocity, (new - self._new) * rate, rate)
            share = weight_of_new(self._velocity, rate)
            self._steady = self._steady + share[..., None] * (new - self._steady)
        self._new, self._time_s = new, time_s
        return self._steady.astype(np.float32)


def _eyes(motion: Motion) -> EyeLandmarks:
    """Of a motion's first frame."""
    assert motion.landmarks is not None and motion.irises is not None
    return EyeLandmarks.of(motion.landmarks[0], motion.irises[0], TELLING_POINTS.tolist())

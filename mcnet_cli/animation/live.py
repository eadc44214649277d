"""`LiveAnimator`: a portrait that moves with the frames of a camera, one by one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from mcnet_cli.animation.animator import Animator
from mcnet_cli.animation.follow import Calibration, Followed, Follower
from mcnet_cli.animation.frames import frames_of
from mcnet_cli.animation.request import Background, PictureKind, require_shown
from mcnet_cli.animation.retarget import Pose, Retargeting, Transfer
from mcnet_cli.animation.source import EncodedFace, Portrait
from mcnet_cli.arrays import Picture
from mcnet_cli.errors import UsageError


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
        face: Literal["largest", "first"] | int = "largest",
        picture: PictureKind = "photo",
        background: Background = "still",
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
            animator.finder,
            animator.framing,
            which=face,
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

    def follow(self, frame: Picture, time_s: float) -> Followed:
        """The first half of `frame`: what the face does; about a third of the work."""
        return self._follower.follow(frame, time_s)

    def draw(self, followed: Followed) -> Picture:
        """The second half of `frame`: the portrait, as what was followed says."""
        with self._animator.naming_weights():
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
            [Pose(face.source.keypoints.map(lambda t: t.float().cpu())) for face in self._portrait.faces]
        )

    def _retargeting(self, face: EncodedFace) -> Retargeting:
        assert self._calibration is not None
        transfer = replace(self._transfer, reference=0, smooth=0.0)
        return Retargeting(self._calibration.motion, transfer, face, self._animator.landmarks, 0.0)

"""What is done with each picture of the camera before it is drawn: calibrating, then following the face."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcnet_cli.arrays import Picture
from mcnet_cli.errors import InputError
from mcnet_cli.live.feed import CapturedFrame

if TYPE_CHECKING:
    from mcnet_cli.live.live_animator import FollowedFace, LiveAnimator

CALIBRATION_S = 1.0
CALIBRATION_STEP_S = 0.09  # between the frames of that second that are looked at


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What was made of a frame.

    picture: what the camera showed, mirrored if that is wanted. followed: what its face does; None while it
    is being calibrated. calibrated: how much of the calibration's second has passed, in [0, 1]. failed:
    whether the last second showed no face, so that another one is taken.
    """

    frame: CapturedFrame
    picture: Picture
    followed: "FollowedFace | None"
    calibrated: float = 1.0
    failed: bool = False


class Following:
    """Mirrors each picture if that is wanted, calibrates by a second of them, then follows the face.

    live: follows faces. It may still be loading while frames to calibrate it by are collected; the last
    second of these counts. mirrored: whether pictures are mirrored, so that a portrait moves like a mirror
    image.
    """

    def __init__(self, live: "Future[LiveAnimator]", *, mirrored: bool) -> None:
        self._live, self._is_mirrored = live, mirrored
        self._frames: list[Picture] = []  # that calibrated last, or are going to
        self._times: list[float] = []
        self._failed = self._is_calibrated = False

    def calibrate(self) -> None:
        """Has the next second of frames be what motion is relative to."""
        self._is_calibrated = self._failed = False
        self._frames, self._times = [], []

    def mirror(self) -> bool:
        """Mirrors pictures from now on, or no more; whether they are. Nobody has to be calibrated anew."""
        self._is_mirrored = not self._is_mirrored
        self._frames = [_mirrored(frame) for frame in self._frames]
        if self._is_calibrated:
            self._try_to_calibrate()
        return self._is_mirrored

    def seen(self, frame: CapturedFrame) -> Seen:
        """The work on one frame."""
        picture = _mirrored(frame.picture) if self._is_mirrored else frame.picture
        if not self._is_calibrated:
            return self._calibrating(frame, picture)
        return Seen(frame, picture, self._live.result().follow(picture, frame.time_s))

    def _calibrating(self, frame: CapturedFrame, picture: Picture) -> Seen:
        if not self._times or frame.time_s - self._times[-1] >= CALIBRATION_STEP_S:
            self._frames.append(picture)
            self._times.append(frame.time_s)
        share = min((frame.time_s - self._times[0]) / CALIBRATION_S, 1.0)
        if share == 1 and self._live.done():
            self._try_to_calibrate()
        while self._times and self._times[-1] - self._times[0] > CALIBRATION_S:
            del self._times[0], self._frames[0]
        return Seen(frame, picture, None, share, self._failed)

    def _try_to_calibrate(self) -> None:
        try:
            self._live.result().calibrate(self._frames)
        except InputError:  # no face: the next second may show one
            self._is_calibrated, self._failed = False, True
            self._frames, self._times = [], []
        else:
            self._is_calibrated = True


def _mirrored(picture: Picture) -> Picture:
    return np.ascontiguousarray(picture[:, ::-1])

"""What is done between camera and drawing, in a thread of its own: calibrating, then following the face."""

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcnet_cli.arrays import Picture
from mcnet_cli.errors import InputError
from mcnet_cli.live.feed import Shot
from mcnet_cli.live.handover import Slot
from mcnet_cli.live.pace import Schedule

if TYPE_CHECKING:
    from mcnet_cli.animation import LiveAnimator
    from mcnet_cli.animation.live import LiveFrame

CALIBRATION_S = 1.0
CALIBRATION_STEP_S = 0.09  # between the frames of that second that are looked at
WAIT_S = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What was made of a shot.

    picture: what the camera showed, mirrored if that is wanted. frame: what its face does; None while it is
    being calibrated. calibrated: how much of the calibration's second has passed, in [0, 1]. failed:
    whether the last second showed no face, so that another one is taken.
    """

    shot: Shot
    picture: Picture
    frame: "LiveFrame | None"
    calibrated: float = 1.0
    failed: bool = False


class Following:
    """Takes shots from one slot, and leaves what it saw in another.

    Its methods but `seen` may be called by any thread. live: follows faces; it may still be loading while the
    frames that calibrate it are collected. waits: whether shots wait for that, as a video's do; a camera's go
    on, and the last second of them counts. mirrored: whether pictures are mirrored, so that a portrait moves
    like a mirror image. schedule: when to begin with each shot; None: as soon as one is there.
    """

    def __init__(
        self,
        live: "Future[LiveAnimator]",
        shots: Slot[Shot],
        results: Slot[Seen],
        *,
        waits: bool,
        mirrored: bool,
        schedule: Schedule | None = None,
    ) -> None:
        self._live, self._shots, self._results = live, shots, results
        self._waits, self._schedule = waits, schedule
        self._wants_mirrored = self._is_mirrored = mirrored
        self._wants_calibration = threading.Event()
        self._wants_calibration.set()
        self._ended = threading.Event()
        self._frames: list[Picture] = []  # that calibrated last, or are going to
        self._times: list[float] = []
        self._failed = False
        self._is_calibrated = False
        self._thread = threading.Thread(target=self._run, name="following", daemon=True)

    def __enter__(self) -> "Following":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._shots.close()
        self._results.close()
        self._thread.join()

    def calibrate(self) -> None:
        """Has the next second of shots be what motion is relative to."""
        self._wants_calibration.set()

    def mirror(self) -> bool:
        """Mirrors pictures from now on, or no more; whether they are."""
        self._wants_mirrored = not self._wants_mirrored
        return self._wants_mirrored

    def seen(self, shot: Shot) -> Seen:
        """The work on one shot."""
        if self._wants_calibration.is_set():
            self._wants_calibration.clear()
            self._is_calibrated = self._failed = False
            self._frames, self._times = [], []
        if self._is_mirrored is not self._wants_mirrored:
            self._is_mirrored = self._wants_mirrored
            self._frames = [_mirrored(frame) for frame in self._frames]
            if self._is_calibrated:
                self._try_to_calibrate()
        picture = _mirrored(shot.picture) if self._is_mirrored else shot.picture
        if not self._is_calibrated:
            return self._calibrating(shot, picture)
        return Seen(shot, picture, self._live.result().follow(picture, shot.time_s))

    def _calibrating(self, shot: Shot, picture: Picture) -> Seen:
        if not self._times or shot.time_s - self._times[-1] >= CALIBRATION_STEP_S:
            self._frames.append(picture)
            self._times.append(shot.time_s)
        share = min((shot.time_s - self._times[0]) / CALIBRATION_S, 1.0)
        if share == 1 and (self._waits or self._live.done()):
            self._try_to_calibrate()
        while self._times and self._times[-1] - self._times[0] > CALIBRATION_S:
            del self._times[0], self._frames[0]
        return Seen(shot, picture, None, share, self._failed)

    def _try_to_calibrate(self) -> None:
        try:
            self._live.result().calibrate(self._frames)
        except InputError:  # no face: the next second may show one
            self._is_calibrated, self._failed = False, True
            self._frames, self._times = [], []
        else:
            self._is_calibrated = True

    def _timed(self, shot: Shot) -> Seen:
        began_s = time.monotonic()
        seen = self.seen(shot)
        if self._schedule is not None:
            self._schedule.followed(time.monotonic() - began_s)
        return seen

    def _run(self) -> None:
        try:
            while not (self._ended.is_set() or self._shots.is_over):
                if self._schedule is not None and not self._schedule.wait(WAIT_S):
                    continue
                shot = self._shots.take(WAIT_S)
                if shot is not None and not self._results.put(self._timed(shot)):
                    break
        except BaseException as error:
            self._results.close(error)
        else:
            self._results.close()


def _mirrored(picture: Picture) -> Picture:
    return np.ascontiguousarray(picture[:, ::-1])

"""The loaded network and the portraits that it moves, one at a time, no larger than there is time for."""

import contextlib
import functools
import logging
from pathlib import Path

import torch

from mcnet_cli.animation import Animator, Portrait, Transfer
from mcnet_cli.errors import InputError
from mcnet_cli.live.live_animator import LiveAnimator
from mcnet_cli.live.pace import FittingSize, frame_budget_s
from mcnet_cli.live.request import MAX_SIDE_PX, LiveRequest
from mcnet_cli.live.tracking import TrackingBeside, tracking_beside
from mcnet_cli.media import read_image
from mcnet_cli.system import processor_count

PORTRAITS_KEPT = 8
WARM_UP_FRAMES = 2

log = logging.getLogger(__name__)


def drawing_threads() -> int:
    """How many threads compute a picture: a core is left for the camera, the encoder and other programs.

    Threads that have to wait for a core which another program uses make each other wait, too: on two busy
    cores a picture takes several times as long by two threads as by one.
    """
    return max(1, processor_count() - 1)


class Stage:
    """Loads what a request asks for, and draws one portrait, no larger than it can be drawn in time.

    Errors are those of `Animator.load`, `Animator.portrait` and `LiveAnimator`.
    """

    def __init__(self, request: LiveRequest) -> None:
        self._threads = torch.get_num_threads()
        torch.set_num_threads(drawing_threads())
        self._request = request
        self.animator = Animator.load(
            request.weights, device=request.device, precision=request.precision, fetch=request.fetch
        )
        self._number = 0
        self._encoded = functools.lru_cache(PORTRAITS_KEPT)(self._encode)
        self._whole = self._encoded(request.sources[0])
        transfer = Transfer(
            region=request.region,
            strength=request.strength,
            gaze=request.gaze,
            smooth=None if request.steady else 0.0,
        )
        asked = request.background
        self._processes = contextlib.ExitStack()
        self.tracking = self._tracking()
        self.live = LiveAnimator(
            self.animator,
            self._whole,
            transfer,
            face=request.driving_face,
            picture=request.picture,
            background=read_image(asked) if isinstance(asked, Path) else asked,
            tracking=self.tracking,
        )
        self.asked_size = max(self._whole.photo.shape[:2])
        self._fitting: FittingSize | None = None
        for _ in range(WARM_UP_FRAMES):
            self.live.warm_up()

    @property
    def number(self) -> int:
        """Which of the sources it is, from 0."""
        return self._number

    @property
    def size(self) -> int:
        """The longer side of the photo, as it is drawn now."""
        height, width = self.live.portrait.photo.shape[:2]
        return int(max(height, width))

    @property
    def whole_size(self) -> tuple[int, int]:
        """(width, height) of the photo as it is drawn where there is time enough."""
        height, width = self._whole.shown.shape[:2]
        return width, height

    def begin(self, rate: float | None) -> None:
        """Prepares the thread that draws, which calls it before the first frame.

        rate: of the camera. From now on photos become smaller where frames take too long for that; None: they
        keep their size.
        """
        torch.set_num_threads(drawing_threads())
        self._fitting = None if rate is None else FittingSize(self.size, frame_budget_s(rate))

    def leave(self) -> None:
        """Ends the tracking process. Torch gets back as many threads as it had: that is a global setting."""
        self._processes.close()
        torch.set_num_threads(self._threads)

    def took(self, seconds: float) -> None:
        """Tells how long a frame took to be followed and drawn; the next one may be smaller."""
        if self._fitting is not None and self._fitting.drawn(seconds):
            self.live.portrait = self._whole.within(self._fitting.longest)

    def next_source(self) -> None:
        """Takes the next of the sources that shows a face, no larger than the one before is drawn."""
        count = len(self._request.sources)
        for number in ((self._number + step) % count for step in range(1, count)):
            try:
                self._whole = self._encoded(self._request.sources[number])
            except InputError as error:
                log.warning("%s; this source is left out", error)
                continue
            self._number = number
            bound = MAX_SIDE_PX if self._fitting is None else self._fitting.longest
            self.live.portrait = self._whole.within(bound)
            return

    def _tracking(self) -> TrackingBeside | None:
        """A process that follows the face while this one draws the frame before.

        None where each frame is wanted, in its order, or keypoints aren't landmarks, or on a single core.
        """
        landmarks = self.animator.landmarks
        if self._request.every_frame or not landmarks or processor_count() == 1:
            return None
        return self._processes.enter_context(tracking_beside(self._request.driving_face, landmarks))

    def _encode(self, path: Path) -> Portrait:
        return self.animator.portrait(
            path, face=self._request.face, longest=self._request.size or MAX_SIDE_PX
        )

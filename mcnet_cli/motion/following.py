"""A face followed through the frames of a driving: in this process, or ahead of time in one of its own.

Nothing here needs torch, which takes longer to load than anything else a command does. So a process of its
own can be far on its way by the time that the network is ready.
"""

import contextlib
import functools
import logging
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mcnet_cli.arrays import Picture
from mcnet_cli.errors import InputError, McnetError, SystemFailure, shown
from mcnet_cli.face import STEADY_LOOKS, BlazeFaceDetector, FaceMesh, FaceTracker, Landmarks
from mcnet_cli.media import FrameSource, SoundTrack
from mcnet_cli.media.process import Child, running
from mcnet_cli.motion.landmark_track import LandmarkTrack
from mcnet_cli.motion.motion_file import faceless, no_face_in
from mcnet_cli.options import DrivingFace
from mcnet_cli.processes import answers_on_stdout, packed, python_call, received, send, send_log, show_log
from mcnet_cli.progress import OnProgress, Progress
from mcnet_cli.system import yield_cores
from mcnet_cli.threads import in_order

FINDING = "finding the face in the driving"

OpenFrames = Callable[[], FrameSource]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """A face that was followed through a driving, and what is known of the driving since.

    path, width, height, frame_rate, frames_read, sound, damaged, warnings: as `FrameSource` has them.
    """

    track: LandmarkTrack
    path: Path
    width: int
    height: int
    frame_rate: Fraction
    frames_read: int
    sound: SoundTrack | None
    damaged: bool
    warnings: list[str]


def follow_driving(
    opened: OpenFrames,
    tracker: FaceTracker,
    *,
    whole: bool,
    exact: tuple[int, ...],
    requires_face: bool,
    on_progress: OnProgress,
) -> Followed:
    """Follows a face through all frames that `opened` opens.

    whole, exact: what is kept of it, see `LandmarkTrack`. requires_face: a frame without a face is an
    InputError. on_progress: called after each frame.

    Raises InputError for a driving that can't be read, or in which no frame shows the face.
    """
    track = LandmarkTrack(whole=whole, exact=exact)
    with opened() as frames:
        seen = _faces(frames, tracker, requires_face, on_progress)
        # following the hair takes a thread of its own, while the face is found in the next frame
        for _ in in_order(lambda face_and_frame: track.add(*face_and_frame), seen):
            pass
    if not track.faces:
        if isinstance(tracker.which, int):
            raise InputError(
                f"{shown(frames.path)}: no frame shows a face {tracker.which}",
                hint="--driving-face counts from 0, left to right",
            )
        raise faceless(frames.path)
    _tell_who_moves(tracker, frames.path)
    return Followed(
        track,
        frames.path,
        frames.width,
        frames.height,
        frames.frame_rate,
        frames.frames_read,
        frames.sound,
        frames.damaged,
        frames.warnings,
    )


def counted_frames(
    frames: FrameSource, stage: str, total: int | None, on_progress: OnProgress
) -> Iterator[Picture]:
    """The frames, each of which is told when the next one is asked for."""
    for number, frame in enumerate(frames, 1):
        yield frame
        on_progress(Progress(stage, number, total))


def face_in(
    frame: Picture, number: int, frames: FrameSource, tracker: FaceTracker, requires_face: bool
) -> Landmarks | None:
    """The face in a frame; None without one, or InputError if it is required. number: the frame's."""
    landmarks = tracker(frame)
    if landmarks is None and requires_face:
        raise no_face_in(frames.path, number)
    return landmarks


def _faces(
    frames: FrameSource, tracker: FaceTracker, requires_face: bool, on_progress: OnProgress
) -> Iterator[tuple[Landmarks | None, Picture]]:
    """The face in each frame, None where there is none, and the frame."""
    for number, frame in enumerate(counted_frames(frames, FINDING, frames.frame_count_hint, on_progress)):
        yield face_in(frame, number, frames, tracker, requires_face), frame


def _tell_who_moves(tracker: FaceTracker, path: Path) -> None:
    """Logs which of several faces was followed, and whether it became another's."""
    if tracker.choice is not None and tracker.choice[1] > 1:
        number, count = tracker.choice
        log.info(
            "%s: of %d faces, number %d from the left (counted from 0) is followed; --driving-face N takes "
            "another",
            shown(path),
            count,
            number,
        )
    if tracker.changes:
        listed = ", ".join(map(str, tracker.changes[:5])) + (", ..." if len(tracker.changes) > 5 else "")
        log.warning(
            "%s: the face jumps in frames %s, perhaps to another person; --driving-face first keeps to one",
            shown(path),
            listed,
        )


@dataclass(frozen=True, slots=True)
class Order:
    """What a process of its own is to follow; arguments as for `follow_driving` and `FaceTracker`.

    level: from which on what it logs is sent.
    """

    opened: OpenFrames
    which: DrivingFace
    whole: bool
    exact: tuple[int, ...]
    requires_face: bool
    level: int

    def done(self, on_progress: OnProgress) -> Followed:
        """Carries out the order, in the process that calls it."""
        tracker = FaceTracker(BlazeFaceDetector(), FaceMesh(STEADY_LOOKS), which=self.which)
        return follow_driving(
            self.opened,
            tracker,
            whole=self.whole,
            exact=self.exact,
            requires_face=self.requires_face,
            on_progress=on_progress,
        )


class FollowingAhead:
    """A process that carries out an order. `following_ahead` starts one."""

    def __init__(self, child: Child, order: Order) -> None:
        self._child, self.order = child, order

    def result(self, on_progress: OnProgress) -> Followed | None:
        """Waits until the driving has been followed. None if the process failed: then do it here, once more.

        Raises InputError as `follow_driving` does.
        """
        while True:
            try:
                message = received(self._child.read)
            except (EOFError, OSError, pickle.UnpicklingError):
                log.debug("the process that follows the face has ended (%s)", self._child.log.reason)
                return None
            if isinstance(message, Progress):
                on_progress(message)
            elif isinstance(message, logging.LogRecord):
                show_log(message)
            elif isinstance(message, McnetError):
                raise message
            else:
                self._child.finish()
                return message if isinstance(message, Followed) else None


@contextlib.contextmanager
def following_ahead(order: Order) -> Iterator[FollowingAhead | None]:
    """Starts a process that carries out the order, and ends it with the block; None if that can't be done."""
    with contextlib.ExitStack() as stack:
        try:
            child = stack.enter_context(
                running(python_call(serve), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            child.write_all(memoryview(packed(order)))
        except (SystemFailure, OSError):
            yield None
            return
        yield FollowingAhead(child, order)


def serve() -> None:
    """The main function of such a process: carries out the order on stdin, and answers on stdout."""
    answers = answers_on_stdout()
    order: Order = received(sys.stdin.buffer.read)
    yield_cores()  # to the process that loads torch, and has to be ready when this one is
    tell = functools.partial(send, answers)
    send_log(tell, order.level)
    try:
        tell(order.done(tell))
    except McnetError as error:
        tell(error)

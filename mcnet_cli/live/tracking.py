"""The landmarks of one face in frames that come one by one, found here or in a process of its own.

Python computes in one thread at a time, as far as small steps go. So more frames are shown if a process finds
the landmarks of one while this process draws the one before.
"""

import contextlib
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from mcnet_cli.arrays import Picture
from mcnet_cli.errors import SystemFailure
from mcnet_cli.face import STEADY_LOOKS, BlazeFaceDetector, FaceMesh, FaceTracker
from mcnet_cli.media.process import Child, running
from mcnet_cli.motion.landmark_track import LandmarkTrack
from mcnet_cli.options import DrivingFace
from mcnet_cli.processes import answers_on_stdout, packed, python_call, received, send


class Tracking(Protocol):
    """Finds the landmarks of one face in frames that come one by one."""

    def restart(self) -> None:
        """Forgets the face; the next frame may show another."""

    def add(self, frame: Picture, *, keeps: bool) -> LandmarkTrack:
        """The landmarks in the next (H, W, 3) frame, with those of the frames before if it `keeps` them."""


class TrackingHere:
    """In this process.

    tracker: makes what finds the face. exact: points that are kept in full precision, as in `LandmarkTrack`.
    """

    def __init__(self, tracker: Callable[[], FaceTracker], exact: tuple[int, ...]) -> None:
        self._make, self._exact = tracker, exact
        self.restart()

    def restart(self) -> None:
        """As in `Tracking`."""
        self._tracker = self._make()
        self._track = LandmarkTrack(whole=False, exact=self._exact)

    def add(self, frame: Picture, *, keeps: bool) -> LandmarkTrack:
        """As in `Tracking`."""
        if not keeps:
            self._track.forget()
        self._track.add(self._tracker(frame), frame)
        return self._track


@dataclass(frozen=True, slots=True)
class _Frame:
    """What comes before the pixels of a frame. restarts: whether the face is forgotten first."""

    shape: tuple[int, ...]
    keeps: bool
    restarts: bool


class TrackingBeside:
    """In a process of its own, which `tracking_beside` starts. SystemFailure if that process has ended."""

    def __init__(self, child: Child) -> None:
        self._child, self._restarts = child, False

    def restart(self) -> None:
        """As in `Tracking`."""
        self._restarts = True

    def add(self, frame: Picture, *, keeps: bool) -> LandmarkTrack:
        """As in `Tracking`."""
        head, self._restarts = _Frame(frame.shape, keeps, self._restarts), False
        try:
            self._child.write_all(memoryview(packed(head)))
            self._child.write_all(np.ascontiguousarray(frame).data.cast("B"))
            track = received(self._child.read)
        except (OSError, EOFError) as error:
            raise SystemFailure(
                f"the process that follows the face has ended ({self._child.log.reason})"
            ) from error
        assert isinstance(track, LandmarkTrack)
        return track


@contextlib.contextmanager
def tracking_beside(which: DrivingFace, exact: tuple[int, ...]) -> Iterator[TrackingBeside]:
    """Starts a process that finds landmarks, and ends it with the block.

    which: whom of several to follow, see `FaceTracker`. exact: as for `TrackingHere`.
    """
    with running(python_call(serve), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.write_all(memoryview(packed((which, exact))))
        yield TrackingBeside(child)


def serve() -> None:
    """The main function of such a process: frames on stdin, landmarks on stdout, until stdin ends."""
    answers = answers_on_stdout()
    cv2.setNumThreads(1)  # the other cores draw
    pixels = sys.stdin.buffer
    which, exact = received(pixels.read)
    detector, mesh = BlazeFaceDetector(), FaceMesh(STEADY_LOOKS)
    tracking = TrackingHere(lambda: FaceTracker(detector, mesh, which=which), exact)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            head: _Frame = received(pixels.read)
            data = bytearray(pixels.read(math.prod(head.shape)))
            if len(data) < math.prod(head.shape):
                return
            frame = np.frombuffer(data, np.uint8).reshape(head.shape)
            if head.restarts:
                tracking.restart()
            send(answers, tracking.add(frame, keeps=head.keeps))

"""Where pictures come from: a camera, or a video that plays as one; and the thread that takes them."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from mcnet_cli.arrays import Picture
from mcnet_cli.errors import InputError, shown
from mcnet_cli.media import SoundTrack, is_picture, open_frames

Item = TypeVar("Item")
USUAL_RATE = Fraction(25)  # frames a second of cameras that don't tell theirs
RATE_LIMITS = (5, 240)  # what a camera tells beyond these isn't believed
UNREADABLE_LIMIT = 10  # pictures in a row that a camera doesn't give: it is gone then
DEVICES = Path("/dev")


@dataclass(frozen=True, slots=True, eq=False)
class CapturedFrame:
    """One picture that was taken.

    picture: (H, W, 3) RGB. time_s: since the first one, by the video's own clock if it is one. captured_s:
    when it was there, by `time.monotonic`.
    """

    picture: Picture
    time_s: float
    captured_s: float


class Feed(Protocol):
    """Gives frames, one after the other.

    name: for messages. rate: about how many a second. sound: from the first frame on, if there is any.
    """

    name: str
    rate: Fraction
    sound: SoundTrack | None

    def __iter__(self) -> Iterator[CapturedFrame]:
        """The frames; InputError when no more can be taken although there should be some."""

    def close(self) -> None:
        """Ends the iteration, from any thread."""


class FileFeed:
    """A video, a GIF or a folder of pictures. InputError if it can't be used.

    is_paced: frames come when they are due, as from a camera; otherwise as fast as they are read.
    rest_at_s: after this much of it the video stands still until `go_on` is called.
    """

    def __init__(self, path: Path, *, is_paced: bool, rest_at_s: float | None = None) -> None:
        if not path.is_dir() and is_picture(path):
            raise InputError(f"{shown(path)} is a picture, and nothing in it moves", hint="take a video")
        self._frames = open_frames(path)
        self.name, self.rate = shown(path), self._frames.frame_rate
        self.sound = self._frames.sound
        self._is_paced, self._rest_at_s = is_paced, rest_at_s
        self._ended, self._rested = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[CapturedFrame]:
        began_s = None
        with self._frames as frames:
            for number, frame in enumerate(frames):
                time_s = float(number / self.rate)
                if self._rest_at_s is not None and time_s >= self._rest_at_s and not self._rested.is_set():
                    self._rested.wait()
                    began_s = None
                now_s = time.monotonic()
                began_s = now_s - time_s if began_s is None else began_s
                if self._ended.wait(max(0.0, began_s + time_s - now_s) if self._is_paced else 0.0):
                    return
                yield CapturedFrame(frame, time_s, time.monotonic())

    def go_on(self) -> None:
        """Ends the rest, from any thread."""
        self._rested.set()

    def close(self) -> None:
        """Ends the iteration, from any thread."""
        self._ended.set()
        self._rested.set()


class CameraFeed:
    """A `cv2.VideoCapture` that is open, whose pictures end when the camera is gone."""

    sound: SoundTrack | None = None

    def __init__(self, capture: Any, name: str) -> None:
        import cv2

        self._capture, self.name = capture, name
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # pictures that the driver has queued are old
        claimed = float(self._capture.get(cv2.CAP_PROP_FPS))
        is_likely = RATE_LIMITS[0] <= claimed <= RATE_LIMITS[1]
        self.rate = Fraction(claimed).limit_denominator(1001) if is_likely else USUAL_RATE
        self._ended = threading.Event()

    def __iter__(self) -> Iterator[CapturedFrame]:
        import cv2

        first_s, missed = None, 0
        try:
            while not self._ended.is_set():
                is_read, bgr = self._capture.read()
                now_s = time.monotonic()
                missed = 0 if is_read else missed + 1
                if missed == UNREADABLE_LIMIT:
                    raise gone(self.name)
                if is_read:
                    first_s = now_s if first_s is None else first_s
                    yield CapturedFrame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), now_s - first_s, now_s)
        finally:
            self._capture.release()

    def close(self) -> None:
        """Ends the iteration, from any thread."""
        self._ended.set()


def open_camera(number: int) -> CameraFeed:
    """A camera by its number, as OpenCV counts them. InputError if there is none, or it can't be opened."""
    import cv2

    with contextlib.suppress(AttributeError):  # what OpenCV would say, we say better
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise unusable_camera(number)
    return CameraFeed(capture, f"camera {number}")


def unusable_camera(number: int, devices: Path = DEVICES) -> InputError:
    """Why a camera can't be opened, as far as its device tells."""
    device = devices / f"video{number}"
    others = sorted(int(found.name[5:]) for found in devices.glob("video[0-9]*") if found.name[5:].isdigit())
    instead = "--input FILE takes a video instead"
    if number not in others:
        listed = f"there are: {', '.join(map(str, others))}; take one by --camera N" if others else instead
        return InputError(f"there is no camera {number}, or it may not be used", hint=listed)
    if not os.access(device, os.R_OK | os.W_OK):
        return InputError(
            f"camera {number}: {shown(device)} may not be opened by you",
            hint="join its group, such as by: sudo usermod -aG video $USER; then log in again",
        )
    return InputError(
        f"camera {number} is in use by another program, or gives no pictures",
        hint=f"close what else uses it, or take another --camera; {instead}",
    )


def gone(name: str) -> InputError:
    """The failure of a camera that was there before."""
    return InputError(f"{name} gives no pictures any more", hint="is it still plugged in?")


class Slot(Generic[Item]):
    """A place for one item, which one thread fills and another empties. Nothing is ever queued.

    keeps_all: whether who fills it waits until it is empty; otherwise a newer item replaces one that nobody
    took. dropped: how many were replaced.
    """

    def __init__(self, *, keeps_all: bool = False) -> None:
        self.dropped = 0
        self._keeps_all = keeps_all
        self._item: Item | None = None
        self._is_closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def put(self, item: Item) -> bool:
        """Leaves an item; False if nobody will take it."""
        with self._changed:
            if self._keeps_all:
                self._changed.wait_for(lambda: self._item is None or self._is_closed)
            if self._is_closed:
                return False
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify_all()
            return True

    def take(self, timeout_s: float) -> Item | None:
        """The item, for which it waits a while; None if there is none yet, or none any more: see `is_over`.

        Raises the error with which the slot was closed, once the last item was taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._is_closed, timeout_s)
            item, self._item = self._item, None
            self._changed.notify_all()
            if item is None and self._error is not None:
                raise self._error
            return item

    def close(self, error: BaseException | None = None) -> None:
        """Ends the handing over, from either side. An item that is there can still be taken."""
        with self._changed:
            if not self._is_closed:
                self._is_closed, self._error = True, error
            self._changed.notify_all()

    @property
    def is_over(self) -> bool:
        """Whether all items were taken and no other will come, nor an error."""
        with self._changed:
            return self._is_closed and self._item is None and self._error is None


class Capture:
    """Takes frames in a thread of its own, from the moment it is made until the block that it opens ends.

    keeps_all: no frame is left out, however long the others take. frames: where they are handed over.
    """

    def __init__(self, feed: Feed, *, keeps_all: bool) -> None:
        self.frames: Slot[CapturedFrame] = Slot(keeps_all=keeps_all)
        self.taken = 0
        self._feed = feed
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def __enter__(self) -> "Capture":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._feed.close()
        self.frames.close()
        self._thread.join(timeout=1.0)  # a camera that is gone may never answer

    def _run(self) -> None:
        try:
            for frame in self._feed:
                self.taken += 1
                if not self.frames.put(frame):
                    break
        except BaseException as error:
            self.frames.close(error)
        else:
            self.frames.close()

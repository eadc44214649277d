"""Where results go besides the window: films that are recorded, and a virtual camera."""

import contextlib
import logging
import queue
import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mcnet_cli.arrays import Picture, resized
from mcnet_cli.errors import SystemFailure, shown
from mcnet_cli.installed import install_line
from mcnet_cli.live.feed import Feed
from mcnet_cli.live.request import LiveRequest
from mcnet_cli.media import open_output

WAITING_FRAMES = 4  # that the encoder may be behind; then it gets none, and repeats the last one
ENCODER_CHECK_S = 0.5

log = logging.getLogger(__name__)


def fitted(picture: Picture, width: int, height: int) -> Picture:
    """(height, width, 3): the whole (H, W, 3) picture as large as fits, in the middle of black."""
    rows, columns = picture.shape[:2]
    if (columns, rows) == (width, height):
        return picture
    factor = min(width / columns, height / rows)
    inner = resized(picture, max(1, round(columns * factor)), max(1, round(rows * factor)))
    top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
    whole = np.zeros((height, width, 3), np.uint8)
    whole[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return whole


class Recorder:
    """Records results as a film with the feed's rate and sound, in a thread of its own.

    A result is shown from the time of its frame until the next one's, so that sound and picture stay together
    whatever was left out. The film is whole or not there: it appears when `finish` is called.

    target: a name that `open_output` knows. size: (width, height); other results are fitted into it. feed:
    what the frames are from. start_s: the first frame's time. keeps_all: wait for the encoder, rather than
    leave a result out.
    """

    def __init__(
        self,
        target: str,
        size: tuple[int, int],
        feed: Feed,
        start_s: float,
        *,
        overwrite: bool,
        keeps_all: bool = False,
    ) -> None:
        self.target = target
        self._size, self._feed, self._overwrite = size, feed, overwrite
        self._start_s, self._keeps_all = start_s, keeps_all
        self._last: Picture | None = None
        self._sent = 0
        self._frames: queue.Queue[tuple[Picture, int] | None] = queue.Queue(WAITING_FRAMES)
        self._is_wanted = False
        self._error: BaseException | None = None
        self.warnings: list[str] = []
        self._thread = threading.Thread(target=self._run, name="recording")
        self._thread.start()

    def write(self, picture: Picture, time_s: float) -> None:
        """Takes the result of a frame. Raises what the encoder failed with."""
        picture = fitted(picture, *self._size)
        due = round((time_s - self._start_s) * self._feed.rate) + 1 - self._sent
        if due <= 0:
            return
        if due > 1 and self._last is not None and self._put((self._last, due - 1)):
            self._sent += due - 1
            due = 1
        if self._put((picture, due)):
            self._sent += due
            self._last = picture

    def finish(self) -> None:
        """Completes the film, which then has its name. Raises what the encoder failed with."""
        self._is_wanted = True
        self._end()
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """Ends the encoder; nothing is left of the film."""
        self._end()

    def _end(self) -> None:
        while self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._frames.put(None, timeout=ENCODER_CHECK_S)
                break
        self._thread.join()

    def _put(self, item: tuple[Picture, int]) -> bool:
        """Hands frames to the encoder; False if it is too far behind."""
        while True:
            if self._error is not None:
                raise self._error
            try:
                self._frames.put(item, block=self._keeps_all, timeout=ENCODER_CHECK_S)
            except queue.Full:
                if not self._keeps_all:
                    return False
            else:
                return True

    def _run(self) -> None:
        sound = self._feed.sound
        sounds = [] if sound is None else [replace(sound, start_s=sound.start_s + self._start_s)]
        try:
            with open_output(
                self.target,
                size=self._size,
                frame_rate=self._feed.rate,
                sounds=sounds,
                overwrite=self._overwrite,
            ) as sink:
                for picture, count in iter(self._frames.get, None):
                    for _ in range(count):
                        sink.write(picture)
                if not self._is_wanted:
                    raise _Abandoned
            self.warnings = sink.warnings
        except _Abandoned:
            pass
        except BaseException as error:
            self._error = error


class _Abandoned(Exception):  # noqa: N818 - makes `open_output` leave nothing behind
    """A film that isn't wanted any more."""


class Recordings:
    """The films of a session, one after the other: each from one press of `r` to the next.

    finished: those that are complete.
    """

    def __init__(self, request: LiveRequest, feed: Feed) -> None:
        self.finished: list[str] = []
        self._request, self._feed = request, feed
        self._current: Recorder | None = None
        self._started_s = self._last_s = 0.0

    @property
    def is_running(self) -> bool:
        """Whether something is being recorded."""
        return self._current is not None

    @property
    def clock(self) -> str:
        """How long the film is by now, such as 1:05."""
        seconds = int(self._last_s - self._started_s)
        return f"{seconds // 60}:{seconds % 60:02}"

    def start(self, picture: Picture, time_s: float, source: int) -> None:
        """Begins a film of results as large as `picture`, with the frame at `time_s`."""
        self._started_s = self._last_s = time_s
        self._current = Recorder(
            self._name(source),
            (picture.shape[1], picture.shape[0]),
            self._feed,
            time_s,
            overwrite=self._request.overwrite,
            keeps_all=self._request.every_frame,
        )

    def write(self, picture: Picture, time_s: float) -> None:
        """Records a result, if anything is being recorded."""
        if self._current is not None:
            self._last_s = time_s
            self._current.write(picture, time_s)

    def finish(self) -> None:
        """Completes the film that is being recorded."""
        current, self._current = self._current, None
        if current is not None:
            current.finish()
            self.finished.append(current.target)
            for warning in current.warnings:
                log.warning("%s: %s", shown(current.target), warning)

    def abandon(self) -> None:
        """Leaves nothing of the film that is being recorded."""
        current, self._current = self._current, None
        if current is not None:
            current.abandon()

    def _name(self, source: int) -> str:
        """The name that was asked for; for further films, and without one, a name that is free."""
        name = self._request.film or f"{self._request.sources[source].stem}--live.mp4"
        if not self.finished and self._request.film is not None:
            return name
        path, number = Path(name), 1
        while path.exists() or str(path) in self.finished:
            number += 1
            path = Path(name).with_stem(f"{Path(name).stem}~{number}")
        return str(path)


@contextlib.contextmanager
def virtual_camera(size: tuple[int, int], rate: Fraction) -> Iterator[Any]:
    """A camera that other programs can choose, as `pyvirtualcam.Camera`; it takes (H, W, 3) RGB.

    Raises SystemFailure if the library or the system's device is missing.
    """
    try:
        import pyvirtualcam
    except ImportError as error:
        raise SystemFailure(
            "--virtual-camera needs pyvirtualcam, which is not installed", hint=install_line("live")
        ) from error
    try:
        camera = pyvirtualcam.Camera(width=size[0], height=size[1], fps=float(rate))
    except RuntimeError as error:
        raise SystemFailure(
            f"there is no virtual camera: {shown(str(error).strip().partition('. ')[0])}",
            hint="on Linux: sudo modprobe v4l2loopback exclusive_caps=1; elsewhere OBS Studio brings one",
        ) from error
    with camera:
        yield camera

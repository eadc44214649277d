"""`live`: a session from the first picture of the camera to the last one.

One thread takes pictures and keeps the newest. The main thread has a process follow the face in that, and
draws, shows and records the frame before meanwhile; then it takes the one that is the newest by then. So a
frame that comes too soon is left out, and never waits in a queue.
"""

import contextlib
import logging
import threading
import time
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from mcnet_cli.arrays import Picture, size_within
from mcnet_cli.errors import InputError, SystemFailure
from mcnet_cli.live.feed import Capture, CapturedFrame, Feed, FileFeed, Slot, gone, open_camera
from mcnet_cli.live.following import CALIBRATION_S, Following, Seen
from mcnet_cli.live.outputs import Recordings, fitted, virtual_camera
from mcnet_cli.live.pace import Latency, RecentPace
from mcnet_cli.live.request import MAX_SIDE_PX, LiveReport, LiveRequest
from mcnet_cli.live.window import Message, Status, Window, canvas_size, composed
from mcnet_cli.media import read_image
from mcnet_cli.progress import OnProgress, Progress, silent

if TYPE_CHECKING:
    from mcnet_cli.live.live_animator import LiveAnimator
    from mcnet_cli.live.stage import Stage

FOLLOWING = "following the face"
POLL_S = 0.02  # between two looks at the keys, while no frame comes
STALL_S = 5.0  # without a picture, until a camera counts as gone
ROUNDING_S = 1e-6
NEARLY = 0.9  # share of the calibration's second after which the window says if the network still loads
STATUS_S = 0.5  # between two changes of the line of figures, so that it can be read
LOADING = ("Loading the network", "go on looking straight ahead")
CALIBRATING = ("Look straight ahead", "with a calm face and a closed mouth, for a second")
NO_FACE = ("No face in sight", "look at the camera, with light on your face")

log = logging.getLogger(__name__)


def live(request: LiveRequest, on_progress: OnProgress = silent) -> LiveReport:
    """Moves portraits by a camera, or by a video that plays as one, until it ends, or by `q` or Ctrl-C.

    on_progress: called after each frame that was shown; it may raise to stop the session.

    A recording is kept when the session ends by Ctrl-C, or because the camera is gone.

    Raises:
        UsageError: options that contradict themselves, or a film's name that is taken.
        InputError: a source or an input that can't be used; a camera that isn't there, in use, or gone; no
            face until the end.
        WeightsError: weights that can't be found or used.
        SystemFailure: no display although a window is all that was asked for; no virtual camera; the disk.
    """
    request.require_files()
    height, width = read_image(request.sources[0]).shape[:2]
    with contextlib.ExitStack() as stack:
        window = _opened_window(request, stack)
        # torch is loaded here, while the camera is shown and the first second passes
        loader = stack.enter_context(ThreadPoolExecutor(1, "loading"))
        is_over = threading.Event()
        loading = loader.submit(_load, request, is_over)
        stack.callback(_leave, loading, is_over)
        animator = loader.submit(lambda: loading.result().live)
        feed = _open_feed(request, animator)
        camera = None
        if request.virtual_camera:
            size = size_within((width, height), request.size or MAX_SIDE_PX)
            camera = stack.enter_context(virtual_camera(size, feed.rate))
        capture = stack.enter_context(Capture(feed, keeps_all=request.every_frame))
        session = _Session(request, feed, loading, window, camera, on_progress, (width, height))
        session.run(capture, Following(animator, mirrored=request.is_mirrored))
        return session.report(capture.taken)


class _Session:
    """The main thread's part of a session: it follows, draws, shows and records frame by frame.

    photo: (width, height) of the first source, by which the window is sized until the network is loaded.
    """

    def __init__(
        self,
        request: LiveRequest,
        feed: Feed,
        loading: "Future[Stage]",
        window: Window | None,
        camera: Any | None,
        on_progress: OnProgress,
        photo: tuple[int, int],
    ) -> None:
        self._request, self._feed, self._loading, self._photo = request, feed, loading, photo
        self._window, self._camera, self._tell = window, camera, on_progress
        self._recordings = Recordings(request, feed)
        self._latency, self._pace = Latency(), RecentPace()
        self._shown = self._lost = 0
        self._first_s = self._last_s = 0.0  # when the first and the last frame were shown
        self._started_s: float | None = None  # the first followed frame's time
        self._is_asked_to_end = self._shows_inset = self._has_failed = self._is_lost = False
        self._wants_film = request.film is not None
        self._under_way: Future[Seen] | None = None
        self._status, self._status_s, self._says_calibrating = Status(""), 0.0, False

    def run(self, capture: Capture, following: Following) -> None:
        """Shows and records until the end. Recordings are whole then, or gone where the session failed."""
        try:
            with ThreadPoolExecutor(1, "following") as self._follower:
                self._loop(capture.frames, following)
        except KeyboardInterrupt:  # ends the session as `q` does
            if not self._loading.done():  # nothing has been shown that could be reported
                raise
            self._is_asked_to_end = True
        except InputError:
            self._recordings.finish()
            raise
        except BaseException:
            self._recordings.abandon()
            raise
        self._recordings.finish()
        if self._started_s is None and not self._is_asked_to_end:
            text = "shows no face" if self._has_failed else "is over before a face could be calibrated"
            raise InputError(f"{self._feed.name} {text}", hint="its first second is to show a face at rest")

    def report(self, captured: int) -> LiveReport:
        """What it was like; captured: how many frames were taken."""
        measured, stage = not self._request.every_frame, self._loading.result()
        compute = stage.animator.compute
        return LiveReport(
            name=self._feed.name,
            captured=captured,
            shown=self._shown,
            lost=self._lost,
            seconds=self._last_s - self._first_s,
            latency_ms=self._latency.percentile_ms(0.5) if measured else None,
            latency_p95_ms=self._latency.percentile_ms(0.95) if measured else None,
            size=stage.size,
            asked_size=stage.asked_size,
            device=str(compute.device),
            precision=compute.precision,
            recordings=tuple(self._recordings.finished),
        )

    def _loop(self, frames: Slot[CapturedFrame], following: Following) -> None:
        came_s = time.monotonic()
        while not (self._is_asked_to_end or frames.is_over):
            frame = frames.take(POLL_S)
            seen = None
            if frame is not None:
                if self._is_late(frame):
                    break
                came_s = time.monotonic()
                seen = self._seen(frame, following)
                if seen is not None:
                    self._show(seen)
            elif self._request.input is None and time.monotonic() - came_s > STALL_S:
                raise gone(self._feed.name)
            if self._window is not None and (key := self._window.key()):
                self._drop_under_way()
                self._obey(key, following)
            if seen is not None and seen.followed is not None:
                self._count(seen, time.monotonic() - came_s)

    def _seen(self, frame: CapturedFrame, following: Following) -> Seen | None:
        """What was made of a frame; of the one before, if a process can follow this one's face meanwhile."""
        if not self._loading.done() or self._loading.result().tracking is None:
            return following.seen(frame)
        before, self._under_way = self._under_way, self._follower.submit(following.seen, frame)
        return None if before is None else before.result()

    def _drop_under_way(self) -> None:
        """Waits for the face that is being followed, which is not shown then."""
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None

    def _is_late(self, frame: CapturedFrame) -> bool:
        """Whether a frame comes after the time that the session was to last."""
        if self._request.duration_s is None or self._started_s is None:
            return False
        return frame.time_s - self._started_s >= self._request.duration_s - ROUNDING_S

    def _show(self, seen: Seen) -> None:
        """Shows a frame, and hands it to the films and the virtual camera."""
        if seen.followed is None:
            self._has_failed |= seen.failed
            title, text = NO_FACE if seen.failed else CALIBRATING
            if seen.calibrated > NEARLY and not self._loading.done():
                title, text = LOADING
            self._draw_window(seen.picture, None, Message(title, text, seen.calibrated))
            return
        stage = self._loading.result()
        if self._started_s is None:
            self._started_s, self._first_s = seen.frame.time_s, time.monotonic()
            stage.begin(None if self._request.every_frame else float(self._feed.rate))
        picture = stage.live.draw(seen.followed)
        if self._wants_film:
            self._wants_film = False
            self._recordings.start(picture, seen.frame.time_s, stage.number)
        self._recordings.write(picture, seen.frame.time_s)
        if self._camera is not None:
            self._camera.send(fitted(picture, self._camera.width, self._camera.height))
        self._draw_window(picture, seen.picture if self._shows_inset else None, None)

    def _draw_window(self, picture: Picture, inset: Picture | None, message: Message | None) -> None:
        if self._window is None:
            return
        now_s = time.monotonic()
        is_calibrating = message is not None
        if is_calibrating is not self._says_calibrating or now_s - self._status_s > STATUS_S:
            self._says_calibrating, self._status_s = is_calibrating, now_s
            self._status = Status(
                "calibrating" if is_calibrating else self._figures(),
                self._recordings.is_running,
                self._recordings.clock,
            )
        size = canvas_size(self._loading.result().whole_size if self._loading.done() else self._photo)
        self._window.show(composed(picture, size, self._status, inset=inset, message=message))

    def _figures(self) -> str:
        count, stage = len(self._request.sources), self._loading.result()
        facts = [
            *([f"{self._pace.rate:.1f} frames/s"] if self._pace.rate else ["following"]),
            f"{self._pace.latency_ms:.0f} ms",
            f"{stage.size} px",
            *([f"source {stage.number + 1} of {count}"] if count > 1 else []),
            *(["no face in sight"] if self._is_lost else []),
        ]
        return "  ·  ".join(facts)

    def _count(self, seen: Seen, seconds: float) -> None:
        """Counts a frame that has just been shown, and the work on which took so long."""
        assert seen.followed is not None
        now_s = time.monotonic()
        latency_s = now_s - seen.frame.captured_s
        self._latency.add(latency_s)
        self._pace.add(now_s, latency_s)
        self._loading.result().took(seconds)
        self._shown += 1
        self._is_lost = not seen.followed.found
        self._lost += self._is_lost
        self._last_s = now_s
        self._tell(Progress(FOLLOWING, self._shown, None))

    def _obey(self, key: str, following: Following) -> None:
        """Does what a key asks for."""
        if key == "q":
            self._is_asked_to_end = True
        elif key == "c":
            following.calibrate()
        elif key == "n" and self._loading.done():
            self._loading.result().next_source()
        elif key == "m":
            following.mirror()
        elif key == "s":
            self._shows_inset = not self._shows_inset
        elif key == "r" and self._recordings.is_running:
            self._recordings.finish()
        elif key == "r":
            self._wants_film = not self._wants_film


def _leave(loading: "Future[Stage]", is_over: threading.Event) -> None:
    is_over.set()
    if not loading.cancel() and loading.exception() is None:
        loading.result().leave()


def _load(request: LiveRequest, is_over: threading.Event) -> "Stage":
    """The network and the portraits; CancelledError if the session is over by the time torch is loaded."""
    from mcnet_cli.live.stage import Stage

    if is_over.is_set():
        raise CancelledError
    return Stage(request)


def _open_feed(request: LiveRequest, animator: "Future[LiveAnimator]") -> Feed:
    if request.input is None:
        return open_camera(request.camera or 0)
    feed = FileFeed(request.input, is_paced=not request.every_frame, rest_at_s=CALIBRATION_S)
    animator.add_done_callback(lambda _: feed.go_on())
    return feed


def _opened_window(request: LiveRequest, stack: contextlib.ExitStack) -> Window | None:
    """The window; None if none is wanted, or there can be none and the results go elsewhere, too."""
    if not request.wants_window:
        return None
    try:
        return stack.enter_context(Window())
    except SystemFailure as error:
        if request.needs_window:
            raise
        log.warning("%s; the results go on to what else was asked for", error)
        return None

"""Tracking the faces of a video: where scenes begin, which faces a frame shows, and the tubes they form."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from mcnet_cli.arrays import Picture
from mcnet_cli.face import (
    FACE_SCORE,
    BatchDetector,
    Detector,
    Face,
    FaceMesh,
    Landmarks,
    Region,
    follow,
    overlap,
)
from mcnet_cli.face.landmarks import REGION_ENLARGEMENT, Points
from mcnet_cli.face.networks import INPUT_PX
from mcnet_cli.preprocessing.crop_buffer import CropBuffer
from mcnet_cli.preprocessing.placement import placements_of
from mcnet_cli.preprocessing.request import Settings
from mcnet_cli.preprocessing.tube import MAX_MISSED, MIN_OVERLAP, End, Tube
from mcnet_cli.preprocessing.video_frame import VideoFrame

CUT_PX = (64, 36)  # width and height at which frames are compared
SAMPLED = 4  # pixels each way that are taken for one of these; of chroma half as many
MIN_CUT_CHANGE = 18.0  # mean levels of brightness and colour; smaller changes are no cut
CUT_RATIO = 3.0  # to the median of recent changes; smaller changes are movement in a lively scene
RECENT_CHANGES = 12
MAX_WAITING_BYTES = 256 << 20  # of frames that wait for a batch of the detector
EMPTY_STRIDE = 5  # frames at most from one search to the next, while no face is followed
SEARCHED_PX = 600  # longer side of frames, at least, that are searched for large faces
SAME_FACE = 0.5  # intersection over union from which two tubes show the same face


class CutFinder:
    """Tells for each frame whether a new scene begins with it. Dissolves and fades are not recognised.

    A frame's change in brightness and colour is compared with the usual change of late (the idea of
    PySceneDetect's adaptive detector).
    """

    def __init__(self) -> None:
        self._last: Picture | None = None
        self._changes: deque[float] = deque(maxlen=RECENT_CHANGES)

    def __call__(self, frame: VideoFrame) -> bool:
        """Whether a scene begins with the next frame; never for the first one."""
        small = frame.sampled(CUT_PX, SAMPLED)
        last, self._last = self._last, small
        if last is None:
            return False
        change = cv2.norm(small, last, cv2.NORM_L1) / small.size
        usual = median(self._changes) if self._changes else 0.0
        self._changes.append(change)  # that of a cut too: where everything flickers, nothing is a cut
        return change > MIN_CUT_CHANGE and change > CUT_RATIO * usual


def with_faces(
    frames: Iterable[tuple[int, VideoFrame]], detector: Detector, every: int, wanted: Callable[[int], bool]
) -> Iterator[tuple[int, VideoFrame, list[Face] | None]]:
    """Adds to numbered frames, all of one size, the faces in every n-th one, searched in batches.

    Only wanted frames whose number is a multiple of `every` are searched; the others have None. A detector
    that takes one picture at a time searches none, because it gains nothing from batches.
    """
    if not isinstance(detector, BatchDetector) or detector.batch_size == 1:
        for number, frame in frames:
            yield number, frame, None
        return
    waiting: list[tuple[int, VideoFrame]] = []
    for number, frame in frames:
        waiting.append((number, frame))
        if len(waiting) >= min(detector.batch_size * every, max(1, MAX_WAITING_BYTES // frame.rgb().nbytes)):
            yield from _searched(waiting, detector, every, wanted)
            waiting.clear()
    yield from _searched(waiting, detector, every, wanted)


def _searched(
    frames: list[tuple[int, VideoFrame]], detector: BatchDetector, every: int, wanted: Callable[[int], bool]
) -> Iterator[tuple[int, VideoFrame, list[Face] | None]]:
    chosen = {number: frame.rgb() for number, frame in frames if number % every == 0 and wanted(number)}
    faces = dict(zip(chosen, detector.detect_batch([*chosen.values()]) if chosen else [], strict=True))
    for number, frame in frames:
        yield number, frame, faces.get(number)


def followed(frame: VideoFrame, mesh: FaceMesh, region: Region) -> Landmarks | None:
    """The face that was in `region` a frame ago; None if it isn't there any more, or jumped.

    A large face is shrunk for the mesh by means of blocks of pixels, which are made before they are RGB.
    """
    shrink = frame.shrink_to(INPUT_PX, region.side * REGION_ENLARGEMENT)
    factor = np.float32(1 / shrink)
    found = follow(frame.rgb(shrink), mesh, Region(region.box * factor, region.eyes * factor))
    return found and replace(found, points=found.points * shrink, irises=found.irises * shrink)


class TubeTracker:
    """Turns the frames of a video into tubes: faces are searched now and then, and followed in between.

    folder: for temporary files. target: left, top, right, bottom in [0, 1] of the frame: only the face that
    overlaps it most is wanted; None for all faces.
    """

    def __init__(
        self,
        detector: Detector,
        mesh: FaceMesh,
        settings: Settings,
        folder: Path,
        target: tuple[float, float, float, float] | None = None,
    ) -> None:
        self._detector, self._mesh, self._settings, self._folder = detector, mesh, settings, folder
        self._target = target
        self._tubes: list[Tube] = []
        self._count = 0
        self._last_search: int | None = None

    def __call__(
        self, number: int, frame: VideoFrame, *, cut: bool, faces: list[Face] | None = None
    ) -> list[Tube]:
        """Takes frame `number` and returns the tubes that ended before it.

        cut: whether a scene begins with it. faces: those in it, if it has been searched already.
        """
        ended = self.finish("cut") if cut else []
        found = {
            tube.number: followed(frame, self._mesh, tube.region) for tube in self._tubes if not tube.missed
        }
        lost = any(found.get(tube.number) is None for tube in self._tubes)
        fresh: list[Landmarks] = []
        stride = self._settings.detect_every
        if not self._tubes:
            stride = min(stride, EMPTY_STRIDE)
        if faces is not None or lost or self._last_search is None or number - self._last_search >= stride:
            self._last_search = number
            if faces is None:
                faces = self._detected(frame)
            fresh = self._assign(frame.rgb(), faces, found)
        for tube in list(self._tubes):
            face = found.get(tube.number)
            if face is not None and (end := tube.end_before(face)):
                ended.append(self._end(tube, end))
                self._begin(tube.number, number, frame, face)
                continue
            tube.add(frame, face)
            if tube.missed > MAX_MISSED:
                ended.append(self._end(tube, "lost"))
        for face in fresh:
            self._count += 1
            self._begin(self._count, number, frame, face)
        return ended + [self._end(tube, "double") for tube in list(_doubles(self._tubes))]

    def finish(self, end: End = "end") -> list[Tube]:
        """Ends all tubes, at a cut or at the end. The next frame is searched."""
        self._last_search = None
        return [self._end(tube, end) for tube in list(self._tubes)]

    def close(self) -> None:
        """Ends all tubes and deletes their pictures."""
        for tube in self.finish():
            tube.buffer.close()

    def _detected(self, frame: VideoFrame) -> list[Face]:
        """The faces in a frame; where some are followed, those that are large enough for a quick look."""
        if not self._tubes:
            return self._detector(frame.whole_rgb())
        shrink = frame.shrink_to(SEARCHED_PX, max(frame.size))
        faces = self._detector(frame.whole_rgb(shrink), thorough=False)
        return [replace(face, box=face.box * shrink, eyes=face.eyes * shrink) for face in faces]

    def _assign(self, rgb: Picture, faces: list[Face], found: dict[int, Landmarks | None]) -> list[Landmarks]:
        """Adds the faces of tubes that were lost to `found`, and returns the faces that belong to no tube."""
        fresh = []
        for face in self._wanted(rgb, faces):
            tube = self._tube_of(face, found)
            if tube is not None and found.get(tube.number) is not None:
                continue
            landmarks = self._mesh(rgb, face.region)
            if landmarks.score <= FACE_SCORE:
                continue
            if tube is not None:
                found[tube.number] = landmarks
            elif self._target is None or not any(found.values()):
                fresh.append(landmarks)
        return fresh

    def _wanted(self, rgb: Picture, faces: list[Face]) -> list[Face]:
        """All faces, or the one that overlaps the target most."""
        if self._target is None:
            return faces
        height, width = rgb.shape[:2]
        target: Points = (np.array(self._target) * (width, height, width, height)).astype(np.float32)
        best = max(faces, key=lambda face: overlap(face.box, target), default=None)
        return [best] if best is not None and overlap(best.box, target) > 0 else []

    def _tube_of(self, face: Face, found: dict[int, Landmarks | None]) -> Tube | None:
        """The tube that a face overlaps most, if it overlaps it enough."""

        def shared(tube: Tube) -> float:
            now = found.get(tube.number)
            return overlap(face.box, now.region.box if now else tube.region.box)

        best = max(self._tubes, key=shared, default=None)
        return best if best is not None and shared(best) >= MIN_OVERLAP else None

    def _begin(self, number: int, first: int, frame: VideoFrame, face: Landmarks) -> None:
        (square,) = placements_of(face.points[None], self._settings)
        buffer = CropBuffer(square, self._settings, frame.size, self._folder, frame.matrix)
        tube = Tube(number, first, buffer, self._settings)
        self._tubes.append(tube)
        tube.add(frame, face)

    def _end(self, tube: Tube, end: End) -> Tube:
        self._tubes.remove(tube)
        tube.ended = end
        return tube


def _doubles(tubes: list[Tube]) -> Iterator[Tube]:
    """The younger one of any two tubes that have come to show the same face."""
    seen = [tube for tube in tubes if not tube.missed]
    for index, younger in enumerate(seen):
        if any(overlap(younger.region.box, older.region.box) > SAME_FACE for older in seen[:index]):
            yield younger

"""Watching a scene: faces found now and then, followed in between, and made into tubes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mcnet_cli.face import FACE_SCORE, Detector, Face, FaceMesh, Landmarks, follow, overlap
from mcnet_cli.face.landmarks import Points
from mcnet_cli.face.sampling import Picture
from mcnet_cli.preprocessing.request import Settings
from mcnet_cli.preprocessing.spool import Spool
from mcnet_cli.preprocessing.tube import LEAST_OVERLAP, PATIENCE, End, Tube, placements_of, reach_of

SAME_FACE = 0.5  # intersection over union from which two tubes show the same face


class Watch:
    """Turns frames into tubes.

    detector, mesh: find and follow faces. folder: for temporary files. target: left, top, right, bottom in
    [0, 1] of the frame: only the face that overlaps it most is wanted; None for all faces.
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
        self._looked: int | None = None

    def __call__(
        self, number: int, rgb: Picture, *, cut: bool, faces: list[Face] | None = None
    ) -> list[Tube]:
        """Takes frame `number`; returns the tubes that ended before it.

        cut: a scene begins with it. faces: in it, if it has been searched already.
        """
        ended = self.finish("cut") if cut else []
        found = {tube.number: follow(rgb, self._mesh, tube.region) for tube in self._tubes if not tube.missed}
        lost = any(found.get(tube.number) is None for tube in self._tubes)
        fresh: list[Landmarks] = []
        stride = self._settings.detect_every
        if faces is not None or lost or self._looked is None or number - self._looked >= stride:
            self._looked = number
            if faces is None:
                faces = self._detector(rgb, thorough=not self._tubes)
            fresh = self._look(rgb, faces, found)
        for tube in list(self._tubes):
            face = found.get(tube.number)
            if face is None:
                tube.add_gap(rgb)
                if tube.missed > PATIENCE:
                    ended.append(self._end(tube, "lost"))
            elif end := tube.end_before(face):
                ended.append(self._end(tube, end))
                self._begin(tube.number, number, rgb, face)
            else:
                tube.add(rgb, face)
        for face in fresh:
            self._count += 1
            self._begin(self._count, number, rgb, face)
        return ended + self._without_doubles()

    def finish(self, end: End = "end") -> list[Tube]:
        """Ends what is left, at a cut or at the end. The next frame is searched."""
        self._looked = None
        return [self._end(tube, end) for tube in list(self._tubes)]

    def close(self) -> None:
        """Gives up what is left."""
        for tube in self.finish():
            tube.spool.close()

    def _look(self, rgb: Picture, faces: list[Face], found: dict[int, Landmarks | None]) -> list[Landmarks]:
        """Looks at faces; adds lost tubes' to `found` and returns those of no tube."""
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
        """The tube whose face this is: the one that it overlaps most, if enough."""

        def shared(tube: Tube) -> float:
            now = found.get(tube.number)
            return overlap(face.box, now.region.box if now else tube.region.box)

        best = max(self._tubes, key=shared, default=None)
        return best if best is not None and shared(best) >= LEAST_OVERLAP else None

    def _begin(self, number: int, first: int, rgb: Picture, face: Landmarks) -> None:
        settings = self._settings
        (square,) = placements_of(face.points[None], settings)
        spool = Spool(square, reach_of(settings), settings.size, (rgb.shape[1], rgb.shape[0]), self._folder)
        tube = Tube(number, first, spool, settings)
        self._tubes.append(tube)
        tube.add(rgb, face)

    def _end(self, tube: Tube, end: End) -> Tube:
        self._tubes.remove(tube)
        tube.ended = end
        return tube

    def _without_doubles(self) -> list[Tube]:
        """Ends the younger of two tubes that have come to show the same face, and returns it."""
        return [self._end(tube, "double") for tube in list(_doubles(self._tubes))]


def _doubles(tubes: list[Tube]) -> Iterator[Tube]:
    seen = [tube for tube in tubes if not tube.missed]
    for index, younger in enumerate(seen):
        if any(overlap(younger.region.box, older.region.box) > SAME_FACE for older in seen[:index]):
            yield younger

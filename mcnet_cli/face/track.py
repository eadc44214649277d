"""Following one face through a clip."""

import numpy as np

from mcnet_cli.face.detect import FACE_SCORE, Detector, Face
from mcnet_cli.face.landmarks import FaceMesh, Landmarks, Points, Region
from mcnet_cli.face.sampling import Picture

COMPARABLE_AREA = 0.4  # of the followed face's: a smaller one is somebody in the background
PATIENCE, RARELY = 25, 10  # frames without a face until, and then how often, small ones are looked for
LARGEST_JUMP = 0.5  # of the mesh's size between two frames, in place as in size: more is a cut


class FaceTracker:
    """Landmarks frame by frame: the last mesh is the next region, a detector runs only when that fails.

    near: (x, y) in pixels of the face to follow if there are several; None for the largest.
    """

    def __init__(self, detector: Detector, mesh: FaceMesh, near: tuple[float, float] | None = None) -> None:
        self._detector = detector
        self._mesh = mesh
        self._near = None if near is None else np.array(near, np.float32)
        self._last: Landmarks | None = None
        self._region: Region | None = None
        self._missed = 0

    def __call__(self, rgb: Picture) -> Landmarks | None:
        """Landmarks in the next frame, (H, W, 3); None if there is no face."""
        found = self._followed(rgb) or self._detected(rgb)
        self._region = found.region if found else None
        self._missed = 0 if found else self._missed + 1
        self._last = found or self._last
        return found

    def _followed(self, rgb: Picture) -> Landmarks | None:
        return None if self._region is None else follow(rgb, self._mesh, self._region)

    def _detected(self, rgb: Picture) -> Landmarks | None:
        thorough = self._missed < PATIENCE or self._missed % RARELY == 0
        for face in self._by_likeness(self._detector(rgb, thorough=thorough)):
            found = self._mesh(rgb, face.region)
            if found.score > FACE_SCORE:
                return found
        return None

    def _by_likeness(self, faces: list[Face]) -> list[Face]:
        """Faces, the one that was followed before first: the nearest of about its size, else the largest."""
        if self._last is not None:
            area, place = self._last.area, _centre(self._last.region.box)
        elif self._near is not None:
            area, place = 0.0, self._near
        else:
            return faces

        def strangeness(face: Face) -> tuple[bool, float]:
            small = float((face.box[2:] - face.box[:2]).prod()) < COMPARABLE_AREA * area
            return small, float(np.linalg.norm(_centre(face.box) - place))

        return sorted(faces, key=strangeness)


def follow(rgb: Picture, mesh: FaceMesh, region: Region) -> Landmarks | None:
    """The face that was in `region` a frame ago; None if it isn't there any more, or jumped."""
    found = mesh.again(rgb, region)
    return found if found.score > FACE_SCORE and _near(found.region, region) else None


def _centre(box: Points) -> Points:
    return np.asarray((box[:2] + box[2:]) / 2, np.float32)


def _near(region: Region, last: Region) -> bool:
    moved = float(np.linalg.norm(_centre(region.box) - _centre(last.box)))
    return max(moved, abs(region.side - last.side)) <= LARGEST_JUMP * last.side

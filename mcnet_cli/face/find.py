"""Finds faces in a picture with the detector of choice, and follows one through a clip."""

from dataclasses import replace

import numpy as np

from mcnet_cli.arrays import Picture
from mcnet_cli.errors import UsageError
from mcnet_cli.face.detect import FACE_SCORE, BlazeFaceDetector, Detector, Face
from mcnet_cli.face.landmarks import FaceMesh, Landmarks, Points, Region
from mcnet_cli.face.upright import (
    ROLL_POINTS,
    Size,
    remaining_roll_deg,
    roll_deg,
    turned,
    turned_points,
    turned_size,
    upright_turns,
)
from mcnet_cli.options import DETECTORS, DrivingFace

MIN_AREA = 0.4  # of the followed face's: a smaller one is somebody in the background
# After the face was lost, small faces are looked for too: in the first 25 frames, then in every tenth.
THOROUGH_FRAMES, THOROUGH_EVERY = 25, 10
# A face that is found again after it was lost is the same person's if it has moved by less than this many of
# its sides, and its area has not changed by more than 1 / MIN_AREA.
MAX_MOVE = 1.0
# Below this score of the mesh, the detector is asked whether the face isn't elsewhere: a hand that has passed
# before a face takes the mesh along, which then follows something else with scores of 0.5 to 0.99.
DOUBTED = 0.99
# For so many frames after the face was lost, a doubtful one elsewhere isn't taken up: it may be that hand.
PATIENCE = 5
MAX_JUMP = 0.5  # of the mesh's size, by which place or size may change between two frames; more is a cut


def make_detector(name: str, device: str = "cpu") -> Detector:
    """The detector `name`: blazeface, which computes on the CPU, or face-alignment, on a device of torch.

    Raises UsageError for another name, WeightsError if the detector's weights can't be had.
    """
    if name == "blazeface":
        return BlazeFaceDetector()
    if name == "face-alignment":
        from mcnet_cli.face.face_alignment import FaceAlignmentDetector

        return FaceAlignmentDetector(device)
    raise UsageError(f"there is no detector {name!r}", hint=f"detectors: {', '.join(DETECTORS)}")


def faces_in(rgb: Picture, detector: Detector, mesh: FaceMesh) -> list[Landmarks]:
    """Landmarks of all faces in a picture, from left to right.

    Those that lie are looked at in the picture turned upright, so that they are found as if they stood.
    """
    size, upright = (rgb.shape[1], rgb.shape[0]), {0: rgb}
    detected = {0: detector(rgb)}
    found = [mesh(rgb, face.region) for face in detected[0]]
    faces = []
    for face in (face for face in found if face.score > FACE_SCORE):
        turns = upright_turns(face.points)
        if turns not in detected:
            upright[turns] = turned(rgb, turns)
            detected[turns] = detector(upright[turns])
        first = _levelled(_turned_face(face, turns, size), turns)
        if turns or first.camera_roll_deg:
            again = _found_again(upright[turns], first, detected[turns], mesh)
            face = _turned_face(again, -turns, turned_size(size, turns))
        faces.append(face)
    return sorted(faces, key=lambda face: float(face.points[:, 0].mean()))


def choose_face(faces: list[Landmarks], which: str | int) -> Landmarks:
    """The face with a number (IndexError if there are not so many), or for "largest" that."""
    if isinstance(which, int):
        return faces[which]
    return max(faces, key=lambda face: face.area)


class FaceTracker:
    """Landmarks frame by frame: the last mesh is the next region, a detector runs only when that fails.

    A face that lies is looked at in frames that are turned by quarters, so that what is found of it is the
    same as if the film stood, whatever detector and mesh do better or worse in turned pictures.

    which: `largest`: the largest one, and after a cut whoever is there. `first`: the largest one too, but
    another person after a cut counts as no face. A number: the face with that number, from 0, left to right,
    of the first frame with so many, likewise.

    Known after the first face: choice, the number of the face that is followed and that of all faces there.
    changes: frames, from 0, in which another face than before was taken up.
    """

    def __init__(
        self,
        detector: Detector,
        mesh: FaceMesh,
        which: DrivingFace = "largest",
    ) -> None:
        self.choice: tuple[int, int] | None = None
        self.changes: list[int] = []
        self.which = which
        self._frame = -1
        # Quarter turns, counterclockwise, that bring frames upright, as all below are, and what roll is left.
        self._turns, self._roll_deg = 0, 0.0
        self._detector = detector
        self._mesh = mesh
        self._last: Landmarks | None = None
        self._region: Region | None = None
        self._missed = 0

    def __call__(self, rgb: Picture) -> Landmarks | None:
        """Landmarks in the next frame, (H, W, 3); None if there is no face."""
        self._frame += 1
        upright = turned(rgb, self._turns)
        found = self._followed(upright)
        if found is None:
            found = self._brought_upright(upright, self._detected(upright))
        elif found.score < DOUBTED:
            found = self._surer(upright, found)
        if found is not None and found.camera_roll_deg != self._roll_deg:
            found = replace(found, camera_roll_deg=self._roll_deg)
        self._region = found.region if found else None
        self._missed = 0 if found else self._missed + 1
        self._last = found or self._last
        if found is None or not self._turns:
            return found
        return _turned_face(found, -self._turns, turned_size((rgb.shape[1], rgb.shape[0]), self._turns))

    def _brought_upright(self, rgb: Picture, found: Landmarks | None) -> Landmarks | None:
        """A face that the detector has found; if it lies, what is found of it in the frame turned upright."""
        if found is None:
            return None
        turns = upright_turns(found.points)
        if self._last is not None and not turns:
            return found
        self._turns = (self._turns + turns) % 4
        first = _levelled(_turned_face(found, turns, (rgb.shape[1], rgb.shape[0])), self._turns)
        self._roll_deg = first.camera_roll_deg
        if not (self._turns or self._roll_deg):
            return found
        self._last, upright = first, turned(rgb, turns)
        return _found_again(upright, first, self._detector(upright), self._mesh)

    def _followed(self, rgb: Picture) -> Landmarks | None:
        return None if self._region is None else follow(rgb, self._mesh, self._region)

    def _surer(self, rgb: Picture, followed: Landmarks) -> Landmarks:
        """What the detector finds near a doubtful face, if that is more surely a face."""
        for face in self._by_likeness(self._detector(rgb, thorough=False)):
            found = self._mesh(rgb, face.region)
            if found.score > followed.score and _is_same(found, followed):
                return found
        return followed

    def _detected(self, rgb: Picture) -> Landmarks | None:
        thorough = self._missed < THOROUGH_FRAMES or self._missed % THOROUGH_EVERY == 0
        faces = self._detector(rgb, thorough=thorough)
        for face in self._by_likeness(faces):
            found = self._mesh(rgb, face.region)
            if found.score > FACE_SCORE:
                if self._last is None:
                    self.choice = sum(bool(other.box[0] < face.box[0]) for other in faces), len(faces)
                elif not _is_same(found, self._last):
                    if self.which != "largest" or (found.score < DOUBTED and self._missed < PATIENCE):
                        continue
                    self.changes.append(self._frame)
                return found
        return None

    def _by_likeness(self, faces: list[Face]) -> list[Face]:
        """Faces, the one that was followed before first: the nearest of about its size, else the largest."""
        if self._last is not None:
            area, place = self._last.area, _centre(self._last.region.box)
        elif isinstance(self.which, int):
            return sorted(faces, key=lambda face: float(face.box[0]))[self.which :][:1]
        else:
            return faces

        def unlikeness(face: Face) -> tuple[bool, float]:
            small = float((face.box[2:] - face.box[:2]).prod()) < MIN_AREA * area
            return small, float(np.linalg.norm(_centre(face.box) - place))

        return sorted(faces, key=unlikeness)


def follow(rgb: Picture, mesh: FaceMesh, region: Region) -> Landmarks | None:
    """The face that was in `region` a frame ago; None if it isn't there any more, or jumped."""
    found = mesh.again(rgb, region)
    return found if found.score > FACE_SCORE and _near(found.region, region) else None


def _levelled(face: Landmarks, turns: int) -> Landmarks:
    """A face in a picture that has been turned by quarters for it, with the camera's roll that is left."""
    return replace(face, camera_roll_deg=remaining_roll_deg(roll_deg(face.points[list(ROLL_POINTS)]), turns))


def _found_again(rgb: Picture, known: Landmarks, faces: list[Face], mesh: FaceMesh) -> Landmarks:
    """A face that has been found in a turned picture, as it is found in the picture turned upright.

    faces: what the detector finds in the latter.
    """
    place = _centre(known.region.box)
    for face in sorted(faces, key=lambda face: float(np.linalg.norm(_centre(face.box) - place))):
        found = mesh(rgb, replace(face.region, camera_roll_deg=known.camera_roll_deg))
        if found.score > FACE_SCORE and _is_same(found, known):
            return found
    return known


def _turned_face(face: Landmarks, turns: int, size: Size) -> Landmarks:
    """A face in a picture of (width, height) `size` after quarter turns of the picture."""
    points, irises = (turned_points(each, turns, size) for each in (face.points, face.irises))
    roll = face.camera_roll_deg - 90 * turns
    return replace(face, points=points, irises=irises, camera_roll_deg=roll)


def _is_same(face: Landmarks, last: Landmarks) -> bool:
    """Whether a face may be the person's that was lost, by its place and size."""
    moved = float(np.linalg.norm(_centre(face.region.box) - _centre(last.region.box)))
    ratio = min(face.area, last.area) / max(face.area, last.area, 1e-6)
    return moved <= MAX_MOVE * last.region.side and ratio >= MIN_AREA


def _centre(box: Points) -> Points:
    return np.asarray((box[:2] + box[2:]) / 2, np.float32)


def _near(region: Region, last: Region) -> bool:
    moved = float(np.linalg.norm(_centre(region.box) - _centre(last.box)))
    return max(moved, abs(region.side - last.side)) <= MAX_JUMP * last.side

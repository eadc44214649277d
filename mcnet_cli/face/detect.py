"""Face detection offline: BlazeFace (Bazarevsky et al. 2019), each candidate checked by the face mesh."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face.landmarks import FaceMesh, Mesh, Points, Region
from mcnet_cli.face.networks import as_planes, read_network, run_network, sigmoid
from mcnet_cli.face.sampling import Picture, box_transform, resample

DetectorName = Literal["blazeface", "face-alignment"]

FACE_SCORE = 0.5  # of the mesh: below, a candidate is no face
CANDIDATE_SCORE = 0.5
OVERLAP = 0.3  # intersection over union from which two boxes are one face
SMALLEST_TILE_PX = 192  # below, a network sees the whole picture without loss
BEYOND = 0.25  # of the picture's sides: how far out of it the third attempt looks


@dataclass(frozen=True, slots=True)
class Face:
    """A face in a picture. box: (4,) left, top, right, bottom in pixels; eyes: (2, 2); score: in [0, 1]."""

    box: Points
    score: float
    eyes: Points

    @property
    def region(self) -> Region:
        """Where the mesh should look."""
        return Region(self.box, self.eyes)


class Detector(Protocol):
    """Finds faces in (H, W, 3) RGB pictures of any size; the largest comes first."""

    name: DetectorName

    def __call__(self, rgb: Picture, *, thorough: bool = True) -> list[Face]:
        """Faces in a picture; `thorough`: also small ones, which takes several times as long."""


@runtime_checkable
class BatchDetector(Detector, Protocol):
    """One that takes several pictures at once; batch_size: as many as are good for its device."""

    batch_size: int

    def detect_batch(self, pictures: Sequence[Picture]) -> list[list[Face]]:
        """The faces in each of at least one picture, all of one size; as one by one, thoroughly."""


class BlazeFaceDetector:
    """The full-range model; where it finds nothing, the back-camera model; then parts of the picture."""

    name: DetectorName = "blazeface"

    def __init__(self) -> None:
        self._mesh = FaceMesh()
        self._full = BlazeFace("face/face_detection_full_range.tflite", 192, {4: 1})
        self._back = BlazeFace("face/face_detection_back.tflite", 256, {16: 2, 32: 6})

    def __call__(self, rgb: Picture, *, thorough: bool = True) -> list[Face]:
        """Faces in (H, W, 3) uint8 RGB, the largest first.

        thorough: look for faces of less than a tenth of the picture too, if there is no larger one.
        """
        height, width = rgb.shape[:2]
        whole = np.array([0, 0, width, height], np.float32)
        # A face that fills the picture is seen better with some black around it.
        wide = whole + np.array([-width, -height, width, height], np.float32) * BEYOND
        for model, view in ((self._full, whole), (self._back, whole), (self._back, wide)):
            if faces := checked(rgb, model(rgb, view), self._mesh):
                return faces
        for side in tile_sides(width, height) if thorough else ():
            tiles = tiles_of(width, height, side)
            if faces := checked(rgb, [face for tile in tiles for face in self._full(rgb, tile)], self._mesh):
                return faces
        return []


def tile_sides(width: int, height: int) -> list[int]:
    """Sides of the squares to search for smaller and smaller faces."""
    sides = (max(width, height) // 2, max(width, height) // 4)
    return [side for side in sides if side >= SMALLEST_TILE_PX and min(width, height) >= SMALLEST_TILE_PX]


def tiles_of(width: int, height: int, side: int) -> list[Points]:
    """(4,) squares of that side that cover a picture, overlapping by a third or more."""
    rows, columns = (
        np.linspace(0, max(0, length - side), 1 + math.ceil(max(0, length - side) / (side * 2 / 3)))
        for length in (height, width)
    )
    return [np.array([x, y, x + side, y + side], np.float32) for y in rows for x in columns]


class BlazeFace:
    """One BlazeFace network: boxes and eyes relative to anchors on grids of cells.

    anchors: how many a cell, by the cell's side in pixels.
    """

    def __init__(self, name: str, side_px: int, anchors: dict[int, int]) -> None:
        self._network = read_network(name)
        self._side = side_px
        self._anchors = np.concatenate([_anchors(side_px // cell, count) for cell, count in anchors.items()])

    def __call__(self, rgb: Picture, view: Points) -> list[Face]:
        """Candidates in the box `view` of a picture, which may reach beyond its edges."""
        # The view is shrunk as a whole, and centred with black beside it.
        extent = view[2:] - view[:2]
        side = float(extent.max())
        corner = (view[:2] + view[2:] - side) / 2
        size = (self._side, self._side)
        square = resample(rgb, box_transform(corner[0], corner[1], side, side, size), size, border="black")
        planes = as_planes(square.astype(np.float32) / 127.5 - 1)
        values, logits = sorted(
            (o[0] for o in run_network(self._network, planes)), key=lambda o: -o.shape[-1]
        )
        scores = sigmoid(logits[:, 0])
        keep = scores > CANDIDATE_SCORE
        pairs = values[keep].reshape(-1, 8, 2) / self._side  # centre, size, then six points, the eyes first
        at, scale = self._anchors[keep], np.float32(side)
        centre, half = pairs[:, 0] + at, np.abs(pairs[:, 1]) / 2
        boxes = np.concatenate([centre - half, centre + half], 1) * scale + np.tile(corner, 2)
        eyes = (pairs[:, 2:4] + at[:, None]) * scale + corner
        candidates = [
            Face(box.astype(np.float32), float(score), eye.astype(np.float32))
            for box, score, eye in zip(boxes, scores[keep], eyes, strict=True)
            if np.isfinite(box).all() and np.isfinite(eye).all()
        ]
        return distinct(sorted(candidates, key=lambda face: -face.score))


def _anchors(cells: int, count: int) -> NDArray[np.float32]:
    """(cells * cells * count, 2) centres of a grid's cells in [0, 1], row by row, each `count` times."""
    steps = (np.arange(cells, dtype=np.float32) + 0.5) / cells
    return np.repeat(np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2), count, axis=0)


def checked(rgb: Picture, candidates: list[Face], mesh: FaceMesh) -> list[Face]:
    """Candidates that the mesh takes for faces, with the mesh's boxes and eyes; the largest first."""
    meshes = [mesh.glance(rgb, candidate.region) for candidate in candidates]
    faces = [_face(found) for found in meshes if found.score > FACE_SCORE]
    return sorted(distinct(sorted(faces, key=lambda face: -face.score)), key=lambda face: -_area(face.box))


def _face(found: Mesh) -> Face:
    return Face(found.region.box, found.score, found.region.eyes)


def distinct(faces: list[Face]) -> list[Face]:
    """Of faces that overlap, the first."""
    kept: list[Face] = []
    for face in faces:
        if all(overlap(face.box, other.box) < OVERLAP for other in kept):
            kept.append(face)
    return kept


def overlap(a: Points, b: Points) -> float:
    """Intersection over union of two (4,) boxes."""
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    union = _area(a) + _area(b) - shared
    return float(shared / union) if union > 0 else 0.0


def _area(box: Points) -> float:
    return float(np.clip(box[2:] - box[:2], 0, None).prod())

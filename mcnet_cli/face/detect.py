"""Face detection offline: BlazeFace (Bazarevsky et al. 2019), each candidate checked by the face mesh."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture
from mcnet_cli.face.landmarks import FaceMesh, Mesh, Points, Region
from mcnet_cli.face.networks import as_planes, read_network, run_network, sigmoid
from mcnet_cli.face.sampling import box_transform, resample
from mcnet_cli.options import DetectorName

FACE_SCORE = 0.5  # of the mesh: below, a candidate is no face
CANDIDATE_SCORE = 0.5
OVERLAP = 0.3  # intersection over union from which two boxes are one face
SMALLEST_TILE_PX = 192  # below, a network sees the whole picture without loss
BEYOND = 0.25  # of the picture's sides: how far out of it the third attempt looks
# Below this score of all faces, one that stands on its head may be the one that is there: in a room that is
# upside down, plants are taken for faces with scores of 0.85.
DOUBTFUL = 0.99
# Aspects of pixels in which pictures are looked at where nothing else helps: too wide, and too high by half.
STRETCHED = ((2.0, 1.0), (1.0, 2.0))
# The mesh lays itself on a face the wrong way round as well, with scores that are rarely above `SURE`. Those
# of faces that stand upright are rarely below: 3 of 186. Then the face is looked at in quarter turns, which
# count if the odds of one are `CLEARLY` times as high. Each is looked at again where the last look has laid
# the mesh.
SURE, CLEARLY, FURTHER_LOOKS = 0.999994, 8.0, 2


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
    """The full-range model; where it finds nothing, the picture upside down, then the back-camera model.

    Then parts of the picture, at last pixels that are no squares. Faces are found at any angle.
    """

    name: DetectorName = "blazeface"

    def __init__(self) -> None:
        self._mesh = FaceMesh()
        self._full = BlazeFace("face/face_detection_full_range.tflite", 192, {4: 1})
        self._back = BlazeFace("face/face_detection_back.tflite", 256, {16: 2, 32: 6})

    def __call__(self, rgb: Picture, *, thorough: bool = True) -> list[Face]:
        """Faces in (H, W, 3) uint8 RGB, the largest first.

        thorough: look for faces of less than a tenth of the picture too, if there is no larger one.
        """
        whole = _whole(rgb)
        faces = checked(rgb, self._full(rgb, whole), self._mesh)
        if not thorough or _surest(faces) >= DOUBTFUL:
            return faces or self._by_back_camera(rgb)
        turned = checked(rgb, self._full(rgb, whole, upside_down=True), self._mesh)
        others = self._by_back_camera(rgb)
        if not faces and _sure(turned) and len(_sure(turned)) >= len(_sure(others)):
            return _sure(turned)
        faces = faces or others or self._small(rgb)
        for found in (others, turned):
            if _surest(faces) < DOUBTFUL and _odds(_surest(found)) > CLEARLY * _odds(_surest(faces)):
                faces = found
        return faces or self._stretched(rgb)

    def _by_back_camera(self, rgb: Picture) -> list[Face]:
        height, width = rgb.shape[:2]
        whole = _whole(rgb)
        # A face that fills the picture is seen better with some black around it.
        wide = whole + np.array([-width, -height, width, height], np.float32) * BEYOND
        return checked(rgb, self._back(rgb, whole), self._mesh) or checked(
            rgb, self._back(rgb, wide), self._mesh
        )

    def _small(self, rgb: Picture) -> list[Face]:
        height, width = rgb.shape[:2]
        for side in tile_sides(width, height):
            tiles = tiles_of(width, height, side)
            if faces := checked(rgb, [face for tile in tiles for face in self._full(rgb, tile)], self._mesh):
                return faces
        return []

    def _stretched(self, rgb: Picture) -> list[Face]:
        """Faces in pixels that are no squares."""
        whole = _whole(rgb)
        candidates = [face for pixel in STRETCHED for face in self._full(rgb, whole, pixel=pixel)]
        return checked(rgb, candidates, self._mesh)


def _whole(rgb: Picture) -> Points:
    return np.array([0, 0, rgb.shape[1], rgb.shape[0]], np.float32)


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

    def __call__(
        self,
        rgb: Picture,
        view: Points,
        *,
        pixel: tuple[float, float] = (1.0, 1.0),
        upside_down: bool = False,
    ) -> list[Face]:
        """Candidates in the box `view` of a picture, which may reach beyond its edges.

        pixel: width and height of the picture's pixels; faces are looked for as if these were squares once
        more. upside_down: look for those that stand on their heads.
        """
        # The view is shrunk as a whole, and centred with black beside it.
        aspect = np.array(pixel, np.float32)
        sides = ((view[2:] - view[:2]) / aspect).max() * aspect
        corner = (view[:2] + view[2:] - sides) / 2
        size = (self._side, self._side)
        transform = box_transform(corner[0], corner[1], float(sides[0]), float(sides[1]), size)
        square = resample(rgb, transform, size, border="black")
        if upside_down:
            square = square[::-1, ::-1]
        planes = as_planes(square.astype(np.float32) / 127.5 - 1)
        values, logits = sorted(
            (o[0] for o in run_network(self._network, planes)), key=lambda o: -o.shape[-1]
        )
        scores = sigmoid(logits[:, 0])
        keep = scores > CANDIDATE_SCORE
        pairs = values[keep].reshape(-1, 8, 2) / self._side  # centre, size, then six points, the eyes first
        at = self._anchors[keep]
        centre, half = pairs[:, 0] + at, np.abs(pairs[:, 1]) / 2
        eyes = pairs[:, 2:4] + at[:, None]
        if upside_down:
            centre, eyes = 1 - centre, 1 - eyes
        boxes = np.concatenate([centre - half, centre + half], 1) * np.tile(sides, 2) + np.tile(corner, 2)
        eyes = eyes * sides + corner
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
    meshes = [_right_way_round(rgb, candidate.region, mesh) for candidate in candidates]
    faces = [_face(found) for found in meshes if found.score > FACE_SCORE]
    return sorted(distinct(sorted(faces, key=lambda face: -face.score)), key=lambda face: -_area(face.box))


def _right_way_round(rgb: Picture, region: Region, mesh: FaceMesh) -> Mesh:
    """The mesh of what is in a region, turned by quarters if that is doubtful otherwise."""
    score = attrgetter("score")
    found = mesh.glance(rgb, region)
    if found.score >= SURE:
        return found
    turned = [mesh.glance(rgb, each) for each in region.quarter_turns]
    for _ in range(FURTHER_LOOKS):
        turned = [mesh.glance(rgb, each.region) for each in turned]
    as_it_is, best = max(found, turned[0], key=score), max(turned, key=score)
    return best if _odds(best.score) > CLEARLY * _odds(as_it_is.score) else as_it_is


def _sure(faces: list[Face]) -> list[Face]:
    return [face for face in faces if face.score >= SURE]


def _surest(faces: list[Face]) -> float:
    """The highest score; 0 without a face."""
    return max((face.score for face in faces), default=0.0)


def _odds(score: float) -> float:
    """The chance that it is a face, over the chance that it is none."""
    return score / max(1 - score, 1e-9)


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

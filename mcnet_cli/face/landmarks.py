"""Landmarks: the 468 points of the face mesh, and ten of the irises, by MediaPipe's attention mesh."""

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture
from mcnet_cli.face.networks import INPUT_PX, AttentionMesh, TrunkOutput
from mcnet_cli.face.sampling import resample
from mcnet_cli.face.topology import OUTER_EYE_CORNERS, Pairs

Points = NDArray[np.float32]
Points64 = NDArray[np.float64]

REGION_ENLARGEMENT = 1.5  # of a face's extent: the network wants to see what surrounds a face
SMALLEST_REGION_PX = 1.0
MAX_STEP_FOR_REUSE = 0.05  # of a region's side: if a face moves by more in a frame, the mesh runs once more
# Passes over a face whose mean hardly jitters, where jitter would be seen. On five videos it is 0.73 to 0.85
# of that of one pass; with three passes it is the same, for half as much time again.
STEADY_LOOKS = 2
CAREFUL_LOOKS = 3  # passes where films are judged and training data is made, which time matters less for
LOOKS_SPREAD = 0.06  # by which the sizes of the region differ from one such pass to the next
# A face that stands, rolled by less than the first, has its level extent as its region, and one whose roll
# differs by less from quarter turns. Beyond the second it is the square that the face would have upright, so
# that it is looked at in the same way at all angles.
STANDING_DEG, LYING_DEG = (30.0, 40.0), (7.5, 15.0)


@dataclass(frozen=True, slots=True)
class Region:
    """Where to look for a face, in pixels.

    box: (4,) left, top, right, bottom. eyes: (2, 2), the picture's left one first. camera_roll_deg: by how
    much the whole picture is rolled clockwise, and a face in it that isn't tilted.
    """

    box: Points
    eyes: Points
    camera_roll_deg: float = 0.0

    @property
    def side(self) -> float:
        """The box's longer side in pixels."""
        return max(*map(float, self.box[2:] - self.box[:2]), SMALLEST_REGION_PX)

    @property
    def quarter_turns(self) -> "list[Region]":
        """The same place, looked at in four ways: as it is, and turned by 90, 180 and 270 degrees."""
        middle = self.eyes.mean(0)
        across = self.eyes - middle
        aside = across[:, ::-1] * np.array([-1, 1], np.float32)
        return [self, *(replace(self, eyes=middle + eyes) for eyes in (aside, -across, -aside))]

    def distance(self, other: "Region") -> float:
        """By how many pixels at most a side or an eye is elsewhere."""
        offsets = np.abs(self.box - other.box).max(), np.abs(self.eyes - other.eyes).max()
        return float(max(offsets))

    def transform(self, zoom: float = 1.0) -> NDArray[np.float64]:
        """(2, 3) from picture pixels to the network's input, upright by the line between the eyes.

        zoom: over 1 shows less around the face.
        """
        low, high = self.box[:2].astype(float), self.box[2:].astype(float)
        side = self.side * REGION_ENLARGEMENT / zoom
        x, y = self.eyes[1].astype(float) - self.eyes[0]
        angle = np.arctan2(y, x)
        cos, sin = np.cos(angle) * INPUT_PX / side, np.sin(angle) * INPUT_PX / side
        turn = np.array([[cos, sin], [-sin, cos]])
        return np.column_stack([turn, INPUT_PX / 2 - turn @ ((low + high) / 2)])


@dataclass(frozen=True)
class Mesh:
    """A face's mesh.

    points: (468, 2) float32 pixels; score: the chance in [0, 1] that it is a face. camera_roll_deg: see
    `Region`.
    """

    points: Points
    score: float
    camera_roll_deg: float = field(default=0.0, kw_only=True)

    @cached_property
    def region(self) -> Region:
        """The mesh's extent where the picture isn't rolled, with the eyes' outer corners."""
        turn = _turn(np.radians(self.camera_roll_deg))
        points = self.points @ turn if self.camera_roll_deg else self.points
        box = np.concatenate([points.min(0), points.max(0)])
        eyes = points[list(OUTER_EYE_CORNERS)]
        x, y = eyes[1] - eyes[0]
        roll = float(np.arctan2(y, x))
        quarters = round(2 * roll / np.pi)
        level, askew = LYING_DEG if quarters else STANDING_DEG
        share = (abs(np.degrees(roll) - 90 * quarters) - level) / (askew - level)
        if share > 0:
            square = _upright_square(points, roll)
            box = (box + min(share, 1.0) * (square - box)).astype(np.float32)
        if self.camera_roll_deg:
            middle, half = turn @ (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
            box = np.concatenate([middle - half, middle + half]).astype(np.float32)
        return Region(box, self.points[list(OUTER_EYE_CORNERS)], self.camera_roll_deg)

    @property
    def area(self) -> float:
        """Area of the mesh's extent in square pixels."""
        width, height = self.region.box[2:] - self.region.box[:2]
        return float(width * height)


@dataclass(frozen=True)
class Landmarks(Mesh):
    """A face's mesh with its irises.

    irises: (10, 2) float32 pixels: centre, right, top, left and bottom of the iris in the picture's left eye,
    then of the other one's, as the picture shows them. log_odds: logarithm of the odds that it is a face: 10
    to 30, where `score` is 1 for all, and lower for hidden faces. spread: mean distance between the points of
    the narrowest and the widest look, over the mesh's height; 0 of one look.
    """

    irises: Points
    log_odds: float = np.inf
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class Look:
    """What the network's trunk says of one view of a face.

    back: (2, 3) from pixels of its input to those of the picture. camera_roll_deg: the region's.
    """

    trunk: TrunkOutput
    back: NDArray[np.float64]
    camera_roll_deg: float

    def placed(self, points: Points) -> NDArray[np.float64]:
        """(N, 2) points of the input in pixels of the picture."""
        placed: NDArray[np.float64] = points @ self.back[:, :2].T + self.back[:, 2]
        return placed

    @property
    def mesh(self) -> Mesh:
        """The trunk's mesh: exact enough for a region."""
        points = self.placed(self.trunk.points[:, :2]).astype(np.float32)
        return Mesh(points, self.trunk.score, camera_roll_deg=self.camera_roll_deg)


class FaceMesh:
    """Finds the mesh of a face whose region is roughly known.

    looks: how many passes over a face are averaged, each with a region of another size. More jitter less.
    """

    def __init__(self, looks: int = 1) -> None:
        self._zooms = np.exp(LOOKS_SPREAD * np.linspace(-1, 1, looks)) if looks > 1 else np.ones(1)
        self._network = AttentionMesh()
        # Looks are taken side by side, each by a network of its own, where OpenCV may use several threads.
        self._pool = ThreadPoolExecutor(looks) if looks > 1 and cv2.getNumThreads() > 1 else None
        self._networks = [self._network, *(AttentionMesh() for _ in self._zooms[1:] if self._pool)]

    def __call__(self, rgb: Picture, region: Region) -> Landmarks:
        """Landmarks of the face in `region` of an (H, W, 3) picture; a low score if there is none.

        A second pass looks at the first one's extent: that mends tilted heads and loose regions.
        """
        return self._steady(rgb, self.glance(rgb, region).region)

    def again(self, rgb: Picture, region: Region) -> Landmarks:
        """Landmarks of the face whose region was `region` a frame ago.

        One that has hardly moved isn't looked at once more.
        """
        found = self._steady(rgb, region)
        if found.region.distance(region) < MAX_STEP_FOR_REUSE * region.side:
            return found
        return self._steady(rgb, found.region)

    def glance(self, rgb: Picture, region: Region) -> Mesh:
        """The mesh by one pass of the network's trunk: enough to tell whether and where there is a face."""
        return _look(self._network, rgb, region).mesh

    def solid(self, rgb: Picture, region: Region) -> Points:
        """(468, 3) points in pixels; the third coordinate is depth, growing away from the viewer."""
        look = _look(self._network, rgb, self.glance(rgb, region).region)
        points, _ = self._network.refined(look.trunk)
        depth = points[:, 2:] * np.sqrt(abs(np.linalg.det(look.back[:, :2])))
        return np.concatenate([look.placed(points[:, :2]), depth], axis=1).astype(np.float32)

    def _steady(self, rgb: Picture, region: Region) -> Landmarks:
        """The mean of all looks at a region."""

        def refined(zoom: float, network: AttentionMesh) -> tuple[Points64, Points64, TrunkOutput]:
            look = _look(network, rgb, region, zoom)
            mesh, iris = network.refined(look.trunk)
            return look.placed(mesh[:, :2]), look.placed(iris), look.trunk

        run = map if self._pool is None else self._pool.map
        points, irises, trunks = zip(*run(refined, self._zooms, itertools.cycle(self._networks)), strict=True)
        height = max(float(np.ptp(points[0][:, 1])), SMALLEST_REGION_PX)
        return Landmarks(
            _mean(points),
            float(np.mean([trunk.score for trunk in trunks])),
            _mean(irises),
            float(np.mean([trunk.log_odds for trunk in trunks])),
            float(np.linalg.norm(points[-1] - points[0], axis=1).mean()) / height,
            camera_roll_deg=region.camera_roll_deg,
        )


def opening(points: NDArray[Any], pairs: Pairs) -> NDArray[Any]:
    """(...): summed distances between pairs of (..., 468, 2) landmarks, over that of outer eye corners."""

    def distance(pair: tuple[int, int]) -> NDArray[Any]:
        return np.asarray(np.linalg.norm(points[..., pair[0], :] - points[..., pair[1], :], axis=-1))

    return np.asarray(sum(map(distance, pairs)) / np.maximum(distance(OUTER_EYE_CORNERS), 1e-3))


def _upright_square(points: NDArray[Any], roll: float) -> Points64:
    """(4,) the square around a face that is rolled by so many radians, as large as if it were upright."""
    turn = _turn(roll)
    upright = points @ turn
    low, high = upright.min(0), upright.max(0)
    middle, side = turn @ (low + high) / 2, (high - low).max()
    return np.concatenate([middle - side / 2, middle + side / 2])


def _turn(radians: float) -> Points64:
    """(2, 2) that turns columns clockwise, and rows of points, from the left, back."""
    return np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])


def _look(network: AttentionMesh, rgb: Picture, region: Region, zoom: float = 1.0) -> Look:
    """One pass of the trunk."""
    transform = region.transform(zoom)
    face = resample(rgb, transform, (INPUT_PX, INPUT_PX), border="black")
    back = np.linalg.inv(np.vstack([transform, (0, 0, 1)]))[:2]
    return Look(network(face), back, region.camera_roll_deg)


def _mean(places: Sequence[Points64]) -> Points:
    mean: Points = np.mean(places, axis=0).astype(np.float32)
    return mean

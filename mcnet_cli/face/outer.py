"""Points beyond the face mesh: where its pose says that the skull, the hair and the shoulders are.

The face mesh ends at the forehead and the chin. Hair goes with the skull, which turns about the neck: its top
moves otherwise than the forehead does, and a motion that is only known below it can't tell how. Hair swings
and shoulders stay behind when a head turns; `OuterTracker` sees that by optical flow.

average_face.npy was made by this project: what MediaPipe's first face mesh measured in 38 frontal frames of
many people with closed mouths, aligned, averaged and made symmetric, in ten-thousandths of the mesh's height.
On upper faces of the attention mesh, which replaced that one, its points are off by 1.1 % of the height on
average (0.9 % before); 0.5 % (0.4 %) are the same for all people.
"""

import functools
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture
from mcnet_cli.face.sampling import resample
from mcnet_cli.face.topology import MESH_POINTS, OUTER, SKULL
from mcnet_cli.face.upright import ROLL_POINTS, remaining_roll_deg, roll_deg, rolled_points

Points = NDArray[Any]
Floats = NDArray[np.float64]

UNITS = 10_000
ARC_DEG = (-72, -36, 0, 36, 72)  # of the skull's points from the crown, the picture's left first
CENTRE = np.array([0.0, -0.25, 0.72])
RADII = np.array([0.48, 0.55])
# Hair beside the face, the neck, the shoulders, the picture's left first.
BODY = np.array([(-0.54, 0.3, 0.72), (0.54, 0.3, 0.72), (0, 0.7, 0.3), (-0.5, 0.78, 0.3), (0.5, 0.78, 0.3)])
MESH = tuple(range(MESH_POINTS))
LOWEST = 0.18  # the mesh's points below move with the jaw
SKULL_ROWS = slice(len(SKULL))  # among the outer points
VIEW_PX = 128
VIEW_HEIGHTS = 1.9  # of the mesh, which is in the middle: from above the hair to the shoulders
BLUR_PX = 2.0
SMALLEST_SCALE = 1e-3
# Largest distance of a point from the line between staying and going with the head, in heights of the mesh.
MAX_ASTRAY = 0.08
MAX_BENT = 0.03  # largest distance by which flow moves a point of the skull among the others, likewise
# Mean difference of a frame and its warped predecessor, over the contrast of the latter: 0 fits, about 1 is
# another picture. Above this the flow is not used.
MAX_MISMATCH = 0.5


@functools.cache
def average_face() -> Floats:
    """(468, 3) in heights of the mesh; x grows to the picture's right, y down, z away from the viewer.

    The origin is the middle of the mesh's height, at the tip of the nose in depth.
    """
    with (files(__package__) / "average_face.npy").open("rb") as file:
        points: Floats = np.load(file).astype(np.float64) / UNITS
    return points


def with_outer(points: Points) -> Points:
    """(..., 468, 2) landmarks of whatever unit to (..., 478, 2): the outer points follow.

    Of the landmarks' type.
    """
    return np.concatenate([points, posed_outer(points, MESH).astype(points.dtype)], axis=-2)


def posed_outer(points: Points, numbers: tuple[int, ...]) -> Floats:
    """(..., 10, 2) the outer points, from (..., N, 2) points with these numbers of the mesh.

    Numbers beyond the mesh don't count. The average face is laid on the points of the upper face by scaled
    orthographic projection, in the least-squares sense, and the outer points with it.
    """
    outer = _model(numbers)[2]
    projection, scale, middle = _projection(points, numbers)
    found: Floats = outer @ np.swapaxes(scale[..., None, None] * projection, -1, -2) + middle
    return found


def yaw_deg(points: Points) -> Floats:
    """(...,) by how many degrees a head with (..., 468, 2) landmarks is turned aside, by its upper face."""
    projection, _, _ = _projection(points, MESH)
    towards_viewer = np.cross(projection[..., 0, :], projection[..., 1, :])
    return np.asarray(np.degrees(np.arcsin(np.clip(towards_viewer[..., 0], -1, 1))))


def _projection(points: Points, numbers: tuple[int, ...]) -> tuple[Floats, Floats, Floats]:
    """How the upper face lies: (..., 2, 3) turn and projection, (...,) scale, (..., 1, 2) middle."""
    places, inverse, _ = _model(numbers)
    seen = points[..., places, :].astype(np.float64)
    middle = seen.mean(-2, keepdims=True)
    affine = np.swapaxes(inverse @ (seen - middle), -1, -2)
    left, scales, right = np.linalg.svd(affine, full_matrices=False)
    return left @ right, scales.mean(-1), middle


def numbered(points: Points, numbers: tuple[int, ...]) -> Points:
    """(..., N, 2) the landmarks with these numbers of (..., 468, 2), the outer ones included."""
    return with_outer(points)[..., list(numbers), :]


def upper_face() -> NDArray[np.intp]:
    """Numbers of the mesh's points that keep their places while the mouth moves."""
    return _model(MESH)[0]


@functools.cache
def _model(
    numbers: tuple[int, ...],
) -> tuple[NDArray[np.intp], Floats, Floats]:
    """The upper face's places among `numbers`, the pseudo-inverse of its points, and the outer points."""
    places = upper_face_among(numbers)
    upper = head_points(tuple(numbers[place] for place in places))
    middle = upper.mean(0)
    return np.array(places), np.linalg.pinv(upper - middle), head_points(OUTER) - middle


def upper_face_among(numbers: tuple[int, ...]) -> list[int]:
    """Which of points with these numbers keep their places in the face while the mouth moves."""
    face = average_face()
    return [n for n, point in enumerate(numbers) if point < MESH_POINTS and face[point, 1] <= LOWEST]


def head_points(numbers: tuple[int, ...]) -> Floats:
    """(N, 3) the points with these numbers of an average head, outer ones included, as `average_face`."""
    angle = np.radians(ARC_DEG)
    arc = np.stack([np.sin(angle), -np.cos(angle)], axis=-1) * RADII
    skull = CENTRE + np.concatenate([arc, np.zeros((len(angle), 1))], axis=-1)
    points: Floats = np.concatenate([average_face(), skull, BODY])[list(numbers)]
    return points


@dataclass(frozen=True, slots=True)
class _View:
    """A frame around the face, as a grey picture.

    face: (N, 2) points of the upper face. transform: (2, 3) from the frame to the view. outer, posed: (M, 2)
    points, as followed and as the pose alone would have them.
    """

    grey: NDArray[np.uint8]
    face: Floats
    transform: Floats
    outer: Floats
    posed: Floats


class OuterTracker:
    """Landmarks of one frame after the other of a shot, with the outer points where the picture shows them.

    In the first frame the head's pose places them. In later ones:
    1. Optical flow from the first frame (DIS, Kroeger et al., ECCV 2016) moves them, so that nothing drifts.
    2. If the warped first frame doesn't look like the new one, the flow from the last frame does.
    3. If that doesn't fit either, after a cut, the pose places them again.

    Flow is a guess outside of the picture and behind hands. So each point is kept near the line from where it
    was to where the head's pose takes it, and the skull's points keep their places among each other.
    """

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._first: _View | None = None
        self._last: _View | None = None
        self._roll_deg = 0.0  # of the camera, in the first frame

    def __call__(self, rgb: Picture, landmarks: Points, turns: int = 0) -> Points:
        """(478, 2) points of an (H, W, 3) frame with the mesh (468, 2), in pixels and of the mesh's type.

        turns: by how many quarter turns the frame has been turned for its face.
        """
        points = with_outer(landmarks)
        face = landmarks[upper_face()].astype(np.float64)
        posed = points[MESH_POINTS:].astype(np.float64)
        height = float(np.ptp(rolled_points(landmarks, -self._roll_deg, (0, 0))[:, 1]))
        if self._first is not None and self._last is not None:
            transform = after(self._first.transform, similarity(face, self._first.face))
            grey = _grey(rgb, transform)
            for start in (self._first, self._last):
                outer = self._followed(start, grey, transform)
                if outer is not None:
                    with_head = start.outer + posed - start.posed
                    outer = near_segment(outer, start.outer, with_head, MAX_ASTRAY * height)
                    outer[SKULL_ROWS] = together(outer[SKULL_ROWS], with_head[SKULL_ROWS], MAX_BENT * height)
                    self._last = _View(grey, face, transform, outer, posed)
                    if start is not self._first:
                        self._first = self._last
                    points[MESH_POINTS:] = outer
                    return points
        self._roll_deg = remaining_roll_deg(roll_deg(landmarks[list(ROLL_POINTS)]), turns)
        transform = _around(landmarks, self._roll_deg)
        self._first = self._last = _View(_grey(rgb, transform), face, transform, posed, posed)
        return points

    def _followed(self, start: _View, grey: NDArray[np.uint8], transform: Floats) -> Floats | None:
        """Where the outer points of `start` are in the frame that `grey` shows; None if it doesn't fit."""
        flow = self._flow.calc(start.grey, grey, None)
        down, across = np.mgrid[:VIEW_PX, :VIEW_PX].astype(np.float32)
        places = across + flow[..., 0], down + flow[..., 1]
        found = cv2.remap(grey, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        unlike = np.abs(found.astype(np.float32) - start.grey).mean()
        if unlike > MAX_MISMATCH * np.abs(start.grey - start.grey.mean()).mean():
            return None
        flow = cv2.GaussianBlur(flow, (0, 0), BLUR_PX)
        outer = _mapped(start.transform, start.outer)
        x, y = np.clip(outer - 0.5, 0, VIEW_PX - 1).astype(np.float32).T  # OpenCV names pixel centres
        moved = cv2.remap(flow, x[None], y[None], cv2.INTER_LINEAR)[0]
        return _mapped(cv2.invertAffineTransform(transform), outer + moved)


def similarity(start: Floats, end: Floats) -> Floats:
    """(2, 3) turn, scale and shift of (N, 2) points that brings them nearest to others, in least squares.

    A shift alone where they would all fall together.
    """
    middles = start.mean(0), end.mean(0)
    before, after = start - middles[0], end - middles[1]
    size = max(float((before**2).sum()), 1e-9)
    along = float((before * after).sum()) / size
    across = float((before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]).sum()) / size
    turn = np.array([[along, -across], [across, along]])
    if np.hypot(along, across) < SMALLEST_SCALE:
        turn = np.eye(2)
    return np.column_stack([turn, middles[1] - turn @ middles[0]])


def near_segment(points: Floats, start: Floats, end: Floats, reach: float) -> Floats:
    """(N, 2) points, those further than `reach` from their segments, `start` to `end`, brought nearer."""
    along = end - start
    length = np.maximum((along**2).sum(1), 1e-12)
    share = np.clip(((points - start) * along).sum(1) / length, 0, 1)
    nearest = start + share[:, None] * along
    offset = points - nearest
    distance = np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-12)
    nearer: Floats = nearest + offset * np.minimum(reach / distance, 1)
    return nearer


def together(points: Floats, rigid: Floats, reach: float) -> Floats:
    """(N, 2) points whose offsets from `rigid` ones differ by at most `reach` from the median offset."""
    offsets = points - rigid
    middle = np.median(offsets, axis=0)
    return np.asarray(rigid + middle + np.clip(offsets - middle, -reach, reach))


def _around(landmarks: Points, roll_deg: float) -> Floats:
    """(2, 3) from a frame that is rolled clockwise to an upright view around its face."""
    upright = cv2.getRotationMatrix2D((0, 0), roll_deg, 1.0)[:, :2]
    points = landmarks @ upright.T
    low, high = points.min(0), points.max(0)
    scale = VIEW_PX / (VIEW_HEIGHTS * max(high[1] - low[1], 1.0))
    return np.column_stack([scale * upright, VIEW_PX / 2 - scale * (low + high) / 2])


def _grey(rgb: Picture, transform: Floats) -> NDArray[np.uint8]:
    view = resample(rgb, transform, (VIEW_PX, VIEW_PX))
    return np.asarray(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), np.uint8)


def _mapped(transform: Floats, points: Floats) -> Floats:
    mapped: Floats = points @ transform[:, :2].T + transform[:, 2]
    return mapped


def after(second: Floats, first: Floats) -> Floats:
    """The affine map that does `first`, then `second`."""
    return np.column_stack([second[:, :2] @ first[:, :2], _mapped(second, first[:, 2])])

"""Follows the points beyond the face mesh from frame to frame by optical flow.

Hair swings and shoulders stay behind when a head turns: its pose can't tell, the picture can.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face.outer import upper_face, with_outer
from mcnet_cli.face.sampling import Picture, resample
from mcnet_cli.face.topology import MESH_POINTS, SKULL

Points = NDArray[Any]
Floats = NDArray[np.float64]

SKULL_ROWS = slice(len(SKULL))  # among the outer points
VIEW_PX = 128
VIEW_HEIGHTS = 1.9  # of the mesh, which is in the middle: from above the hair to the shoulders
BLUR_PX = 2.0
SMALLEST_SCALE = 1e-3
ASTRAY = 0.08  # heights of the mesh; further from staying and from going with the head no point goes
BENT = 0.03  # heights of the mesh by which flow may bend a skull
MISMATCH = 0.5  # of what is unlike in two views if nothing fits; from here on the flow is not believed


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

    The first frame's are where the pose says; later ones went with the optical flow (DIS, Kroeger et al.,
    ECCV 2016) from there, so that nothing drifts. When that no longer fits, the flow from the last frame
    leads on, and where that doesn't fit either, in another shot, the pose says it anew. A point that has
    neither stayed nor gone with the head is brought near to what lies in between: outside of the picture, or
    behind a hand, flow is a guess. The skull's points keep together, as a skull does.
    """

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._first: _View | None = None
        self._last: _View | None = None

    def __call__(self, rgb: Picture, landmarks: Points) -> Points:
        """(478, 2) points of an (H, W, 3) frame with the mesh (468, 2), in pixels and of the mesh's type."""
        points = with_outer(landmarks)
        face = landmarks[upper_face()].astype(np.float64)
        posed, height = points[MESH_POINTS:].astype(np.float64), float(np.ptp(landmarks[:, 1]))
        if self._first is not None and self._last is not None:
            transform = after(self._first.transform, similarity(face, self._first.face))
            grey = _grey(rgb, transform)
            for start in (self._first, self._last):
                outer = self._followed(start, grey, transform)
                if outer is not None:
                    with_head = start.outer + posed - start.posed
                    outer = near_segment(outer, start.outer, with_head, ASTRAY * height)
                    outer[SKULL_ROWS] = together(outer[SKULL_ROWS], with_head[SKULL_ROWS], BENT * height)
                    self._last = _View(grey, face, transform, outer, posed)
                    if start is not self._first:
                        self._first = self._last
                    points[MESH_POINTS:] = outer
                    return points
        transform = _around(landmarks)
        self._first = self._last = _View(_grey(rgb, transform), face, transform, posed, posed)
        return points

    def _followed(self, start: _View, grey: NDArray[np.uint8], transform: Floats) -> Floats | None:
        """Where the outer points of `start` are in the frame that `grey` shows; None if it doesn't fit."""
        flow = self._flow.calc(start.grey, grey, None)
        down, across = np.mgrid[:VIEW_PX, :VIEW_PX].astype(np.float32)
        places = across + flow[..., 0], down + flow[..., 1]
        found = cv2.remap(grey, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        unlike = np.abs(found.astype(np.float32) - start.grey).mean()
        if unlike > MISMATCH * np.abs(start.grey - start.grey.mean()).mean():
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


def _around(landmarks: Points) -> Floats:
    """(2, 3) from a frame to an upright view around its face."""
    low, high = landmarks.min(0).astype(np.float64), landmarks.max(0).astype(np.float64)
    scale = VIEW_PX / (VIEW_HEIGHTS * max(high[1] - low[1], 1.0))
    return np.column_stack([scale * np.eye(2), VIEW_PX / 2 - scale * (low + high) / 2])


def _grey(rgb: Picture, transform: Floats) -> NDArray[np.uint8]:
    view = resample(rgb, transform, (VIEW_PX, VIEW_PX))
    return np.asarray(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), np.uint8)


def _mapped(transform: Floats, points: Floats) -> Floats:
    mapped: Floats = points @ transform[:, :2].T + transform[:, 2]
    return mapped


def after(second: Floats, first: Floats) -> Floats:
    """The affine map that does `first`, then `second`."""
    return np.column_stack([second[:, :2] @ first[:, :2], _mapped(second, first[:, 2])])

"""Where a clip's square lies in the frames of the video: the crop rules and the alignment.

A placement is a (2, 3) matrix from the clip's pixels to the frame's. Frames without a face have NaN points.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import gaussian_over_time
from mcnet_cli.face import CropBox, Framing, extents_box
from mcnet_cli.face.topology import OUTER_EYE_CORNERS
from mcnet_cli.preprocessing.request import Settings

Matrix = NDArray[np.float64]
Array = NDArray[np.floating]

SMOOTHING_FRAMES = 3.0  # sigma of a followed face's placements
SMOOTHING_REACH = math.ceil(3 * SMOOTHING_FRAMES)  # frames before and after that are averaged
# Points that expressions hardly move: corners of the eyes, bridge and tip of the nose. The template is where
# they are in a frontal face, relative to the mesh's centre and in mesh heights: means of 96 frames of many
# people.
RIGID_POINTS = (33, 133, 362, 263, 168, 6, 1, 2)
RIGID_TEMPLATE = np.array(
    [
        *[(-0.293, -0.168), (-0.112, -0.152), (0.112, -0.152), (0.293, -0.168)],
        *[(0.0, -0.187), (0.0, -0.129), (0.0, 0.109), (0.0, 0.141)],
    ]
)


def placements_of(points: Array, settings: Settings) -> NDArray[np.float64]:
    """(T, 2, 3) placements for the (T, 468, 2) points of a clip or a picture, as the settings say."""
    framing, size = settings.framing, settings.size
    if settings.follow:
        return following_placements(points, framing, size)
    if settings.align == "eyes":
        square = level_placement(points, framing, size)
    else:
        found = points[np.isfinite(points[:, 0, 0])]
        square = fixed_placement(np.concatenate([found.min(1), found.max(1)], 1), framing, size)
    return np.broadcast_to(square, (len(points), 2, 3))


def fixed_placement(extents: Array, framing: Framing, size: int) -> Matrix:
    """One placement for a whole clip, of whole pixels, which are enlarged several times as fast as others.

    extents: (T, 4) left, top, right, bottom of the mesh in each frame.
    """
    box = extents_box(extents, framing)
    side = float(round(box.width))
    whole = CropBox(float(round(box.x)), float(round(box.y)), side, side)
    return _matrix(whole, np.eye(2), size)


def level_placement(points: Array, framing: Framing, size: int) -> Matrix:
    """One placement for a whole clip, turned so that the eyes are level in the median frame.

    points: (T, 468, 2), with a face in at least one frame.
    """
    found = points[np.isfinite(points[:, 0, 0])]
    turn = _turn(_eye_angle(found))
    upright = found @ turn.T
    return _matrix(extents_box(np.concatenate([upright.min(1), upright.max(1)], 1), framing), turn, size)


def following_placements(points: Array, framing: Framing, size: int) -> NDArray[np.float64]:
    """(T, 2, 3) placements that keep a face still, as high as the framing says, smoothed over time.

    Position, size and angle come from points that expressions don't move, so that an opening mouth neither
    shifts nor shrinks the face.
    """
    raw = np.stack([_aligned(frame, framing, size) for frame in points])
    times = np.arange(len(raw))
    known = np.isfinite(raw[:, 0, 0])
    for row, column in np.ndindex(2, 3):
        raw[:, row, column] = np.interp(times, times[known], raw[known, row, column])
    # What all the single placements show, their averages show too: averages are convex.
    return gaussian_over_time(raw, SMOOTHING_FRAMES, SMOOTHING_REACH)


def _aligned(points: Array, framing: Framing, size: int) -> Matrix:
    """The similarity transform that best fits one frame's rigid points to the template (least squares)."""
    height = framing.face_height
    centre = np.array([framing.center_x, framing.center_y])
    if framing.tube_factor:
        height, centre = 1 / framing.tube_factor, np.array([0.5, 0.5])
    wanted = (RIGID_TEMPLATE * height + centre) * size
    seen = points[list(RIGID_POINTS)].astype(np.float64)
    z, w = ((p - p.mean(0)) @ (1, 1j) for p in (wanted, seen))
    factor = (z.conj() @ w) / (z.conj() @ z).real
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([linear, seen.mean(0) - linear @ wanted.mean(0)])


def _eye_angle(points: Array) -> float:
    """The median angle of the line between the eyes, in radians."""
    lines = points[:, OUTER_EYE_CORNERS[1]] - points[:, OUTER_EYE_CORNERS[0]]
    usual = lines.mean(0)
    start = math.atan2(usual[1], usual[0])
    turned = lines @ _turn(start).T
    return start + float(np.median(np.arctan2(turned[:, 1], turned[:, 0])))


def _turn(angle: float) -> NDArray[np.float64]:
    """The (2, 2) rotation that makes a line of this angle level."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


def _matrix(box: CropBox, turn: NDArray[np.float64], size: int) -> Matrix:
    """The placement of a box in the frame that has been rotated by `turn`."""
    placement: Matrix = turn.T @ np.array([[box.width / size, 0, box.x], [0, box.height / size, box.y]])
    return placement


def inverse(placement: Matrix) -> Matrix:
    """(2, 3) from the frame's pixels to the clip's."""
    back = np.linalg.inv(placement[:, :2])
    return np.column_stack([back, -back @ placement[:, 2]])


def corners(placement: Matrix, size: int) -> NDArray[np.float64]:
    """(4, 2) corners of the clip's square in the frame's pixels."""
    square = np.array([(0, 0), (size, 0), (size, size), (0, size)], np.float64)
    return square @ placement[:, :2].T + placement[:, 2]


def side_px(placement: Matrix, size: int) -> float:
    """The square's side in the frame's pixels."""
    return size * math.hypot(placement[0, 0], placement[1, 0])


def share_outside(placement: Matrix, size: int, frame_size: tuple[int, int]) -> float:
    """The share of the square beyond a frame of (width, height), sampled at 32 x 32 points."""
    steps = (np.arange(32) + 0.5) * size / 32
    grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2) @ placement[:, :2].T + placement[:, 2]
    inside = (grid >= 0) & (grid <= frame_size)
    return float(1 - inside.all(1).mean())

"""Runs the shipped TFLite networks in OpenCV, and the one of several parts: MediaPipe's attention mesh.

Grishchenko et al. 2020, "Attention Mesh: High-fidelity Face Mesh Prediction in Real-time". A trunk places all
468 points. Around those of the lips and around those of each eye, a window of its early features is cut out,
upright by the region's corners; a head of its own places the region's points once more, and an eye's iris.
weights/face/NOTICE says where the four networks come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture
from mcnet_cli.errors import WeightsError
from mcnet_cli.face.topology import IRIS_POINTS, MESH_POINTS, MOUTH_CORNERS
from mcnet_cli.files import asset

Array = NDArray[Any]
Matrix = NDArray[np.float32]

INPUT_PX = 192
# The face flag's logit whose score is 0.5. Faces that BlazeFace is sure of have 12 and more, half hidden ones
# 5 and more; regions without a face have up to 5.6, rarely 8.8.
FACE_LOGIT = 6.0
FEATURES = "p_re_lu_3"  # the trunk's output that the windows are cut from, 48 x 48
FEATURE_CHANNELS = 32
INPUT_PER_FEATURE = 4  # pixels of the input that a pixel of the features covers
WINDOW_PX = 16  # of features
WINDOW_ENLARGEMENT = 1.5  # of the region's extent
HEAD_UNITS = 64  # the heads' coordinates run from 0 to this over their window
# (2, 256) centres of the window's pixels in the heads' coordinates, row by row.
WINDOW_GRID = np.indices((WINDOW_PX, WINDOW_PX), np.float32)[::-1].reshape(2, -1) + np.float32(0.5)
WINDOW_GRID *= HEAD_UNITS / WINDOW_PX

# The points that each head places, in its order. Arcs below go from the corner at the picture's left to the
# other one, those above likewise but without corners; an eye's begin at its outer corner.
LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),  # outline
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),  # opening
    *(76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408),
    *(62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407),
)
LEFT_EYE = (
    *(33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),  # lids
    *(130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190),
    *(226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189),
    *(35, 124, 46, 53, 52, 65),  # the brow's lower edge
    *(143, 111, 117, 118, 119, 120, 121, 128, 245, 156, 70, 63, 105, 66, 107, 55, 193),  # its upper edge last
)
RIGHT_EYE = (
    *(263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
    *(359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414),
    *(446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413),
    *(265, 353, 276, 283, 282, 295),
    *(372, 340, 346, 347, 348, 349, 350, 357, 465, 383, 300, 293, 334, 296, 336, 285, 417),
)


def read_network(name: str) -> cv2.dnn.Net:
    """A network from the shipped TFLite file `name`; WeightsError if it can't be read."""
    path = asset(name)
    try:
        return cv2.dnn.readNetFromTFLite(np.frombuffer(path.read_bytes(), np.uint8))
    except (cv2.error, OSError) as error:
        raise WeightsError(f"{name} is damaged", hint="install mcnet-cli again") from error


def as_planes(picture: NDArray[Any]) -> NDArray[np.float32]:
    """(H, W, C) values as a network's input (1, C, H, W)."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)


def run_network(
    network: cv2.dnn.Net, planes: NDArray[np.float32], outputs: Sequence[str] | None = None
) -> list[NDArray[np.float32]]:
    """The outputs of these names of a network for a (1, C, H, W) input; None: all."""
    network.setInput(planes)
    return list(network.forward(outputs or network.getUnconnectedOutLayersNames()))


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float32]:
    """The logistic function, without overflow."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), np.float32)


@dataclass(frozen=True, slots=True)
class TrunkOutput:
    """The outputs of the trunk.

    points: (468, 3) float32 in pixels of the input, the third coordinate is depth, growing away from the
    viewer. log_odds: logarithm of the odds that it is a face. features: (32, 48, 48), for the heads.
    """

    points: Matrix
    log_odds: float
    features: Matrix

    @property
    def score(self) -> float:
        """The chance in [0, 1] that it is a face."""
        return float(sigmoid(np.array(self.log_odds, np.float32)))


class AttentionMesh:
    """The trunk and its three heads."""

    def __init__(self) -> None:
        self._trunk = read_network("face/face_mesh.tflite")
        # Each with its points and its corners, the picture's left one first.
        self._heads = (
            (read_network("face/face_mesh_lips.tflite"), np.array(LIPS), np.array(MOUTH_CORNERS)),
            (read_network("face/face_mesh_left_eye.tflite"), np.array(LEFT_EYE), np.array((33, 133))),
            (read_network("face/face_mesh_right_eye.tflite"), np.array(RIGHT_EYE), np.array((362, 263))),
        )

    def operations(self) -> tuple[float, float]:
        """GFLOP of the trunk, and of all heads together."""
        channels = FEATURE_CHANNELS
        heads = (net.getFLOPS((1, channels, WINDOW_PX, WINDOW_PX)) for net, _, _ in self._heads)
        return self._trunk.getFLOPS((1, 3, INPUT_PX, INPUT_PX)) / 1e9, sum(heads) / 1e9

    def __call__(self, face: Picture) -> TrunkOutput:
        """The trunk's outputs for (192, 192, 3) RGB: an upright face that fills two thirds of the side."""
        outputs = "output_mesh", "conv_faceflag", FEATURES
        mesh, logit, features = run_network(self._trunk, as_planes(face.astype(np.float32) / 255), outputs)
        return TrunkOutput(mesh.reshape(MESH_POINTS, 3), float(logit.ravel()[0] - FACE_LOGIT), features[0])

    def refined(self, trunk: TrunkOutput) -> tuple[Matrix, Matrix]:
        """The (468, 3) points, those of lips and eyes by the heads, and the (10, 2) points of the irises.

        An iris has its centre, right, top, left and bottom; that of the picture's left eye comes first. Depth
        is the trunk's.
        """
        points, irises = trunk.points.copy(), []
        rows = np.ascontiguousarray(trunk.features.transpose(1, 2, 0))
        windows = [_window(points[numbers, :2], points[corners, :2]) for _, numbers, corners in self._heads]
        seen = _cut(rows, np.stack(windows))
        for (network, numbers, _), window, planes in zip(self._heads, windows, seen, strict=True):
            places = [
                found.reshape(-1, 2) @ window[:, :2].T + window[:, 2]
                for found in run_network(network, planes[None])
            ]
            irises += [place for place in places if len(place) == IRIS_POINTS]
            (points[numbers, :2],) = (place for place in places if len(place) != IRIS_POINTS)
        return points, np.concatenate(irises)


def _window(points: Array, corners: Array) -> Matrix:
    """(2, 3) from a head's coordinates to pixels of the input: the points' extent along the corners' line."""
    x, y = corners[1] - corners[0]
    angle = np.arctan2(y, x)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    upright = points @ turn
    low, high = upright.min(0), upright.max(0)
    linear = turn * (high - low) * (WINDOW_ENLARGEMENT / HEAD_UNITS)
    middle = turn @ (low + high) / 2
    return np.column_stack([linear, middle - linear.sum(1) * (HEAD_UNITS / 2)]).astype(np.float32)


def _cut(features: Matrix, windows: Matrix) -> Matrix:
    """(N, C, 16, 16) of (H, W, C) features in (N, 2, 3) windows, between them linearly; 0 outside."""
    height, width, channels = features.shape
    places = (windows[:, :, :2] @ WINDOW_GRID + windows[:, :, 2:]) / INPUT_PER_FEATURE - np.float32(0.5)
    x, y = places.transpose(1, 0, 2).reshape(2, -1)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    left, top = np.clip(np.floor(x), 0, width - 2), np.clip(np.floor(y), 0, height - 2)
    right, lower = (x - left)[:, None], ((y - top) * inside)[:, None]
    upper = inside[:, None] - lower
    rows, place = features.reshape(-1, channels), (top * width + left).astype(np.intp)
    above = rows[place] * (1 - right) + rows[place + 1] * right
    below = rows[place + width] * (1 - right) + rows[place + width + 1] * right
    seen = (above * upper + below * lower).reshape(-1, WINDOW_PX, WINDOW_PX, channels)
    return np.ascontiguousarray(seen.transpose(0, 3, 1, 2), np.float32)

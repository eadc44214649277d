"""The eyes' contours, looked at closely: the mesh hardly sees lids close.

The network is MediaPipe Iris (Ablavatski et al. 2020, "Real-time pupil tracking from monocular video for
digital puppetry"): a picture of one eye to its contour, in the order of `CONTOURS`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face.networks import as_planes, read_network, run_network
from mcnet_cli.face.sampling import Picture, resample

# The mesh's points around each eye in the network's order: from the outer corner below the eye to the inner
# one, then from the outer corner above it. The picture's left eye first; the other one is shown mirrored.
CONTOURS = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
)
OUTER, INNER = 0, 8
INPUT_PX = 64
ENLARGEMENT = 2.3  # of the eye's width: what the network wants to see (MediaPipe Iris)
LEAST_PX = 2.0  # an eye's width
# Shares of the distance between the outer corners: the width of an eye that is seen from too far aside, and
# of one that is seen well.
HIDDEN, SEEN = 0.10, 0.18
# Shares of an eye's width: how far the contour may be from the mesh's to count whole, and to count at all.
NEAR, FAR = 0.2, 0.4

Array = NDArray[Any]


class EyeContours:
    """Puts the lids of a mesh where a closer look sees them."""

    def __init__(self) -> None:
        self._network = read_network("face/iris_landmark.tflite")

    def __call__(self, rgb: Picture, points: Array) -> Array:
        """(468, 2) points in pixels of an (H, W, 3) picture, likewise.

        An eye that is hardly seen keeps the mesh's points, and so does one whose contour is nowhere near.
        """
        refined = points.copy()
        between = points[CONTOURS[1][OUTER]] - points[CONTOURS[0][OUTER]]
        for contour, mirrored in zip(CONTOURS, (False, True), strict=True):
            mesh = points[list(contour)]
            width = float(np.linalg.norm(mesh[INNER] - mesh[OUTER]))
            share = width / max(float(np.linalg.norm(between)), 1e-6)
            if share <= HIDDEN or width < LEAST_PX:
                continue
            found = self._look(rgb, mesh, between, width, mirrored=mirrored)
            away = float(np.linalg.norm(found - mesh, axis=1).mean()) / width
            trust = _ramp(share, HIDDEN, SEEN) * _ramp(away, FAR, NEAR)
            refined[list(contour)] += trust * (found - mesh)
        return refined

    def _look(self, rgb: Picture, mesh: Array, between: Array, width: float, *, mirrored: bool) -> Array:
        """(16, 2) contour in picture pixels, in the order of the (16, 2) `mesh`."""
        angle = np.arctan2(between[1], between[0])
        scale = INPUT_PX / (ENLARGEMENT * width)
        turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        if mirrored:
            turn[0] *= -1
        offset = INPUT_PX / 2 - turn @ ((mesh[OUTER] + mesh[INNER]) / 2)
        eye = resample(rgb, np.column_stack([turn, offset]), (INPUT_PX, INPUT_PX))
        contour = max(run_network(self._network, as_planes(eye.astype(np.float32) / 255)), key=np.size)
        found = contour.reshape(-1, 3)[: len(mesh), :2]
        return np.asarray((found - offset) @ np.linalg.inv(turn).T)


def _ramp(value: float, none: float, whole: float) -> float:
    """0 at `none`, 1 at `whole`, in between linear."""
    return float(np.clip((value - none) / (whole - none), 0, 1))

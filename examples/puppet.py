"""A portrait that moves: its face mesh in 3D, turned and deformed, drawn triangle by triangle."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face import FaceMesh, Landmarks

Array = NDArray[np.float64]

# Indices of the 468-point face mesh. An opening's upper edge runs from one corner to the other, its lower
# edge back between them; what lies inside (teeth, eyeballs) moves with the skull and not with lips or lids.
MOUTH_UPPER = (78, 80, 81, 82, 13, 312, 311, 310, 308)
MOUTH_LOWER = (78, 88, 178, 87, 14, 317, 402, 318, 308)
EYES_UPPER = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (362, 398, 384, 385, 386, 387, 388, 466, 263))
EYES_LOWER = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (362, 382, 381, 380, 374, 373, 390, 249, 263))
# A second row just outside the lips' inner edges folds over them in a smile; the corners are too crowded.
UNUSED = (62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292, 96, 89, 179, 86, 15, 316, 403, 319, 325,
          191, 95, 415, 324)  # fmt: skip
LID_CREASES = ((247, 30, 29, 27, 28, 56, 190), (414, 286, 258, 257, 259, 260, 467))
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
        148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
CHIN, FOREHEAD = 152, 10

# Rings around the face: their size relative to its outline, how much they follow the head above the chin
# (hair) and below it (neck), and how far behind the outline they lie, in widths of the face.
RINGS = ((1.18, 1.0, 0.85, 0.10), (1.4, 0.97, 0.5, 0.22), (1.7, 0.7, 0.16, 0.3), (2.15, 0.22, 0.0, 0.3))
PIVOT_DEPTH = 0.55  # widths of the face behind its outline: where the neck carries the head
LID_FALL = 1.45  # relative to the height of the open eye
DARK = (38, 14, 14)


@dataclass(frozen=True)
class Pose:
    """What the face does. Angles in degrees; mouth, blink in [0, 1]; rounding: lips drawn together."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    mouth: float = 0.0
    rounding: float = 0.0
    blink: float = 0.0


class Puppet:
    """A picture with one face, ready to be posed. picture: (H, W, 3) uint8 RGB."""

    def __init__(self, picture: NDArray[np.uint8], face: Landmarks, mesh: FaceMesh) -> None:
        self.picture = picture
        self.face = mesh.solid(picture, face.region).astype(np.float64)
        self.width = float(np.ptp(self.face[:, 0]))
        self.height = float(self.face[CHIN, 1] - self.face[FOREHEAD, 1])
        outline = self.face[list(OVAL)]
        self.pivot = np.array(
            [self.face[:, 0].mean(), self.face[CHIN, 1], outline[:, 2].mean() + PIVOT_DEPTH * self.width]
        )
        around, follow = self._surroundings(outline)
        self.points = np.concatenate([self.face, around])
        self.follow = np.concatenate([np.ones(len(self.face)), follow])
        self.points[:, 2] = _smoothed(self.points, 0.06 * self.width)
        kept = [n for n in range(len(self.points)) if n not in UNUSED]
        triangles = _triangulate(self.points[:, :2], kept, picture.shape[1], picture.shape[0])
        edges = [(MOUTH_UPPER, MOUTH_LOWER), *zip(EYES_UPPER, EYES_LOWER, strict=True)]
        openings = [self.face[[*upper, *lower[-2:0:-1]], :2].astype(np.float32) for upper, lower in edges]
        middles = self.points[triangles][:, :, :2].mean(1).tolist()
        inside = np.array(
            [any(cv2.pointPolygonTest(o, middle, False) > 0 for o in openings) for middle in middles]
        )
        self.inside, self.skin = triangles[inside], triangles[~inside]
        self.jaw = self._jaw_share()

    def _surroundings(self, outline: Array) -> tuple[Array, Array]:
        """Points of hair, neck and background, (N, 3), and how much each follows the head, (N,)."""
        height, width = self.picture.shape[:2]
        centre = outline.mean(0)
        points, follow = [], []
        for scale, hair, neck, depth in RINGS:
            ring = centre + (outline - centre) * (scale, scale, 1)
            ring[:, 2] = outline[:, 2] + depth * self.width
            # From the mouth's height downwards it is no longer hair but neck.
            below = np.clip((outline[:, 1] - centre[1]) / (self.face[CHIN, 1] - centre[1]), 0, 1) ** 1.5
            points.append(ring)
            follow.append(hair + (neck - hair) * below)
        steps = np.linspace(0, 1, 9)
        edge = np.array([(x, y) for x in steps for y in steps if x in (0, 1) or y in (0, 1)])
        points.append(np.column_stack([edge * (width - 1, height - 1), np.full(len(edge), self.pivot[2])]))
        follow.append(np.zeros(len(edge)))
        found, share = np.concatenate(points), np.concatenate(follow)
        on_edge = np.arange(len(found)) >= len(found) - len(edge)
        within = ((found[:, :2] > 4) & (found[:, :2] < (width - 5, height - 5))).all(1)
        return found[within | on_edge], share[within | on_edge]

    def _jaw_share(self) -> Array:
        """(N,) how much each point goes along when the jaw opens."""
        corner_left, corner_right = self.face[MOUTH_UPPER[0]], self.face[MOUTH_UPPER[-1]]
        middle, half = (corner_left + corner_right)[0] / 2, (corner_right - corner_left)[0] / 2
        # The line between the lips, below which things move, bends with them.
        edge = self.face[list(MOUTH_LOWER)]
        lips = np.interp(self.points[:, 0], edge[:, 0], edge[:, 1])
        chin = self.face[CHIN, 1]
        depth = (self.points[:, 1] - lips) / (chin - lips)
        # At the lips only what is between the corners moves; at the chin nearly the whole width does.
        reach = half * 1.02 + (0.48 * self.width - half) * np.clip(depth, 0, 1)
        across = np.clip(np.abs(self.points[:, 0] - middle) / reach, 0, 1)
        share = np.cos(np.pi / 2 * across) ** 1.3
        share[depth < -0.01] = 0
        share[list(MOUTH_UPPER)] = 0
        return share * np.clip(1 - (depth - 1) / 0.8, 0, 1)  # fades out along the neck

    def draw(self, pose: Pose) -> NDArray[np.uint8]:
        """The picture in that pose."""
        skull = self._turned(self.points, pose)
        skin = self._turned(self._deformed(pose), pose)
        height, width = self.picture.shape[:2]
        # Which triangle each pixel shows: skin covers teeth and eyes, what is near covers what is far.
        owner = np.full((height, width), -1, np.int32)
        for number, triangle in enumerate(self.inside, len(self.skin)):
            _fill(owner, skull[triangle], number)
        for number in np.argsort(-skin[self.skin][:, :, 2].mean(1), kind="stable").tolist():
            _fill(owner, skin[self.skin[number]], number)
        back = np.concatenate(
            [
                _affines(skin[self.skin][:, :, :2], self.points[self.skin][:, :, :2]),
                _affines(skull[self.inside][:, :, :2], self.points[self.inside][:, :, :2]),
            ]
        )[owner]
        y, x = np.mgrid[0:height, 0:width]
        origin = back[..., 0] * x[..., None] + back[..., 1] * y[..., None] + back[..., 2]
        drawn = cv2.remap(
            self.picture, origin.astype(np.float32), None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        return self._darkened(drawn, owner, skin)

    def _deformed(self, pose: Pose) -> Array:
        """(N, 3) points with mouth and lids moved, before the head turns."""
        points = self.points.copy()
        gap = self.face[14, 1] - self.face[13, 1]
        # At rest the lips nearly meet, whatever the portrait does.
        drop = -0.85 * gap + pose.mouth * (0.85 * gap + 0.09 * self.height)
        points[:, 1] += drop * self.jaw
        centre = (self.face[MOUTH_UPPER[0]] + self.face[MOUTH_UPPER[-1]])[:2] / 2
        half = (self.face[MOUTH_UPPER[-1], 0] - self.face[MOUTH_UPPER[0], 0]) / 2
        away = (points[: len(self.face), :2] - centre) / (half * 1.7, half * 1.3)
        near = np.exp(-((away**2).sum(1)))
        points[: len(self.face), 0] -= pose.rounding * 0.36 * near * (points[: len(self.face), 0] - centre[0])
        points[: len(self.face), 2] -= pose.rounding * 0.05 * self.width * near
        for upper, lower, crease in zip(EYES_UPPER, EYES_LOWER, LID_CREASES, strict=True):
            # The mesh draws eyes narrower than they are, so the upper lid comes down over the lower one.
            closing = pose.blink * (points[list(lower)] - points[list(upper)])
            points[list(crease), 1] += LID_FALL * 0.8 * closing[1:-1, 1]
            points[list(upper)] += LID_FALL * closing
            points[[*upper[1:-1], *crease], 2] -= 0.08 * self.width * pose.blink
        return points

    def _turned(self, points: Array, pose: Pose) -> Array:
        """(N, 3) points after the head's turn about the neck, as far as each follows it."""
        pitch, yaw, roll = np.radians([pose.pitch, pose.yaw, pose.roll])
        about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        about_y = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
        about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        turned = (points - self.pivot) @ (about_z @ about_y @ about_x).T + self.pivot
        return points + self.follow[:, None] * (turned - points)

    def _darkened(self, drawn: NDArray[np.uint8], owner: NDArray[np.int32], skin: Array) -> NDArray[np.uint8]:
        """Paints the mouth's inside dark where there are neither lips nor teeth, softly on teeth."""
        edge = skin[[*MOUTH_UPPER, *MOUTH_LOWER[-2:0:-1]], :2]
        mouth = np.zeros(owner.shape, np.uint8)
        cv2.fillPoly(mouth, [np.rint(edge).astype(np.int32)], 1)
        hollow = ((owner < 0) & (mouth > 0)).astype(np.float32)
        shadow = cv2.GaussianBlur(hollow, (0, 0), self.width / 90)
        inner = (owner < 0) | (owner >= len(self.skin))
        share = np.where(inner & (mouth > 0), np.maximum(hollow, np.minimum(1.2 * shadow, 1)), 0.4 * shadow)
        painted = drawn + share[..., None] * (np.array(DARK) - drawn.astype(np.float64))
        return np.rint(painted).clip(0, 255).astype(np.uint8)


def _smoothed(points: Array, sigma: float) -> Array:
    """Depths of (N, 3) points averaged over their neighbours, so that no two at one place move apart."""
    distance = ((points[:, None, :2] - points[None, :, :2]) ** 2).sum(-1)
    weights = np.exp(-distance / (2 * sigma**2))
    return np.asarray(weights @ points[:, 2] / weights.sum(1))


def _triangulate(points: Array, kept: list[int], width: int, height: int) -> NDArray[np.intp]:
    """(T, 3) indices of a Delaunay triangulation of the `kept` ones of (N, 2) points."""
    plane = cv2.Subdiv2D((-1, -1, width + 2, height + 2))
    exact = points.astype(np.float32)
    for number in kept:
        plane.insert((float(exact[number, 0]), float(exact[number, 1])))
    numbers = {tuple(exact[number].tolist()): number for number in kept}
    corners = plane.getTriangleList().reshape(-1, 3, 2).tolist()
    triangles = [[numbers.get(tuple(corner), -1) for corner in triangle] for triangle in corners]
    return np.array([t for t in triangles if -1 not in t], np.intp)


def _fill(owner: NDArray[np.int32], corners: Array, number: int) -> None:
    """Marks a triangle's pixels as belonging to it."""
    fixed = np.rint(corners[:, :2] * 16).astype(np.int32)
    cv2.fillConvexPoly(owner, fixed, number, cv2.LINE_8, 4)


def _affines(before: Array, after: Array) -> Array:
    """(T, 2, 3) maps that take each triangle of (T, 3, 2) corners `before` to the one of `after`."""
    ones = np.ones((*before.shape[:2], 1))
    square = np.concatenate([before, ones], 2)
    flat = np.abs(np.linalg.det(square)) < 1e-6
    square[flat] = np.eye(3)
    return np.linalg.solve(square, after).transpose(0, 2, 1)

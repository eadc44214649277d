"""Draws a synthetic head: turn and deform its surface, find what each pixel shows, colour and light it."""

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture
from mcnet_cli.face.expression import Expression, expressed
from mcnet_cli.face.topology import MESH_POINTS, OVAL
from mcnet_cli.synthetic.details import View, backdrop, draw_glasses, eye, mouth
from mcnet_cli.synthetic.identity import Identity
from mcnet_cli.synthetic.mesh import OPENINGS, Indices, Points, Pose, posed, projected, triangles
from mcnet_cli.synthetic.surface import surface
from mcnet_cli.synthetic.textures import FIXED_POINT_BITS, HEIGHT_PX, atlas, fixed

NOTHING = -1  # in the place of a triangle's number
DETAIL = 2  # drawn so many times larger, for smooth edges
SHININESS = 14
INNER_SIDE = 0.25  # the light on the inner side of hair, relative to the outer one
WRAP = 0.3  # how far light reaches around a rounded surface


class Head:
    """A person ready to be drawn."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.surface = surface(identity)
        self.atlas = atlas(identity)
        _, holes = triangles()
        edges = [{n for row in rows for n in row} for rows in OPENINGS]
        middles = self.face[holes].mean(1)
        places = np.array([self.face[sorted(edge)].mean(0) for edge in edges])
        # Which opening each of the triangles that fill them belongs to.
        self.opening = np.linalg.norm(middles[:, None] - places, axis=2).argmin(1)
        self.holes = holes

    @property
    def face(self) -> Points:
        """(468, 3) the face mesh at rest."""
        return self.surface.points[:MESH_POINTS]

    def landmarks(self, pose: Pose, expression: Expression, size: int) -> Points:
        """(468, 2) pixels of the mesh's points."""
        return projected(posed(expressed(self.face, expression), pose), pose, size)

    def draw(self, pose: Pose, expression: Expression, size: int) -> tuple[Picture, NDArray[np.float32]]:
        """The picture (S, S, 3) and the landmarks (468, 2) in its pixels."""
        large = size * DETAIL
        solid = self._moved(pose, expression)
        flat = projected(solid, pose, large)
        diffuse, gleam = self._lit(solid)
        owner, drawn = self._rasterised(solid, flat, diffuse, gleam, large)
        scene = self.identity.scene
        key, ambient = np.array(scene.key), np.array(scene.ambient)
        colour = cv2.remap(self.atlas, drawn[..., :2], None, cv2.INTER_LINEAR).astype(np.float32)
        # Rows: red, green, blue; columns: what each takes of the four drawn values, and of 1.
        none = np.zeros(3)
        colour *= cv2.transform(drawn, np.stack([none, none, key, none, ambient], 1))
        colour += cv2.transform(drawn, np.stack([none, none, none, 255 * key, none], 1))
        light = ambient + float(diffuse[:MESH_POINTS].mean()) * key
        view = View(pose, expression, large, light)
        self._fill_openings(colour, owner - len(self.surface.faces), flat, view)
        if self.identity.glasses:
            draw_glasses(colour, self.identity, self.face, view)
        return self._composed(colour, owner != NOTHING, size), (flat[:MESH_POINTS] / DETAIL).astype(
            np.float32
        )

    def _moved(self, pose: Pose, expression: Expression) -> Points:
        """(N, 3) all points of the surface where the pose and the expression take them."""
        body = self.surface
        face = expressed(self.face, expression)
        change = (face - self.face)[list(OVAL)]
        rest = body.points + body.share[:, None] * change[body.outline]
        rest[:MESH_POINTS] = face
        return rest + body.follow[:, None] * (posed(rest, pose) - rest)

    def _rasterised(
        self, solid: Points, flat: Points, diffuse: Points, gleam: Points, size: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """(S, S) which triangle each pixel shows, openings after all others, and (S, S, 4) values there.

        The values: x and y on the atlas in pixels, the key light that falls there, and how it gleams.
        """
        body, count = self.surface, len(self.surface.faces)
        faces = np.concatenate([body.faces, self.holes])
        corners = flat[faces]
        a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        front = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] > 0
        shown = np.flatnonzero(front | np.concatenate([body.two_sided, np.ones(len(self.holes), bool)]))
        depth = solid[faces, 2].mean(1)
        depth[:count] -= body.nearer
        order = shown[np.argsort(-depth[shown], kind="stable")]
        names = np.concatenate([np.arange(count), count + self.opening])
        owner = owners(corners, order, names, size)
        values = np.empty((count, 3, 4), np.float32)
        values[..., :2] = body.texture * (2 * HEIGHT_PX, HEIGHT_PX) - 0.5
        values[..., 2] = diffuse[body.faces] * np.where(front[:count], 1, INNER_SIDE)[:, None]
        values[..., 3] = gleam[body.faces] * (body.gloss * front[:count])[:, None]
        return owner, interpolated(owner, corners[:count], values)

    def _lit(self, solid: Points) -> tuple[Points, Points]:
        """(N,) the key light that falls on each point, and how it gleams there."""
        normals = _normals(solid, self.surface.faces)
        key = np.array(self.identity.scene.key_direction)
        key = key / np.linalg.norm(key)
        diffuse = np.clip((normals @ key + WRAP) / (1 + WRAP), 0, None) - 0.1 * normals[:, 1]
        halfway = key + np.array([0, 0, -1])
        gleam = np.clip(normals @ (halfway / np.linalg.norm(halfway)), 0, None) ** SHININESS
        return diffuse, gleam

    def _fill_openings(
        self, colour: NDArray[np.float32], opening: NDArray[np.int32], flat: Points, view: View
    ) -> None:
        """Draws mouth and eyes where `opening` (S, S) has their numbers."""
        for number, (upper, lower) in enumerate(OPENINGS):
            around = flat[[*upper, *lower]]
            low = np.clip(np.floor(around.min(0)).astype(int) - 1, 0, view.size)
            high = np.clip(np.ceil(around.max(0)).astype(int) + 2, 0, view.size)
            if (high <= low).any():
                continue
            box = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
            mask = opening[box] == number
            if not mask.any():
                continue
            if number == 0:
                inside = mouth(self.face, flat, box, view)
            else:
                inside = eye(self.identity, self.face, number - 1, flat, box, view)
            colour[box][mask] = inside[mask] * 255

    def _composed(self, colour: NDArray[np.float32], mask: NDArray[np.bool_], size: int) -> Picture:
        """The head on its background, at the picture's size."""
        cover = mask.astype(np.float32)
        np.clip(colour, 0, 255, out=colour)
        colour *= cover[..., None]
        small = cv2.resize(colour, (size, size), interpolation=cv2.INTER_AREA)
        share = cv2.resize(cover, (size, size), interpolation=cv2.INTER_AREA)[..., None]
        behind = backdrop(self.identity, size)
        return np.asarray(np.rint(small + (1 - share) * behind), np.uint8)


@functools.lru_cache(maxsize=8)
def head_of(identity: Identity) -> Head:
    """The head of a person, kept for the next picture."""
    return Head(identity)


def render(
    identity: Identity, pose: Pose, expression: Expression, size: int
) -> tuple[Picture, NDArray[np.float32]]:
    """One picture (size, size, 3), RGB, and its landmarks (468, 2) in pixels, in the face mesh's order."""
    return head_of(identity).draw(pose, expression, size)


def owners(corners: Points, order: Indices, names: Indices, size: int) -> NDArray[np.int32]:
    """(S, S) the name of the triangle that each pixel shows, NOTHING where there is none.

    corners: (T, 3, 2) pixels. order: from the farthest triangle to the nearest. names: (T,).
    """
    picture = np.full((size, size), NOTHING, np.int32)
    for triangle, name in zip(fixed(corners[order] - 0.5), names[order].tolist(), strict=True):
        cv2.fillConvexPoly(picture, triangle, name, cv2.LINE_8, FIXED_POINT_BITS)
    return picture


def interpolated(
    owner: NDArray[np.int32], corners: Points, values: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(S, S, A) values at the pixels that show triangles 0 to T - 1; undefined elsewhere.

    corners: (T, 3, 2) pixels; values: (T, 3, A) at those corners.
    """
    size = owner.shape[0]
    origin, (a, b) = corners[:, 0], (corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    area = np.where(np.abs(area) < 1e-3, np.inf, area)[:, None]
    rise_a, rise_b = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    along_x = (rise_a * b[:, 1:] - rise_b * a[:, 1:]) / area
    along_y = (rise_b * a[:, :1] - rise_a * b[:, :1]) / area
    start = values[:, 0] - along_x * origin[:, :1] - along_y * origin[:, 1:]
    kept = np.clip(owner, 0, len(corners) - 1)
    centres = np.arange(size, dtype=np.float32) + 0.5
    result = np.take(along_x.astype(np.float32), kept, axis=0)
    result *= centres[None, :, None]
    slope = np.take(along_y.astype(np.float32), kept, axis=0)
    slope *= centres[:, None, None]
    result += slope
    result += np.take(start.astype(np.float32), kept, axis=0)
    return result


def _normals(points: Points, faces: Indices) -> Points:
    """(N, 3) unit normals of (N, 3) points, out of the surface."""
    a, b, c = (points[faces[:, n]] for n in range(3))
    across = -np.cross(b - a, c - a)
    flat = faces.ravel()
    total = np.stack([np.bincount(flat, np.repeat(across[:, axis], 3), len(points)) for axis in range(3)], 1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    unit: Points = total / np.maximum(length, 1e-12)
    return unit

"""What people wear on their faces, painted over a picture of one at its (468, 2) landmarks."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture
from mcnet_cli.face.topology import CHIN, FOREHEAD, LID_OPENINGS, OUTER_EYE_CORNERS, OVAL

Costume = Callable[[Picture, NDArray[np.float32]], Picture]
CLOTH, DARK, HAIR, WHITE = (120, 150, 190), (24, 22, 28), (58, 40, 30), (236, 234, 230)
NOSE, UPPER_LIP, MOUTH = 195, 164, (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91)
BESIDE_NOSE = (50, 280)  # on the cheeks


def medical_mask(picture: Picture, points: NDArray[np.float32]) -> Picture:
    """From the middle of the nose to the chin."""
    return _filled(picture, [_below(points, NOSE)], CLOTH)


def sunglasses(picture: Picture, points: NDArray[np.float32]) -> Picture:
    """Black lenses over the eyes and most of the brows."""
    return _filled(picture, _lenses(points), DARK)


def sunglasses_and_mask(picture: Picture, points: NDArray[np.float32]) -> Picture:
    """Of the face only the forehead and the root of the nose are left."""
    return sunglasses(medical_mask(picture, points), points)


def niqab(picture: Picture, points: NDArray[np.float32]) -> Picture:
    """Black cloth over the head, with a slit for the eyes."""
    seen, height = picture.copy(), _height(points)
    middle = points.mean(0)
    cloth = _filled(picture, [_ellipse(middle, (0.72 * height, 0.95 * height))], DARK)
    slit = _mask(picture, [_ellipse(_eyes(points).mean(0), (0.5 * height, 0.2 * height))])
    cloth[slit] = seen[slit]
    return cloth


def thin_veil(picture: Picture, points: NDArray[np.float32]) -> Picture:
    """A net before the whole face, through which it is seen."""
    veiled = (0.6 * picture + 0.4 * np.array(WHITE)).astype(np.uint8)
    step = max(4, round(0.06 * _height(points)))
    veiled[::step] = veiled[::step] // 4 * 3
    veiled[:, ::step] = veiled[:, ::step] // 4 * 3
    return _where(_mask(picture, [_oval(points, 1.3)]), veiled, picture)


def full_beard(picture: Picture, points: NDArray[np.float32]) -> Picture:
    """From the ears to below the chin, with a moustache."""
    down = 0.2 * (points[CHIN] - points[FOREHEAD])
    upper = _below(points, UPPER_LIP)
    jaw = cv2.convexHull(np.concatenate([upper, upper + down]).astype(np.float32))[:, 0]
    area = _mask(picture, [jaw]) & ~_mask(picture, [points[list(MOUTH)]])
    grain = np.random.default_rng(0).normal(0, 14, picture.shape[:2])[..., None]
    return _where(area, np.clip(HAIR + grain, 0, 255), picture)


def face_paint(picture: Picture, points: NDArray[np.float32]) -> Picture:
    """A clown: white skin, red cheeks and nose, blue around the eyes."""
    height = _height(points)
    white = (0.25 * picture + 0.75 * np.array(WHITE)).astype(np.uint8)
    painted = _where(_mask(picture, [_oval(points, 1.0)]), white, picture)
    spots = [_ellipse(points[number], (0.1 * height, 0.1 * height)) for number in (NOSE, *BESIDE_NOSE)]
    painted = _filled(painted, spots, (200, 30, 40))
    rings = [_ellipse(eye, (0.17 * height, 0.14 * height)) for eye in _eyes(points)]
    eyes = [points[list({*lids})] for lids in LID_OPENINGS]
    kept = _mask(picture, [cv2.convexHull(eye)[:, 0] for eye in eyes if len(eye) > 2])
    return _where(kept, picture, _filled(painted, rings, (40, 60, 190)))


def tiger(picture: Picture, points: NDArray[np.float32]) -> Picture:
    """Orange skin with black stripes from the sides."""
    orange = (0.4 * picture + 0.6 * np.array((230, 130, 40))).astype(np.uint8)
    painted = _where(_mask(picture, [_oval(points, 1.0)]), orange, picture)
    top, middle = points[FOREHEAD], points[NOSE]
    stripes = []
    for share in (0.15, 0.35, 0.55, 0.75, 0.95):
        level = top + share * (points[CHIN] - top)
        for side in (234, 454):
            edge = level + (points[side] - middle) * (1, 0)
            stripes.append(np.array([*_ends(edge, 5), level + 0.4 * (edge - level)]))
    return _filled(painted, stripes, DARK)


def hat_and_scarf(picture: Picture, points: NDArray[np.float32]) -> Picture:
    """A cap down to the brows, and a scarf up to the lower lip."""
    height, middle = _height(points), points.mean(0)
    cap = np.array([(-0.7, -1.1), (0.7, -1.1), (0.62, -0.3), (-0.62, -0.3)]) * height + middle
    scarf = np.array([(-0.8, 0.36), (0.8, 0.36), (0.9, 1.1), (-0.9, 1.1)]) * height + middle
    return _filled(picture, [cap, scarf], (150, 40, 40))


def _height(points: NDArray[np.float32]) -> float:
    return float(np.ptp(points[:, 1]))


def _eyes(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, 2) the middles of both eyes."""
    inner = points[[133, 362]]
    return np.asarray((points[list(OUTER_EYE_CORNERS)] + inner) / 2, np.float32)


def _oval(points: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    oval = points[list(OVAL)]
    return np.asarray(oval.mean(0) + scale * (oval - oval.mean(0)), np.float32)


def _below(points: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    """The hull of the oval's points below a landmark, and that landmark."""
    oval = points[list(OVAL)]
    lower = np.concatenate([oval[oval[:, 1] > points[number, 1]], points[[number]]])
    return np.asarray(cv2.convexHull(lower)[:, 0], np.float32)


def _lenses(points: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    height = _height(points)
    left, right = _eyes(points)
    bridge = np.array([*_ends(left, 4), *_ends(right, -4)], np.float32)
    return [*(_ellipse(eye, (0.19 * height, 0.16 * height)) for eye in (left, right)), bridge]


def _ends(middle: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """(2, 2) of an upright line through a point, the upper one first."""
    return np.asarray(middle + np.array([(0, -reach), (0, reach)]), np.float32)


def _ellipse(middle: NDArray[np.float32], radii: tuple[float, float]) -> NDArray[np.float32]:
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.asarray(middle + np.stack([np.cos(angles), np.sin(angles)], -1) * radii, np.float32)


def _mask(picture: Picture, shapes: Sequence[NDArray[np.float32]]) -> NDArray[np.bool_]:
    mask = np.zeros(picture.shape[:2], np.uint8)
    for shape in shapes:
        cv2.fillPoly(mask, [np.rint(shape).astype(np.int32)], 255)
    return mask > 0


def _where(mask: NDArray[np.bool_], inside: NDArray[np.generic], outside: Picture) -> Picture:
    return np.where(mask[..., None], inside, outside).astype(np.uint8)


def _filled(picture: Picture, shapes: Sequence[NDArray[np.float32]], colour: tuple[int, int, int]) -> Picture:
    return _where(_mask(picture, shapes), np.array(colour), picture)

"""The face's texture: skin, lips, brows, lashes, beard."""

import cv2
import numpy as np

from mcnet_cli.synthetic.brushes import FIXED_POINT_BITS, Canvas, area, bare_skin, blend, blob, fixed, stroke
from mcnet_cli.synthetic.identity import Identity
from mcnet_cli.synthetic.topology import (
    BROWS,
    CREASES,
    EYES,
    LIPS,
    MOUTH,
    MOUTH_CORNERS,
    NOSE,
    NOSE_BASE,
    NOSTRILS,
    OVAL,
    Points,
    outline,
    unrolled,
)

CHEEKS, WINGS, UNDER_EYES = (50, 280), (129, 358), ((230, 231), (450, 451))
FOLDS = ((129, 203, 206, 216), (358, 423, 426, 436))
BEARD = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361,
         323, 454, 352, 411, 427, 436, 410, 287, 273, 335, 18, 106, 43, 57, 186, 216, 207, 187,
         123)  # fmt: skip
MOUSTACHE = (57, 186, 92, 165, 97, 2, 326, 391, 322, 410, 287, 409, 270, 269, 267, 0, 37, 39, 40, 185)
FOREHEAD_LINES = ((104, 69, 108, 151, 337, 299, 333), (105, 66, 107, 9, 336, 296, 334))
BEARD_COVER = 0.9
# Factors on the skin's tone.
RUDDY, DIM = np.array([1.05, 0.82, 0.8]), np.array([0.72, 0.62, 0.6])
LASHES = np.array([0.08, 0.05, 0.05])
EYESHADOWS = ((0.35, 0.2, 0.22), (0.2, 0.25, 0.35))


def face_tile(identity: Identity, height: int, width: int, rng: np.random.Generator) -> Canvas:
    """The skin of the face, unrolled as in topology."""
    place = unrolled() * (width, height)
    canvas = bare_skin(identity.skin.tone, height, width, rng)
    _flush(canvas, identity, place)
    _eyes(canvas, identity, place, rng)
    _relief(canvas, identity, place)
    _freckles(canvas, identity, place, rng)
    _beard(canvas, identity, place, rng)
    _lips(canvas, identity, place)
    _brows(canvas, identity, place, rng)
    if identity.hair.style != "bald":
        _hairline(canvas, identity, place, rng)
    return canvas


def _flush(canvas: Canvas, identity: Identity, place: Points) -> None:
    ruddy = np.array(identity.skin.tone) * RUDDY
    for spot in CHEEKS:
        blend(canvas, ruddy, blob(place[spot], (48, 36), canvas) * (0.35 + 0.4 * identity.skin.makeup))
    blend(canvas, ruddy, blob(place[NOSE], (26, 22), canvas) * 0.4)


def _eyes(canvas: Canvas, identity: Identity, place: Points, rng: np.random.Generator) -> None:
    """Sockets, lids and lashes."""
    skin, dim = identity.skin, np.array(identity.skin.tone) * DIM
    eyeshadow = np.array(EYESHADOWS[int(rng.integers(len(EYESHADOWS)))])
    for (upper, lower), crease, under in zip(EYES, CREASES, UNDER_EYES, strict=True):
        middle = place[[*upper, *lower]].mean(0)
        blend(canvas, dim, blob(middle, (44, 26), canvas) * 0.35)
        blend(canvas, dim, stroke(place[list(crease)], 3, 1.6, canvas) * 0.55)
        blend(canvas, dim, stroke(place[list(under)], 10, 7, canvas) * (0.15 + 0.35 * skin.age))
        blend(canvas, eyeshadow, stroke(place[list(crease)], 12, 5, canvas) * 0.35 * skin.makeup)
        blend(canvas, LASHES, stroke(place[list(upper)], 4 + 3 * skin.makeup, 1, canvas) * 0.85)
        blend(canvas, LASHES, stroke(place[list(lower)], 2, 1, canvas) * (0.25 + 0.35 * skin.makeup))


def _relief(canvas: Canvas, identity: Identity, place: Points) -> None:
    """Shade in folds, nostrils and under the lip, finer than the mesh shows it."""
    tone, age = np.array(identity.skin.tone), identity.skin.age
    dim = tone * DIM
    for fold in FOLDS:
        blend(canvas, dim, stroke(place[list(fold)], 4, 3.5, canvas) * (0.2 + 0.5 * age))
    for line in FOREHEAD_LINES:
        blend(canvas, dim, stroke(place[list(line)], 2, 1.5, canvas) * max(0.0, age - 0.35) * 0.7)
    for wing in WINGS:
        blend(canvas, dim, stroke(place[wing] + np.array([[0, -8], [0, 8]]), 5, 3, canvas) * 0.5)
    for nostril in NOSTRILS:
        spot = place[nostril] * 0.62 + place[NOSE_BASE] * 0.38 - np.array([0, 4])
        blend(canvas, tone * (0.22, 0.12, 0.12), blob(spot, (9, 4.5), canvas) * 0.95)
    blend(canvas, dim, blob(place[LIPS[1][5]] + np.array([0, 16]), (34, 8), canvas) * 0.45)


def _lips(canvas: Canvas, identity: Identity, place: Points) -> None:
    colour = np.array(identity.skin.lips)
    cover = area(place[outline(LIPS)], 1.6, canvas)
    blend(canvas, colour, cover * 0.92)
    fullest = place[[MOUTH[1][5], LIPS[1][5]]].mean(0)
    blend(canvas, colour * 1.12 + 0.02, blob(fullest, (26, 5), canvas) * cover * 0.5)
    for edge in MOUTH:
        blend(canvas, colour * 0.4, stroke(place[list(edge)], 3, 1.4, canvas) * 0.75)
    for corner in MOUTH_CORNERS:
        blend(canvas, np.array(identity.skin.tone) * DIM * 0.6, blob(place[corner], (6, 4), canvas) * 0.5)


def _hairline(canvas: Canvas, identity: Identity, place: Points, rng: np.random.Generator) -> None:
    """Where the hair begins: dense at the outline, sparse before it."""
    border = place[[*OVAL[-8:], *OVAL[:9]]]
    border = border + 0.04 * (border - place[NOSE])
    wide = 30 if identity.hair.style == "buzz" else 16
    grown = stroke(border, wide, wide / 3, canvas) * rng.normal(1, 0.12, canvas.shape[:2])
    blend(canvas, np.array(identity.hair.colour) * 0.9, np.clip(grown * 0.95, 0, 0.85))


def _brows(canvas: Canvas, identity: Identity, place: Points, rng: np.random.Generator) -> None:
    cover = np.zeros(canvas.shape[:2], np.float32)
    thickness = identity.skin.brow_thickness
    steps = np.linspace(0, 1, 46)
    for side, (upper, lower) in zip((1, -1), BROWS, strict=True):
        top, bottom = place[list(upper)], place[list(lower)]
        order = np.argsort(top[:, 0] * side)  # from the temple to the nose
        along = np.linspace(0, 1, len(order))
        for row in np.linspace(0, 1, 4):
            share = 0.5 + (row - 0.5) * thickness * 0.85
            line = top[order] * (1 - share) + bottom[order] * share
            x, y = (np.interp(steps, along, line[:, axis]) for axis in range(2))
            taper = np.clip(steps * 4, 0.2, 1)
            y = y + (1 - taper) * (0.5 - share) * 12
            lean = np.stack([-side * (3 + 3 * (1 - steps)), -2.5 * np.sin(np.pi * steps) - 0.5], 1)
            starts = np.stack([x, y], 1) + rng.normal(0, 0.9, (len(steps), 2))
            ends = starts + lean * rng.uniform(0.7, 1.5, (len(steps), 1))
            hairs = list(fixed(np.stack([starts, ends], 1)))
            cv2.polylines(cover, hairs, False, 0.9, 2, cv2.LINE_AA, FIXED_POINT_BITS)
    cover = cv2.GaussianBlur(cover, (0, 0), 1.3)
    blend(canvas, np.array(identity.hair.brows), np.clip(cover * 1.2, 0, 1) * (0.55 + 0.4 * thickness))


def _beard(canvas: Canvas, identity: Identity, place: Points, rng: np.random.Generator) -> None:
    skin = identity.skin
    grain = np.clip(rng.normal(0.9, 0.3, canvas.shape[:2]), 0, 1.3).astype(np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), 0.8)
    colour = np.array(identity.hair.brows)
    beard = place[list(BEARD)]
    jaw = np.isin(BEARD, OVAL)
    beard[jaw] += 0.12 * (beard[jaw] - place[NOSE])  # beyond the outline, where it goes on
    for strength, shape, blur in ((skin.beard, beard, 9.0), (skin.moustache, place[list(MOUSTACHE)], 3.5)):
        if strength:
            blend(canvas, colour, np.clip(area(shape, blur, canvas) * grain, 0, 1) * strength * BEARD_COVER)


def _freckles(canvas: Canvas, identity: Identity, place: Points, rng: np.random.Generator) -> None:
    dark = np.array(identity.skin.tone) * (0.75, 0.58, 0.5)
    cover = np.zeros(canvas.shape[:2], np.float32)
    middle = place[[*CHEEKS, NOSE]].mean(0) - np.array([0, 12])
    freckles = rng.normal(middle, (75, 22), (int(150 * identity.skin.freckles), 2))
    moles = place[rng.integers(len(place), size=int(rng.integers(0, 3)))]
    for spots, smallest, largest in ((freckles, 0.5, 1.4), (moles, 1.5, 2.75)):
        for spot in spots:
            radius = int(rng.uniform(smallest, largest) * (1 << FIXED_POINT_BITS))
            strength = float(rng.uniform(0.3, 0.8))
            cv2.circle(cover, fixed(spot).tolist(), radius, strength, -1, cv2.LINE_AA, FIXED_POINT_BITS)
    blend(canvas, dark, cv2.GaussianBlur(cover, (0, 0), 0.8))

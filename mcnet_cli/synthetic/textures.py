"""The atlas: textures of a person's face, hair and clothes, painted once with soft spots, lines and areas."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face.topology import (
    BROWS,
    INNER_LIPS,
    LID_CREASES,
    LID_EDGES,
    MOUTH_CORNERS,
    NOSE,
    NOSE_BASE,
    NOSTRILS,
    OUTER_LIPS,
    OVAL,
    outline,
)
from mcnet_cli.synthetic.identity import Colour, Identity
from mcnet_cli.synthetic.mesh import Points, unrolled
from mcnet_cli.synthetic.surface import TILES

Canvas = NDArray[np.float32]  # (H, W, 3) in [0, 1]
Cover = NDArray[np.float32]  # (H, W) in [0, 1]
FIXED_POINT_BITS = 4

HEIGHT_PX = 512  # of the atlas and of the face's tile
CURLY = 0.5  # from this curl on, locks instead of strands
# Points of the face mesh where something is painted.
CHEEKS, WINGS, UNDER_EYES = (50, 280), (129, 358), ((230, 231), (450, 451))
FOLDS = ((129, 203, 206, 216), (358, 423, 426, 436))
BEARD = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361,
         323, 454, 352, 411, 427, 436, 410, 287, 273, 335, 18, 106, 43, 57, 186, 216, 207, 187,
         123)  # fmt: skip
MOUSTACHE = (57, 186, 92, 165, 97, 2, 326, 391, 322, 410, 287, 409, 270, 269, 267, 0, 37, 39, 40, 185)
FOREHEAD_LINES = ((104, 69, 108, 151, 337, 299, 333), (105, 66, 107, 9, 336, 296, 334))
BEARD_COVER = 0.9
# Factors on the skin's tone; under the chin it lies in the shade.
UNDER_CHIN = np.array([0.55, 0.46, 0.44])
RUDDY, DIM = np.array([1.05, 0.82, 0.8]), np.array([0.72, 0.62, 0.6])
LASHES = np.array([0.08, 0.05, 0.05])
EYESHADOWS = ((0.35, 0.2, 0.22), (0.2, 0.25, 0.35))


def atlas(identity: Identity) -> NDArray[np.uint8]:
    """The texture of a person's head, (HEIGHT_PX, 2 * HEIGHT_PX, 3) RGB."""
    rng = np.random.default_rng([identity.seed, 2])
    whole = np.zeros((HEIGHT_PX, 2 * HEIGHT_PX, 3), np.float32)
    painters = {
        "face": face_tile, "scalp": _scalp, "hair": _hair, "cloth": _cloth, "neck": _neck, "ear": _ear
    }  # fmt: skip
    for tile, painter in painters.items():
        left, top, width, height = TILES[tile]
        x, y = round(left * whole.shape[1]), round(top * HEIGHT_PX)
        part = whole[y : y + round(height * HEIGHT_PX), x : x + round(width * whole.shape[1])]
        part[:] = painter(identity, part.shape[0], part.shape[1], rng)
    return np.rint(np.clip(whole, 0, 1) * 255).astype(np.uint8)


def face_tile(identity: Identity, height: int, width: int, rng: np.random.Generator) -> Canvas:
    """The skin of the face, laid out as `unrolled` has it."""
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
    for (upper, lower), crease, under in zip(LID_EDGES, LID_CREASES, UNDER_EYES, strict=True):
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
    blend(canvas, dim, blob(place[OUTER_LIPS[1][5]] + np.array([0, 16]), (34, 8), canvas) * 0.45)


def _lips(canvas: Canvas, identity: Identity, place: Points) -> None:
    colour = np.array(identity.skin.lips)
    cover = area(place[list(outline(OUTER_LIPS))], 1.6, canvas)
    blend(canvas, colour, cover * 0.92)
    fullest = place[[INNER_LIPS[1][5], OUTER_LIPS[1][5]]].mean(0)
    blend(canvas, colour * 1.12 + 0.02, blob(fullest, (26, 5), canvas) * cover * 0.5)
    for edge in INNER_LIPS:
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


def _scalp(identity: Identity, height: int, width: int, rng: np.random.Generator) -> Canvas:
    """Across: around the face's outline from the forehead, clockwise; down: to the back of the head."""
    canvas = bare_skin(identity.skin.tone, height, width, rng)
    across, down = axes(height, width)
    jaw = np.clip(1 - np.abs(across - 0.5) / 0.24, 0, 1)
    tone = np.array(identity.skin.tone)
    blend(canvas, tone * UNDER_CHIN, np.clip(jaw * 3, 0, 1) * np.clip(down * 3, 0, 1) * 0.75)
    skin = identity.skin
    if skin.beard:
        grown = np.clip(jaw * 6, 0, 1) * np.clip(1.1 - down / 0.25, 0, 1)
        blend(canvas, np.array(identity.hair.brows), grown * skin.beard * BEARD_COVER)
    if identity.hair.style != "bald":
        grown = np.clip((np.abs(across - 0.5) - 0.23) / 0.03, 0, 1) + np.clip((down - 0.45) / 0.1, 0, 1)
        grain = rng.normal(1, 0.08, (height, width, 1)).astype(np.float32)
        grown = np.clip(grown, 0, 1) * np.clip(0.72 + down, 0, 0.92)
        blend(canvas, np.array(identity.hair.colour) * grain, grown)
    return canvas


def _hair(identity: Identity, height: int, width: int, rng: np.random.Generator) -> Canvas:
    """Across: around the head; down: from the crown to the tips."""
    curl = identity.hair.curl
    strands = sum(
        weight * cv2.resize(rng.normal(size=(rows, columns)), (width, height), interpolation=cv2.INTER_CUBIC)
        for weight, rows, columns in ((0.16, 2, width), (0.12, 3, width // 3), (0.1, 4, width // 10))
    )
    if curl > CURLY:
        locks = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 1.3)
        strands = 0.5 * strands + 0.55 * curl * locks
    else:
        # Strands wave: each row is moved along.
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        sway = (2 + 12 * curl) * np.sin(y / height * (6 + 20 * curl) + x / width * 9)
        places = np.stack([x + sway, y], -1).astype(np.float32)
        strands = cv2.remap(strands.astype(np.float32), places, None, cv2.INTER_LINEAR, None, cv2.BORDER_WRAP)
    _, down = axes(height, width)
    light = 1 + strands + 0.1 * np.sin(down * np.pi) - 0.12 * np.clip((down - 0.8) / 0.2, 0, 1)
    painted = np.array(identity.hair.colour) * light[..., None] + 0.02 * strands[..., None]
    return np.asarray(painted, np.float32)


def _cloth(identity: Identity, height: int, width: int, rng: np.random.Generator) -> Canvas:
    scene = identity.scene
    across, down = axes(height, width)
    weave = 1 + 0.04 * rng.normal(size=(height, width))
    colour = np.broadcast_to(np.array(scene.clothes, np.float32), (height, width, 3)) * weave[..., None]
    other = np.clip(1.0 - np.array(scene.clothes), 0.1, 0.9)
    stripes = (np.sin(across * 2 * np.pi * 24) > 0.5).astype(np.float32)
    checks = np.clip(stripes + (np.sin(down * 2 * np.pi * 10) > 0.5), 0, 2) / 2
    cover = {"plain": 0 * stripes, "stripes": stripes, "checks": checks}[scene.pattern]
    canvas = np.asarray(colour, np.float32)
    blend(canvas, other, cover * 0.45)
    front = np.abs(across - 0.5)
    if scene.collar == "shirt":
        collar = (down < 0.2 + 0.25 * np.clip(1 - front / 0.16, 0, 1)).astype(np.float32)
        blend(canvas, np.minimum(np.array(scene.clothes) * 1.15 + 0.08, 1), collar)
        notch = (down < 0.42 - front * 5.5).astype(np.float32)
        blend(canvas, np.array(identity.skin.tone) * 0.9, notch)
    else:
        seam = np.exp(-((down - 0.15) ** 2) / 0.0008).astype(np.float32)
        blend(canvas, np.array(scene.clothes) * 0.6, seam * 0.6)
    return canvas


def _neck(identity: Identity, height: int, width: int, rng: np.random.Generator) -> Canvas:
    canvas = bare_skin(identity.skin.tone, height, width, rng)
    across, down = axes(height, width)
    tone = np.array(identity.skin.tone)
    under = np.clip((0.72 - down) / 0.35, 0, 1)
    blend(canvas, tone * UNDER_CHIN, under * 0.8)
    for side in (-1, 1):
        tendon = np.exp(-((across - 0.5 - side * (0.13 - 0.1 * down)) ** 2) / 0.0006)
        blend(canvas, tone * 0.75, np.asarray(tendon, np.float32) * 0.25)
    behind = np.clip((np.abs(across - 0.5) - 0.3) / 0.1, 0, 1) * (identity.hair.style != "bald")
    blend(canvas, np.array(identity.hair.colour) * 0.7, behind * np.clip(1 - down, 0, 1))
    return canvas


def _ear(identity: Identity, height: int, width: int, rng: np.random.Generator) -> Canvas:
    canvas = bare_skin(identity.skin.tone, height, width, rng)
    tone = np.array(identity.skin.tone) * (1.0, 0.88, 0.86)
    canvas[:] = canvas * (1.0, 0.92, 0.9)
    across, down = axes(height, width)
    hollow = np.exp(-((((across - 0.42) / 0.17) ** 2 + ((down - 0.5) / 0.2) ** 2) ** 2))
    ridge = np.exp(-((np.hypot((across - 0.45) / 0.3, (down - 0.44) / 0.32) - 1) ** 2) / 0.02)
    blend(canvas, tone * 0.5, np.asarray(hollow, np.float32) * 0.75)
    blend(canvas, tone * 0.68, np.asarray(ridge, np.float32) * 0.5)
    return canvas


def bare_skin(tone: Colour, height: int, width: int, rng: np.random.Generator) -> Canvas:
    """Skin of one tone, a little uneven."""
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = tone
    large = cv2.resize(rng.normal(size=(8, 8)), (width, height), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 1.2)
    canvas *= (1 + 0.015 * large + 0.03 * fine)[..., None].astype(np.float32)
    return canvas


def blend(canvas: Canvas, colour: Points, cover: Cover) -> None:
    """Paints a colour over the canvas as far as `cover` says."""
    canvas += np.asarray(cover, np.float32)[..., None] * (np.asarray(colour, np.float32) - canvas)


def blob(place: Points, radii: tuple[float, float], canvas: Canvas) -> Cover:
    """A soft spot; radii in pixels, across and down."""
    height, width = canvas.shape[:2]
    x = np.exp(-(((np.arange(width) - place[0]) / radii[0]) ** 2))
    y = np.exp(-(((np.arange(height) - place[1]) / radii[1]) ** 2))
    return np.outer(y, x).astype(np.float32)


def stroke(line: Points, thickness: float, blur: float, canvas: Canvas) -> Cover:
    """A soft line through (N, 2) pixels."""
    cover = np.zeros(canvas.shape[:2], np.float32)
    width = max(1, round(thickness))
    cv2.polylines(cover, [fixed(line)], False, 1.0, width, cv2.LINE_AA, FIXED_POINT_BITS)
    return np.asarray(cv2.GaussianBlur(cover, (0, 0), blur), np.float32)


def area(corners: Points, blur: float, canvas: Canvas) -> Cover:
    """A soft-edged polygon of (N, 2) pixels."""
    cover = np.zeros(canvas.shape[:2], np.float32)
    cv2.fillPoly(cover, [fixed(corners)], 1.0, cv2.LINE_AA, FIXED_POINT_BITS)
    return np.asarray(cv2.GaussianBlur(cover, (0, 0), blur), np.float32)


def axes(height: int, width: int) -> tuple[Cover, Cover]:
    """(H, W) shares of the way across and down."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return across.astype(np.float32), down.astype(np.float32)


def fixed(places: Points) -> NDArray[np.int32]:
    """(..., 2) pixels as OpenCV's fixed-point numbers with FIXED_POINT_BITS."""
    return np.rint(places * (1 << FIXED_POINT_BITS)).astype(np.int32)

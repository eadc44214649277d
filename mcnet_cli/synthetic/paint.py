"""The atlas: colours of skin, lips, brows, hair and clothes, painted once a person."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.synthetic.anatomy import TILES
from mcnet_cli.synthetic.identity import Colour, Identity
from mcnet_cli.synthetic.topology import (
    BROWS,
    CREASES,
    EYES,
    LIPS,
    MOUTH,
    MOUTH_CORNERS,
    NOSE,
    NOSTRILS,
    OVAL,
    Points,
    outline,
    unrolled,
)

HEIGHT_PX = 512  # of the atlas and of the face's tile
Canvas = NDArray[np.float32]  # (H, W, 3) in [0, 1]
Cover = NDArray[np.float32]  # (H, W) in [0, 1]
CHEEKS, WINGS, UNDER_EYES = (50, 280), (129, 358), ((230, 231), (450, 451))
FOLDS = ((129, 203, 206, 216), (358, 423, 426, 436))
BEARD = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454,
         352, 411, 427, 436, 410, 287, 273, 335, 18, 106, 43, 57, 186, 216, 207, 187, 123)  # fmt: skip
BEARD_COVER = 0.9
MOUSTACHE = (57, 186, 92, 165, 97, 2, 326, 391, 322, 410, 287, 409, 270, 269, 267, 0, 37, 39, 40, 185)
FOREHEAD_LINES = ((104, 69, 108, 151, 337, 299, 333), (105, 66, 107, 9, 336, 296, 334))


def atlas(identity: Identity) -> NDArray[np.uint8]:
    """(HEIGHT_PX, 2 * HEIGHT_PX, 3) RGB."""
    rng = np.random.default_rng([identity.seed, 2])
    whole = np.zeros((HEIGHT_PX, 2 * HEIGHT_PX, 3), np.float32)
    painters = {
        "face": _face, "scalp": _scalp, "hair": _hair, "cloth": _cloth, "neck": _neck, "ear": _ear
    }  # fmt: skip
    for tile, painter in painters.items():
        left, top, width, height = TILES[tile]
        x, y = round(left * whole.shape[1]), round(top * HEIGHT_PX)
        part = whole[y : y + round(height * HEIGHT_PX), x : x + round(width * whole.shape[1])]
        part[:] = painter(identity, part.shape[0], part.shape[1], rng)
    return np.rint(np.clip(whole, 0, 1) * 255).astype(np.uint8)


def _face(identity: Identity, height: int, width: int, rng: np.random.Generator) -> Canvas:
    skin, hair = identity.skin, identity.hair
    tone = np.array(skin.tone)
    place = unrolled() * (width, height)
    canvas = _skin(skin.tone, height, width, rng)
    ruddy, dim = tone * (1.05, 0.82, 0.8), tone * (0.72, 0.62, 0.6)
    for spot in CHEEKS:
        _blend(canvas, ruddy, _blob(place[spot], (48, 36), canvas) * (0.35 + 0.4 * skin.makeup))
    _blend(canvas, ruddy, _blob(place[NOSE], (26, 22), canvas) * 0.4)
    for (upper, lower), crease, under in zip(EYES, CREASES, UNDER_EYES, strict=True):
        middle = place[[*upper, *lower]].mean(0)
        _blend(canvas, dim, _blob(middle, (44, 26), canvas) * 0.35)
        _blend(canvas, dim, _stroke(place[list(crease)], 3, 1.6, canvas) * 0.55)
        _blend(canvas, dim, _stroke(place[list(under)], 10, 7, canvas) * (0.15 + 0.35 * skin.age))
        shadow = np.array([0.35, 0.2, 0.22]) if rng.random() < 0.6 else np.array([0.2, 0.25, 0.35])
        _blend(canvas, shadow, _stroke(place[list(crease)], 12, 5, canvas) * 0.35 * skin.makeup)
        lashes = np.array([0.08, 0.05, 0.05])
        _blend(canvas, lashes, _stroke(place[list(upper)], 4 + 3 * skin.makeup, 1, canvas) * 0.85)
        _blend(canvas, lashes, _stroke(place[list(lower)], 2, 1, canvas) * (0.25 + 0.35 * skin.makeup))
    for fold in FOLDS:
        _blend(canvas, dim, _stroke(place[list(fold)], 4, 3.5, canvas) * (0.2 + 0.5 * skin.age))
    for line in FOREHEAD_LINES:
        _blend(canvas, dim, _stroke(place[list(line)], 2, 1.5, canvas) * max(0.0, skin.age - 0.35) * 0.7)
    for wing in WINGS:
        _blend(canvas, dim, _stroke(place[[wing, wing]] + [[0, -8], [0, 8]], 5, 3, canvas) * 0.5)
    for nostril in NOSTRILS:
        spot = place[nostril] * 0.62 + place[2] * 0.38 - (0, 4)
        _blend(canvas, tone * (0.22, 0.12, 0.12), _blob(spot, (9, 4.5), canvas) * 0.95)
    _blend(canvas, dim, _blob(place[17] + (0, 16), (34, 8), canvas) * 0.45)
    _freckles(canvas, identity, place, rng)
    _beard(canvas, identity, place, rng)

    lips = _area(place[outline(LIPS)], 1.6, canvas)
    _blend(canvas, np.array(skin.lips), lips * 0.92)
    _blend(
        canvas,
        np.array(skin.lips) * 1.12 + 0.02,
        _blob(place[[14, 17]].mean(0), (26, 5), canvas) * lips * 0.5,
    )
    for edge in MOUTH:
        _blend(canvas, np.array(skin.lips) * 0.4, _stroke(place[list(edge)], 3, 1.4, canvas) * 0.75)
    _blend(canvas, dim * 0.6, sum(_blob(place[n], (6, 4), canvas) for n in MOUTH_CORNERS) * 0.5)
    _brows(canvas, identity, place, rng)
    if hair.style != "bald":
        # Where the hair begins: dense at the outline, sparse before it.
        border = place[[*OVAL[-8:], *OVAL[:9]]]
        border = border + 0.04 * (border - place[NOSE])
        wide = 30 if hair.style == "buzz" else 16
        grown = _stroke(border, wide, wide / 3, canvas) * rng.normal(1, 0.12, (height, width))
        _blend(canvas, np.array(hair.colour) * 0.9, np.clip(grown * 0.95, 0, 0.85))
    return canvas


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
            for start, end in zip(
                starts, starts + lean * rng.uniform(0.7, 1.5, (len(steps), 1)), strict=True
            ):
                cv2.line(cover, _fixed(start), _fixed(end), 0.9, 2, cv2.LINE_AA, 4)
    cover = cv2.GaussianBlur(cover, (0, 0), 1.3)
    _blend(canvas, np.array(identity.hair.brows), np.clip(cover * 1.2, 0, 1) * (0.55 + 0.4 * thickness))


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
            _blend(canvas, colour, np.clip(_area(shape, blur, canvas) * grain, 0, 1) * strength * BEARD_COVER)


def _freckles(canvas: Canvas, identity: Identity, place: Points, rng: np.random.Generator) -> None:
    dark = np.array(identity.skin.tone) * (0.75, 0.58, 0.5)
    cover = np.zeros(canvas.shape[:2], np.float32)
    middle = place[[*CHEEKS, NOSE]].mean(0) - (0, 12)
    for spot in rng.normal(middle, (75, 22), (int(150 * identity.skin.freckles), 2)):
        cv2.circle(
            cover, _fixed(spot), int(rng.integers(8, 22)), float(rng.uniform(0.3, 0.8)), -1, cv2.LINE_AA, 4
        )
    for _ in range(int(rng.integers(0, 3))):
        spot = place[int(rng.integers(len(place)))]
        cv2.circle(cover, _fixed(spot), int(rng.integers(24, 44)), 0.8, -1, cv2.LINE_AA, 4)
    _blend(canvas, dark, cv2.GaussianBlur(cover, (0, 0), 0.8))


def _scalp(identity: Identity, height: int, width: int, rng: np.random.Generator) -> Canvas:
    """Across: around the face's outline from the forehead, clockwise; down: to the back of the head."""
    canvas = _skin(identity.skin.tone, height, width, rng)
    across, down = _axes(height, width)
    jaw = np.clip(1 - np.abs(across - 0.5) / 0.24, 0, 1)
    tone = np.array(identity.skin.tone)
    _blend(canvas, tone * (0.55, 0.46, 0.44), np.clip(jaw * 3, 0, 1) * np.clip(down * 3, 0, 1) * 0.75)
    skin = identity.skin
    if skin.beard:
        grown = np.clip(jaw * 6, 0, 1) * np.clip(1.1 - down / 0.25, 0, 1)
        _blend(canvas, np.array(identity.hair.brows), grown * skin.beard * BEARD_COVER)
    if identity.hair.style != "bald":
        grown = np.clip((np.abs(across - 0.5) - 0.23) / 0.03, 0, 1) + np.clip((down - 0.45) / 0.1, 0, 1)
        grain = rng.normal(1, 0.08, (height, width, 1)).astype(np.float32)
        grown = np.clip(grown, 0, 1) * np.clip(0.72 + down, 0, 0.92)
        _blend(canvas, np.array(identity.hair.colour) * grain, grown)
    return canvas


def _hair(identity: Identity, height: int, width: int, rng: np.random.Generator) -> Canvas:
    """Across: around the head; down: from the crown to the tips."""
    curl = identity.hair.curl
    strands = sum(
        weight * cv2.resize(rng.normal(size=(rows, columns)), (width, height), interpolation=cv2.INTER_CUBIC)
        for weight, rows, columns in ((0.16, 2, width), (0.12, 3, width // 3), (0.1, 4, width // 10))
    )
    if identity.hair.style == "afro" or curl > 0.5:
        strands = (
            0.5 * strands
            + 0.22 * curl * cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 1.3) * 2.5
        )
    else:
        # Strands wave: each row is moved along.
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        sway = (2 + 12 * curl) * np.sin(y / height * (6 + 20 * curl) + x / width * 9)
        strands = cv2.remap(
            strands.astype(np.float32),
            (x + sway).astype(np.float32),
            y,
            cv2.INTER_LINEAR,
            None,
            cv2.BORDER_WRAP,
        )
    _, down = _axes(height, width)
    light = 1 + strands + 0.1 * np.sin(down * np.pi) - 0.12 * np.clip((down - 0.8) / 0.2, 0, 1)
    return np.asarray(
        np.array(identity.hair.colour) * light[..., None] + 0.02 * strands[..., None], np.float32
    )


def _cloth(identity: Identity, height: int, width: int, rng: np.random.Generator) -> Canvas:
    scene = identity.scene
    across, down = _axes(height, width)
    weave = 1 + 0.04 * rng.normal(size=(height, width))
    colour = np.broadcast_to(np.array(scene.clothes, np.float32), (height, width, 3)) * weave[..., None]
    other = np.clip(1.0 - np.array(scene.clothes), 0.1, 0.9)
    stripes = (np.sin(across * 2 * np.pi * 24) > 0.5).astype(np.float32)
    checks = np.clip(stripes + (np.sin(down * 2 * np.pi * 10) > 0.5), 0, 2) / 2
    cover = {"plain": 0 * stripes, "stripes": stripes, "checks": checks}[scene.pattern]
    canvas = np.asarray(colour, np.float32)
    _blend(canvas, other, cover * 0.45)
    front = np.abs(across - 0.5)
    if scene.collar == "shirt":
        collar = (down < 0.2 + 0.25 * np.clip(1 - front / 0.16, 0, 1)).astype(np.float32)
        _blend(canvas, np.minimum(np.array(scene.clothes) * 1.15 + 0.08, 1), collar)
        notch = (down < 0.42 - front * 5.5).astype(np.float32)
        _blend(canvas, np.array(identity.skin.tone) * 0.9, notch)
    else:
        _blend(
            canvas,
            np.array(scene.clothes) * 0.6,
            np.exp(-((down - 0.15) ** 2) / 0.0008).astype(np.float32) * 0.6,
        )
    return canvas


def _neck(identity: Identity, height: int, width: int, rng: np.random.Generator) -> Canvas:
    canvas = _skin(identity.skin.tone, height, width, rng)
    across, down = _axes(height, width)
    tone = np.array(identity.skin.tone)
    under = np.clip((0.72 - down) / 0.35, 0, 1)
    _blend(canvas, tone * (0.55, 0.46, 0.44), under * 0.8)
    for side in (-1, 1):
        tendon = np.exp(-((across - 0.5 - side * (0.13 - 0.1 * down)) ** 2) / 0.0006)
        _blend(canvas, tone * 0.75, np.asarray(tendon, np.float32) * 0.25)
    behind = np.clip((np.abs(across - 0.5) - 0.3) / 0.1, 0, 1) * (identity.hair.style != "bald")
    _blend(canvas, np.array(identity.hair.colour) * 0.7, behind * np.clip(1 - down, 0, 1))
    return canvas


def _ear(identity: Identity, height: int, width: int, rng: np.random.Generator) -> Canvas:
    canvas = _skin(identity.skin.tone, height, width, rng)
    tone = np.array(identity.skin.tone) * (1.0, 0.88, 0.86)
    canvas[:] = canvas * (1.0, 0.92, 0.9)
    across, down = _axes(height, width)
    hollow = np.exp(-((((across - 0.42) / 0.17) ** 2 + ((down - 0.5) / 0.2) ** 2) ** 2))
    ridge = np.exp(-((np.hypot((across - 0.45) / 0.3, (down - 0.44) / 0.32) - 1) ** 2) / 0.02)
    _blend(canvas, tone * 0.5, np.asarray(hollow, np.float32) * 0.75)
    _blend(canvas, tone * 0.68, np.asarray(ridge, np.float32) * 0.5)
    return canvas


def _skin(tone: Colour, height: int, width: int, rng: np.random.Generator) -> Canvas:
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = tone
    large = cv2.resize(rng.normal(size=(8, 8)), (width, height), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 1.2)
    canvas *= (1 + 0.015 * large + 0.03 * fine)[..., None].astype(np.float32)
    return canvas


def _blend(canvas: Canvas, colour: Points, cover: Cover) -> None:
    """Paints a colour over the canvas as far as `cover` says."""
    canvas += np.asarray(cover, np.float32)[..., None] * (np.asarray(colour, np.float32) - canvas)


def _blob(place: Points, radii: tuple[float, float], canvas: Canvas) -> Cover:
    """A soft spot; radii in pixels, across and down."""
    height, width = canvas.shape[:2]
    x = np.exp(-(((np.arange(width) - place[0]) / radii[0]) ** 2))
    y = np.exp(-(((np.arange(height) - place[1]) / radii[1]) ** 2))
    return np.outer(y, x).astype(np.float32)


def _stroke(line: Points, thickness: float, blur: float, canvas: Canvas) -> Cover:
    """A soft line through (N, 2) pixels."""
    cover = np.zeros(canvas.shape[:2], np.float32)
    fixed = np.rint(line * 16).astype(np.int32)
    cv2.polylines(cover, [fixed], False, 1.0, max(1, round(thickness)), cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(cover, (0, 0), blur), np.float32)


def _area(corners: Points, blur: float, canvas: Canvas) -> Cover:
    """A soft-edged polygon of (N, 2) pixels."""
    cover = np.zeros(canvas.shape[:2], np.float32)
    cv2.fillPoly(cover, [np.rint(corners * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(cover, (0, 0), blur), np.float32)


def _axes(height: int, width: int) -> tuple[Cover, Cover]:
    """(H, W) shares of the way across and down."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return across.astype(np.float32), down.astype(np.float32)


def _fixed(place: Points) -> tuple[int, int]:
    x, y = np.rint(np.asarray(place) * 16).astype(int).tolist()
    return x, y

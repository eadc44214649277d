"""The atlas: textures of a person's face, hair and clothes, painted once."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.synthetic.anatomy import TILES
from mcnet_cli.synthetic.brushes import Canvas, axes, bare_skin, blend
from mcnet_cli.synthetic.complexion import BEARD_COVER, face_tile
from mcnet_cli.synthetic.identity import Identity

HEIGHT_PX = 512  # of the atlas and of the face's tile
CURLY = 0.5  # from this curl on, locks instead of strands
UNDER_CHIN = np.array([0.55, 0.46, 0.44])  # factors on the skin's tone, in the chin's shade


def atlas(identity: Identity) -> NDArray[np.uint8]:
    """(HEIGHT_PX, 2 * HEIGHT_PX, 3) RGB."""
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

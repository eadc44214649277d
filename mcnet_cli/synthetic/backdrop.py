"""What is behind the head: a wall, a room out of focus."""

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.synthetic.identity import Identity


@functools.lru_cache(maxsize=8)
def backdrop(identity: Identity, size: int) -> NDArray[np.float32]:
    """(S, S, 3) RGB in [0, 255]."""
    rng = np.random.default_rng([identity.seed, 3])
    kind = identity.scene.background
    first, second = (np.array(colour) for colour in identity.scene.background_colours)
    across, down = np.meshgrid(np.linspace(0, 1, size), np.linspace(0, 1, size))
    slope = across * rng.uniform(-1, 1) + down * rng.uniform(-1, 1)
    slope = (slope - slope.min()) / max(float(np.ptp(slope)), 1e-6)
    picture = first + slope[..., None] * (second - first) * (1.0 if kind == "gradient" else 0.4)
    if kind == "lights":
        for _ in range(int(rng.integers(8, 25))):
            x, y, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.02, 0.12)
            spot = np.clip((radius - np.hypot(across - x, down - y)) / 0.015, 0, 1)
            glow = rng.uniform(0.2, 1, 3) * [1, 0.9, 0.75]
            picture = picture + spot[..., None] * 0.4 * (glow - picture)
    elif kind in ("wall", "shelves"):
        boxes = 4 if kind == "wall" else 40
        for _ in range(boxes):
            large = kind == "wall"
            width, height = rng.uniform(0.15, 0.6, 2) if large else rng.uniform((0.02, 0.08), (0.08, 0.22))
            x, y = rng.uniform(-0.1, 1, 2)
            if not large:
                y = round(y * 4) / 4 + 0.25 - height
            inside = (across > x) & (across < x + width) & (down > y) & (down < y + height)
            picture[inside] += 0.6 * (rng.uniform(0.05, 0.95) * rng.uniform(0.7, 1.2, 3) - picture[inside])
        picture = cv2.GaussianBlur(picture, (0, 0), size * rng.uniform(0.004, 0.02))
    noise = cv2.resize(rng.normal(size=(16, 16, 3)), (size, size), interpolation=cv2.INTER_CUBIC)
    fine = rng.normal(size=(size, size, 1))
    return np.asarray(np.clip(picture + 0.01 * noise + 0.008 * fine, 0, 1) * 255, np.float32)

"""`NAME.landmarks.safetensors` beside a clip: where the face's points are in each of its frames."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from mcnet_cli.files import atomic_output

SUFFIX = ".landmarks.safetensors"
FORMAT = {"mcnet.landmarks": "1"}  # one entry: of several, the library would shuffle the order
FINE_ENOUGH_PX = 512  # up to here float16 is right to a quarter of a pixel


def write_landmarks(
    path: Path,
    points: NDArray[np.floating],
    irises: NDArray[np.floating],
    scores: NDArray[np.floating],
    size: int,
) -> None:
    """Writes `points` (T, 468, 2) and `irises` (T, 10, 2), and `scores` (T,) in [0, 1].

    Points are in pixels of a clip of side `size`; irises are in the order of `Landmarks`. Frames in which the
    face was not found have NaN and the score 0. Up to 512 pixels, points are float16.
    """
    kind = np.float16 if size <= FINE_ENOUGH_PX else np.float32
    entries = {
        "points": points.astype(kind),
        "irises": irises.astype(kind),
        "scores": scores.astype(np.float32),
    }
    data = save(entries, metadata=FORMAT)
    with atomic_output(path, overwrite=True) as part:
        part.write_bytes(data)

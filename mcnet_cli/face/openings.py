"""How far mouth and eyes are open, from the face mesh."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[Any]
Pairs = tuple[tuple[int, int], ...]

MOUTH: Pairs = ((13, 14),)  # inner lips
LIDS: Pairs = ((159, 145), (386, 374))
EYES = (33, 263)  # the outer corners


def opening(points: Points, pairs: Pairs) -> Points:
    """(...): summed distances between pairs of (..., 468, 2) landmarks in pixels, over that of the eyes."""

    def distance(pair: tuple[int, int]) -> Points:
        return np.asarray(np.linalg.norm(points[..., pair[0], :] - points[..., pair[1], :], axis=-1))

    return np.asarray(sum(map(distance, pairs)) / np.maximum(distance(EYES), 1e-3))

"""How far mouth and eyes are open, from the face mesh."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[Any]
Pairs = tuple[tuple[int, int], ...]

MOUTH: Pairs = ((13, 14),)  # inner lips
LIDS: Pairs = ((159, 145), (386, 374))
EYES = (33, 263)  # the outer corners
# Along the lids of each eye, around it from its outer corner over the upper lid.
EYE_CONTOURS = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
)


def opening(points: Points, pairs: Pairs) -> Points:
    """(...): summed distances between pairs of (..., 468, 2) landmarks in pixels, over that of the eyes."""

    def distance(pair: tuple[int, int]) -> Points:
        return np.asarray(np.linalg.norm(points[..., pair[0], :] - points[..., pair[1], :], axis=-1))

    return np.asarray(sum(map(distance, pairs)) / np.maximum(distance(EYES), 1e-3))

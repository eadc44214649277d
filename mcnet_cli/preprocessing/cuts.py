"""Scene cuts: where a picture has little to do with the one before."""

from collections import deque

import cv2
import numpy as np

from mcnet_cli.face.sampling import Picture

SIZE = (64, 36)
LEAST_CHANGE = 18.0  # mean levels of brightness and colour: less is no cut, however quiet the scene
TIMES_USUAL = 3.0  # of the recent changes' median: less is movement in a lively scene
MEMORY = 12


class CutFinder:
    """Tells for each frame whether a new scene begins with it. Dissolves and fades are no cuts to it.

    The change of the picture in brightness and colour, compared with what is usual lately (the idea
    of PySceneDetect's adaptive detector).
    """

    def __init__(self) -> None:
        self._last: Picture | None = None
        self._changes: deque[float] = deque(maxlen=MEMORY)

    def __call__(self, rgb: Picture) -> bool:
        """Whether (H, W, 3) `rgb` begins a scene; the first frame does not."""
        step = max(1, rgb.shape[1] // 320)  # every pixel of a large frame would take longer and say no more
        small = cv2.resize(rgb[::step, ::step], SIZE, interpolation=cv2.INTER_AREA)
        small = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)
        last, self._last = self._last, small
        if last is None:
            return False
        change = float(cv2.absdiff(small, last).mean())
        usual = float(np.median(self._changes)) if self._changes else 0.0
        self._changes.append(change)  # a cut's too: where everything flickers, nothing is a cut
        return change > LEAST_CHANGE and change > TIMES_USUAL * usual

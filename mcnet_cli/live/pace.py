"""The speed of a session: its latency, its frames a second, and the size that is drawn in time."""

import math
import statistics
from collections import Counter, deque

TARGET_RATE = 20.0  # frames a second that are to be drawn at least, unless the camera gives fewer
# Bounds of a photo's longer side in pixels. Below the last the network itself takes most of the time.
SIZES_PX = (1920, 1440, 1080, 720, 512, 384, 256)
JUDGED_FRAMES, IGNORED_FRAMES = 30, 5  # whose median decides, and after a change of size the first ones
MIN_GAIN = 0.05  # of the time; smaller sizes that gain less are of no use
STEPS_JUDGED = 2  # together: what one gains may be hidden by how a face moves meanwhile
RATE_SPAN_S = 1.0


class Latency:
    """Times from capture to display, counted by milliseconds, so that a long session takes no more memory."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Counts one more frame."""
        self._counts[round(1000 * seconds)] += 1

    def percentile_ms(self, share: float) -> int | None:
        """The latency that this share of all frames, in (0, 1], stays within; None without frames."""
        wanted = math.ceil(share * self._counts.total())
        passed = 0
        for milliseconds in sorted(self._counts):
            passed += self._counts[milliseconds]
            if passed >= wanted:
                return milliseconds
        return None


class RecentPace:
    """Frames a second, and their median latency, over the last second."""

    def __init__(self) -> None:
        self._shown: deque[tuple[float, float]] = deque()

    def add(self, now_s: float, latency_s: float) -> None:
        """Counts a frame that is shown now."""
        self._shown.append((now_s, latency_s))
        while now_s - self._shown[0][0] > RATE_SPAN_S:
            self._shown.popleft()

    @property
    def rate(self) -> float:
        """Frames a second; 0 before there are two."""
        if len(self._shown) < 2:
            return 0.0
        return (len(self._shown) - 1) / max(self._shown[-1][0] - self._shown[0][0], 1e-6)

    @property
    def latency_ms(self) -> float:
        """The median; 0 without frames."""
        return 1000 * statistics.median([latency_s for _, latency_s in self._shown] or [0.0])


class FittingSize:
    """Chooses how large a photo is shown: the largest of `SIZES_PX` that is drawn in time.

    It starts with the photo's own size and steps down, one size at a time, while the median of thirty frames
    takes too long. Two steps that together gain less than a twentieth are taken back and are the last ones:
    then the time goes elsewhere, and a soft picture would come for nothing. The gain is judged by the lower
    quartiles of both thirties: how long the longest frames take depends on the face, such as on how wide a
    mouth is open.

    longest: the photo's longer side in pixels. budget_s: for one frame.
    """

    def __init__(self, longest: int, budget_s: float) -> None:
        self.longest = longest
        self._budget_s = budget_s
        self._times: list[float] = []
        self._ignored = IGNORED_FRAMES
        self._steps: list[tuple[int, float]] = []  # sizes before the last steps, with their lower quartiles
        self._is_settled = False

    def drawn(self, seconds: float) -> bool:
        """Takes the time that one more frame took; whether `longest` has changed."""
        if self._is_settled:
            return False
        if self._ignored:
            self._ignored -= 1
            return False
        self._times.append(seconds)
        if len(self._times) < JUDGED_FRAMES:
            return False
        lower, median, _ = statistics.quantiles(self._times)
        self._times = []
        smaller = next((size for size in SIZES_PX if size < self.longest), None)
        if self._steps and (len(self._steps) == STEPS_JUDGED or smaller is None):
            size, before = self._steps.pop(0)
            if lower > (1 - MIN_GAIN) * before:
                self.longest, self._is_settled = size, True
                return True
        if median <= self._budget_s or smaller is None:
            self._steps.clear()
            return False
        self._steps.append((self.longest, lower))
        self.longest, self._ignored = smaller, IGNORED_FRAMES
        return True


def frame_budget_s(rate: float) -> float:
    """Seconds that a frame may take, with a camera of this rate."""
    return 1 / min(TARGET_RATE, rate)

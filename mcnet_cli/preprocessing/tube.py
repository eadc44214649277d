"""A tube: one face over consecutive frames of a scene.

A clip is cut out by one square, so that the head's movement is seen in it. A face that moves far would make
the square large and itself small: there its tube ends, and the next frame begins another of the same face. A
followed face ends its tube only by a leap.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face import Landmarks, Region, overlap
from mcnet_cli.face.landmarks import Points
from mcnet_cli.face.sampling import Picture
from mcnet_cli.face.topology import IRIS_POINTS, MESH_POINTS
from mcnet_cli.preprocessing.placement import (
    SMOOTHING_REACH,
    fixed_placement,
    following_placements,
    level_placement,
)
from mcnet_cli.preprocessing.request import Settings
from mcnet_cli.preprocessing.sharpness import sharpness
from mcnet_cli.preprocessing.spool import Spool

LONGEST = 1024  # frames (VoxCeleb preprocessing)
LEAST_OVERLAP = 0.25  # of the first and the current box (VoxCeleb preprocessing)
REACH = 1.6  # how far a clip's square may grow and wander, in sides of the first frame's
TUBE_REACH = 2.5  # where the square is not much larger than the face
FOLLOWED_REACH = 2.0  # where the square goes with the face: room for a leap
PATIENCE = 8  # frames in which a face may be hidden without ending its tube
SHARPNESS_EVERY = 8  # frames

# Why a tube ended: with the video or the wanted stretch, at a scene cut, because the face was not found any
# more, moved away or is another tube's, or because it had the greatest length.
End = Literal["end", "cut", "lost", "moved", "double", "longest"]


class Tube:
    """Landmarks of one face, and its surroundings on disk; memory is bounded, because its length is.

    number: of the face among its video's, from 1. first: the first frame's number. ended: why.
    """

    ended: End = "end"

    def __init__(self, number: int, first: int, spool: Spool, settings: Settings) -> None:
        self.number, self.first, self.spool = number, first, spool
        self._settings = settings
        self._points: list[Points] = []
        self._irises: list[Points] = []
        self._scores: list[float] = []
        self._sharpness: list[float] = []
        self._extents: list[Points] = []
        self._last: Landmarks | None = None
        self.missed = 0

    @property
    def region(self) -> Region:
        """Where the face was when it was last seen."""
        assert self._last is not None
        return self._last.region

    @property
    def frames(self) -> int:
        """Up to the last frame in which the face was seen."""
        return len(self._points) - self.missed

    @property
    def last(self) -> int:
        """The number of that frame."""
        return self.first + self.frames - 1

    @property
    def points(self) -> NDArray[np.float32]:
        """(T, 468, 2) pixels of the frames; NaN where the face was not found."""
        return np.stack(self._points[: self.frames])

    @property
    def irises(self) -> NDArray[np.float32]:
        """(T, 10, 2), likewise."""
        return np.stack(self._irises[: self.frames])

    @property
    def scores(self) -> NDArray[np.float32]:
        """(T,) chances that it is a face; 0 where it was not found."""
        return np.array(self._scores[: self.frames], np.float32)

    @property
    def sharpness(self) -> float:
        """The median of some frames'."""
        return float(np.median(self._sharpness))

    @property
    def longer_side_px(self) -> float:
        """Of the box that holds the face in all frames."""
        extents = np.stack(self._extents)
        return float((extents[:, 2:].max(0) - extents[:, :2].min(0)).max())

    @property
    def height_px(self) -> float:
        """The median of the face's height."""
        extents = np.stack(self._extents)
        return float(np.median(extents[:, 3] - extents[:, 1]))

    def end_before(self, found: Landmarks) -> End | None:
        """Why the face is to begin a new tube with this in the next frame; None if the tube goes on.

        It has moved away when the clip's square would leave what is kept of the frames, and by the paper's
        rule when its box and the first hardly overlap.
        """
        settings = self._settings
        if len(self._points) >= LONGEST:
            return "longest"
        if settings.rule == "paper" and overlap(self._extents[0], found.region.box) < LEAST_OVERLAP:
            return "moved"
        if settings.follow:
            return None if self._makes_room_for(found) else "moved"
        if settings.align == "eyes":
            points = np.stack([*self._points, found.points])
            square = level_placement(points, settings.framing, settings.size)
        else:
            extents = np.stack([*self._extents, found.region.box])
            square = fixed_placement(extents, settings.framing, settings.size)
        return None if self.spool.holds(square, settings.size) else "moved"

    def add(self, rgb: Picture, found: Landmarks) -> None:
        """The next frame, with the face in it."""
        self._append(rgb, found.points, found.irises, found.score)
        self._extents.append(found.region.box)
        self._last, self.missed = found, 0
        if (len(self._points) - 1) % SHARPNESS_EVERY == 0 or not self._sharpness:
            self._sharpness.append(sharpness(rgb, found.region.box))

    def add_gap(self, rgb: Picture) -> None:
        """The next frame, in which the face was not found."""
        nowhere = np.full((MESH_POINTS, 2), np.nan, np.float32)
        self._append(rgb, nowhere, nowhere[: 2 * IRIS_POINTS], 0.0)
        self.missed += 1

    def _makes_room_for(self, found: Landmarks) -> bool:
        """Moves what is kept of the next frame to a followed face; whether all squares still lie in it.

        A frame's square is a mean of those around it, and where the face is hidden it lies between them: so
        this face changes the squares of frames before.
        """
        framing, size = self._settings.framing, self._settings.size
        (alone,) = following_placements(found.points[None], framing, size)
        self.spool.move(alone, size)
        points = np.stack([*self._points[-(2 * SMOOTHING_REACH + PATIENCE) :], found.points])
        *before, square = following_placements(points, framing, size)
        changed = range(len(self._points))[-(SMOOTHING_REACH + PATIENCE) :]
        return self.spool.holds(square, size) and all(
            self.spool.holds(before[number - len(self._points)], size, number) for number in changed
        )

    def _append(self, rgb: Picture, points: Points, irises: Points, score: float) -> None:
        self.spool.add(rgb)
        self._points.append(points)
        self._irises.append(irises)
        self._scores.append(score)

    def placements(self) -> NDArray[np.float64]:
        """(T, 2, 3), where the clip's square lies in each frame."""
        return placements_of(self.points, self._settings)


def reach_of(settings: Settings) -> float:
    """How much is kept around a face, in sides of its clip's square."""
    if settings.follow:
        return FOLLOWED_REACH
    return TUBE_REACH if settings.framing.tube_factor else REACH


def placements_of(points: NDArray[np.floating], settings: Settings) -> NDArray[np.float64]:
    """(T, 2, 3) squares for the (T, 468, 2) points of a clip or a picture, as the settings want them."""
    framing, size = settings.framing, settings.size
    if settings.follow:
        return following_placements(points, framing, size)
    if settings.align == "eyes":
        square = level_placement(points, framing, size)
    else:
        found = points[np.isfinite(points[:, 0, 0])]
        square = fixed_placement(np.concatenate([found.min(1), found.max(1)], 1), framing, size)
    return np.broadcast_to(square, (len(points), 2, 3))

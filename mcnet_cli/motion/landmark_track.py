"""The landmarks of one face over a clip: what is kept of its frames while they pass by."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture
from mcnet_cli.face import (
    OUTER,
    ROLL_POINTS,
    Landmarks,
    OuterTracker,
    remaining_roll_deg,
    roll_deg,
    rolled_points,
    turned,
    turned_points,
    turned_size,
    upright_turns,
    yaw_deg,
)
from mcnet_cli.face.topology import MESH_POINTS
from mcnet_cli.motion.bridging import hidden_faces
from mcnet_cli.motion.motion import IRISES
from mcnet_cli.motion.reference import TELLING_POINTS

SAMPLE_LIMIT = 256  # frames of a clip, at most, whose face meshes decide about its crop

Points = NDArray[np.float32]
Numbers = TypeVar("Numbers", NDArray[np.float16], NDArray[np.float32])


class LandmarkTrack:
    """One face's landmarks in all frames of a clip, packed so that a long clip takes little memory.

    whole: keep all 468 points in half precision (1.9 kB a frame), instead of the 90 that a reference frame is
    chosen by (0.4 kB). exact: numbers of points that are kept in full precision as well; they may lie beyond
    the mesh. turns: by how many quarter turns, counterclockwise, points are turned about the frames, so that
    the first face is upright. Where that leaves a roll that is the camera's, `roll_deg`, it is taken off all
    points, about the middle of the turned frames.
    """

    def __init__(self, *, whole: bool, exact: Sequence[int] = ()) -> None:
        self.turns = 0
        self._exact_numbers = list(exact)
        self._outer = OuterTracker() if {*OUTER} & {*exact} else None
        self._exact = bytearray()
        self._kept = np.arange(MESH_POINTS) if whole else TELLING_POINTS
        self._roll_places = [self._kept.tolist().index(point) for point in ROLL_POINTS]
        self._samples: list[tuple[int, Points]] = []  # with the numbers of their frames
        self._size = (1, 1)  # of the turned frames
        self._kept_roll_deg: float | None = None
        self._stride = 1
        self._faces = 0
        self._points = bytearray()
        self._irises = bytearray()
        self._found = bytearray()
        self._measures = bytearray()

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs, which adds no frames: not the pictures that hair is followed by."""
        return self.__dict__ | {"_outer": None}

    def __len__(self) -> int:
        return len(self._found)

    @property
    def faces(self) -> int:
        """Frames with a face."""
        return self._faces

    def add(self, face: Landmarks | None, frame: Picture) -> None:
        """The next frame and its face, None without one."""
        self._found.append(face is not None)
        if face is None:
            self._points.extend(bytes(4 * len(self._kept)))
            self._irises.extend(bytes(4 * IRISES))
            self._exact.extend(bytes(8 * len(self._exact_numbers)))
            self._measures.extend(bytes(4 * 3))
            return
        if not self._faces:
            self.turns = upright_turns(face.points)
        frame_size = frame.shape[1], frame.shape[0]
        size = self._size = turned_size(frame_size, self.turns)
        points, irises = (turned_points(each, self.turns, frame_size) for each in (face.points, face.irises))
        self._points.extend(_centred(points[self._kept], size).tobytes())
        self._irises.extend(_centred(irises, size).tobytes())
        # In upright frames, since optical flow finds something else in turned ones.
        followed = points
        if self._outer is not None:
            followed = self._outer(turned(frame, self.turns), points, self.turns)
        self._exact.extend(followed[self._exact_numbers].astype(np.float32).tobytes())
        self._measures.extend(np.array([face.log_odds, face.spread, yaw_deg(points)], np.float32).tobytes())
        if self._faces % self._stride == 0:
            self._samples.append((len(self) - 1, points))
            if len(self._samples) > SAMPLE_LIMIT:
                self._samples = self._samples[::2]
                self._stride *= 2
        self._faces += 1

    def forget(self) -> None:
        """Drops all frames so far, and goes on with the same face: what is kept of a live driving."""
        self._kept_roll_deg = self.roll_deg
        self._points, self._irises = bytearray(), bytearray()
        self._exact, self._found = bytearray(), bytearray()
        self._measures, self._samples = bytearray(), []

    @property
    def roll_deg(self) -> float:
        """By how many degrees the camera makes the face rolled clockwise, besides quarter turns.

        From the face's mean roll over all frames: what people add by tilting their heads is motion.
        """
        if self._kept_roll_deg is not None:
            return self._kept_roll_deg
        if not self._faces:
            return 0.0
        mean = roll_deg(self._turned_points[self.found][:, self._roll_places])
        return remaining_roll_deg(mean, self.turns)

    @property
    def landmarks(self) -> NDArray[np.float16]:
        """(T, L, 2) in [-1, 1] along the picture's longer side; arbitrary where there was no face."""
        return self._rolled_back(self._turned_points, (0, 0))

    @property
    def irises(self) -> NDArray[np.float16]:
        """(T, 10, 2), likewise."""
        return self._rolled_back(np.frombuffer(self._irises, np.float16).reshape(-1, IRISES, 2), (0, 0))

    @property
    def exact(self) -> Points:
        """(T, N, 2) the exact points in pixels; arbitrary where there was no face."""
        return self._rolled_back(np.frombuffer(self._exact, np.float32).reshape(len(self), -1, 2), self._size)

    @property
    def found(self) -> NDArray[np.bool_]:
        """(T,) whether there was a face."""
        return np.frombuffer(self._found, np.bool_)

    @property
    def hidden(self) -> NDArray[np.bool_]:
        """(T,) whether something is before the face."""
        return hidden_faces(self.found, *np.frombuffer(self._measures, np.float32).reshape(-1, 3).T)

    @property
    def samples(self) -> list[Points]:
        """Up to 256 (468, 2) points in pixels, evenly spread over the frames whose face is seen well."""
        hidden = self.hidden
        clear = [points for frame, points in self._samples if not hidden[frame]]
        samples = clear or [points for _, points in self._samples]
        return list(self._rolled_back(np.stack(samples), self._size)) if samples else []

    @property
    def _turned_points(self) -> NDArray[np.float16]:
        """(T, L, 2) landmarks in [-1, 1] of the turned frames, 0 where there was no face; not a copy."""
        return np.frombuffer(self._points, np.float16).reshape(-1, len(self._kept), 2)

    def _rolled_back(self, points: Numbers, size: tuple[int, int]) -> Numbers:
        """(..., 2) points of the turned frames about whose middle they are rolled."""
        degrees = self.roll_deg
        return rolled_points(points, -degrees, size) if degrees else points


def _centred(points: Points, size: tuple[int, int]) -> NDArray[np.float16]:
    """Pixels of a picture of (width, height) `size` to [-1, 1] along its longer side."""
    centred: NDArray[np.float16] = ((2 * points - size) / max(size)).astype(np.float16)
    return centred

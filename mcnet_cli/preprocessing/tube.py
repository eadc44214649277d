"""Tubes, and the candidates for clips that they become.

A tube is one face over consecutive frames of a scene. A clip is cut out by one square, so that the head moves
within it. A face that moves far would make the square large and itself small: there its tube ends, and the
next frame begins another tube of the same face. If clips follow the face, only a leap ends a tube.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture
from mcnet_cli.face import CropBox, Landmarks, Region, crop, overlap
from mcnet_cli.face.landmarks import Points
from mcnet_cli.face.topology import IRIS_POINTS, MESH_POINTS
from mcnet_cli.preprocessing.crop_buffer import CropBuffer
from mcnet_cli.preprocessing.placement import (
    SMOOTHING_REACH,
    corners,
    fixed_placement,
    following_placements,
    inverse,
    level_placement,
    placements_of,
    share_outside,
)
from mcnet_cli.preprocessing.request import Settings
from mcnet_cli.preprocessing.video_frame import VideoFrame

MAX_FRAMES = 1024  # VoxCeleb preprocessing
MIN_OVERLAP = 0.25  # intersection over union of the first and the current box (VoxCeleb preprocessing)
MAX_MISSED = 8  # frames in which a face may be hidden without ending its tube
MAX_OUTSIDE = 0.3  # share of a square beyond the frame, where only the repeated border is seen
SHARPNESS_EVERY = 8  # frames
SHARPNESS_PX = 128
NOWHERE = np.full((MESH_POINTS, 2), np.nan, np.float32)

# Why a tube ended: with the video or the segment, at a scene cut, because the face was not found any more,
# moved away or came to lie on another tube's, or because the tube had the greatest length.
End = Literal["end", "cut", "lost", "moved", "double", "longest"]


@dataclass(eq=False)
class Tube:
    """Landmarks of one face, and its surroundings on disk. Memory is bounded because its length is.

    number: of the face in its video, from 1. first: the first frame's number. faces: one for each frame, None
    where the face was not found. missed: frames since the face was last found. ended: why.
    """

    number: int
    first: int
    buffer: CropBuffer
    settings: Settings
    faces: list[Landmarks | None] = field(default_factory=list)
    missed: int = 0
    ended: End = "end"
    _sharpness: list[float] = field(default_factory=list)
    _boxes: NDArray[np.float32] = field(default_factory=lambda: np.empty((MAX_FRAMES + 1, 4), np.float32))
    _boxes_known: int = 0

    @property
    def region(self) -> Region:
        """Where the face was last found."""
        return next(face.region for face in reversed(self.faces) if face is not None)

    @property
    def frames(self) -> int:
        """The number of frames up to the last one in which the face was found."""
        return len(self.faces) - self.missed

    @property
    def last(self) -> int:
        """The number of that last frame."""
        return self.first + self.frames - 1

    def add(self, frame: VideoFrame, face: Landmarks | None) -> None:
        """Takes the next frame, with the face in it, or None if that was not found."""
        self.buffer.add(*frame.layers)
        if face is not None and len(self.faces) % SHARPNESS_EVERY == 0:
            box = face.region.box
            shrink = frame.shrink_to(SHARPNESS_PX, float((box[2:] - box[:2]).min()))
            self._sharpness.append(sharpness(frame.rgb(shrink), box * np.float32(1 / shrink)))
        self.faces.append(face)
        self.missed = self.missed + 1 if face is None else 0
        if face is not None:
            self._boxes[self._boxes_known] = face.region.box
            self._boxes_known += 1

    def end_before(self, face: Landmarks) -> End | None:
        """Why the face is to begin a new tube with this in the next frame; None if the tube goes on.

        It has moved away when the clip's square would leave what is kept of the frames, and by the paper's
        rule when its box and the first one hardly overlap.
        """
        settings = self.settings
        if len(self.faces) >= MAX_FRAMES:
            return "longest"
        if settings.rule == "paper" and overlap(self._boxes[0], face.region.box) < MIN_OVERLAP:
            return "moved"
        if settings.follow:
            return None if self._follows(face) else "moved"
        if settings.align == "eyes":
            square = level_placement(_points([*self.faces, face]), settings.framing, settings.size)
        else:
            self._boxes[self._boxes_known] = face.region.box  # until a face is added there
            boxes = self._boxes[: self._boxes_known + 1]
            square = fixed_placement(boxes, settings.framing, settings.size)
        return None if self.buffer.holds(square) else "moved"

    def _follows(self, face: Landmarks) -> bool:
        """Moves what is kept of the next frame to the face; returns whether all squares still lie within it.

        A frame's square is an average of those around it, and while the face is hidden it is interpolated. So
        this face changes the squares of earlier frames.
        """
        framing, size = self.settings.framing, self.settings.size
        (alone,) = following_placements(face.points[None], framing, size)
        self.buffer.move(alone)
        recent = _points([*self.faces[-(2 * SMOOTHING_REACH + MAX_MISSED) :], face])
        *before, square = following_placements(recent, framing, size)
        changed = range(len(self.faces))[-(SMOOTHING_REACH + MAX_MISSED) :]
        return self.buffer.holds(square) and all(
            self.buffer.holds(before[number - len(self.faces)], number) for number in changed
        )

    def candidate(self) -> "Candidate":
        """The clip that this tube would give."""
        median = float(np.median(self._sharpness))
        return Candidate.of(self.faces[: self.frames], median, self.buffer.frame_size, self.settings)


def _points(faces: Sequence[Landmarks | None]) -> NDArray[np.float32]:
    """(T, 468, 2) points; NaN where there is no face."""
    return np.stack([NOWHERE if face is None else face.points for face in faces])


@dataclass(frozen=True, slots=True)
class Candidate:
    """A face over the frames of a possible clip, or in a picture.

    points: (T, 468, 2) in the frames' pixels, NaN where it was not found; irises: (T, 10, 2) likewise.
    scores: (T,) in [0, 1], 0 where it was not found. placements: (T, 2, 3), where the clip's square lies.
    frame_size: (width, height). height_px: the face's median height. longer_side_px: of the box that holds
    the face in all frames. sharpness: the median.
    """

    points: NDArray[np.float32]
    irises: NDArray[np.float32]
    scores: NDArray[np.float32]
    placements: NDArray[np.float64]
    frame_size: tuple[int, int]
    height_px: float
    longer_side_px: float
    sharpness: float

    @classmethod
    def of(
        cls,
        faces: Sequence[Landmarks | None],
        sharpness: float,
        frame_size: tuple[int, int],
        settings: Settings,
    ) -> "Candidate":
        """The candidate of a face in consecutive frames, None where it was not found."""
        points = _points(faces)
        boxes = np.stack([face.region.box for face in faces if face is not None])
        return cls(
            points,
            np.stack([NOWHERE[: 2 * IRIS_POINTS] if face is None else face.irises for face in faces]),
            np.array([0.0 if face is None else face.score for face in faces], np.float32),
            placements_of(points, settings),
            frame_size,
            float(np.median(boxes[:, 3] - boxes[:, 1])),
            float((boxes[:, 2:].max(0) - boxes[:, :2].min(0)).max()),
            sharpness,
        )

    @property
    def score(self) -> float:
        """The mean over all frames."""
        return float(self.scores.mean())

    def outside(self, size: int) -> float:
        """The largest share of a frame's square that lies beyond the frame."""
        squares = np.unique(self.placements, axis=0)
        return max(share_outside(square, size, self.frame_size) for square in squares)

    def overhang_px(self, size: int) -> float:
        """How far a frame's square reaches beyond the frame, in the frame's pixels."""
        squares = np.concatenate([corners(square, size) for square in self.placements])
        return float(max(-squares.min(), (squares - self.frame_size).max()))

    def in_clip(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """(T, N, 2) points of the frames in the clip's pixels."""
        backs = np.stack([inverse(placement) for placement in self.placements])
        moved = np.einsum("tij,tnj->tni", backs[:, :, :2], points) + backs[:, None, :, 2]
        return np.asarray(moved, np.float32)

    def as_row(self, size: int) -> dict[str, Any]:
        """Its part of the index.

        box: left, top, width, height of the square in the middle frame, before it is turned about its centre.
        """
        square = corners(self.placements[len(self.placements) // 2], size)
        along = square[1] - square[0]
        side = float(np.hypot(*along))
        left, top = square.mean(0) - side / 2
        return {
            "frames": len(self.scores),
            "hidden_frames": int((self.scores == 0).sum()),
            "frame_size": list(self.frame_size),
            "box": [round(float(number), 2) for number in (left, top, side, side)],
            "turned_deg": round(float(np.degrees(np.arctan2(along[1], along[0]))), 2),
            "face_px": round(self.height_px, 1),
            "score": round(self.score, 4),
            "sharpness": round(self.sharpness, 1),
            "outside": round(self.outside(size), 3),
        }

    def reason_to_drop(self, settings: Settings, *, min_frames: int) -> str | None:
        """Why this gives no clip, in words that can be counted; None if it gives one."""
        measured_px = self.longer_side_px if settings.rule == "paper" else self.height_px
        if len(self.scores) < min_frames:
            return "short"
        if measured_px < settings.min_face_px:
            return "small"
        if self.score < settings.min_score:
            return "low score"
        if self.sharpness < settings.min_sharpness:
            return "blurred"
        if settings.rule == "paper":
            at_border = self.overhang_px(settings.size) >= 1
        else:
            at_border = self.outside(settings.size) > MAX_OUTSIDE
        return "at the border" if at_border else None


def sharpness(rgb: Picture, box: Points) -> float:
    """The variance of the Laplacian (Pech-Pacheco et al. 2000) of a box (4,) in 128 x 128 grey pixels.

    Faces that are out of focus, smeared by motion, or enlarged from few pixels have 12 or less.
    """
    extent = np.maximum(box[2:] - box[:2], 1)
    face = crop(rgb, CropBox(float(box[0]), float(box[1]), float(extent[0]), float(extent[1])), SHARPNESS_PX)
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())

"""What is known about a face apart from its pictures, and whether it is worth a clip."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.face import Landmarks
from mcnet_cli.face.sampling import Picture
from mcnet_cli.preprocessing.placement import corners, inverse, share_outside
from mcnet_cli.preprocessing.request import Settings
from mcnet_cli.preprocessing.sharpness import sharpness
from mcnet_cli.preprocessing.tube import Tube, placements_of

MOST_OUTSIDE = 0.3  # of a square's area beyond the frame, where nothing but the repeated border is seen


@dataclass(frozen=True, slots=True)
class Shot:
    """A face over the frames of a clip, or in a picture.

    points: (T, 468, 2) in the frames' pixels, NaN where it was not found; irises: (T, 10, 2) likewise.
    scores: (T,) in [0, 1]. placements: (T, 2, 3), where the clip's square lies. frame_size: (width, height).
    height_px: the median of the face's; longer_side_px: of the box that holds it in all frames. sharpness:
    the median.
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
    def of_tube(cls, tube: Tube, frame_size: tuple[int, int]) -> "Shot":
        """A clip's."""
        sizes = tube.height_px, tube.longer_side_px
        seen = tube.points, tube.irises, tube.scores
        return cls(*seen, tube.placements(), frame_size, *sizes, tube.sharpness)

    @classmethod
    def of_picture(cls, rgb: Picture, face: Landmarks, settings: Settings) -> "Shot":
        """A picture's."""
        points, box = face.points[None], face.region.box
        width, height = (float(side) for side in box[2:] - box[:2])
        return cls(
            points,
            face.irises[None],
            np.array([face.score], np.float32),
            placements_of(points, settings),
            (rgb.shape[1], rgb.shape[0]),
            height,
            max(width, height),
            sharpness(rgb, box),
        )

    @property
    def score(self) -> float:
        """The mean of all frames'."""
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
        """The numbers that the index tells of it.

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


def reason_to_drop(shot: Shot, settings: Settings, *, least_frames: int) -> str | None:
    """Why a face gives no clip, in words that can be counted; None if it gives one."""
    measured_px = shot.longer_side_px if settings.rule == "paper" else shot.height_px
    if len(shot.scores) < least_frames:
        return "short"
    if measured_px < settings.least_face_px:
        return "small"
    if shot.score < settings.min_score:
        return "low score"
    if shot.sharpness < settings.min_sharpness:
        return "blurred"
    if settings.rule == "paper":
        at_border = shot.overhang_px(settings.size) >= 1
    else:
        at_border = shot.outside(settings.size) > MOST_OUTSIDE
    return "at the border" if at_border else None

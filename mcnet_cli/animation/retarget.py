"""From the driving's motion to the keypoints of one source: where it starts, how much of it, and what of it.

Relative motion adds the driving's displacement from a reference frame to the source's keypoints (FOMM,
NeurIPS 2019, sec. 3.3). Where keypoints are landmarks, two kinds of points need more: lids and lips, whose
distance matters and not their place, and hair, which stays with the head.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcnet_cli.animation.gaze import EyeLandmarks, GazeTransfer, gaze_shifts
from mcnet_cli.animation.motion import LANDMARKS as MESH_POINTS
from mcnet_cli.animation.motion import Motion
from mcnet_cli.animation.source import SourceFace
from mcnet_cli.compositing import Gaze
from mcnet_cli.compositing.head import HeadPoints
from mcnet_cli.errors import UsageError
from mcnet_cli.face import OUTER, SIDES, posed_outer
from mcnet_cli.face.openings import EYES, LIDS, MOUTH
from mcnet_cli.model import Keypoints, transfer_motion
from mcnet_cli.options import require_among, require_between

Mode = Literal["relative", "absolute"]
Reference = Literal["best", "first"] | int
GazeKind = Literal["driving", "source"]
NoFace = Literal["hold", "skip", "source"]
Points = NDArray[Any]

STRENGTH_LIMIT = 10.0
SMOOTH_LIMIT = 100.0  # frames
SMALLEST_AREA = 1e-12  # of a hull of keypoints, in squared units of [-1, 1]: below, there is no scale
OUTER_LIPS = {13: (0,), 14: (17,)}  # mesh points of the outer lips, which go along with the inner ones
# The distance at which lids meet as landmarks have them, over that of the eyes' outer corners: in blinks of
# seven videos it goes down to 0.006 to 0.018.
SHUT_LIDS = 0.015
# How much further brows move than the face mesh says. In a video in which optical flow follows them, the
# mesh has 0.8 of their movement.
BROWS_MORE = 1.25
BROWS = ((105, 33), (334, 263))  # the middles of the brows, and the corners of the eyes that they rise from
CORNERS = (61, 291)  # of the mouth
# How much further than in the driving the corners of the mouth go apart: of what is asked for, results show
# 0.9.
SMILES_MORE = 1.12
# By which factor the ratio of the mouths' widths may differ from that of the faces: a mouth that is pursed in
# one of the two says little of its size.
MOUTH_RATIO = 1.3
JAW_SHARE = 0.7  # the lower lip's share of a change of the mouth's opening; the upper lip has the rest
# How far hair may move away from where the head's pose takes it, in eye distances. Beside a face one person
# has hair and another a wall: what moves there in the driving need not be what the source has there.
LARGEST_HAIR_OFFSET = 0.08


@dataclass(frozen=True, slots=True)
class Transfer:
    """How a driving's motion is carried over to a source. UsageError where values make no sense.

    Attributes:
        motion: `relative` adds the change from a reference frame to the source's keypoints, so that the
            source keeps its shape; `absolute` takes the driving's keypoints as they are.
        adapt_scale: scale relative motion by how large the source's face is beside the driving's.
        reference: the frame that relative motion starts from. `best`: the one most like the source. `first`:
            the first with a face. A number: that frame, from 0.
        strength: factor on the displacement from the reference; 0 is a still.
        smooth: standard deviation in frames of the Gaussian that smooths the motion over time. 0: none.
            None: landmarks are steadied where they hardly move; other keypoints as the weights ask for.
        gaze: `driving` turns the eyes as the driving turns its own, `source` leaves them as they look in the
            source. Networks whose keypoints are no landmarks leave them to the motion around.
        no_face: what is shown where the driving has no face. `hold`: the last pose. `skip`: nothing, these
            frames are left out. `source`: the source unmoved.

    Example:
        >>> from mcnet_cli import Transfer
        >>> Transfer(strength=1.2, reference="first").motion
        'relative'
    """

    motion: Mode = "relative"
    adapt_scale: bool = True
    reference: Reference = "best"
    strength: float = 1.0
    smooth: float | None = None
    gaze: GazeKind = "driving"
    no_face: NoFace = "hold"

    def __post_init__(self) -> None:
        require_among("--motion", self.motion, get_args(Mode))
        require_among("--gaze", self.gaze, get_args(GazeKind))
        require_among("--on-no-face", self.no_face, get_args(NoFace))
        if isinstance(self.reference, int):
            require_between("--reference", self.reference, 0, None)
        else:
            require_among("--reference", self.reference, ("best", "first"))
        require_between("--strength", self.strength, 0, STRENGTH_LIMIT)
        require_between("--smooth", self.smooth, 0, SMOOTH_LIMIT)

    def shown_frames(self, motion: Motion) -> NDArray[np.intp]:
        """Numbers of the driving's frames that a result shows, in order."""
        return np.flatnonzero(motion.found) if self.no_face == "skip" else np.arange(len(motion))

    def require_reference(self, motion: Motion) -> None:
        """UsageError if relative motion is to start from a frame that the driving doesn't have."""
        if self.motion == "relative" and isinstance(self.reference, int) and self.reference >= len(motion):
            raise UsageError(
                f"--reference {self.reference}: the driving has {len(motion)} frames, counted from 0"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """How a source is posed in B frames: its keypoints, and its irises where they are known."""

    keypoints: Keypoints
    gaze: Gaze | None = None


class Retargeting:
    """One driving's motion, ready to be carried over to one source.

    Args:
        motion: the driving's.
        transfer: how it is carried over.
        source: the source's keypoints, one frame.
        face: the source's landmarks, where they are known.
        numbers: the landmarks that the keypoints are; empty for learned keypoints.
        smooth: what `transfer.smooth` is where it is None and keypoints are no landmarks.
    """

    def __init__(
        self,
        motion: Motion,
        transfer: Transfer,
        source: Keypoints,
        face: SourceFace,
        numbers: Sequence[int],
        smooth: float,
    ) -> None:
        transfer.require_reference(motion)
        self._transfer, self._numbers = transfer, tuple(numbers)
        self._source = source.map(lambda t: t.float().cpu())
        self._shows_source = ~motion.found & (transfer.no_face == "source")
        self._smooth = smooth
        self._motion = self._calmed(motion)
        self._reference, self._scale = self._source, 1.0
        number = None
        if transfer.motion == "relative":
            number = self._reference_frame(motion, face.landmarks)
            self._reference = self._motion.keypoints(number)
            if transfer.adapt_scale:
                ours, theirs = (
                    on_face(k.values[0].numpy(), self._numbers) for k in (self._source, self._reference)
                )
                self._scale = hull_scale(ours, theirs)
        self._gaze = self._gaze_transfer(motion, face, number)

    def pose(self, rows: NDArray[np.intp]) -> Pose:
        """The source in the driving's frames `rows`."""
        keypoints = self.keypoints(rows)
        return Pose(keypoints, None if self._gaze is None else self._gaze.gaze(rows, keypoints))

    def keypoints(self, rows: NDArray[np.intp]) -> Keypoints:
        """The source's keypoints in the driving's frames `rows`."""
        moved = self._motion[rows].keypoints(slice(None))
        if self._transfer.motion == "relative":
            driving = strengthened(moved, self._reference, self._transfer.strength)
            moved = relative_motion(driving, self._reference, self._source, self._scale, self._numbers)
        for row in np.flatnonzero(self._shows_source[rows]):
            moved.values[row] = self._source.values[0]
            if moved.jacobians is not None and self._source.jacobians is not None:
                moved.jacobians[row] = self._source.jacobians[0]
        return moved

    def _calmed(self, motion: Motion) -> Motion:
        """The motion with frames without a face held, smoothed as the transfer says."""
        if self._transfer.smooth is None and self._numbers:
            return motion.held().steadied()
        return motion.held().smoothed(
            self._smooth if self._transfer.smooth is None else self._transfer.smooth
        )

    def _gaze_transfer(self, motion: Motion, face: SourceFace, reference: int | None) -> GazeTransfer | None:
        """What moves the irises; None if nothing is known of them. reference: None in absolute motion."""
        if face.landmarks is None or face.irises is None or not {*EYES} <= {*self._numbers}:
            return None
        corners = [self._numbers.index(corner) for corner in EYES]
        shifts = None
        if self._transfer.gaze == "driving":
            own = EyeLandmarks.of(face.landmarks, face.irises).places
            whole = motion.landmarks is None or motion.landmarks.shape[1] == MESH_POINTS
            numbers = None if whole else TELLING_POINTS.tolist()
            shifts = gaze_shifts(motion, own if reference is None else reference, numbers)
        if shifts is None:
            shifts = np.zeros((len(motion), 2))
        # in the keypoints' unit, so that it is calmed as they are
        width = 0.25 * float(np.ptp(self._reference.values[0, corners, 0].numpy()) + 1e-6)
        series = replace(motion, values=(width * shifts[:, None]).astype(np.float32), jacobians=None)
        shifts = self._transfer.strength * self._calmed(series).values[:, 0] / width
        shifts[self._shows_source] = 0
        return GazeTransfer(shifts, face.landmarks, face.irises, self._source, corners)

    def _reference_frame(self, motion: Motion, source_landmarks: Points | None) -> int:
        reference = self._transfer.reference
        if isinstance(reference, int):
            return reference
        if reference == "first":
            return int(motion.found.argmax())
        if motion.landmarks is not None and source_landmarks is not None:
            return best_reference(telling(source_landmarks), telling(motion.landmarks), motion.found)
        return best_reference(self._source.values[0].numpy(), self._motion.values, motion.found)


def relative_motion(
    driving: Keypoints, reference: Keypoints, source: Keypoints, scale: float, numbers: Sequence[int]
) -> Keypoints:
    """Keypoints of B frames: source + scale · (driving - reference), jacobians alike (FOMM, sec. 3.3).

    Where keypoints are landmarks, the head turns in space, mouth and lids are as `LidsAndLips` says, and
    hair as `Hair`.

    driving: B frames; reference, source: one. numbers: the landmarks that the keypoints are, or none.
    """
    openings, hair = LidsAndLips.among(numbers), Hair.among(numbers)
    if hair is not None:
        driving = hair.near_head(driving, reference)
    moved = transfer_motion(driving, reference, source, scale)
    if hair is not None:
        moved = Keypoints(
            moved.values + scale * _turned_otherwise(driving, reference, source, tuple(numbers)),
            moved.jacobians,
        )
    return moved if openings is None else openings.carried(moved, driving, reference, source, scale)


def _turned_otherwise(
    driving: Keypoints, reference: Keypoints, source: Keypoints, numbers: tuple[int, ...]
) -> Tensor:
    """(B, K, 2): what a head's turn adds to the driving's displacements, before they are scaled.

    Where the source looks elsewhere than the reference, or is shaped otherwise, that difference in space
    turns along with the head.
    """
    points = _head_points(numbers)
    before, after, own = (points.pose(k.values) for k in (reference, driving, source))
    unlike = points.in_space(source.values, own) - points.in_space(reference.values, before)
    turn = after.rotation @ before.rotation.mT
    turned = after.scale[:, None, None] * (unlike @ turn.mT) - before.scale[:, None, None] * unlike
    return torch.where(points.of_body[:, None], 0, turned[..., :2])


_head_points = lru_cache(maxsize=8)(HeadPoints)


def strengthened(driving: Keypoints, reference: Keypoints, factor: float) -> Keypoints:
    """The driving `factor` times as far from the reference."""
    if factor == 1:
        return driving
    values = reference.values + factor * (driving.values - reference.values)
    if driving.jacobians is None or reference.jacobians is None:
        return Keypoints(values)
    return Keypoints(values, reference.jacobians + factor * (driving.jacobians - reference.jacobians))


# Where relative motion starts. The papers leave the choice to the user; the nearest shape is the safest.

# Face mesh points that tell one pose and expression from another.
# fmt: off
_OUTLINE = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_LIDS = (33, 160, 159, 158, 133, 153, 145, 144, 362, 385, 386, 387, 263, 373, 374, 380)
_NOSE = (168, 6, 195, 4, 1, 98, 327, 2)
_LIPS = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91, 78, 81, 13, 311, 308, 402, 14, 178)
# fmt: on
TELLING_POINTS = np.array(_OUTLINE + _BROWS + _LIDS + _NOSE + _LIPS)


def telling(landmarks: Points) -> Points:
    """The telling points of (..., 468, 2) landmarks; (..., 90, 2) are they already."""
    return landmarks if landmarks.shape[-2] == len(TELLING_POINTS) else landmarks[..., TELLING_POINTS, :]


def hull_area(points: Points) -> float:
    """Area of the convex hull of (N, 2) points."""
    return float(cv2.contourArea(cv2.convexHull(np.ascontiguousarray(points, np.float32))))


def hull_scale(source: Points, reference: Points) -> float:
    """√(area of the source's hull / area of the reference's), for (K, 2) keypoints; 1 where one is flat."""
    areas = hull_area(source), hull_area(reference)
    return float(np.sqrt(areas[0] / areas[1])) if min(areas) > SMALLEST_AREA else 1.0


def on_face(values: NDArray[np.float32], numbers: Sequence[int]) -> NDArray[np.float32]:
    """Of (K, 2) keypoints those on the face mesh, whose size doesn't depend on shoulders; all if none is."""
    mesh = [place for place, point in enumerate(numbers) if point not in OUTER]
    return values[mesh] if mesh else values


def best_reference(source: Points, driving: Points, usable: NDArray[np.bool_]) -> int:
    """The usable frame of `driving` (T, N, 2) whose shape is nearest to the source's (N, 2)."""
    wanted = _shape_of(source)
    best, nearest = 0, np.inf
    for frame in np.flatnonzero(usable):  # one by one: a long clip's float32 landmarks are large
        distance = float(np.square(_shape_of(driving[frame]) - wanted).sum())
        if distance < nearest:
            best, nearest = int(frame), distance
    return best


def _shape_of(points: Points) -> NDArray[np.float32]:
    """(N, 2) points centred and divided by the square root of their hull's area."""
    centred = points.astype(np.float32) - points.astype(np.float32).mean(0)
    shape: NDArray[np.float32] = centred / np.float32(max(np.sqrt(hull_area(centred)), 1e-6))
    return shape


@dataclass(frozen=True, slots=True)
class LidsAndLips:
    """Lids, lips and brows in relative motion: the mouth opens as far as the driving's, and the eyes close.

    Adding displacements isn't enough: lids of a wide eye wouldn't meet, and if the mouth is open in the
    reference, the result's would close only as far as the reference's lips part.

    places: where mesh points are among the keypoints.
    """

    places: dict[int, int]

    @classmethod
    def among(cls, numbers: Sequence[int]) -> "LidsAndLips | None":
        """Of keypoints that are these mesh points; None if the eyes' corners aren't among them."""
        places = {point: place for place, point in enumerate(numbers)}
        return cls(places) if all(point in places for point in EYES) else None

    def carried(
        self, moved: Keypoints, driving: Keypoints, reference: Keypoints, source: Keypoints, scale: float
    ) -> Keypoints:
        """`moved`, the result of relative motion, with the openings that the driving asks for.

        A mouth is as open as the driving's, times the ratio of their widths. Lids close by the share by which
        the driving's do, and open further by the same distance. Brows rise further than the mesh says, and
        smiles widen further. moved, driving: B frames; reference, source: one.
        """
        values = moved.values.clone()
        up = self._up(values)
        for above, below in self._known(LIDS):
            now, before = (
                self._height(k.values, above, below) - SHUT_LIDS * self._apart(k.values, EYES)
                for k in (driving, reference)
            )
            own = self._height(source.values, above, below)
            share = (now / before.clamp_min(1e-4)).clamp(0, 1)
            wanted = torch.where(now < before, own * share, own + scale * (now - before))
            more = wanted - self._height(values, above, below)
            values[:, self.places[above]] += more[:, None] * up
        for brow, corner in self._known(BROWS):
            risen = self._height(driving.values, brow, corner) - self._height(reference.values, brow, corner)
            values[:, self.places[brow]] += (BROWS_MORE - 1) * scale * risen[:, None] * up
        for left, right in self._known((CORNERS,)):
            wider = self._apart(driving.values, CORNERS) - self._apart(reference.values, CORNERS)
            more = 0.5 * (SMILES_MORE - 1) * scale * wider[:, None] * self._across(values)
            values[:, self.places[left]] -= more
            values[:, self.places[right]] += more
        for above, below in self._known(MOUTH):
            ratio = self._mouths_ratio(reference, source, scale)
            wanted = ratio * self._height(driving.values, above, below).clamp_min(0)
            more = wanted - self._height(values, above, below)
            for lip, part in ((above, 1 - JAW_SHARE), (below, -JAW_SHARE)):
                for point in (lip, *OUTER_LIPS[lip]):
                    if point in self.places:
                        values[:, self.places[point]] += part * more[:, None] * up
        return Keypoints(values, moved.jacobians)

    def _known(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The pairs of points that are both among the keypoints."""
        return [pair for pair in pairs if {*pair} <= {*self.places}]

    def _mouths_ratio(self, reference: Keypoints, source: Keypoints, scale: float) -> float:
        """Width of the source's mouth over that of the driving's."""
        if not self._known((CORNERS,)):
            return scale
        ours, theirs = (float(self._apart(k.values, CORNERS)[0]) for k in (source, reference))
        return min(max(ours / max(theirs, 1e-4), scale / MOUTH_RATIO), scale * MOUTH_RATIO)

    def _apart(self, values: Tensor, pair: tuple[int, int]) -> Tensor:
        """(B,) the distance of two points."""
        distance: Tensor = (values[:, self.places[pair[0]]] - values[:, self.places[pair[1]]]).norm(dim=-1)
        return distance

    def _across(self, values: Tensor) -> Tensor:
        """(B, 2) the faces' directions from the picture's left eye to the other one."""
        across = values[:, self.places[EYES[1]]] - values[:, self.places[EYES[0]]]
        unit: Tensor = across / across.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        return unit

    def _up(self, values: Tensor) -> Tensor:
        """(B, 2) the faces' upward directions."""
        across = self._across(values)
        return torch.stack([across[:, 1], -across[:, 0]], dim=-1)

    def _height(self, values: Tensor, above: int, below: int) -> Tensor:
        """(B,) how far one point is above the other in the face."""
        offset = values[:, self.places[above]] - values[:, self.places[below]]
        return (offset * self._up(values)).sum(-1)


@dataclass(frozen=True, slots=True)
class Hair:
    """The keypoints beside a face, which stay near the head wherever the driving's go.

    numbers: the mesh points, and points beyond the mesh, that all keypoints are.
    """

    numbers: tuple[int, ...]

    @classmethod
    def among(cls, numbers: Sequence[int]) -> "Hair | None":
        """Of keypoints that are these points; None if those beside the face or the eyes aren't among them."""
        return cls(tuple(numbers)) if {*SIDES, *EYES} <= {*numbers} else None

    def near_head(self, driving: Keypoints, reference: Keypoints) -> Keypoints:
        """`driving`, B frames, with hair near where the head has taken it since `reference`, one frame."""
        beside = [self.numbers.index(point) for point in SIDES]
        turned = self._posed(driving.values) - self._posed(reference.values)
        expected = reference.values[:, beside] + turned
        offset = driving.values[:, beside] - expected
        eyes = [reference.values[:, self.numbers.index(point)] for point in EYES]
        limit = LARGEST_HAIR_OFFSET * (eyes[0] - eyes[1]).norm(dim=-1)[:, None, None]
        length = offset.norm(dim=-1, keepdim=True).clamp_min(1e-9)
        values = driving.values.clone()
        values[:, beside] = expected + offset * (limit / length).clamp_max(1)
        return Keypoints(values, driving.jacobians)

    def _posed(self, values: Tensor) -> Tensor:
        """(B, 2, 2) where the pose of keypoints says that the points beside the face are."""
        outer = posed_outer(values.numpy(), self.numbers)[:, [OUTER.index(point) for point in SIDES]]
        return torch.from_numpy(outer).to(values)

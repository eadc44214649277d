"""Relative motion: the driving's displacement from a reference frame, added to the source's keypoints.

That is the rule of FOMM (NeurIPS 2019, sec. 3.3). Where keypoints are landmarks of a face, three corrections
follow: a head turns in three dimensions; lids and lips open by a distance of their own, whatever their
displacement is; and hair stays near the head. A source that looks aside is turned less than the driving, so
that it needn't show what it hides (`damped_turns`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from mcnet_cli.compositing.head import Pose
from mcnet_cli.face import SIDES
from mcnet_cli.face.topology import (
    BROW_MIDDLES,
    LID_OPENINGS,
    MOUTH_CORNERS,
    MOUTH_OPENING,
    OUTER_EYE_CORNERS,
    OUTER_LIP_MIDDLES,
)
from mcnet_cli.model import Keypoints, transfer_motion
from mcnet_cli.motion.heads import head_points_of

OUTER_LIP_OF = dict(zip(MOUTH_OPENING[0], OUTER_LIP_MIDDLES, strict=True))  # by the middle of each inner lip
# Distance between the landmarks of shut lids, over that of the eyes' outer corners. In blinks of seven videos
# it falls to between 0.006 and 0.018.
SHUT_LID_GAP = 0.015
# Factor on the movement of brows: the mesh shows 0.8 of what optical flow measures in a video.
BROW_GAIN = 1.25
BROWS_OVER_CORNERS = tuple(zip(BROW_MIDDLES, OUTER_EYE_CORNERS, strict=True))
# Factor on the widening of the mouth: results show 0.9 of the widening that they are asked for.
SMILE_GAIN = 1.12
# The ratio of the two mouths' widths may differ from the ratio of the faces by this factor at most: a mouth
# that is pursed in one of the two pictures says little about its size.
MAX_MOUTH_RATIO = 1.3
LOWER_LIP_SHARE = 0.7  # of a change of the mouth's opening; the upper lip moves by the rest
# How far hair may leave the place where the head's pose takes it, in distances of the eyes' outer corners.
# Beside the face the driving may show a wall where the source has hair, so its movement there is not trusted.
LARGEST_HAIR_OFFSET = 0.08
# How far a source that looks aside by A degrees turns as the driving does: ROOM_DEG2 / (A - FREE_ASIDE_DEG)
# degrees, 3 at 40 and 6 at 25, without a bound up to the latter. Chosen by looking at fourteen portraits that
# look aside by 0° to 40°, turned both ways: beyond that the far eye and the mouth are torn or folded.
FREE_ASIDE_DEG, ROOM_DEG2 = 12.0, 84.0


def relative_motion(
    driving: Keypoints,
    reference: Keypoints,
    source: Keypoints,
    scale: float,
    numbers: Sequence[int],
    lips: float = 1.0,
) -> Keypoints:
    """Keypoints of B frames: source + scale · (driving - reference), jacobians alike (FOMM, sec. 3.3).

    Where keypoints are landmarks, the head turns in three dimensions, and `LidsAndLips` and `Hair` correct
    the mouth, the lids and the hair.

    driving: B frames; reference, source: one. numbers: which landmark each keypoint is; empty for learned
    keypoints. lips: the factor by which the driving's lips lead away from the reference.
    """
    openings, hair = LidsAndLips.among(numbers), Hair.among(numbers)
    if hair is not None:
        driving = hair.near_head(driving, reference)
    moved = transfer_motion(driving, reference, source, scale)
    if hair is not None:
        moved = Keypoints(
            moved.values + scale * _turn_of_the_difference(driving, reference, source, tuple(numbers)),
            moved.jacobians,
        )
    return moved if openings is None else openings.carried(moved, driving, reference, source, scale, lips)


def _turn_of_the_difference(
    driving: Keypoints, reference: Keypoints, source: Keypoints, numbers: tuple[int, ...]
) -> Tensor:
    """(B, K, 2): what the head's turn adds to the driving's displacements, before they are scaled.

    The source differs from the reference, because it looks elsewhere or has another shape. That difference is
    a vector in three dimensions, which turns with the head as the driving turns from the reference.
    """
    points = head_points_of(numbers)
    before, after, own = (points.pose(k.values) for k in (reference, driving, source))
    unlike = points.in_space(source.values, own) - points.in_space(reference.values, before)
    turn = after.rotation @ before.rotation.mT
    turned = after.scale[:, None, None] * (unlike @ turn.mT) - before.scale[:, None, None] * unlike
    return torch.where(points.of_body[:, None], 0, turned[..., :2])


def damped_turns(
    driving: Keypoints, reference: Keypoints, source: Keypoints, numbers: Sequence[int]
) -> Keypoints:
    """The driving, B frames, whose head turns aside from the reference by less where the source looks aside.

    Turned to the front, such a source would have to show the half of the face that it hides, and turned
    further it would be a profile. Turns up to the source's room stay as they are; from there on they grow by
    their logarithm, so that the head never stops while the driving's turns.

    Nothing changes for sources that look ahead, and for keypoints that are no landmarks of a head. reference,
    source: one frame.
    """
    if Hair.among(numbers) is None:
        return driving
    points = head_points_of(tuple(numbers))
    own = points.pose(source.values)
    room = np.radians(_room_to_turn_deg(own))
    if np.isinf(room):
        return driving
    before, after = points.pose(reference.values), points.pose(driving.values)
    turns = (after.rotation @ before.rotation.mT).numpy().astype(np.float64)
    axes = np.stack([cv2.Rodrigues(turn)[0][:, 0] for turn in turns])
    downwards = own.rotation[0, :, 1].numpy()  # a head turns aside about its own height
    aside = axes @ downwards
    rows = np.flatnonzero(np.abs(aside) > room)
    if not len(rows):
        return driving
    damped = np.sign(aside) * room * (1 + np.log(np.maximum(np.abs(aside) / room, 1)))
    axes += (damped - aside)[:, None] * downwards
    turns = np.stack([cv2.Rodrigues(axis)[0] for axis in axes[rows]])
    rotation = torch.from_numpy(turns).to(before.rotation) @ before.rotation
    frames = Pose(after.scale[rows], after.rotation[rows], after.centre[rows])
    ahead = points.in_space(driving.values[rows], frames) @ frames.rotation
    seen = frames.centre[:, None] + frames.scale[:, None, None] * (ahead @ rotation.mT)[..., :2]
    values = driving.values.clone()
    values[rows] = torch.where(points.of_body[:, None], driving.values[rows], seen)
    return Keypoints(values, driving.jacobians)


def _room_to_turn_deg(source: Pose) -> float:
    """Up to how many degrees a source of this pose turns aside as the driving does; infinite for most."""
    ahead, down = source.rotation[0, :, 2], source.rotation[0, :, 1]
    across = torch.stack([down[1], -down[0]])
    aside_deg = float(torch.rad2deg(torch.asin((ahead[:2] @ across / across.norm()).clamp(-1, 1)).abs()))
    return ROOM_DEG2 / (aside_deg - FREE_ASIDE_DEG) if aside_deg > FREE_ASIDE_DEG else np.inf


def strengthened(driving: Keypoints, reference: Keypoints, factor: float | Tensor) -> Keypoints:
    """The driving `factor` times as far from the reference; (B,) factors are one for each frame."""
    if isinstance(factor, Tensor):
        factor = factor[:, None, None]
    elif factor == 1:
        return driving
    values = reference.values + factor * (driving.values - reference.values)
    if driving.jacobians is None or reference.jacobians is None:
        return Keypoints(values)
    if isinstance(factor, Tensor):
        factor = factor[..., None]
    return Keypoints(values, reference.jacobians + factor * (driving.jacobians - reference.jacobians))


@dataclass(frozen=True, slots=True)
class LidsAndLips:
    """Lids, lips and brows in relative motion: the mouth opens as far as the driving's, and eyes shut fully.

    Displacements alone fail here: when the driving blinks, the lids of a source with wide eyes would not
    meet, and a mouth would close by as much as the driving's does, however far the source's is open.

    places: the number of the keypoint for each mesh point that is one.
    """

    places: dict[int, int]

    @classmethod
    def among(cls, numbers: Sequence[int]) -> "LidsAndLips | None":
        """For keypoints that are these mesh points; None if the eyes' corners aren't among them."""
        places = {point: place for place, point in enumerate(numbers)}
        return cls(places) if all(point in places for point in OUTER_EYE_CORNERS) else None

    def carried(
        self,
        moved: Keypoints,
        driving: Keypoints,
        reference: Keypoints,
        source: Keypoints,
        scale: float,
        lips: float = 1.0,
    ) -> Keypoints:
        """`moved`, the result of relative motion, with lids, lips and brows corrected.

        The mouth opens as far as the driving's, times the ratio of their widths; by a factor `lips` below 1
        so much of the way there from how far the source's is open. Lids close by the same share
        of their opening as the driving's, and open wider by the same distance. Brows rise `BROW_GAIN` times
        as far as the driving's, smiles widen `SMILE_GAIN` times as far. moved, driving: B frames; reference,
        source: one.
        """
        values = moved.values.clone()
        up = self._up(values)
        for above, below in self._known(LID_OPENINGS):
            now, before = (
                self._height(k.values, above, below) - SHUT_LID_GAP * self._apart(k.values, OUTER_EYE_CORNERS)
                for k in (driving, reference)
            )
            own = self._height(source.values, above, below)
            share = (now / before.clamp_min(1e-4)).clamp(0, 1)
            wanted = torch.where(now < before, own * share, own + scale * (now - before))
            more = wanted - self._height(values, above, below)
            values[:, self.places[above]] += more[:, None] * up
        for brow, corner in self._known(BROWS_OVER_CORNERS):
            risen = self._height(driving.values, brow, corner) - self._height(reference.values, brow, corner)
            values[:, self.places[brow]] += (BROW_GAIN - 1) * scale * risen[:, None] * up
        for left, right in self._known((MOUTH_CORNERS,)):
            wider = self._apart(driving.values, MOUTH_CORNERS) - self._apart(reference.values, MOUTH_CORNERS)
            more = 0.5 * (SMILE_GAIN - 1) * scale * wider[:, None] * self._across(values)
            values[:, self.places[left]] -= more
            values[:, self.places[right]] += more
        for above, below in self._known(MOUTH_OPENING):
            ratio = self._mouths_ratio(reference, source, scale)
            now, before, own = (
                self._height(k.values, above, below).clamp_min(0) for k in (driving, reference, source)
            )
            kept = max(0.0, 1 - lips)
            wanted = (kept * own + ratio * (now - kept * before)).clamp_min(0)
            more = wanted - self._height(values, above, below)
            for lip, part in ((above, 1 - LOWER_LIP_SHARE), (below, -LOWER_LIP_SHARE)):
                for point in (lip, OUTER_LIP_OF[lip]):
                    if point in self.places:
                        values[:, self.places[point]] += part * more[:, None] * up
        return Keypoints(values, moved.jacobians)

    def kept_apart(self, keypoints: Keypoints) -> Keypoints:
        """Keypoints whose upper lids and upper lip never lie below the lower ones."""
        values = keypoints.values.clone()
        up = self._up(values)
        gap = SHUT_LID_GAP * self._apart(values, OUTER_EYE_CORNERS)
        for pairs, least in ((LID_OPENINGS, gap), (MOUTH_OPENING, 0 * gap)):
            for above, below in self._known(pairs):
                beyond = (least - self._height(values, above, below)).clamp_min(0)
                values[:, self.places[above]] += 0.5 * beyond[:, None] * up
                values[:, self.places[below]] -= 0.5 * beyond[:, None] * up
        return Keypoints(values, keypoints.jacobians)

    def _known(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The pairs of points that are both among the keypoints."""
        return [pair for pair in pairs if {*pair} <= {*self.places}]

    def _mouths_ratio(self, reference: Keypoints, source: Keypoints, scale: float) -> float:
        """Width of the source's mouth over that of the driving's, near the ratio of the faces."""
        if not self._known((MOUTH_CORNERS,)):
            return scale
        ours, theirs = (float(self._apart(k.values, MOUTH_CORNERS)[0]) for k in (source, reference))
        return min(max(ours / max(theirs, 1e-4), scale / MAX_MOUTH_RATIO), scale * MAX_MOUTH_RATIO)

    def _apart(self, values: Tensor, pair: tuple[int, int]) -> Tensor:
        """(B,) the distance of two points."""
        distance: Tensor = (values[:, self.places[pair[0]]] - values[:, self.places[pair[1]]]).norm(dim=-1)
        return distance

    def _across(self, values: Tensor) -> Tensor:
        """(B, 2) the faces' directions from the picture's left eye to the other one."""
        across = values[:, self.places[OUTER_EYE_CORNERS[1]]] - values[:, self.places[OUTER_EYE_CORNERS[0]]]
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

    numbers: which point each keypoint is, of the mesh or beyond it.
    """

    numbers: tuple[int, ...]

    @classmethod
    def among(cls, numbers: Sequence[int]) -> "Hair | None":
        """For keypoints that are these points; None if the points beside the face or the eyes are missing."""
        return cls(tuple(numbers)) if {*SIDES, *OUTER_EYE_CORNERS} <= {*numbers} else None

    def near_head(self, driving: Keypoints, reference: Keypoints) -> Keypoints:
        """The driving, B frames, with hair held near where the head's turn since `reference` takes it."""
        beside = [self.numbers.index(point) for point in SIDES]
        turned = self._posed(driving.values) - self._posed(reference.values)
        expected = reference.values[:, beside] + turned
        offset = driving.values[:, beside] - expected
        eyes = [reference.values[:, self.numbers.index(point)] for point in OUTER_EYE_CORNERS]
        limit = LARGEST_HAIR_OFFSET * (eyes[0] - eyes[1]).norm(dim=-1)[:, None, None]
        length = offset.norm(dim=-1, keepdim=True).clamp_min(1e-9)
        values = driving.values.clone()
        values[:, beside] = expected + offset * (limit / length).clamp_max(1)
        return Keypoints(values, driving.jacobians)

    def _posed(self, values: Tensor) -> Tensor:
        """(B, 2, 2) the two points beside the face, as the head's pose alone places them."""
        points = head_points_of(self.numbers)
        pose, beside = points.pose(values), [self.numbers.index(point) for point in SIDES]
        turned = points.posed(pose.rotation)[:, beside, :2]
        return pose.centre[:, None] + pose.scale[:, None, None] * turned

"""Relative motion: the driving's displacement from a reference frame, added to the source's keypoints.

FOMM, NeurIPS 2019, sec. 3.3. Where keypoints are landmarks, three things need more: heads, which turn in
space; lids and lips, whose distance matters and not their place; and hair, which stays with the head.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from mcnet_cli.compositing.head import HeadPoints
from mcnet_cli.face import SIDES
from mcnet_cli.face.topology import LID_OPENINGS, MOUTH_CORNERS, MOUTH_OPENING, OUTER_EYE_CORNERS
from mcnet_cli.model import Keypoints, transfer_motion

OUTER_LIPS = {13: (0,), 14: (17,)}  # mesh points of the outer lips, which go along with the inner ones
# The distance at which lids meet as landmarks have them, over that of the eyes' outer corners: in blinks of
# seven videos it goes down to 0.006 to 0.018.
SHUT_LIDS = 0.015
# How much further brows move than the face mesh says. In a video in which optical flow follows them, the
# mesh has 0.8 of their movement.
BROWS_MORE = 1.25
BROWS = ((105, 33), (334, 263))  # the middles of the brows, and the corners of the eyes that they rise from
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
        return cls(places) if all(point in places for point in OUTER_EYE_CORNERS) else None

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
        for above, below in self._known(LID_OPENINGS):
            now, before = (
                self._height(k.values, above, below) - SHUT_LIDS * self._apart(k.values, OUTER_EYE_CORNERS)
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
        for left, right in self._known((MOUTH_CORNERS,)):
            wider = self._apart(driving.values, MOUTH_CORNERS) - self._apart(reference.values, MOUTH_CORNERS)
            more = 0.5 * (SMILES_MORE - 1) * scale * wider[:, None] * self._across(values)
            values[:, self.places[left]] -= more
            values[:, self.places[right]] += more
        for above, below in self._known(MOUTH_OPENING):
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
        if not self._known((MOUTH_CORNERS,)):
            return scale
        ours, theirs = (float(self._apart(k.values, MOUTH_CORNERS)[0]) for k in (source, reference))
        return min(max(ours / max(theirs, 1e-4), scale / MOUTH_RATIO), scale * MOUTH_RATIO)

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

    numbers: the mesh points, and points beyond the mesh, that all keypoints are.
    """

    numbers: tuple[int, ...]

    @classmethod
    def among(cls, numbers: Sequence[int]) -> "Hair | None":
        """Of keypoints that are these points; None if those beside the face or the eyes aren't among them."""
        return cls(tuple(numbers)) if {*SIDES, *OUTER_EYE_CORNERS} <= {*numbers} else None

    def near_head(self, driving: Keypoints, reference: Keypoints) -> Keypoints:
        """`driving`, B frames, with hair near where the head has taken it since `reference`, one frame."""
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
        """(B, 2, 2) where the pose of keypoints says that the points beside the face are."""
        points = _head_points(self.numbers)
        pose, beside = points.pose(values), [self.numbers.index(point) for point in SIDES]
        turned = points.posed(pose.rotation)[:, beside, :2]
        return pose.centre[:, None] + pose.scale[:, None, None] * turned

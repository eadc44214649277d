"""Turned heads: the head's motion as that of a surface in space.

Keypoints say where a face's points go in the picture, and what lies between them is interpolated. That is
right while a head moves in the picture's plane. When it turns, points of the far cheek fall together behind
the cheek's edge, and an interpolation squeezes ear and hair into view that a turned head hides. So the head
is taken for an ellipsoid, on which what the source shows turns with the pose, and for a plane through its
middle, which stands for ears and hair beside it. Keypoints that both pictures show correct that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mcnet_cli.face.outer import head_points, upper_face_among
from mcnet_cli.face.topology import BODY_POINTS
from mcnet_cli.model.geometry import (
    constant,
    coordinate_grid,
    full_precision,
    picked,
    ramp,
    resized,
    smooth_ramp,
)
from mcnet_cli.model.landmark_networks import SPLINE_NOISE, smooth_shifts

# The ellipsoid, in heights of the face mesh (`face.outer`): its middle, its radius to the sides and in depth,
# and upwards and downwards. Chosen among two dozen on 34 pairs of frames of filmed and generated people who
# turn by 24° to 45°: in the mean the person's outline is 1.17 times as wrong as in the unmoved source, with
# keypoints alone 1.39 times.
MIDDLE = (0.0, -0.15, 0.72)
SIDE, DEPTH, UP, DOWN = 0.475, 0.62, 0.65, 0.9
# Turns in degrees up to which keypoints alone decide, and from which on the surface does.
LEAST_TURN_DEG, FULL_TURN_DEG = 7.0, 18.0
# What a turn adds to the motion fades beside the head between these distances from its middle, in radii;
# below the face between these places, in heights of the mesh.
BESIDE = (1.1, 2.6)
BELOW = (0.35, 0.75)
# How far a point lies behind the visible surface, beyond what it does in a face seen from the front, in
# heights of the mesh: below the first it is seen, above the second it is hidden, in between partly.
HIDDEN = (0.06, 0.12)
HIDDEN_NOISE = 0.3  # variance of the noise that hidden keypoints are taken to have
SMOOTH_CELLS = 32  # along each side, in which the keypoints' own shifts are smooth enough
# How far before the head's middle, over its radius in depth, the surface is: above the second it surely is
# the face's, below the first it may be an ear or hair.
FACE = (0.0, 0.25)
EDGE = 0.05  # width of the cheek's edge, where the surface ends, as a share of its distance from the middle


Plane = tuple[Tensor, Tensor]  # x and y, (B, H, W) each, or what spreads to that


@dataclass(frozen=True, slots=True)
class Pose:
    """Where B heads are: a point p in heights of the mesh is seen at centre + scale · (rotation · p)[:2].

    scale: (B,). rotation: (B, 3, 3). centre: (B, 2).
    """

    scale: Tensor
    rotation: Tensor
    centre: Tensor


class HeadPoints:
    """Keypoints that are landmarks, as points of a head in space: an average one, in any pose.

    numbers: the landmarks that the keypoints are. device: where keypoints are.
    """

    def __init__(self, numbers: Sequence[int], device: torch.device | str = "cpu") -> None:
        points = torch.from_numpy(head_points(tuple(numbers))).float()
        self._steady = upper_face_among(tuple(numbers))
        steady = points[self._steady]
        self._middle = (torch.tensor(MIDDLE) - steady.mean(0)).to(device)
        self._inverse = torch.linalg.pinv(steady - steady.mean(0)).to(device)
        self.points = (points - torch.tensor(MIDDLE)).to(device)
        self.of_body = torch.tensor([number in BODY_POINTS for number in numbers], device=device)

    def pose(self, values: Tensor) -> Pose:
        """Of (B, K, 2) keypoints, by scaled orthographic projection, in the least-squares sense."""
        seen = picked(values, self._steady)
        middle = seen.mean(1, keepdim=True)
        affine = (self._inverse.to(seen) @ (seen - middle)).mT
        # The nearest projection is root⁻¹ · affine, with the root of the symmetric matrix affine · affineᵀ.
        # Of 2 by 2 numbers both are known in closed form.
        first, second = affine.unbind(1)
        along, across, mixed = first.square().sum(-1), second.square().sum(-1), (first * second).sum(-1)
        root_det = (along * across - mixed.square()).clamp_min(1e-12).sqrt()
        root_trace = (along + across + 2 * root_det).sqrt()
        along, across, mixed = (
            (part / (root_det * root_trace))[:, None] for part in (along + root_det, across + root_det, mixed)
        )
        first, second = across * first - mixed * second, along * second - mixed * first
        rotation = torch.stack([first, second, torch.linalg.cross(first, second)], dim=1)
        scale = root_trace / 2
        middle = middle[:, 0] + scale[:, None] * (rotation[:, :2] @ self._middle.to(seen))
        return Pose(scale, rotation, middle)

    def in_space(self, values: Tensor, pose: Pose) -> Tensor:
        """(B, K, 3) in heights of the mesh from the middle: (B, K, 2) keypoints, with likely depths."""
        seen = (values - pose.centre[:, None]) / pose.scale[:, None, None]
        return torch.cat([seen, self.posed(pose.rotation)[..., 2:]], dim=-1)

    def posed(self, rotation: Tensor) -> Tensor:
        """(B, K, 3) the average head's points, turned by a (B, 3, 3) rotation."""
        return self.points.to(rotation) @ rotation.mT


class HeadSurface:
    """The head of a network whose keypoints are these landmarks; arguments as for `HeadPoints`."""

    def __init__(self, numbers: Sequence[int], device: torch.device | str = "cpu") -> None:
        self._points = HeadPoints(numbers, device)
        ahead = torch.eye(3, device=device)[None]  # from the front all are seen, eyes in their sockets too
        self._below = self._depths(ahead)[0].clamp_min(0)

    def turned(self, motion: Tensor, source: Tensor, driving: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, W, 2) where the person is taken from, of a `motion` by keypoints alone; and (B,) shares.

        source: (B, K, 2) or (1, K, 2) keypoints. driving: (B, K, 2). The shares, in [0, 1], say how much the
        surface decides: the more the further the head turns out of the picture's plane.
        """
        with full_precision(driving):
            before, after = self._points.pose(source), self._points.pose(driving)
            turn = before.rotation @ after.rotation.mT  # from the turned head's view to the source's
            angle = torch.rad2deg(torch.acos(turn[:, 2, 2].clamp(-1, 1)))
            share = smooth_ramp(angle, LEAST_TURN_DEG, FULL_TURN_DEG)
            if share.device.type == "cpu" and not bool(share.any()):  # a GPU would have to be waited for
                return motion, share
            grid = coordinate_grid(motion.shape[1], motion.shape[2], like=driving)
            shifts = _shifts_by_turn(grid, turn, before, after)
            # how keypoints move besides what the turn does to them as points in space
            seen_before, seen = (self._points.posed(pose.rotation)[..., :2] for pose in (before, after))
            rolled = _in_plane((seen[..., 0], seen[..., 1]), turn[..., None])
            by_turn = before.scale[:, None, None] * (seen_before - torch.stack(rolled, dim=-1))
            by_turn = torch.where(self._points.of_body[:, None], 0, by_turn)
            noise = SPLINE_NOISE + HIDDEN_NOISE * torch.maximum(self._hidden(before), self._hidden(after))
            small = (SMOOTH_CELLS, SMOOTH_CELLS)
            rest = smooth_shifts(driving, source - driving - by_turn, noise, small)
            surface = grid + shifts + resized(rest, (motion.shape[1], motion.shape[2]))
            return torch.lerp(motion, surface, share[:, None, None, None]), share

    def _hidden(self, pose: Pose) -> Tensor:
        """(B, K) in [0, 1]: how surely the surface hides each keypoint."""
        hidden = ramp(self._depths(pose.rotation) - self._below, *HIDDEN)
        return torch.where(self._points.of_body, 0, hidden)

    def _depths(self, rotation: Tensor) -> Tensor:
        """(B, K) how far each keypoint's point in space is behind the surface; 0 beside it."""
        x, y, depth = self._points.posed(rotation)[:, None].unbind(-1)
        front, within = _front((x, y), rotation)
        return (within * (depth - front))[:, 0]


def _shifts_by_turn(grid: Tensor, turn: Tensor, before: Pose, after: Pose) -> Tensor:
    """(B, H, W, 2): what a turn adds at the places of a (H, W, 2) grid to a motion in the picture's plane.

    turn: (B, 3, 3) from the turned head's view to the source's.
    """
    x, y = (
        (grid[..., axis] - after.centre[:, axis, None, None]) / after.scale[:, None, None] for axis in (0, 1)
    )
    front, within = _front((x, y), after.rotation)
    turn = turn[..., None, None]
    space = [turn[:, row, 0] * x + turn[:, row, 1] * y + turn[:, row, 2] * front for row in range(3)]
    seen = space[2] < _front((space[0], space[1]), before.rotation)[0] + HIDDEN[0] / 3
    # what the source hides of a face is shown as the mirror image of that edge, which is skin
    forwards = before.rotation[:, :, 2, None, None]
    ahead = -(forwards[:, 0] * space[0] + forwards[:, 1] * space[1] + forwards[:, 2] * space[2])
    shown = within * torch.maximum(seen.to(within), ramp(ahead / DEPTH, *FACE))
    radii = ((x / SIDE).square() + (y / torch.where(y < 0, UP, DOWN)).square()).sqrt()
    nearer = (BESIDE[0] / radii.clamp_min(1e-6)).clamp_max(1)
    near = nearer * x, nearer * y
    # beside the head the motion is that of a plane through its middle, which faced the source's viewer
    det = turn[:, 0, 0] * turn[:, 1, 1] - turn[:, 0, 1] * turn[:, 1, 0]
    beside = (
        (turn[:, 1, 1] * near[0] - turn[:, 1, 0] * near[1]) / det,
        (turn[:, 0, 0] * near[1] - turn[:, 0, 1] * near[0]) / det,
    )
    height = after.rotation[:, 0, 1, None, None] * x + after.rotation[:, 1, 1, None, None] * y + MIDDLE[1]
    fading = (1 - smooth_ramp(radii, *BESIDE)) * (1 - smooth_ramp(height, *BELOW))
    in_plane, near_in_plane = _in_plane((x, y), turn), _in_plane(near, turn)
    shifts = [
        torch.lerp(beside[axis] - near_in_plane[axis], space[axis] - in_plane[axis], shown) for axis in (0, 1)
    ]
    return torch.stack(shifts, dim=-1) * (before.scale[:, None, None] * fading)[..., None]


def _in_plane(points: Plane, turn: Tensor) -> Plane:
    """Points rolled in the picture's plane as a head that turns, and no more. turn: (B, 3, 3, ...)."""
    along, across = turn[:, 0, 0] + turn[:, 1, 1], turn[:, 1, 0] - turn[:, 0, 1]
    length = torch.hypot(along, across).clamp_min(1e-6)
    cos, sin = along / length, across / length
    return cos * points[0] - sin * points[1], sin * points[0] + cos * points[1]


def _front(at: Plane, rotation: Tensor) -> Plane:
    """Depth of the ellipsoid's front away from the viewer; and 1 within its outline, 0 beyond.

    In heights of the mesh from the middle. The upper and the lower half have radii of their own.
    """
    found = []
    x, y = at
    for upright in (UP, DOWN):
        radii = constant((SIDE, upright, DEPTH), x.device)
        form = ((rotation / radii.square()) @ rotation.mT)[..., None, None]
        a, b = form[:, 2, 2], form[:, 0, 2] * x + form[:, 1, 2] * y
        c = form[:, 0, 0] * x.square() + form[:, 1, 1] * y.square() + 2 * form[:, 0, 1] * (x * y) - 1
        inside = b * b / a - c  # 1 in the middle, 0 at the outline
        depth = -(b + (a * inside).clamp_min(0).sqrt()) / a
        down = rotation[:, :, 1, None, None]
        found.append((depth, inside, down[:, 0] * x + down[:, 1] * y + down[:, 2] * depth))
    (depth, inside, height), (lower_depth, lower_inside, _) = found
    upper = height < 0
    depth, inside = torch.where(upper, depth, lower_depth), torch.where(upper, inside, lower_inside)
    return depth, ramp(inside, 0, 2 * EDGE)

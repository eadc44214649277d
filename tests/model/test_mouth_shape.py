"""Mouths: lips that are carried along, the square around them, how far places are from their outline."""

import math

import torch
from torch import Tensor

from mcnet_cli.model.config import PLACING
from mcnet_cli.model.detail_shape import beyond_arcs, finer, pixel_places
from mcnet_cli.model.mouth_shape import LIPS, MouthShape


def points(opening: float = 0.0) -> Tensor:
    """(1, 10, 2) the `PLACING` points of an upright face, its mouth open by a share of its width."""
    below = 0.4 * opening
    mouth = [(-0.2, 0.3), (0.2, 0.3), (0, 0.3), (0, 0.3 + below), (0, 0.22), (0, 0.38 + below)]
    return torch.tensor([[*mouth, (-0.4, -0.2), (0.4, -0.2), (0, 0.1), (0, 0.7 + below)]])


def turned(places: Tensor, angle: float, scale: float, shift: tuple[float, float]) -> Tensor:
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return places @ torch.tensor([[cos, sin], [-sin, cos]]) + torch.tensor(shift)


def rounded(shape: MouthShape) -> MouthShape:
    """The same with lips of its own, which bend where the plain ones don't."""
    bend = 0.01 * torch.sin(torch.arange(44.0)).reshape(1, 4, 11, 1)
    lips = shape.arcs + bend * torch.tensor([0.0, 1.0])
    lips[:, :, [0, 5, 10]] = shape.arcs[:, :, [0, 5, 10]]
    return MouthShape(shape.points, lips)


def test_landmarks_say_where_a_mouth_is() -> None:
    landmarks = torch.rand(2, 468, 2, generator=torch.Generator().manual_seed(0))
    shape = MouthShape.of(landmarks)
    assert torch.equal(shape.points[1, 2], landmarks[1, PLACING[2]])
    assert torch.equal(shape.arcs[1, 3, 5], landmarks[1, LIPS[3][5]])


def test_a_mouth_that_stays_keeps_its_lips() -> None:
    shape = rounded(MouthShape.of_points(points(0.1)))
    assert torch.allclose(shape.moved(shape.points).arcs, shape.arcs, atol=1e-6)


def test_lips_turn_and_grow_with_the_head() -> None:
    shape = rounded(MouthShape.of_points(points(0.1)))
    change = 0.4, 1.3, (0.1, -0.2)
    moved = shape.moved(turned(shape.points, *change))
    assert torch.allclose(moved.arcs, turned(shape.arcs, *change), atol=1e-5)


def test_lips_pass_through_the_middles_that_are_known_and_open_less_towards_the_corners() -> None:
    moved = MouthShape.of_points(points()).moved(points(0.5))
    inner_upper, inner_lower, outer_upper, outer_lower = moved.arcs[0]
    for arc, point in zip((inner_upper, inner_lower, outer_upper, outer_lower), range(2, 6), strict=True):
        assert torch.allclose(arc[5], moved.points[0, point], atol=1e-6)
    gaps = inner_lower[:, 1] - inner_upper[:, 1]
    assert (gaps[:6].diff() >= 0).all() and (gaps[5:].diff() <= 0).all()
    assert gaps[0].abs() < 1e-6 < 0.19 < gaps[5]
    assert torch.allclose(moved.opening, torch.tensor([0.5]))


def test_the_mirrored_mouth_of_a_face_is_that_of_the_mirrored_face() -> None:
    shape = rounded(MouthShape.of_points(turned(points(0.2), 0.3, 1, (0.1, 0))))
    mirrored = shape.mirrored()
    flip = torch.tensor([-1.0, 1.0])
    assert torch.allclose(mirrored.arcs[0, 0, 3], shape.arcs[0, 0, 7] * flip)
    assert torch.allclose(mirrored.points[0, 0], shape.points[0, 1] * flip)
    assert torch.equal(mirrored.mirrored().arcs, shape.arcs)
    about, other = shape.described()[0], mirrored.described()[0]
    assert torch.allclose(about[[0, 1, 2, 3, 5]], other[[0, 1, 2, 3, 5]], atol=1e-5)
    assert torch.allclose(about[4], -other[4], atol=1e-5)


def test_the_square_follows_the_mouth_and_holds_all_of_it() -> None:
    shape = MouthShape.of_points(turned(points(0.6), 0.5, 0.7, (0.2, 0.1)))
    square = shape.square()
    inside = shape.within(square)
    assert inside.arcs.abs().max() < 1
    left, right = inside.points[0, :2]
    assert torch.allclose(left[1], right[1], atol=1e-5)
    assert torch.allclose(square.beyond(inside.arcs), shape.arcs, atol=1e-5)
    grid = square.grid(4)
    assert grid.shape == (1, 4, 4, 2)
    assert torch.allclose(square.within(grid)[0], pixel_places(4, grid), atol=1e-5)


def test_distances_from_lips_are_negative_inside() -> None:
    x = torch.linspace(-1, 1, 11)
    box = torch.stack([torch.stack([x, torch.full_like(x, y)], -1) for y in (-0.5, 0.5)])[None]
    places = torch.tensor([[[0.0, 0.0], [0.0, 0.45], [0.0, 0.7], [1.3, 0.9], [-0.9, 0.1], [2.0, 0.0]]])
    expected = torch.tensor([[-0.5, -0.05, 0.2, 0.5, -0.1, 1.0]])
    assert torch.allclose(beyond_arcs(box, places), expected, atol=1e-5)
    assert torch.allclose(beyond_arcs(finer(box), places), expected, atol=1e-5)


def test_lips_that_touch_have_no_inside() -> None:
    shape = MouthShape.of_points(points())
    places = shape.square().grid(32)
    assert (beyond_arcs(shape.arcs[:, :2], places) >= 0).all()


def test_finer_arcs_keep_their_points_and_bend_between_them() -> None:
    angles = torch.linspace(0, math.pi, 11)
    arc = torch.stack([angles.cos(), angles.sin()], -1)[None, None]
    fine = finer(arc)
    assert torch.equal(fine[:, :, ::2], arc)
    assert (fine.norm(dim=-1)[..., 2:-2] - 1).abs().max() < 1e-3

"""Eyes: lids that are carried along, the square around them, distances from lids and iris."""

import math

import torch
from torch import Tensor

from mcnet_cli.model.detail_shape import pixel_places
from mcnet_cli.model.eye_shape import EYE_ARCS, EyeShape

CORNERS = torch.tensor([[(-0.5, -0.2), (0.5, -0.2)]])  # the outer ones of both eyes


def landmarks(opening: float) -> Tensor:
    """(1, 468, 2) in which both eyes are 0.3 wide and open by that."""
    points = torch.zeros(1, 468, 2)
    for arcs, left in zip(EYE_ARCS, (-0.5, 0.2), strict=True):
        for arc, way in zip(arcs, (-0.5, 0.5), strict=True):
            for number, point in enumerate(arc):
                u = number / 4 - 1
                points[0, point] = torch.tensor([left + 0.3 * number / 8, -0.2 + way * opening * (1 - u * u)])
    return points


def eye(number: int, opening: float = 0.1) -> EyeShape:
    middle = (-0.35, 0.35)[number]
    iris = torch.tensor([[(middle, -0.2), (middle + 0.04, -0.2)]])
    return EyeShape.of(landmarks(opening), iris, number)


def lids(shape: EyeShape) -> Tensor:
    return shape.points[:, 2:4]


def test_an_eye_is_measured_in_its_own_width() -> None:
    for number in (0, 1):
        shape = eye(number)
        assert math.isclose(float(shape.width), 0.3, abs_tol=1e-6)
        assert math.isclose(float(shape.opening), 1 / 3, abs_tol=1e-5)
        assert torch.allclose(shape.described()[0, 1:4], torch.tensor([0.5, 0.0, 0.04 / 0.3]), atol=1e-5)


def test_an_eye_that_stays_keeps_its_lids() -> None:
    for number in (0, 1):
        shape = eye(number)
        moved = shape.moved(lids(shape), shape.points[:, 4:], CORNERS, CORNERS)
        assert torch.allclose(moved.arcs, shape.arcs, atol=1e-6)
        assert torch.allclose(moved.points, shape.points, atol=1e-6)


def test_a_shut_eye_opens_as_the_lids_middles_say_and_its_inner_corner_goes_with_the_face() -> None:
    shut, wide = eye(0, 0.0), eye(0, 0.1)
    angle = torch.tensor(0.3)
    turn = torch.stack([torch.stack([angle.cos(), angle.sin()]), torch.stack([-angle.sin(), angle.cos()])])
    expected = 1.2 * wide.arcs @ turn + 0.1
    moved = shut.moved(
        1.2 * lids(wide) @ turn + 0.1,
        1.2 * wide.points[:, 4:] @ turn + 0.1,
        CORNERS,
        1.2 * CORNERS @ turn + 0.1,
    )
    assert torch.allclose(moved.arcs, expected, atol=1e-5)
    assert torch.allclose(moved.opening, wide.opening, atol=1e-5)


def test_mirrored_eyes_look_alike() -> None:
    left, right = eye(0), eye(1)
    assert torch.allclose(left.mirrored().arcs, right.arcs, atol=1e-6)
    assert torch.equal(left.mirrored().mirrored().points, left.points)


def test_distances_are_negative_between_the_lids_and_in_the_iris() -> None:
    shape = eye(1)
    inside = shape.within(shape.square())
    lids_map, iris_map = inside.distances(64, step=1)
    assert torch.allclose(inside.width, torch.tensor([2 / 1.7]), atol=1e-5)
    places = pixel_places(64, inside.points)
    from_iris = (places - inside.points[0, 4]).norm(dim=-1) / inside.width
    assert ((iris_map[0, 0] < 0) == (from_iris < 0.04 / 0.3)).all()
    assert lids_map[0, 0, 32, 32] < 0 and (lids_map[0, 0, 0] > 0).all()
    assert (lids_map[0, 0][places[..., 0].abs() > inside.width / 2] > 0).all()

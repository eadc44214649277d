"""Turned heads: what the surface of a head shows, hides and leaves alone."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mcnet_cli.compositing import Compositor
from mcnet_cli.compositing.head import BODY_POINTS, DEPTH, FULL_TURN_DEG, LEAST_TURN_DEG, SIDE, HeadSurface
from mcnet_cli.face.outer import head_points
from mcnet_cli.face.topology import OUTER
from mcnet_cli.model import PRESETS, Keypoints, MCNet
from mcnet_cli.model.geometry import coordinate_grid

NUMBERS = PRESETS["lite"].keypoints.landmarks
SIZE = 64
MIDDLE = SIZE // 2


def seen(yaw_deg: float = 0.0, roll_deg: float = 0.0, scale: float = 0.9) -> Tensor:
    """(1, K, 2) keypoints of an average head that turns about its middle, to the picture's right."""
    yaw, roll = np.radians([yaw_deg, roll_deg])
    middle = np.array([0, 0, 0.72])
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    rolled = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    space = (head_points(NUMBERS) - middle) @ turn.T
    values = scale * space[:, :2] @ rolled.T
    body = [place for place, number in enumerate(NUMBERS) if number in BODY_POINTS]
    values[body] = scale * head_points(NUMBERS)[body, :2]
    return torch.from_numpy(values).float()[None]


@pytest.fixture
def surface() -> HeadSurface:
    return HeadSurface(NUMBERS, torch.device("cpu"))


@pytest.fixture
def still() -> Tensor:
    return coordinate_grid(SIZE, SIZE, torch.zeros(1))[None]


@pytest.mark.parametrize("driving", [seen(3), seen(0, 25), seen(0, 0, 0.7)])
def test_a_head_that_hardly_turns_is_left_to_its_keypoints(
    surface: HeadSurface, still: Tensor, driving: Tensor
) -> None:
    motion, share = surface.turned(still, seen(), driving)
    assert motion is still
    assert share.tolist() == [0]


@pytest.mark.parametrize("yaw", [-40.0, -20.0, 12.0, 30.0])
def test_the_turn_is_measured_in_degrees(surface: HeadSurface, yaw: float) -> None:
    turn = surface._points.pose(seen()).rotation @ surface._points.pose(seen(yaw)).rotation.mT
    assert torch.rad2deg(torch.acos(turn[0, 2, 2])) == pytest.approx(abs(yaw), abs=1)


def test_the_surface_decides_the_more_the_further_a_head_turns(surface: HeadSurface, still: Tensor) -> None:
    turns = (0, LEAST_TURN_DEG + 3, FULL_TURN_DEG - 3, FULL_TURN_DEG + 3)
    _, share = surface.turned(still.expand(4, -1, -1, -1), seen(), torch.cat([seen(yaw) for yaw in turns]))
    assert share[0] == 0
    assert share[3] == 1
    assert (share.diff() > 0.1).all()


def across(motion: Tensor) -> Tensor:
    """Where places from left to right at the eyes' height come from, in the network's coordinates."""
    return motion[0, MIDDLE - 5, :, 0]


def test_a_turned_head_hides_its_far_side_and_shows_more_of_the_near_one(
    surface: HeadSurface, still: Tensor
) -> None:
    motion, _ = surface.turned(still, seen(), seen(30))
    places, sources = still[0, 0, :, 0], across(motion)
    radius = 0.9 * SIDE
    inside = places.abs() < 0.93 * radius
    # the middle of the face has gone to the picture's right
    assert sources[MIDDLE] < -0.4 * radius
    assert (sources[inside].diff() > -0.01).all()
    # the far ear would be seen between 0.87 and 1.15 radii: the cheek's edge is followed by what is beyond it
    edge = int((places < 0.93 * radius).sum())
    assert sources[edge - 1] < 0.9 * radius
    assert sources[edge + 3] > 1.1 * radius
    # at the near side more than is seen from the front would be seen: it is stretched, not smeared
    assert sources[int((places < -0.97 * radius).sum())] == pytest.approx(-radius, abs=0.12 * radius)


def test_a_face_turned_to_the_front_shows_skin_where_the_source_hides_it(
    surface: HeadSurface, still: Tensor
) -> None:
    aside_deg = 35
    motion, _ = surface.turned(still, seen(aside_deg), seen(0))
    sources, places = across(motion), still[0, 0, :, 0]
    aside = np.radians(aside_deg)
    outline = 0.9 * float(np.hypot(SIDE * np.cos(aside), DEPTH * np.sin(aside)))
    turned = 0.9 * SIDE
    # the half of the face that was turned away, up to its edge
    uncovered = (places > 0.3 * turned) & (places < 0.93 * turned)
    assert uncovered.sum() > 5
    assert sources[uncovered].max() < outline


def test_to_the_other_side_it_is_the_mirror_image(surface: HeadSurface, still: Tensor) -> None:
    right, _ = surface.turned(still, seen(), seen(30))
    left, _ = surface.turned(still, seen(), seen(-30))
    assert across(left) == pytest.approx(-across(right).flip(0), abs=0.02)


def test_shoulders_stay_and_what_is_far_away_does(surface: HeadSurface, still: Tensor) -> None:
    motion, _ = surface.turned(still, seen(), seen(30))
    shift = (motion - still)[0]
    assert shift[-1].abs().max() < 0.12
    assert shift[:, 0].abs().max() < 0.15


def test_keypoints_that_are_hidden_decide_nothing(surface: HeadSurface, still: Tensor) -> None:
    plain, _ = surface.turned(still, seen(), seen(35))
    changed = {}
    for jaw in (397, 172):  # the far side's and the near one's
        odd = seen(35)
        odd[:, NUMBERS.index(jaw), 1] += 0.1
        other, _ = surface.turned(still, seen(), odd)
        changed[jaw] = float((other - plain).abs().max())
    assert changed[397] < 0.02
    assert changed[172] > 0.05


def test_each_frame_of_a_batch_is_as_it_is_alone(surface: HeadSurface, still: Tensor) -> None:
    driving = torch.cat([seen(5), seen(14), seen(-33)])
    together, shares = surface.turned(still.expand(3, -1, -1, -1), seen(), driving)
    for row in range(3):
        alone, share = surface.turned(still, seen(), driving[row : row + 1])
        assert share[0] == pytest.approx(shares[row])
        assert together[row] == pytest.approx(alone[0], abs=1e-4)


def test_outer_points_follow_the_mesh() -> None:
    assert {*BODY_POINTS} == {*OUTER[7:]}


def test_drawings_of_turned_heads_show_the_surface_and_no_paint_of_the_networks_own_motion() -> None:
    torch.manual_seed(0)
    model = MCNet(PRESETS["lite"]).eval()
    compositor = Compositor(model)
    with torch.inference_mode():
        state = model.encode_source(torch.rand(1, 3, 256, 256), Keypoints(seen()))
        driving = Keypoints(torch.cat([seen(2), seen(30)]))
        moved = compositor.moved(state, driving)
        motion = model.generator.generate(state.expand(2), driving).motion
        expected, share = HeadSurface(NUMBERS).turned(motion.person, seen(), driving.values)
    assert share.tolist() == [0, 1]
    torch.testing.assert_close(moved.person, expected)
    torch.testing.assert_close(moved.occlusion[0], motion.occlusion[0])
    assert moved.occlusion[1].min() == 1

from typing import Any

import numpy as np
import pytest
from face_tools import detector, mesh, scene
from occlusion_tools import microphone, passing

from mcnet_cli.face import Detector, Face, FaceTracker, Landmarks, follow, turned, turned_points, turned_size
from mcnet_cli.options import DetectorName

EMPTY = scene(480, 320, [])


class Counting:
    """A detector that counts its calls, and how many of them were thorough."""

    def __init__(self, inner: Detector) -> None:
        self.name, self.inner, self.calls, self.thorough = inner.name, inner, 0, 0

    def __call__(self, rgb: np.ndarray, *, thorough: bool = True) -> list[Face]:
        self.calls += 1
        self.thorough += thorough
        return self.inner(rgb, thorough=thorough)


class Blind:
    """A detector that never finds anything."""

    name: DetectorName = "blazeface"

    def __call__(self, rgb: np.ndarray, *, thorough: bool = True) -> list[Face]:
        return []


def middle_x(found: Landmarks) -> float:
    return float(found.points[:, 0].mean())


def test_a_moving_face_is_followed_without_the_detector() -> None:
    counting = Counting(detector())
    tracker = FaceTracker(counting, mesh())
    for step in range(8):
        found = tracker(scene(480, 320, [(60 + 12 * step, 80, 160)]))
        assert found is not None
        assert abs(middle_x(found) - (60 + 12 * step + 77)) < 8
    assert counting.calls == 1


def test_without_a_face_there_is_none_and_the_detector_finds_it_again() -> None:
    counting = Counting(detector())
    tracker = FaceTracker(counting, mesh())
    assert tracker(EMPTY) is None
    assert tracker(scene(480, 320, [(60, 80, 160)])) is not None
    assert tracker(EMPTY) is None
    again = tracker(scene(480, 320, [(260, 60, 200)]))
    assert again is not None
    assert abs(middle_x(again) - 357) < 10
    assert counting.calls == 4


def test_a_mesh_that_a_microphone_has_taken_along_comes_back_to_the_face() -> None:
    still = [scene(480, 400, [(120, 60, 240)])] * 12
    tracker = FaceTracker(detector(), mesh())
    found = [tracker(frame) for frame in passing(still, microphone, (220, 200), 260, range(4, 6))]
    assert found[0] is not None and found[-1] is not None
    assert np.abs(found[-1].points - found[0].points).max() < 3


def test_the_largest_face_is_followed_unless_another_is_chosen() -> None:
    two = scene(480, 320, [(20, 60, 200), (280, 80, 150)])
    largest, chosen = (
        FaceTracker(detector(), mesh())(two),
        FaceTracker(detector(), mesh(), which=1)(two),
    )
    assert largest is not None
    assert chosen is not None
    assert abs(middle_x(largest) - 117) < 10
    assert abs(middle_x(chosen) - 352) < 10


def test_after_a_gap_the_same_face_is_taken_up_again_and_not_a_larger_one() -> None:
    tracker = FaceTracker(detector(), mesh())
    assert tracker(scene(480, 320, [(290, 90, 150)])) is not None
    assert tracker(EMPTY) is None
    found = tracker(scene(480, 320, [(10, 50, 220), (285, 85, 150)]))
    assert found is not None
    assert abs(middle_x(found) - 357) < 10


def test_a_cut_to_another_place_is_noticed() -> None:
    counting = Counting(detector())
    tracker = FaceTracker(counting, mesh())
    tracker(scene(480, 320, [(10, 60, 200)]))
    found = tracker(scene(480, 320, [(300, 60, 120)]))
    assert found is not None
    assert abs(middle_x(found) - 358) < 10
    assert counting.calls == 2


def test_long_stretches_without_a_face_are_searched_for_small_ones_only_now_and_then() -> None:
    counting = Counting(Blind())
    tracker = FaceTracker(counting, mesh())
    for _ in range(125):
        assert tracker(EMPTY) is None
    assert counting.calls == 125
    assert counting.thorough == 35


def test_a_face_is_followed_alone_among_several_until_it_is_gone() -> None:
    two = scene(480, 320, [(20, 60, 200), (280, 80, 150)])
    small = min(detector()(two), key=lambda face: float(face.box[2] - face.box[0]))
    moved = follow(scene(480, 320, [(20, 60, 200), (290, 80, 150)]), mesh(), small.region)
    assert moved is not None
    assert abs(middle_x(moved) - 362) < 10
    assert follow(EMPTY, mesh(), small.region) is None


def crowd(*faces: tuple[int, int, int]) -> np.ndarray:
    return scene(640, 320, list(faces))


SMALL, LARGE = (20, 60, 150), (380, 40, 220)


@pytest.mark.parametrize(
    ("which", "x", "number"), [("largest", 490, 1), ("first", 490, 1), (0, 95, 0), (1, 490, 1)]
)
def test_the_face_that_was_asked_for_is_followed_and_told(which: Any, x: int, number: int) -> None:
    tracker = FaceTracker(detector(), mesh(), which=which)
    found = [tracker(crowd(SMALL, LARGE)) for _ in range(2)]
    assert all(face is not None and abs(face.points[:, 0].mean() - x) < 30 for face in found)
    assert tracker.choice == (number, 2)


def test_a_cut_to_another_person_is_told_or_counts_as_no_face() -> None:
    shots = [crowd(LARGE), crowd(SMALL), crowd(LARGE)]
    tracker = FaceTracker(detector(), mesh())
    assert all(tracker(shot) is not None for shot in shots)
    assert tracker.changes == [1, 2]
    keeping = FaceTracker(detector(), mesh(), which="first")
    assert [keeping(shot) is not None for shot in shots] == [True, False, True]
    assert keeping.changes == []


def test_a_face_that_no_frame_has_is_never_followed() -> None:
    tracker = FaceTracker(detector(), mesh(), which=2)
    assert tracker(crowd(SMALL, LARGE)) is None


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_face_that_lies_is_found_exactly_where_it_is_found_in_frames_that_stand(turns: int) -> None:
    upright, lying = FaceTracker(detector(), mesh()), FaceTracker(detector(), mesh())
    for frame in [crowd((20 + 6 * step, 60, 180)) for step in range(3)] + [crowd(), crowd((300, 20, 160))]:
        expected, found = upright(frame), lying(turned(frame, -turns))
        assert (expected is None) == (found is None)
        if expected is not None and found is not None:
            points = turned_points(found.points, turns, turned_size((frame.shape[1], frame.shape[0]), turns))
            assert np.abs(points - expected.points).max() < 1e-3
            assert (found.score, found.spread) == (expected.score, expected.spread)
            assert found.region.side == pytest.approx(expected.region.side, abs=1e-3)
    assert lying.changes == upright.changes


def test_the_number_of_a_face_that_lies_counts_in_the_frame_as_it_is() -> None:
    lying = turned(scene(320, 640, [(60, 40, 200), (80, 400, 160)]), 1)  # the lower face is on the right
    for number, y in ((0, 180), (1, 160)):
        tracker = FaceTracker(detector(), mesh(), which=number)
        found = tracker(lying)
        assert found is not None and tracker.choice == (number, 2)
        assert abs(middle_x(found) - (130, 470)[number]) < 20 and abs(found.points[:, 1].mean() - y) < 30

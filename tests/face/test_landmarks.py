import cv2
import numpy as np
import pytest
from face_tools import detector, mesh, portrait, portrait_face, turned
from places import DATA, EXAMPLES
from safetensors.numpy import load_file, save_file

from mcnet_cli.face import LID_OPENINGS, STEADY_LOOKS, FaceMesh, FaceTracker, Region, opening
from mcnet_cli.face.networks import AttentionMesh
from mcnet_cli.media import open_frames

LEFT_EYE, RIGHT_EYE, NOSE_TIP, CHIN = 33, 263, 1, 152
DRIVING = EXAMPLES / "driving.mp4"
GOLDEN = DATA / "landmarks.safetensors"  # made by running this file as a program


def test_landmarks_are_468_points_on_the_face() -> None:
    face = portrait_face()
    assert face.points.shape == (468, 2)
    assert face.points.dtype == np.float32
    assert face.score > 0.9
    left, right, nose, chin = face.points[[LEFT_EYE, RIGHT_EYE, NOSE_TIP, CHIN]]
    assert left[0] < nose[0] < right[0]
    assert left[1] < nose[1] < chin[1]


def test_landmarks_turn_with_the_picture() -> None:
    turn = cv2.getRotationMatrix2D((225, 122), 40, 1)
    expected = portrait_face().points @ turn[:, :2].T + turn[:, 2]
    (face,) = detector()(turned(portrait(), 40))
    found = mesh()(turned(portrait(), 40), face.region).points
    eyes = np.linalg.norm(expected[LEFT_EYE] - expected[RIGHT_EYE])
    assert np.linalg.norm(found - expected, axis=1).mean() < 0.04 * eyes


def test_landmarks_scale_with_the_picture_without_aliasing() -> None:
    large = cv2.resize(portrait(), None, fx=9, fy=9, interpolation=cv2.INTER_CUBIC)
    region = portrait_face().region
    found = mesh()(large, Region(region.box * 9, region.eyes * 9)).points / 9
    distances = np.linalg.norm(found - portrait_face().points, axis=1)
    assert distances.mean() < 0.6
    assert distances.max() < 2.5


def test_the_second_pass_mends_a_loose_region() -> None:
    region = portrait_face().region
    loose = Region(region.box + np.array([-25, -20, 15, 30], np.float32), region.eyes)
    exact = portrait_face().points
    once = np.linalg.norm(mesh().glance(portrait(), loose).points - exact, axis=1).mean()
    twice = np.linalg.norm(mesh()(portrait(), loose).points - exact, axis=1).mean()
    assert twice < once


def test_several_looks_depend_less_on_the_region_than_one() -> None:
    region, rng = portrait_face().region, np.random.default_rng(0)
    shifts = rng.normal(0, 0.02, (6, 4)) * np.ptp(region.box.reshape(2, 2), axis=0).max()
    regions = [Region((region.box + shift).astype(np.float32), region.eyes) for shift in shifts]
    spread = [
        np.std([FaceMesh(looks)(portrait(), near).points for near in regions], axis=0).mean()
        for looks in (1, STEADY_LOOKS)
    ]
    assert spread[1] < 0.9 * spread[0]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.045, 0.15])
@pytest.mark.parametrize("roll_deg", [0.0, 3.0, 15.0])
def test_a_face_that_is_followed_is_found_as_exactly_however_it_moved(share: float, roll_deg: float) -> None:
    now, steady, rgb = portrait_face(), FaceMesh(STEADY_LOOKS), portrait()
    turn = cv2.getRotationMatrix2D((225, 122), roll_deg, 1)
    eyes = now.region.eyes @ turn[:, :2].T + turn[:, 2]
    before = Region(now.region.box + np.float32(share * now.region.side), eyes.astype(np.float32))
    away = np.linalg.norm(steady.again(rgb, before).points - steady(rgb, now.region).points, axis=1).mean()
    assert away < 0.02 * np.linalg.norm(now.points[LEFT_EYE] - now.points[RIGHT_EYE])


@pytest.mark.parametrize(("share", "passes"), [(0.01, STEADY_LOOKS), (0.15, 2 * STEADY_LOOKS)])
def test_a_face_that_hardly_moved_is_not_looked_at_again(
    share: float, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    run = AttentionMesh.__call__
    monkeypatch.setattr(AttentionMesh, "__call__", lambda *asked: (looked.append(1), run(*asked))[1])
    region, steady = portrait_face().region, FaceMesh(STEADY_LOOKS)
    steady.again(portrait(), Region(region.box + np.float32(share * region.side), region.eyes))
    assert len(looked) == passes


def test_looks_side_by_side_see_the_same_as_one_after_the_other() -> None:
    threads = cv2.getNumThreads()
    found = []
    try:
        for count in (1, 2):
            cv2.setNumThreads(count)
            found.append(FaceMesh(STEADY_LOOKS).again(portrait(), portrait_face().region).points)
    finally:
        cv2.setNumThreads(threads)
    assert np.array_equal(*found)


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (5, 5, 5.1, 5.1), (-900, -900, -800, -800), (0, 0, 1e5, 1e5)])
def test_where_there_is_no_face_the_score_says_so(box: tuple[float, ...]) -> None:
    corners = np.array(box, np.float32)
    found = mesh()(portrait(), Region(corners, corners.reshape(2, 2)))
    assert np.isfinite(found.points).all()
    assert found.score < 0.5


def test_depth_grows_from_the_nose_to_the_sides() -> None:
    solid = mesh().solid(portrait(), portrait_face().region)
    np.testing.assert_allclose(solid[:, :2], portrait_face().points, atol=1.0)
    assert solid[NOSE_TIP, 2] < solid[[127, 356], 2].min() - 20


def test_lids_are_seen_to_close() -> None:
    tracker = FaceTracker(detector(), mesh())
    with open_frames(DRIVING) as frames:
        meshes = [tracker(frame) for frame in frames]
    openings = np.array([opening(found.points, LID_OPENINGS) for found in meshes if found is not None])
    assert len(openings) == len(meshes)
    assert openings.min() < 0.5 * np.median(openings)
    assert (openings < 0.5 * np.median(openings)).mean() < 0.3, "a blink is short"


def test_irises_turn_and_scale_with_the_picture() -> None:
    turn = 3 * cv2.getRotationMatrix2D((225, 122), 20, 1)
    larger = cv2.warpAffine(portrait(), turn, (1536, 1536), flags=cv2.INTER_CUBIC)
    box, eyes = (
        at @ turn[:, :2].T + turn[:, 2] for at in (portrait_face().points, portrait_face().region.eyes)
    )
    found = mesh()(larger, Region(np.float32([*box.min(0), *box.max(0)]), np.float32(eyes)))
    expected = portrait_face().irises @ turn[:, :2].T + turn[:, 2]
    radius = np.linalg.norm(expected[1] - expected[3]) / 2
    assert found.irises.shape == (10, 2)
    assert np.linalg.norm(found.irises - expected, axis=1).mean() < 0.15 * radius


def test_landmarks_of_the_example_stay_where_they_are() -> None:
    """The default network's keypoints are landmarks: a mesh that places them otherwise moves every face."""
    for found, expected in zip(of_the_driving(), load_file(GOLDEN)["points"], strict=True):
        eyes = np.linalg.norm(expected[LEFT_EYE] - expected[RIGHT_EYE])
        assert np.linalg.norm(found - expected, axis=1).mean() < 0.01 * eyes


def of_the_driving() -> list[np.ndarray]:
    """Landmarks of every fourth of the first frames of the example."""
    tracker = FaceTracker(detector(), mesh())
    with open_frames(DRIVING, max_frames=12) as frames:
        found = [face.points for face in map(tracker, frames) if face is not None]
    return found[::4]


if __name__ == "__main__":
    save_file({"points": np.stack(of_the_driving())}, GOLDEN)

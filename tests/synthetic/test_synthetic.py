import dataclasses
import functools

import cv2
import numpy as np
import pytest
from face_tools import detector, mesh

from mcnet_cli.errors import UsageError
from mcnet_cli.face import Framing, Landmarks, clip_box, faces_in
from mcnet_cli.face.expression import template
from mcnet_cli.face.topology import EYE_OUTLINES, MESH_POINTS, MOUTH_OUTLINE, OVAL
from mcnet_cli.synthetic import Expression, Identity, Pose, SyntheticClip, render, render_clip
from mcnet_cli.synthetic.mesh import triangles, unrolled
from mcnet_cli.synthetic.render import NOTHING, interpolated, owners

SIZE = 256
UPPER_LIP, LOWER_LIP, MOUTH_LEFT, MOUTH_RIGHT = 13, 14, 61, 291
UPPER_LIDS, LOWER_LIDS, EYE_LEFT, EYE_RIGHT = (159, 386), (145, 374), 33, 263
NOSE, CHIN, FOREHEAD = 1, 152, 10


@functools.cache
def clip() -> SyntheticClip:
    return render_clip(seed=1, frames=20, size=128)


def points_of(seed: int = 0, pose: Pose | None = None, **expression: float) -> np.ndarray:
    """Exact landmarks of one picture; a small one, for they don't depend on its size."""
    _, points = render(Identity.draw(seed), pose or Pose(), Expression(**expression), 32)
    return points / 32


def found_in(picture: np.ndarray) -> Landmarks | None:
    faces = faces_in(picture, detector(), mesh())
    return max(faces, key=lambda face: face.area) if faces else None


def inside_of(corners: np.ndarray) -> np.ndarray:
    """(SIZE, SIZE) the pixels within a polygon and not on its edge."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)
    return cv2.erode(mask, np.ones((3, 3))) > 0


def gap(points: np.ndarray, first: int, second: int) -> float:
    """The distance of two points, relative to that of the eyes' outer corners."""
    eyes = np.linalg.norm(points[EYE_RIGHT] - points[EYE_LEFT])
    return float(np.linalg.norm(points[first] - points[second]) / eyes)


def test_a_clip_has_frames_and_landmarks() -> None:
    assert clip().frames.shape == (20, 128, 128, 3)
    assert clip().frames.dtype == np.uint8
    assert clip().landmarks.shape == (20, 468, 2)
    assert clip().landmarks.dtype == np.float32
    assert np.isfinite(clip().landmarks).all()


def test_a_seed_always_gives_the_same_clip() -> None:
    again = render_clip(seed=1, frames=20, size=128)
    np.testing.assert_array_equal(again.frames, clip().frames)
    np.testing.assert_array_equal(again.landmarks, clip().landmarks)


@pytest.mark.slow
def test_seeds_differ_in_face_colours_and_motion() -> None:
    other = render_clip(seed=2, frames=20, size=128)
    assert np.abs(other.frames.astype(int) - clip().frames).mean() > 20
    assert np.abs(other.landmarks - clip().landmarks).mean() > 1
    shapes = np.array([points_of(seed) for seed in range(6)])
    spread = np.linalg.norm(shapes - shapes.mean(0), axis=2).mean(1)
    assert (spread > 0.004).all()


def test_clips_are_framed_as_training_clips_are() -> None:
    box = clip_box(list(clip().landmarks), Framing())
    np.testing.assert_allclose([box.x, box.y, box.width, box.height], [0, 0, 128, 128], atol=0.5)


def test_a_clip_moves_speaks_and_blinks() -> None:
    landmarks = render_clip(seed=4, frames=75, size=32).landmarks
    lips = [gap(points, UPPER_LIP, LOWER_LIP) for points in landmarks]
    lids = [gap(points, UPPER_LIDS[0], LOWER_LIDS[0]) for points in landmarks]
    assert min(lips) < 0.05 < 0.15 < max(lips)
    assert min(lids) < 0.01 < 0.06 < max(lids)
    assert np.ptp(landmarks[:, NOSE], axis=0).max() > 1


@pytest.mark.parametrize("seed", range(8))
def test_the_shipped_face_mesh_finds_the_head_and_agrees_with_its_landmarks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for yaw in (-30, -12, 12, 30):
        pose = Pose(yaw=yaw, pitch=rng.uniform(-10, 10), roll=rng.uniform(-12, 12))
        expression = Expression(mouth=rng.uniform(0, 0.8), smile=rng.uniform(-0.2, 0.8))
        picture, exact = render(Identity.draw(seed), pose, expression, SIZE)
        found = found_in(picture)
        assert found is not None
        eyes = np.linalg.norm(exact[EYE_RIGHT] - exact[EYE_LEFT])
        assert np.linalg.norm(found.points - exact, axis=1).mean() < 0.1 * eyes


def test_the_lips_part_as_the_mouth_opens() -> None:
    gaps = [gap(points_of(mouth=mouth), UPPER_LIP, LOWER_LIP) for mouth in (0, 0.25, 0.5, 0.75, 1)]
    assert gaps[0] < 0.01
    assert (np.diff(gaps) > 0.04).all()


def test_the_lids_meet_as_the_eyes_close() -> None:
    for upper, lower in zip(UPPER_LIDS, LOWER_LIDS, strict=True):
        gaps = [gap(points_of(lids=lids), upper, lower) for lids in (0, 0.5, 1)]
        assert gaps[0] > 0.08
        assert gaps[1] == pytest.approx(gaps[0] / 2, rel=0.25)
        assert gaps[2] < 0.01


def test_the_shipped_face_mesh_sees_the_mouth_open() -> None:
    for seed in (0, 6, 9):
        pictures = (render(Identity.draw(seed), Pose(), Expression(mouth=m), SIZE)[0] for m in (0, 0.8))
        rest, speaking = (found_in(picture) for picture in pictures)
        assert rest and speaking
        opened = gap(speaking.points, UPPER_LIP, LOWER_LIP) - gap(rest.points, UPPER_LIP, LOWER_LIP)
        assert opened > 0.1


def test_closed_lids_hide_the_eyes() -> None:
    # Not by the face mesh: this one hardly moves its lids, in photos neither.
    for seed in (0, 3, 6):
        identity = Identity.draw(seed)
        awake, points = render(identity, Pose(), Expression(), SIZE)
        asleep, _ = render(identity, Pose(), Expression(lids=1), SIZE)
        for eye in EYE_OUTLINES:
            inside = inside_of(points[list(eye)])
            # Eyeballs are mostly grey, skin is not.
            colourful = [np.percentile(np.ptp(picture[inside], axis=1), 30) for picture in (awake, asleep)]
            assert colourful[0] < 0.5 * colourful[1]


def test_a_smile_widens_the_mouth_and_rounding_narrows_it() -> None:
    rest = gap(points_of(), MOUTH_LEFT, MOUTH_RIGHT)
    assert gap(points_of(smile=1), MOUTH_LEFT, MOUTH_RIGHT) > 1.05 * rest
    assert gap(points_of(rounding=1), MOUTH_LEFT, MOUTH_RIGHT) < 0.85 * rest
    corners = [MOUTH_LEFT, MOUTH_RIGHT]
    assert (points_of(smile=1)[corners, 1] < points_of()[corners, 1] - 0.005).all()


def test_the_head_turns_nods_and_tilts_as_told() -> None:
    rest = points_of()

    def nose_between_eyes(points: np.ndarray) -> np.ndarray:
        return points[NOSE] - points[[EYE_LEFT, EYE_RIGHT]].mean(0)

    assert nose_between_eyes(points_of(pose=Pose(yaw=20)))[0] > nose_between_eyes(rest)[0] + 0.03
    assert nose_between_eyes(points_of(pose=Pose(pitch=15)))[1] > nose_between_eyes(rest)[1] + 0.01
    left, right = points_of(pose=Pose(roll=20))[[EYE_LEFT, EYE_RIGHT]]
    assert np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0])) == pytest.approx(20, abs=2)


def test_the_head_moves_by_shares_of_the_picture_and_grows_about_its_middle() -> None:
    rest = points_of()
    np.testing.assert_allclose(points_of(pose=Pose(x=0.1, y=-0.05)), rest + np.array([0.1, -0.05]), atol=1e-5)
    zoomed = points_of(pose=Pose(zoom=1.2))
    np.testing.assert_allclose(zoomed - (0.5, 0.54), (rest - (0.5, 0.54)) * 1.2, atol=1e-5)


def test_the_irises_follow_the_gaze() -> None:
    identity = dataclasses.replace(Identity.draw(8), glasses=False)
    places = []
    for gaze in (-20, 0, 20):
        picture, points = render(identity, Pose(), Expression(gaze_x=gaze), SIZE)
        darkness = (255.0 - picture.mean(2)) ** 4 * inside_of(points[list(EYE_OUTLINES[0])])
        places.append(float((darkness.sum(0) * np.arange(SIZE)).sum() / darkness.sum()))
    assert places[0] + 1 < places[1] < places[2] - 1


def test_the_mouth_is_dark_or_teeth_and_not_lips_when_open() -> None:
    identity = Identity.draw(8)
    picture, points = render(identity, Pose(), Expression(mouth=0.9), SIZE)
    inside = picture[inside_of(points[list(MOUTH_OUTLINE)])].mean(1)
    assert inside.min() < 40 < 110 < inside.max()


def test_landmarks_scale_with_the_picture() -> None:
    identity, pose, expression = Identity.draw(3), Pose(yaw=10), Expression(mouth=0.4)
    small, points = render(identity, pose, expression, 128)
    large, twice = render(identity, pose, expression, 256)
    np.testing.assert_allclose(twice, 2 * points, rtol=1e-4)
    halved = cv2.resize(large, (128, 128), interpolation=cv2.INTER_AREA)
    assert np.abs(halved.astype(int) - small)[40:100, 40:90].mean() < 6


@pytest.mark.parametrize("arguments", [(-1, 10, 64), (0, 0, 64), (0, 10, 4)])
def test_impossible_clips_are_refused(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match="no synthetic clip"):
        render_clip(*arguments)


def test_every_mesh_point_is_in_a_triangle_and_they_tile_the_face() -> None:
    skin, holes = triangles()
    assert set(np.concatenate([skin, holes]).ravel().tolist()) == set(range(MESH_POINTS))
    corners = unrolled()[np.concatenate([skin, holes])]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2
    assert area == pytest.approx(cv2.contourArea(unrolled()[list(OVAL)].astype(np.float32)), rel=1e-3)


def test_the_average_face_is_symmetric_and_one_unit_high() -> None:
    face = template()
    mirrored = face * (-1, 1, 1)
    nearest = np.linalg.norm(mirrored[:, None] - face[None], axis=2).min(1)
    assert nearest.max() < 2e-4
    assert face[CHIN, 1] - face[FOREHEAD, 1] == pytest.approx(1, abs=1e-3)


def test_triangles_are_drawn_in_order_with_values_as_by_barycentric_coordinates() -> None:
    corners = np.array([[(1, 1), (19, 2), (3, 18)], [(6, 4), (18, 12), (5, 15)]], np.float64)
    values = np.random.default_rng(0).uniform(0, 9, (2, 3, 4)).astype(np.float32)
    owner = owners(corners, np.array([0, 1]), np.array([0, 1]), 20)
    drawn = interpolated(owner, corners, values)
    checked = {0: 0, 1: 0}
    for y in range(20):
        for x in range(20):
            shares = [_barycentric(triangle, x + 0.5, y + 0.5) for triangle in corners]
            margins = [share.min() for share in shares]
            if max(margins) < -0.2:
                assert owner[y, x] == NOTHING
            expected = 1 if margins[1] > 0.05 else 0 if margins[0] > 0.05 and margins[1] < -0.2 else None
            if expected is not None:
                assert owner[y, x] == expected
                np.testing.assert_allclose(drawn[y, x], shares[expected] @ values[expected], atol=1e-3)
                checked[expected] += 1
    assert min(checked.values()) > 10


def _barycentric(triangle: np.ndarray, x: float, y: float) -> np.ndarray:
    return np.linalg.solve(np.vstack([triangle.T, np.ones(3)]), [x, y, 1])

"""Gaze: the source's eyes turn as the driving's do, inside their lids."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from face_tools import animator, example, mesh, portrait, portrait_face

from mcnet_cli import Motion, Transfer
from mcnet_cli.animation.frames import frames_of
from mcnet_cli.animation.retarget import Retargeting, SourcePose
from mcnet_cli.errors import UsageError
from mcnet_cli.model import Keypoints
from mcnet_cli.motion.gaze import EyeLandmarks, gaze_shifts
from mcnet_cli.motion.reference import single_reference

EYE_PX = float(np.linalg.norm(portrait_face().points[33] - portrait_face().points[133]))


def landmarks_of(shifts: np.ndarray, openings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(T, 468, 2) and (T, 10, 2) of eyes one unit wide, by how far irises are moved and lids are open."""
    points, irises = np.zeros((len(shifts), 468, 2)), np.zeros((len(shifts), 10, 2))
    for eye, (outer, inner, upper, lower, x) in enumerate(
        [(33, 133, 159, 145, 0.0), (263, 362, 386, 374, 3.0)]
    ):
        inward = 1.0 if eye == 0 else -1.0
        points[:, outer], points[:, inner] = (x, 0), (x + inward, 0)
        points[:, upper, 0] = points[:, lower, 0] = x + inward / 2
        points[:, upper, 1], points[:, lower, 1] = -openings / 2, openings / 2
        irises[:, 5 * eye : 5 * eye + 5] = (x + inward / 2, 0)
    irises += shifts[:, None]
    return points, irises


def motion_of(shifts: np.ndarray, openings: np.ndarray | None = None) -> Motion:
    count = len(shifts)
    openings = np.full(count, 0.4) if openings is None else openings
    points, irises = (part.astype(np.float16) / 8 for part in landmarks_of(shifts, openings))
    values = np.zeros((count, 2, 2), np.float32)
    return Motion(values, None, points, np.ones(count, bool), Fraction(25), "0" * 64, irises)


def test_places_of_irises_depend_neither_on_the_pose_nor_on_the_size_of_the_face() -> None:
    points, irises = landmarks_of(np.array([(0.1, -0.05)]), np.array([0.3]))
    turn = 40 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    there = EyeLandmarks.of(points @ turn.T + 7, irises @ turn.T + 7)
    assert there.places == pytest.approx(EyeLandmarks.of(points, irises).places)
    assert there.places[0] == pytest.approx(np.array([(0.6, -0.05), (-0.4, -0.05)]))


def test_shifts_are_in_widths_of_an_eye_from_the_frame_that_motion_starts_from() -> None:
    asked = np.array([(0.0, 0.0), (0.1, 0.0), (0.1, -0.06), (-0.2, 0.02)])
    shifts = gaze_shifts(motion_of(asked), single_reference(1, 4))
    assert shifts == pytest.approx(asked - asked[1], abs=2e-3)  # half precision


def test_irises_behind_shut_lids_count_for_nothing() -> None:
    asked = np.array([(0.0, 0.0), (0.3, 0.3), (-0.3, 0.3), (0.15, 0.0)])
    shifts = gaze_shifts(motion_of(asked, np.array([0.4, 0.02, 0.03, 0.4])), single_reference(0, 4))
    assert shifts == pytest.approx(np.array([(0, 0), (0.05, 0), (0.1, 0), (0.15, 0)]), abs=2e-3)
    unseen = gaze_shifts(motion_of(asked, np.full(4, 0.02)), single_reference(0, 4))
    assert unseen is not None and (unseen == 0).all()


def test_frames_without_a_face_say_nothing() -> None:
    asked = np.array([(0.0, 0.0)] * 5 + [(0.1, 0.0), (0.2, 0.0)])
    motion = motion_of(asked)
    found = np.array([False] * 5 + [True, True])
    landmarks, irises = motion.landmarks.copy(), motion.irises.copy()  # type: ignore[union-attr]
    landmarks[~found], irises[~found] = 0, 0
    shifts = gaze_shifts(
        replace(motion, found=found, landmarks=landmarks, irises=irises), single_reference(5, 7)
    )
    assert shifts == pytest.approx(asked[[5, 5, 5, 5, 5, 5, 6]] - asked[5], abs=2e-3)


def still_motion(asked: np.ndarray) -> Motion:
    """The example's face at rest, but for its irises, which move by so many eye widths."""
    count, face = len(asked), portrait_face()
    irises = face.irises + EYE_PX * asked[:, None]
    values = example().faces[0].source.keypoints.values.numpy().repeat(count, 0)
    points, irises = ((part / 256 - 1).astype(np.float16) for part in (face.points, irises))
    rest = (values, None, points[None].repeat(count, 0), np.ones(count, bool))
    return Motion(*rest, Fraction(25), animator().renderer.digest, irises)


def shown(motion: Motion, transfer: Transfer) -> list[np.ndarray]:
    return list(animator().render(example(), motion, transfer))


def looks(frame: np.ndarray) -> np.ndarray:
    """Where the irises of a frame are, in eye widths; the mean of both."""
    irises = mesh()(frame, portrait_face().region).irises
    looks: np.ndarray = irises[[0, 5]].mean(0) / EYE_PX
    return looks


def test_eyes_look_where_the_drivings_do_and_nothing_else_moves() -> None:
    asked = np.array([(0.0, 0.0), (-0.12, 0.0), (0.12, 0.0)])
    frames = shown(still_motion(asked), Transfer(reference="first", smooth=0))
    left, right = (looks(frame)[0] - looks(frames[0])[0] for frame in frames[1:])
    assert -0.16 < left < -0.08 and 0.08 < right < 0.16
    lids = np.zeros(portrait().shape[:2], bool)
    for eye in (slice(0, 1), slice(1, 2)):
        corners = np.array([(33, 133), (263, 362)][eye]).ravel()
        (x0, y0), (x1, y1) = portrait_face().points[corners].min(0), portrait_face().points[corners].max(0)
        lids[int(y0) - 8 : int(y1) + 8, int(x0) - 2 : int(x1) + 3] = True
    for frame in frames[1:]:
        assert (frame[~lids] == frames[0][~lids]).all()


def test_eyes_can_be_left_as_they_look_in_the_source() -> None:
    motion = still_motion(np.array([(0.0, 0.0), (0.12, 0.0)]))
    frames = shown(motion, Transfer(reference="first", smooth=0, gaze="source"))
    assert (frames[0] == frames[1]).all()
    without = shown(replace(motion, irises=None), Transfer(reference="first", smooth=0))
    assert (without[1] == frames[0]).all()  # files of former versions say nothing of gaze
    with pytest.raises(UsageError, match="--gaze"):
        Transfer(gaze="camera")  # type: ignore[arg-type]


def test_an_iris_stays_where_it_is_while_lids_close_over_it() -> None:
    face = example().faces[0]
    source = face.source.keypoints
    retargeting = Retargeting(still_motion(np.zeros((2, 2))), Transfer(), face, animator().landmarks, 0)
    blink = Keypoints(source.values.clone())
    upper, lower = (animator().landmarks.index(point) for point in (159, 145))
    blink.values[:, upper] = blink.values[:, lower].lerp(blink.values[:, upper], 0.5)
    pose = retargeting.pose(np.array([0]))
    assert pose.gaze is not None and retargeting._gaze is not None
    gaze = retargeting._gaze.gaze(np.array([0]), blink)
    assert torch.allclose(gaze.driving, gaze.source, atol=1e-6)
    made = frames_of(example(), animator().renderer, "photo", "still", None)
    (kept,), (moved,) = made([SourcePose(blink, gaze)]), made([SourcePose(blink)])
    assert (kept != moved).any()

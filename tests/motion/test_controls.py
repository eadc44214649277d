"""Controls: pose and expression by numbers move the source's own face."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from face_tools import animator, example, mesh, portrait_face

from mcnet_cli import Controls, Keyframes, Motion, Transfer, UsageError, bundled_motions, joined
from mcnet_cli.animation.retarget import Retargeting
from mcnet_cli.compositing.head import HeadPoints
from mcnet_cli.face import LID_OPENINGS, MOUTH_OPENING, opening
from mcnet_cli.model import Keypoints
from mcnet_cli.motion.controls import CONTROLS
from mcnet_cli.motion.heads import ControlledFace

NUMBERS = animator().landmarks
AT = {number: place for place, number in enumerate(NUMBERS)}


def posed(motion: Motion, transfer: Transfer | None = None) -> np.ndarray:
    """(T, K, 2) keypoints of the example's face in all frames of a motion."""
    retargeting = Retargeting(motion, transfer or Transfer(), example().faces[0], NUMBERS, 0.0)
    values: np.ndarray = retargeting.keypoints(np.arange(len(motion))).values.numpy()
    return values


def controlled(**controls: float) -> np.ndarray:
    """(K, 2) keypoints of the example's face with these controls."""
    return posed(Motion.of(Controls.of(**controls)))[0]


STILL = controlled()
EYES = float(np.linalg.norm(STILL[AT[33]] - STILL[AT[263]]))


def apart(values: np.ndarray, above: int, below: int) -> float:
    """How far one point is above another in the face, in distances of the eyes' outer corners."""
    right, down = values[AT[263]] - values[AT[33]], values[AT[below]] - values[AT[above]]
    return float(right[0] * down[1] - right[1] * down[0]) / float(np.linalg.norm(right)) / EYES


def turn_of(values: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll of a face beside those of the still one, in degrees."""
    points = HeadPoints(NUMBERS)
    before, after = (points.pose(torch.from_numpy(v)[None]).rotation[0] for v in (STILL, values))
    turn = (before.T @ after).numpy()
    return np.degrees([-np.arcsin(turn[0, 2]), np.arcsin(turn[1, 2]), np.arcsin(turn[1, 0])])


def test_without_controls_the_source_is_as_it_is() -> None:
    source = example().faces[0].source.keypoints.values[0].numpy()
    assert np.abs(STILL - source).max() < 1e-6


@pytest.mark.parametrize(("name", "axis"), [("yaw", 0), ("pitch", 1), ("roll", 2)])
@pytest.mark.parametrize("degrees", [-15, 20])
def test_the_head_turns_by_as_many_degrees_as_asked(name: str, axis: int, degrees: float) -> None:
    turns = turn_of(controlled(**{name: degrees}))
    assert abs(turns[axis]) == pytest.approx(abs(degrees), abs=1.5)
    assert np.abs(np.delete(turns, axis)).max() < 2.5


def test_turns_go_to_the_pictures_right_up_and_clockwise() -> None:
    nose, forehead = AT[1], AT[10]
    assert controlled(yaw=15)[nose, 0] > STILL[nose, 0]
    assert controlled(pitch=15)[nose, 1] < STILL[nose, 1]
    assert controlled(roll=15)[forehead, 0] > STILL[forehead, 0]


def test_shoulders_stay_where_the_head_turns_and_rise_with_a_breath() -> None:
    shoulders = [AT[476], AT[477]]
    assert np.abs(controlled(yaw=20, pitch=10)[shoulders] - STILL[shoulders]).max() < 1e-6
    risen = controlled(shoulders=0.05)[shoulders] - STILL[shoulders]
    assert (risen[:, 1] < -0.01).all()


def test_a_mouth_opens_with_the_jaw_and_shuts_no_further_than_its_lips_meet() -> None:
    half, whole, shut = (controlled(mouth=share) for share in (0.5, 1.0, -1.0))
    assert apart(STILL, 13, 14) < apart(half, 13, 14) < apart(whole, 13, 14)
    assert whole[AT[152], 1] > STILL[AT[152], 1] + 0.02  # the chin goes down
    assert apart(shut, 13, 14) == pytest.approx(0, abs=1e-5)


def test_lids_shut_by_the_eyes_own_gap_one_by_one() -> None:
    shut, wink, wide = controlled(eyes=-1), controlled(right_eye=-1), controlled(eyes=1)
    for above, below in ((159, 145), (386, 374)):
        assert apart(shut, above, below) < 0.15 * apart(STILL, above, below)
        assert apart(wide, above, below) > 1.2 * apart(STILL, above, below)
    assert apart(wink, 159, 145) == pytest.approx(apart(STILL, 159, 145), abs=1e-4)
    assert apart(wink, 386, 374) < 0.15 * apart(STILL, 386, 374)


def test_smiles_widen_the_mouth_and_brows_rise() -> None:
    def width(values: np.ndarray) -> float:
        return float(np.linalg.norm(values[AT[61]] - values[AT[291]]))

    assert width(controlled(smile=1)) > 1.05 * width(STILL) > 1.1 * width(controlled(rounding=1))
    assert controlled(smile=1)[AT[61], 1] < STILL[AT[61], 1]
    for brow in (105, 334):
        assert controlled(brows=1)[AT[brow], 1] < STILL[AT[brow], 1] < controlled(brows=-1)[AT[brow], 1]


def test_results_show_what_controls_ask_for() -> None:
    asked = Controls.of(mouth=[0, 0.8, 0, 0], eyes=[0, 0, -1, 0], yaw=[0, 0, 0, 15])
    still, mouth, shut, turned = (
        mesh()(frame, portrait_face().region) for frame in animator().render(example(), Motion.of(asked))
    )
    assert opening(mouth.points, MOUTH_OPENING) > 1.5 * opening(still.points, MOUTH_OPENING)
    assert opening(shut.points, LID_OPENINGS) < 0.4 * opening(still.points, LID_OPENINGS)
    noses = [face.points[1, 0] - face.points[[234, 454], 0].mean() for face in (still, turned)]
    assert noses[1] > noses[0] + 10


def test_eyes_look_where_they_are_told_to() -> None:
    asked = Controls.of(gaze_x=[0, 1, -1])
    still, right, left = (
        mesh()(frame, portrait_face().region).irises[[0, 5], 0].mean()
        for frame in animator().render(example(), Motion.of(asked))
    )
    assert left + 1 < still < right - 1


def test_controls_are_added_to_what_a_driving_does_whatever_its_strength_and_region() -> None:
    source = example().faces[0].source.keypoints.values.numpy()
    driving = Motion(
        source.repeat(2, 0), None, None, np.ones(2, bool), Fraction(25), animator().renderer.digest
    )
    for options in ({}, {"strength": 0.0}, {"region": ("eyes",)}):
        moved = posed(driving, Transfer(reference="first", controls=Controls.of(yaw=20), **options))
        assert np.abs(moved - controlled(yaw=20)).max() < 2e-3


def test_a_motions_own_controls_follow_strength_and_region() -> None:
    motion = Motion.of(Controls.of(yaw=20, mouth=0.6))
    half = posed(motion, Transfer(strength={"pose": 0.5}))[0]
    assert np.abs(half - controlled(yaw=10, mouth=0.6)).max() < 1e-6
    lips = posed(motion, Transfer(region=("lips",)))[0]
    assert np.abs(lips - controlled(mouth=0.6)).max() < 1e-6


def test_weights_lead_from_the_source_to_the_driving() -> None:
    source = example().faces[0].source.keypoints.values.numpy()
    there = source + np.array([0.1, 0])
    values = np.concatenate([source, there, there]).astype(np.float32)
    motion = Motion(values, None, None, np.ones(3, bool), Fraction(25), animator().renderer.digest)
    motion = replace(motion, weights=np.array([1, 1, 0.25], np.float32))
    first, whole, quarter = posed(motion, Transfer(reference="first", smooth=0))
    assert np.abs(quarter - first - 0.25 * (whole - first)).max() < 1e-5


@pytest.mark.parametrize("track", [{"jaw": 1.0}, {"yaw": 95.0}, {"smile": float("nan")}, {"eyes": -3.0}])
def test_controls_that_can_not_be_are_refused(track: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Controls.of(**track)


def test_learned_keypoints_have_no_controls() -> None:
    face = example().faces[0]
    for transfer in (Transfer(controls=Controls.of(yaw=5)), Transfer(region=("pose",))):
        with pytest.raises(UsageError, match="landmarks"):
            Retargeting(Motion.of(Controls.none(1)), transfer, face, (), 0.0)


def test_keyframes_ease_from_one_to_the_next_and_stay_beyond_them() -> None:
    yaw = Keyframes.of(yaw=[(1, 0), (2, 20)]).controls(101, 25)["yaw"]
    assert (yaw[:26] == 0).all() and yaw[50:] == pytest.approx(20)
    steps = np.diff(yaw[25:51])
    assert (steps >= 0).all() and steps[12] > 5 * max(steps[0], steps[-1])


@pytest.mark.parametrize("track", [[], [(1, 0), (1, 5)], [(2, 0), (1, 5)], [(-1, 0)], [(0, 200)]])
def test_keyframes_that_can_not_be_are_refused(track: list[tuple[float, float]]) -> None:
    with pytest.raises(UsageError):
        Keyframes.of(yaw=track)


@pytest.mark.parametrize("name", [motion.name for motion in bundled_motions()])
@pytest.mark.parametrize("rate", [25, Fraction(30000, 1001)])
def test_a_bundled_motion_begins_with_the_photo_and_ends_where_it_began(name: str, rate: Fraction) -> None:
    (bundled,) = (motion for motion in bundled_motions() if motion.name == name)
    motion = bundled.motion(rate)
    assert len(motion) == round(bundled.seconds * rate)
    controls = motion.controls
    assert controls is not None
    assert np.abs(controls.values[0]).max() < 1e-6
    steps = np.abs(np.diff(controls.normalised, axis=0)).max(1)
    assert np.abs(controls.normalised[0] - controls.normalised[-1]).max() <= steps.max()


def test_blinks_of_bundled_motions_close_faster_than_they_open() -> None:
    (blink,) = (motion for motion in bundled_motions() if motion.name == "blink")
    lids = -blink.motion(100).controls["left_eye"]  # type: ignore[index]
    shut = np.flatnonzero(lids > 0.95)
    closing, opening_ = shut[0] - np.flatnonzero(lids > 0.05)[0], np.flatnonzero(lids > 0.05)[-1] - shut[-1]
    assert 4 <= closing <= 12 and 1.5 * closing <= opening_ <= 3.5 * closing


@pytest.mark.parametrize("name", [name for name in CONTROLS if "gaze_x" not in name])
def test_every_control_moves_keypoints(name: str) -> None:
    amount = 0.05 if CONTROLS[name] == "pose" else 0.5
    assert np.abs(controlled(**{name: amount}) - STILL).max() > 1e-4


def test_a_bundled_motion_after_a_recorded_one_moves_the_face_as_it_does_alone() -> None:
    source = example().faces[0].source.keypoints.values.numpy()
    nod = bundled_motions()[1].motion()
    still = Motion(
        source.repeat(20, 0), None, None, np.ones(20, bool), Fraction(25), animator().renderer.digest
    )
    both = posed(joined([still, nod]), Transfer(reference="first", smooth=0))
    assert np.abs(both[-40:] - posed(nod)[-40:]).max() < 1e-4


def test_a_face_that_looks_aside_is_turned_less() -> None:
    ahead = ControlledFace(None, NUMBERS)
    turned = torch.from_numpy(controlled(yaw=30))[None]
    assert ahead.room_to_turn(Keypoints(torch.from_numpy(STILL)[None])) > 0.9
    assert ahead.room_to_turn(Keypoints(turned)) < 0.5

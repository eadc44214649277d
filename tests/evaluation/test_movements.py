"""What a face does over a clip, of faces that move, and whose parts move, by known amounts."""

import math

import numpy as np
import pytest
from face_tools import portrait_face

from mcnet_cli.evaluation.movements import STILL, Expressions, Trace, gaze_of
from mcnet_cli.face import LID_OPENINGS, Landmarks, opening
from mcnet_cli.face.outer import upper_face
from mcnet_cli.metrics import eye_distance, jitter, reach
from mcnet_cli.motion.gaze import EyeLandmarks

WAVE = np.sin(np.linspace(0, 9, 30))
EYES_PX = float(eye_distance(portrait_face().points))
EYE_PX = float(np.linalg.norm(portrait_face().points[33] - portrait_face().points[133]))


def face(mouth: float = 0, eyes: float = 0, smile: float = 0, brows: float = 0, gaze: float = 0) -> Landmarks:
    """The example's face, its openings, widths and heights changed by eye distances, gaze by eye widths."""
    points, irises = portrait_face().points.astype(np.float64), portrait_face().irises.astype(np.float64)
    for point, other, more in ((14, 13, mouth), (291, 61, smile), (145, 159, eyes), (374, 386, eyes)):
        apart = points[point] - points[other]
        points[point] += more * EYES_PX * apart / np.linalg.norm(apart)
    for brow, lid in ((105, 159), (334, 386)):
        apart = points[brow] - points[lid]
        points[brow] += brows * EYES_PX * apart / np.linalg.norm(apart)
    across = points[263] - points[33]
    irises += gaze * EYE_PX * across / np.linalg.norm(across)
    return Landmarks(points, 1.0, irises)


def figures(made: list[Landmarks], real: list[Landmarks]) -> dict[str, float]:
    expressions = Expressions()
    for ours, theirs in zip(made, real, strict=True):
        expressions.add(ours, theirs)
    return expressions.figures()


@pytest.mark.parametrize("name", STILL)
def test_the_gain_says_how_much_of_an_expression_arrives(name: str) -> None:
    real = [face(**{name: 0.04 * step}) for step in WAVE]
    found = figures([face(**{name: 0.02 * step}) for step in WAVE], real)
    assert found[name] == pytest.approx(1, abs=0.02)
    assert found[f"{name}_gain"] == pytest.approx(0.5, abs=0.02)
    against = figures([face(**{name: -0.04 * step}) for step in WAVE], real)
    assert against[name] == pytest.approx(-1, abs=0.02)
    assert against[f"{name}_gain"] == pytest.approx(1, abs=0.02), "gains tell nothing of directions"


def test_eyes_twice_as_large_that_close_by_the_same_share_have_a_gain_of_lids_of_one() -> None:
    own = float(opening(face().points, LID_OPENINGS)) / 2  # of one eye
    real = [face(eyes=0.3 * own * step) for step in WAVE]
    found = figures([face(eyes=own * (1 + 0.6 * step)) for step in WAVE], real)
    assert found["eyes_gain"] == pytest.approx(2, abs=0.02)
    assert found["lids_gain"] == pytest.approx(1, abs=0.02)
    assert math.isnan(figures(real, [face()] * len(WAVE))["lids_gain"]), "the driving's lids stay"


def test_a_result_that_stays_still_has_no_gain() -> None:
    found = figures([face()] * len(WAVE), [face(smile=0.04 * step) for step in WAVE])
    assert found["smile_gain"] == pytest.approx(0, abs=1e-9)
    assert math.isnan(found["smile"])


def test_what_the_driving_hardly_moves_has_no_figures() -> None:
    wave, faint = ([face(smile=size * step, gaze=0.05 * step) for step in WAVE] for size in (0.04, 0.004))
    found = figures(wave, faint)
    assert math.isnan(found["smile"]) and math.isnan(found["smile_gain"])
    assert found["gaze"] == pytest.approx(1)
    assert all(math.isnan(value) for value in figures([], []).values()), "no frame has a face"


@pytest.mark.parametrize("whose", ["result", "driving"])
def test_irises_behind_lids_that_are_shut_count_for_nothing(whose: str) -> None:
    real = [face(gaze=0.05 * step) for step in WAVE]
    blinking = [face(gaze=0.05 * step) for step in WAVE]
    eyes = EyeLandmarks.of(real[0].points, real[0].irises)
    shut = -float((np.linalg.norm(eyes.lower - eyes.upper, axis=-1)).min()) / EYES_PX
    for number in (3, 12):
        blinking[number] = face(eyes=0.95 * shut, gaze=0.5)
    pair = (blinking, real) if whose == "result" else (real, blinking)
    found = figures(*pair)
    assert found["gaze"] == pytest.approx(1, abs=1e-4)
    assert found["gaze_gain"] == pytest.approx(1, abs=1e-4)


def test_gaze_is_told_in_eye_widths_whatever_the_pose() -> None:
    there = face(gaze=0.1)
    turn = 3 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    turned = Landmarks(there.points @ turn, 1.0, there.irises @ turn)
    straight, rest = gaze_of(there), gaze_of(face())
    assert straight is not None and rest is not None and 0.3 < rest < 0.7
    assert straight - rest == pytest.approx(0.1, abs=0.01)
    assert gaze_of(turned) == pytest.approx(straight)


def test_the_iris_of_an_eye_that_is_turned_away_is_not_relied_on() -> None:
    turned = face()
    turned.points[133] = turned.points[33] + 0.2 * (turned.points[133] - turned.points[33])
    assert gaze_of(turned) is None


def test_a_trace_tells_the_movement_of_a_whole_clip() -> None:
    rng = np.random.default_rng(0)
    base = portrait_face().points.astype(np.float64)
    meshes = np.stack([base + rng.normal(0, 3, (468, 2)) + (n, 0) for n in range(9)])
    trace = Trace()
    for points in meshes:
        trace.add(points)
    eyes = eye_distance(meshes).mean()
    assert trace.reach == pytest.approx(reach(meshes[:, upper_face()]) / eyes)
    assert trace.jitter == pytest.approx(jitter(meshes) / eyes)


def test_a_trace_starts_anew_after_a_gap() -> None:
    base = portrait_face().points.astype(np.float64)
    whole, gapped = Trace(), Trace()
    for n in range(4):
        whole.add(base + n)
        gapped.add(base + n)
    gapped.gap()
    for n in range(4):
        gapped.add(base + 50 + n)
    assert whole.jitter == pytest.approx(0, abs=1e-9)
    assert gapped.jitter == pytest.approx(0, abs=1e-9), "the jump lies in the gap"


def test_a_long_trace_looks_at_frames_evenly_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcnet_cli.evaluation.movements.PLACES_KEPT", 32)
    base = portrait_face().points.astype(np.float64)
    trace = Trace()
    for n in range(1000):
        trace.add(base + 0.01 * n)
    everywhere = 0.01 * np.abs(np.arange(1000) - 499.5).mean() * math.sqrt(2) / eye_distance(base)
    assert trace.reach == pytest.approx(everywhere, rel=0.1)


def test_nothing_moves_in_an_empty_clip() -> None:
    assert math.isnan(Trace().reach)
    assert math.isnan(Trace().jitter)

"""Regions: lips, eyes, brows and the pose follow a driving by factors of their own."""

from fractions import Fraction

import numpy as np
import pytest
from face_tools import animator, example

from mcnet_cli import Controls, Motion, Transfer, UsageError
from mcnet_cli.animation.retarget import Retargeting
from mcnet_cli.motion.heads import part_of
from mcnet_cli.motion.transfer import region_factors

NUMBERS = animator().landmarks
AT = {number: place for place, number in enumerate(NUMBERS)}
HEAD = [place for number, place in AT.items() if number in (10, 234, 454, 1)]


HALF = {"eyes": 0.5, "brows": 0.5, "face": 0.5}


def keypoints(motion: Motion, **transfer: object) -> np.ndarray:
    options = {"reference": "first", "smooth": 0, **transfer}
    face = example().faces[0]
    retargeting = Retargeting(motion, Transfer(**options), face, NUMBERS, 0.0)
    values: np.ndarray = retargeting.keypoints(np.arange(len(motion))).values.numpy()
    return values


def driving(**controls: float) -> Motion:
    """The example's own face at rest, then as controls have it, as keypoints that were recorded."""
    asked = Controls.of(**{name: [0.0, value] for name, value in controls.items()})
    values = keypoints(Motion.of(asked))
    return Motion(values, None, None, np.ones(2, bool), Fraction(25), animator().renderer.digest)


DRIVING = driving(yaw=15, mouth=0.6, eyes=-1, brows=0.8)


def moved(**transfer: object) -> np.ndarray:
    """(K, 2) how far the keypoints go."""
    still, then = keypoints(DRIVING, **transfer)
    return then - still


def gap(values: np.ndarray, above: int, below: int) -> float:
    return float(np.linalg.norm(values[AT[above]] - values[AT[below]]))


def test_lips_and_eyes_alone_leave_the_head_still() -> None:
    way = moved(region=("lips", "eyes"))
    assert np.linalg.norm(way[HEAD], axis=1).max() < 0.01
    then = keypoints(DRIVING, region=("lips", "eyes"))[1]
    whole = keypoints(DRIVING)[1]
    assert gap(then, 13, 14) == pytest.approx(gap(whole, 13, 14), rel=0.15)
    assert gap(then, 159, 145) < 0.3 * gap(keypoints(DRIVING)[0], 159, 145)


def test_the_pose_alone_moves_the_head_and_keeps_the_expression() -> None:
    still, then = keypoints(DRIVING, region=("pose",))
    turned = keypoints(driving(yaw=15))[1]
    assert np.abs(then - turned).max() < 0.015
    assert gap(then, 13, 14) == pytest.approx(gap(still, 13, 14), abs=0.01)
    assert gap(then, 386, 374) == pytest.approx(gap(still, 386, 374), rel=0.15)


def test_brows_alone_move_nothing_else() -> None:
    way = np.linalg.norm(moved(region=("brows",)), axis=1)
    brows = [AT[105], AT[334]]
    assert way[brows].min() > 0.01
    others = [place for number, place in AT.items() if part_of(number) not in ("brows",)]
    assert way[others].max() < 0.005


def test_all_regions_together_are_the_whole_motion() -> None:
    whole, parts = keypoints(DRIVING), keypoints(DRIVING, region=("expression", "pose"))
    assert np.abs(whole - parts).max() < 1e-6


def test_a_regions_strength_scales_it_alone() -> None:
    whole, half = keypoints(DRIVING)[1], keypoints(DRIVING, strength={"lips": 0.5})[1]
    opened = gap(whole, 13, 14) - gap(keypoints(DRIVING)[0], 13, 14)
    halved = gap(half, 13, 14) - gap(keypoints(DRIVING)[0], 13, 14)
    assert halved == pytest.approx(0.5 * opened, rel=0.1)
    assert np.abs(whole[HEAD] - half[HEAD]).max() < 1e-4
    turned = [np.linalg.norm(moved(strength={"pose": factor})[AT[1]]) for factor in (1.0, 0.5)]
    assert turned[1] == pytest.approx(0.5 * turned[0], rel=0.1)


def test_a_strength_of_nothing_leaves_even_an_open_mouth_as_it_is() -> None:
    source = example().faces[0].source.keypoints.values[0].numpy()
    for options in ({"strength": 0.0}, {"strength": {"lips": 0.0, "pose": 0.0, "expression": 0.0}}):
        assert np.abs(keypoints(DRIVING, **options)[1] - source).max() < 0.005


@pytest.mark.parametrize(
    ("region", "strength", "expected"),
    [
        (("all",), 1.0, {"lips": 1, "eyes": 1, "brows": 1, "face": 1, "pose": 1}),
        (("lips", "pose"), 0.5, {"lips": 0.5, "eyes": 0, "brows": 0, "face": 0, "pose": 0.5}),
        (("all",), {"lips": 1.3, "expression": 0.5}, {"lips": 1.3, "pose": 1} | HALF),
        (("expression",), {"all": 2}, {"lips": 2, "eyes": 2, "brows": 2, "face": 2, "pose": 0}),
    ],
)
def test_factors_of_parts(region: tuple[str, ...], strength: object, expected: dict[str, float]) -> None:
    assert region_factors(region, strength) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("region", "strength", "says"),
    [
        (("nose",), 1.0, "nose"),
        ((), 1.0, "nothing"),
        (("all",), {"ears": 1.0}, "ears"),
        (("all",), {"lips": -1.0}, "lips|strength"),
        (("all",), 11.0, "at most 10"),
    ],
)
def test_regions_and_strengths_that_make_no_sense_are_refused(
    region: tuple[str, ...], strength: object, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        Transfer(region=region, strength=strength)  # type: ignore[arg-type]


def test_absolute_motion_has_neither() -> None:
    for options in ({"region": ("lips",)}, {"strength": 0.5}):
        with pytest.raises(UsageError, match="absolute"):
            Transfer(motion="absolute", **options)  # type: ignore[arg-type]

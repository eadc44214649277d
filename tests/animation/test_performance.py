"""Films without a driving, drivings that are edited in time, and results of one frame."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from animation_tools import frames_of, has_sound
from places import ROOT

from mcnet_cli import AnimationRequest, Controls, InputError, Keyframes, Motion, UsageError, animate, plan
from mcnet_cli.media import probe, read_image
from mcnet_cli.motion import read_motion, write_motion

PORTRAIT, DRIVING = ROOT / "examples" / "portrait.jpg", ROOT / "examples" / "driving.mp4"
SMALL = {"size": 128, "device": "cpu"}


def film(folder: Path, name: str = "film.mp4", driving: Path | None = None, **options: Any) -> Path:
    target = folder / name
    animate(
        AnimationRequest(
            sources=(PORTRAIT,), driving=driving, output=str(target), overwrite=True, **SMALL, **options
        )
    )
    return target


def shown(folder: Path, **options: Any) -> np.ndarray:
    """The film's frames (T, H, W, 3), without loss."""
    target = folder / f"run{len([*folder.glob('run*')])}"
    film(folder, f"{target.name}/%05d.png", **options)
    return np.stack([read_image(path) for path in sorted(target.glob("*.png"))])


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def test_a_name_that_no_file_has_is_a_motion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options: dict[str, Any] = {"sources": (PORTRAIT,), "driving": Path("blink"), "overwrite": True, **SMALL}
    report = animate(AnimationRequest(**options))
    assert [(result.output, result.frames) for result in report.results] == [("portrait--blink.mp4", 40)]
    assert len(frames_of(tmp_path / "portrait--blink.mp4")) == 40
    Path("blink").mkdir()
    with pytest.raises(InputError):
        plan(AnimationRequest(**options))


def test_a_portrait_alone_idles(tmp_path: Path) -> None:
    planned = plan(AnimationRequest(sources=(PORTRAIT,), output=f"{tmp_path}/a.mp4", **SMALL))
    assert (str(planned.driving.path), planned.driving.frames) == ("idle", 200)


@pytest.mark.slow
def test_numbers_alone_make_a_picture_or_a_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    turned = Keyframes.of(yaw=20, mouth=0.5)
    animate(AnimationRequest(sources=(PORTRAIT,), controls=turned, **SMALL))
    picture = read_image(tmp_path / "portrait--controls.png")
    assert picture.shape == (128, 128, 3)
    frames = shown(tmp_path, controls=turned, fps=Fraction(5))
    assert len(frames) == 15
    still = read_image(film(tmp_path, "still.png", controls=Keyframes.of(yaw=0)))
    assert apart(frames[0], still) == 0 and apart(frames[-1], picture) == 0 and apart(picture, still) > 2


def test_keyframes_make_a_film_until_the_last_of_them(tmp_path: Path) -> None:
    there_and_back = Keyframes.of(yaw=[(0, 0), (0.4, 15), (0.8, 0)])
    frames = shown(tmp_path, controls=there_and_back)
    assert len(frames) == 21
    assert apart(frames[0], frames[-1]) == 0 and apart(frames[0], frames[10]) > 1


@pytest.mark.slow
def test_numbers_are_added_to_a_driving(tmp_path: Path) -> None:
    plain, turned = (
        shown(tmp_path, driving=DRIVING, max_frames=3, controls=controls)
        for controls in (Keyframes(), Keyframes.of(yaw=20))
    )
    assert len(plain) == len(turned) == 3
    assert min(apart(a, b) for a, b in zip(plain, turned, strict=True)) > 2


@pytest.mark.slow
def test_a_film_lasts_as_long_as_asked_and_is_as_smooth_as_asked(tmp_path: Path) -> None:
    blink: dict[str, Any] = {"driving": Path("blink"), "fps": Fraction(10)}
    for options, count in (({"duration_s": 2.4}, 24), ({"loop": 2}, 32), ({"speed": 2.0}, 8)):
        path = film(tmp_path, **blink, **options)
        assert len(frames_of(path)) == count and probe(path).frame_rate == 10


@pytest.mark.slow
def test_more_frames_than_a_driving_has_are_interpolated(tmp_path: Path) -> None:
    # what `best` starts from is a mean over all frames that are shown
    options: dict[str, Any] = {"driving": DRIVING, "max_frames": 6, "smooth": 0.0, "reference": "first"}
    plain, finer = shown(tmp_path, **options), shown(tmp_path, **options, fps=Fraction(50))
    assert (len(plain), len(finer)) == (6, 12)
    assert max(apart(a, b) for a, b in zip(plain, finer[::2], strict=True)) < 0.1
    between = [apart(finer[n], finer[n + 1]) for n in range(10)]
    assert min(between) > 0  # no frame is shown twice


@pytest.mark.slow
def test_a_driving_that_is_played_at_another_speed_has_no_sound(tmp_path: Path) -> None:
    assert has_sound(film(tmp_path, driving=DRIVING, max_frames=4, loop=2))
    assert not has_sound(film(tmp_path, driving=DRIVING, max_frames=4, speed=0.5))


@pytest.mark.slow
def test_a_film_may_begin_and_end_with_the_photo_as_it_is(tmp_path: Path) -> None:
    still = read_image(film(tmp_path, "still.png", controls=Keyframes.of(yaw=0)))
    options: dict[str, Any] = {"driving": DRIVING, "max_frames": 12, "motion": "relative"}
    frames = shown(tmp_path, **options, fade_in_s=0.2, returns=True)
    assert apart(frames[0], still) == apart(frames[-1], still) == 0 < apart(frames[6], still)


@pytest.mark.slow
def test_a_reference_is_a_frame_of_the_driving_even_in_an_edited_film(tmp_path: Path) -> None:
    options: dict[str, Any] = {"driving": DRIVING, "max_frames": 8, "smooth": 0.0, "reference": 4}
    plain, faster = shown(tmp_path, **options), shown(tmp_path, **options, speed=2.0)
    assert max(apart(a, b) for a, b in zip(plain[::2], faster, strict=True)) < 0.1
    with pytest.raises(UsageError, match="doesn't show that frame"):
        film(tmp_path, **options, duration_s=0.04)


def test_several_frames_are_no_picture(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="several frames"):
        film(tmp_path, "one.png", driving=Path("nod"))
    assert read_image(film(tmp_path, "one.jpg", driving=Path("nod"), max_frames=1)).shape == (128, 128, 3)


def test_a_saved_motion_of_controls_is_that_motion_for_any_face(tmp_path: Path) -> None:
    path = tmp_path / "turn.motion"
    write_motion(path, Motion.of(Controls.of(yaw=[0, 10, 20])))
    assert path.stat().st_size < 1000
    frames = shown(tmp_path, driving=path)
    turned = shown(tmp_path, controls=Keyframes.of(yaw=20), duration_s=0.2, fade_in_s=0.1)
    assert apart(frames[2], turned[-1]) < 0.5 < 2 < apart(frames[2], frames[0])


@pytest.mark.slow
def test_a_motion_that_is_kept_has_its_edits_and_numbers(tmp_path: Path) -> None:
    kept = tmp_path / "kept.motion"
    film(tmp_path, driving=Path("blink"), controls=Keyframes.of(smile=0.5), loop=2, save_motion=kept)
    motion = read_motion(kept)
    assert len(motion) == 80
    assert motion.controls is not None and motion.controls["smile"] == pytest.approx(0.5)
    assert motion.controls["left_eye"].min() < -0.9


@pytest.mark.parametrize("options", [{"speed": 2.0}, {"loop": 2}, {"ping_pong": True}, {"duration_s": 3.0}])
def test_a_driving_beside_the_result_is_not_edited(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--compare"):
        AnimationRequest(sources=(PORTRAIT,), driving=DRIVING, compare=True, **options)

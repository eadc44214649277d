"""Which motion a result shows: the network's own, relative or absolute, saved, or with faces missing."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from animation_tools import (
    NO_CROP,
    difference,
    frames_of,
    motion_of,
    picture,
    rendered,
    run,
    write_clip,
    write_moving_clip,
    write_photo,
    write_tiny,
)

from mcnet_cli.animation import Animator
from mcnet_cli.checkpoint import build_model, read_weights
from mcnet_cli.errors import InputError, UsageError
from mcnet_cli.media import write_image
from mcnet_cli.motion import Motion, read_motion, write_motion


def tensor(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("size", [64, 256])
@torch.inference_mode()
def test_the_exact_path_gives_the_networks_own_predictions(tmp_path: Path, size: int) -> None:
    weights = write_tiny(tmp_path / "w.safetensors", size=size)
    clip = [picture(0.9 * number, size) for number in range(3)]
    source = write_photo(tmp_path / "photo.png", size=size)
    driving = write_clip(tmp_path / "clip.mp4", clip)
    decoded = frames_of(driving)
    model = build_model(read_weights(weights))
    state = model.encode_source(tensor(picture(0.4, size)))
    expected = np.stack(
        [
            (model.render(state, model.detect_keypoints(tensor(frame))) * 255).round()[0].permute(1, 2, 0)
            for frame in decoded
        ]
    )
    exact = {"weights": str(weights), "motion": "absolute", "precision": "fp32", "device": "cpu", **NO_CROP}
    for options in ({"batch_size": 1}, {}):
        away = np.abs(rendered(tmp_path, source, driving, **options, **exact).astype(int) - expected)
        assert away.max() <= 1  # the optimised network rounds otherwise
        assert (away > 0).mean() < 0.001


def test_the_batch_size_does_not_show(frames) -> None:
    one = frames(batch_size=1)
    assert np.abs(one.astype(int) - frames(batch_size=4)).max() <= 1
    assert one.std(0).max() > 5  # it does move


def test_the_same_input_gives_the_same_bytes(place: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        run(
            place / "photo.png",
            place / "clip.mp4",
            output=tmp_path / name,
            weights=str(place / "tiny.safetensors"),
            **NO_CROP,
        )
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_relative_motion_shows_the_source_unmoved_at_the_reference(frames, place: Path) -> None:
    result = frames(reference=2)
    still = frames(strength=0.0)
    assert all(np.array_equal(still[0], frame) for frame in still)
    assert np.array_equal(result[2], still[0])
    assert difference(result[0], still[0]) > 0.5


def test_the_best_reference_is_the_frame_like_the_source(frames, tmp_path: Path) -> None:
    source = tmp_path / "like.png"
    write_image(source, picture(0.9 * 3))
    assert np.abs(frames(source=source).astype(int) - frames(source=source, reference=3)).max() <= 1
    assert difference(frames(source=source), frames(source=source, reference="first")) > 0.2


def test_a_reference_beyond_the_clip_is_a_usage_error_unless_it_has_no_effect(frames) -> None:
    with pytest.raises(UsageError, match=r"--reference 6.*6 frames"):
        frames(reference=6)
    assert len(frames(reference=6, motion="absolute")) == 6


def test_absolute_motion_and_scale_adaptation_and_strength_have_effects(frames) -> None:
    plain = frames()
    for options in ({"motion": "absolute"}, {"adapt_scale": False}, {"strength": 2.0}):
        assert difference(plain, frames(**options)) > 0.01, options
    half, full = (difference(frames(strength=s), frames(strength=0.0)) for s in (0.3, 1.0))
    assert half < full


def test_smoothing_calms_the_motion_and_its_default_comes_with_the_weights(frames, tmp_path: Path) -> None:
    plain, smooth = frames(motion="absolute"), frames(motion="absolute", smooth=2.0)
    assert (
        np.abs(np.diff(smooth.astype(float), axis=0)).mean()
        < np.abs(np.diff(plain.astype(float), axis=0)).mean()
    )
    weights = str(write_tiny(tmp_path / "smooth.safetensors", smooth=2.0))
    assert np.array_equal(frames(weights=weights, motion="absolute"), smooth)
    assert np.array_equal(frames(weights=weights, motion="absolute", smooth=0.0), plain)


@pytest.mark.parametrize("jacobians", [True, False])
def test_a_saved_motion_drives_like_its_video(frames, tmp_path: Path, jacobians: bool) -> None:
    weights = str(write_tiny(tmp_path / "w.safetensors", jacobians=jacobians))
    saved = tmp_path / "clip.motion"
    from_video = frames(weights=weights, save_motion=saved)
    assert read_motion(saved).rate == Fraction(30000, 1001)
    assert np.array_equal(frames(weights=weights, driving=saved), from_video)
    half = {"weights": weights, "max_frames": 2, "batch_size": 1}
    assert np.abs(frames(driving=saved, **half).astype(int) - frames(**half)).max() <= 1


def test_a_motion_of_another_detector_is_an_input_error(frames, place: Path, tmp_path: Path) -> None:
    frames(save_motion=tmp_path / "clip.motion")
    other = write_tiny(tmp_path / "other.safetensors", seed=1)
    with pytest.raises(InputError, match=r"clip\.motion was made by another keypoint detector"):
        frames(driving=tmp_path / "clip.motion", weights=str(other))


def test_parts_of_a_motion_are_those_of_its_video(place: Path, tmp_path: Path) -> None:
    animator = Animator.load(place / "tiny.safetensors", device="cpu", detector=None)
    clip = write_moving_clip(tmp_path / "clip.mkv", 12, rate="10")
    whole = tmp_path / "clip.motion"
    write_motion(whole, animator.motion(clip, crop="none"))
    for part in ({"start_s": 0.5}, {"end_s": 0.7}, {"start_s": 0.3, "max_frames": 4}, {"fps": Fraction(5)}):
        expected = animator.motion(clip, crop="none", **part)
        actual = animator.motion(whole, crop="none", **part)
        assert (len(actual), actual.rate) == (len(expected), expected.rate), part
        assert np.allclose(actual.values, expected.values, atol=1e-5), part


@pytest.mark.parametrize(
    "rate", ["30000/1001", *(pytest.param(rate, marks=pytest.mark.slow) for rate in ("10", "25"))]
)
def test_a_motion_starts_and_ends_at_the_frames_of_its_video(place: Path, tmp_path: Path, rate: str) -> None:
    weights = place / "tiny.safetensors"
    clip = write_moving_clip(tmp_path / "clip.mkv", 32, rate=rate)
    animator = Animator.load(weights, device="cpu", detector=None)
    saved = tmp_path / "clip.motion"
    write_motion(saved, animator.motion(clip, crop="none"))
    spans = [(tenth / 10, 0.9) for tenth in range(1, 9)] + [(0.1, tenth / 10) for tenth in range(2, 9)]
    for start, end in spans:
        ours, theirs = (
            animator.motion(driving, crop="none", start_s=start, end_s=end) for driving in (saved, clip)
        )
        assert len(ours) == len(theirs), (start, end)
        assert np.allclose(ours.values, theirs.values, atol=1e-5), (start, end)


# Frames without a face, by a motion file that says so.


@pytest.fixture(scope="module")
def motion(place: Path) -> Motion:
    """What moves in the clip."""
    return motion_of(place / "clip.mp4", place / "tiny.safetensors")


@pytest.fixture
def gaps(motion: Motion, tmp_path: Path):
    """A motion of six frames, of which those at the dots have no face."""

    def make(found: str) -> Path:
        path = tmp_path / f"{found}.motion"
        write_motion(path, replace(motion, found=np.array([letter == "x" for letter in found])))
        return path

    return make


def test_hold_goes_over_from_the_last_pose_to_the_next(frames, gaps) -> None:
    result = frames(driving=gaps(".xx..x"), motion="absolute", batch_size=1)
    assert np.array_equal(result[0], result[1])
    to_last, to_next = ([difference(result[i], result[j]) for i in (3, 4)] for j in (2, 5))
    assert 0 < to_last[0] < to_last[1] and to_next[0] > to_next[1] > 0


def test_skip_leaves_the_frames_out(frames, gaps) -> None:
    whole = frames(driving=gaps("xxxxxx"), motion="absolute", batch_size=1)
    result = frames(driving=gaps(".xx..x"), motion="absolute", batch_size=1, on_no_face="skip")
    assert np.array_equal(result, whole[[1, 2, 5]])


@pytest.mark.parametrize("mode", ["absolute", "relative"])
def test_source_shows_the_source_unmoved(frames, gaps, mode: str) -> None:
    result = frames(driving=gaps(".xx..x"), motion=mode, on_no_face="source", batch_size=1)
    still = frames(strength=0.0, batch_size=1)[0]
    assert all(np.array_equal(result[i], still) for i in (0, 3, 4))
    assert difference(result[5], still) > 0.2


def test_fail_names_the_first_frame_without_a_face(frames, gaps) -> None:
    with pytest.raises(InputError, match="no face in frame 3"):
        frames(driving=gaps("xxx..x"), on_no_face="fail")


def test_frames_without_a_face_are_counted_and_never_the_reference(place: Path, gaps, tmp_path: Path) -> None:
    report = run(
        place / "photo.png",
        gaps(".xx..x"),
        output=tmp_path / "o.mp4",
        weights=str(place / "tiny.safetensors"),
        **NO_CROP,
    )
    assert report.results[0].no_face == 3
    assert "3 frames without a face" in report.as_text()

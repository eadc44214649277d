"""`animate` without faces: a tiny seeded network, small clips, real files."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from animation_tools import (
    FRAMING,
    NO_CROP,
    SIZE,
    difference,
    frames_of,
    has_sound,
    motion_of,
    picture,
    rendered,
    run,
    write_clip,
    write_moving_clip,
    write_photo,
    write_tiny,
)

from mcnet_cli.animation import (
    AnimationRequest,
    Animator,
    Motion,
    load_model,
    plan,
    read_motion,
    write_motion,
)
from mcnet_cli.checkpoint import build_model, read_weights, write_weights
from mcnet_cli.errors import InputError, UsageError, WeightsError
from mcnet_cli.face import CropBox
from mcnet_cli.media import open_frames, write_image
from mcnet_cli.progress import Progress


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights, a photo and a clip with sound."""
    folder = tmp_path_factory.mktemp("place")
    write_tiny(folder / "tiny.safetensors")
    write_photo(folder / "photo.png")
    write_moving_clip(folder / "clip.mp4", sound=True, rate="30000/1001")
    return folder


@pytest.fixture(scope="module")
def known() -> dict[str, np.ndarray]:
    """What has been rendered before; that the same input gives the same frames has a test of its own."""
    return {}


@pytest.fixture
def frames(place: Path, tmp_path: Path, known: dict[str, np.ndarray]):
    """Renders the photo with the clip and the given options, both uncropped."""

    def render(**options: object) -> np.ndarray:
        settings = {"weights": str(place / "tiny.safetensors"), **NO_CROP, **options}
        source, driving = (
            settings.pop("source", place / "photo.png"),
            settings.pop("driving", place / "clip.mp4"),
        )
        key = repr((source, driving, settings))
        if key not in known or {"save_motion", "crop_json"} & {*settings}:
            known[key] = rendered(tmp_path, source, driving, **settings)
        return known[key]

    return render


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
    assert np.array_equal(rendered(tmp_path, source, driving, batch_size=1, **exact), expected)
    assert np.abs(rendered(tmp_path, source, driving, **exact).astype(int) - expected).max() <= 1


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


def test_hold_repeats_the_last_pose(frames, gaps) -> None:
    result = frames(driving=gaps(".xx..x"), motion="absolute", batch_size=1)
    assert [np.array_equal(result[i], result[j]) for i, j in ((0, 1), (3, 2), (4, 2))] == [True] * 3
    assert difference(result[1], result[2]) > 0.2


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


# Crops.


def test_a_driving_crop_is_what_the_network_sees(frames, place: Path, tmp_path: Path) -> None:
    wide = [np.pad(frame, ((10, 20), (30, 5), (0, 0))) for frame in frames_of(place / "clip.mp4")]
    driving = write_clip(
        tmp_path / "wide.mp4", [np.pad(f, ((0, f.shape[0] % 2), (0, f.shape[1] % 2), (0, 0))) for f in wide]
    )
    options = {"motion": "absolute", "batch_size": 1}
    cropped = frames(driving=driving, driving_crop=CropBox(30, 10, SIZE, SIZE), **options)
    assert np.abs(cropped.astype(int) - frames(**options)).max() <= 2


def test_a_source_crop_is_animated_where_it_was_in_the_photo(frames, tmp_path: Path) -> None:
    photo = np.pad(picture(0.4), ((60, 80), (70, 90), (0, 0)), constant_values=77)
    write_image(tmp_path / "wide.png", photo)
    crop = {"source": tmp_path / "wide.png", "source_crop": CropBox(70, 60, SIZE, SIZE)}
    alone, whole = frames(**crop), frames(**crop, picture="photo")
    assert np.abs(alone.astype(int) - frames()).max() <= 2
    assert whole.shape[1:] == photo.shape
    outside = np.ones(photo.shape[:2], bool)
    reach = SIZE * 3 // 10  # of the motion, beyond the square on each side
    outside[60 - reach - 1 : 60 + SIZE + reach + 1, 70 - reach - 1 : 70 + SIZE + reach + 1] = False
    assert (whole[:, outside] == photo[outside]).all()
    assert difference(whole[:, ~outside], np.broadcast_to(photo[~outside], whole[:, ~outside].shape)) > 0.5


def test_a_whole_photo_as_the_source_keeps_its_size(frames, tmp_path: Path) -> None:
    write_photo(tmp_path / "large.png", size=100)
    source = tmp_path / "large.png"
    assert frames(source=source, picture="photo").shape[1:] == (100, 100, 3)
    assert frames(source=source, picture="photo", size=50).shape[1:] == (50, 50, 3)
    assert frames(source=source, picture="face", size=40).shape[1:] == (40, 40, 3)


def test_crops_are_saved_and_an_edited_file_is_used(frames, place: Path, tmp_path: Path) -> None:
    crops = tmp_path / "crops.json"
    box = CropBox(8, 4, SIZE - 16, SIZE - 16)
    options = {"crop_json": crops, "max_frames": 3}
    first = frames(source_crop=box, driving_crop=box, **options)
    again = frames(source_crop="auto", driving_crop="auto", **options)
    assert np.array_equal(again, first)
    crops.write_text(crops.read_text().replace("4.0", "9.0"))
    edited = frames(source_crop="auto", driving_crop="auto", **options)
    assert difference(first, edited) > 0.2


@pytest.mark.parametrize(
    "text", ["", "[]", '{"driving": [1, 2, 3]}', '{"sources": {"a": [[0, 0, -5, 5]]}}', "\xff"]
)
def test_a_bad_file_of_crops_is_an_input_error(frames, tmp_path: Path, text: str) -> None:
    (tmp_path / "crops.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"crops\.json"):
        frames(crop_json=tmp_path / "crops.json")


# Pictures, time, files.


def test_size_is_the_side_of_the_result(frames) -> None:
    assert frames(size=48).shape == (6, 48, 48, 3)
    large = frames(size=2 * SIZE)
    assert difference(large[:, ::2, ::2], frames()) < 6


def test_compare_shows_source_driving_and_result_in_step(frames, place: Path) -> None:
    both, result = frames(compare=True, batch_size=4), frames()
    assert both.shape == (6, SIZE, 3 * SIZE, 3)
    assert (both[:, :, :SIZE] == picture(0.4)).all()
    assert np.array_equal(both[:, :, SIZE : 2 * SIZE], frames_of(place / "clip.mp4"))
    assert np.array_equal(both[:, :, 2 * SIZE :], result)


@pytest.mark.parametrize(
    ("part", "count"), [({"start_s": 0.1}, 3), ({"end_s": 0.1}, 3), ({"max_frames": 2}, 2)]
)
def test_start_end_and_max_frames_cut_the_driving(frames, part: dict[str, float], count: int) -> None:
    whole = frames(motion="absolute", batch_size=1)
    result = frames(motion="absolute", batch_size=1, **part)
    assert len(result) == count
    first = 3 if "start_s" in part else 0
    assert np.array_equal(result, whole[first : first + count])


def test_a_film_has_the_drivings_exact_rate_and_sound(place: Path, tmp_path: Path) -> None:
    options = {"weights": str(place / "tiny.safetensors"), **NO_CROP}
    report = run(place / "photo.png", place / "clip.mp4", output=tmp_path / "a.mp4", **options)
    with open_frames(tmp_path / "a.mp4") as film:
        assert (film.frame_rate, len([*film]), film.audio is not None) == (Fraction(30000, 1001), 6, True)
    (result,) = report.results
    assert (result.frames, result.rate, result.damaged, result.no_face) == (
        6,
        Fraction(30000, 1001),
        False,
        0,
    )
    assert result.seconds > 0
    assert report.detector is None
    run(place / "photo.png", place / "clip.mp4", output=tmp_path / "b.mp4", audio=False, **options)
    assert not has_sound(tmp_path / "b.mp4")


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.gif", "a.webp"])
def test_other_kinds_of_film(place: Path, tmp_path: Path, name: str) -> None:
    run(
        place / "photo.png",
        place / "clip.mp4",
        output=tmp_path / name,
        weights=str(place / "tiny.safetensors"),
        **NO_CROP,
    )
    film = frames_of(tmp_path / name)
    assert film.shape[1:] == (SIZE, SIZE, 3)
    assert film.std(0).max() > 5


def test_a_folder_of_pictures_drives_in_natural_order_at_its_rate(
    frames, place: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, frame in enumerate(frames_of(place / "clip.mp4"), 8):
        write_image(folder / f"{number}.png", frame)
    same = {"motion": "absolute", "batch_size": 1}
    assert np.array_equal(frames(driving=folder, **same), frames(**same))
    motion = motion_of(folder, place / "tiny.safetensors")
    assert motion.rate == 25
    faster = motion_of(folder, place / "tiny.safetensors", fps=Fraction(30000, 1001))
    assert (faster.rate, len(faster)) == (Fraction(30000, 1001), 6)


def test_one_picture_drives_one_frame(frames, place: Path) -> None:
    assert len(frames(driving=place / "photo.png")) == 1


def test_many_sources_fill_a_folder_and_read_the_driving_once(place: Path, tmp_path: Path) -> None:
    sources = tuple(write_photo(tmp_path / f"{name}.png", shift) for name, shift in (("a", 0.0), ("b", 2.0)))
    seen: list[Progress] = []
    report = run(
        sources,
        place / "clip.mp4",
        output=f"{tmp_path}/films/",
        weights=str(place / "tiny.safetensors"),
        see=seen.append,
        **NO_CROP,
    )
    films = [tmp_path / "films" / f"{name}--clip.mp4" for name in "ab"]
    assert [Path(result.output) for result in report.results] == films
    assert difference(frames_of(films[0]), frames_of(films[1])) > 2
    assert [now.done for now in seen if now.stage == "reading the driving"] == [1, 2, 3, 4, 5, 6]
    assert [now.done for now in seen if now.stage == "rendering"] == [1, 2, 3, 4, 5, 6] * 2
    assert seen[-1].total == 6


def test_a_dry_run_says_what_would_be_done_and_does_nothing(place: Path, tmp_path: Path) -> None:
    planned = plan(
        AnimationRequest(
            sources=(place / "photo.png",),
            driving=place / "clip.mp4",
            output=f"{tmp_path}/new/",
            weights=str(place / "tiny.safetensors"),
            crop_json=tmp_path / "crops.json",
            save_motion=tmp_path / "a.motion",
            compare=True,
            **NO_CROP,
        )
    )
    assert not [*tmp_path.iterdir()]
    data = planned.as_json()
    assert data["dry_run"] and data["driving"]["frames"] == 6 and data["driving"]["sound"]
    assert data["driving"]["size"] == [SIZE, SIZE]
    assert data["results"][0]["output_size"] == [3 * SIZE, SIZE]
    assert "nothing was rendered" in planned.as_text()


def test_a_failure_in_the_middle_leaves_nothing(place: Path, tmp_path: Path) -> None:
    def stop(now: Progress) -> None:
        if now.stage == "rendering" and now.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(
            place / "photo.png",
            place / "clip.mp4",
            output=tmp_path / "a.mp4",
            weights=str(place / "tiny.safetensors"),
            see=stop,
            **NO_CROP,
        )
    assert not [*tmp_path.iterdir()]


def test_a_failure_leaves_no_motion_no_crops_and_no_folder(place: Path, tmp_path: Path) -> None:
    def stop(now: Progress) -> None:
        if now.stage == "rendering":
            raise InputError("enough")

    with pytest.raises(InputError, match="enough"):
        run(
            place / "photo.png",
            place / "clip.mp4",
            output=f"{tmp_path}/some/films/",
            save_motion=tmp_path / "a.motion",
            crop_json=tmp_path / "crops.json",
            weights=str(place / "tiny.safetensors"),
            see=stop,
            **NO_CROP,
        )
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"source": Path("gone.png")}, InputError),
        ({"driving": Path("gone.mp4")}, InputError),
        ({"weights": "gone.safetensors"}, WeightsError),
        ({"device": "tpu"}, UsageError),
        ({"source_crop": "1,2,3"}, UsageError),
        ({"driving_crop": "a,b,c,d"}, UsageError),
    ],
)
def test_what_can_fail_early_fails_before_anything_is_written(
    frames, tmp_path: Path, options: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        frames(**options)
    assert not [*tmp_path.rglob("*.png")]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_close_to_float32(frames, precision: str) -> None:
    exact, half = frames(), frames(precision=precision)
    assert 0 < difference(exact, half) < 3


def test_load_model_gives_the_network(place: Path) -> None:
    model = load_model(str(place / "tiny.safetensors"), device="cpu")
    assert model.config.size == SIZE
    assert not model.training


def test_weights_that_give_no_numbers_are_named(frames, tmp_path: Path) -> None:
    good = read_weights(write_tiny(tmp_path / "w.safetensors"))
    state = {name: value.clone() for name, value in good.state.items()}
    state["kp_detector.kp.weight"] = state["kp_detector.kp.weight"].sign() * 3e38
    state["kp_detector.predictor.decoder.up_blocks.1.norm.weight"] *= 1e6
    bad = tmp_path / "bad.safetensors"
    write_weights(bad, state, good.config, framing=FRAMING, smooth=None, card={}, half=False)
    with pytest.raises(WeightsError, match=r"bad\.safetensors"):
        frames(weights=str(tmp_path / "bad.safetensors"))

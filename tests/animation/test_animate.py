"""`animate` without faces: a tiny seeded network, small clips, real files."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from animation_tools import (
    FRAMING,
    NO_CROP,
    SIZE,
    difference,
    frames_of,
    has_sound,
    motion_of,
    picture,
    run,
    write_clip,
    write_photo,
    write_tiny,
)

from mcnet_cli.animation import AnimationRequest, load_model, plan
from mcnet_cli.checkpoint import read_weights, write_weights
from mcnet_cli.errors import InputError, UsageError, WeightsError
from mcnet_cli.face import CropBox
from mcnet_cli.media import open_frames, write_image
from mcnet_cli.progress import Progress

# Crops.


def test_a_driving_crop_is_what_the_network_sees(frames, place: Path, tmp_path: Path) -> None:
    wide = [np.pad(frame, ((10, 20), (30, 5), (0, 0))) for frame in frames_of(place / "clip.mp4")]
    driving = write_clip(
        tmp_path / "wide.mp4", [np.pad(f, ((0, f.shape[0] % 2), (0, f.shape[1] % 2), (0, 0))) for f in wide]
    )
    options = {"motion": "absolute", "batch_size": 1}
    cropped = frames(driving=driving, driving_crop=CropBox(30, 10, SIZE, SIZE), **options)
    assert np.abs(cropped.astype(int) - frames(**options)).max() <= 2


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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

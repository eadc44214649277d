"""`animate` on real faces: crops, the choice of a face, frames without one, pasting back."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from animation_tools import difference, frames_of, has_sound, motion_of, rendered, run, write_clip, write_tiny
from places import EXAMPLES

from mcnet_cli.animation import AnimationRequest, animate, plan
from mcnet_cli.animation.source import FaceFinder, find_faces
from mcnet_cli.errors import InputError, UsageError
from mcnet_cli.face import CropBox, Framing, crop
from mcnet_cli.media import read_image, write_image

PORTRAIT = EXAMPLES / "portrait.jpg"
SIDE = 320
BLANK = np.full((SIDE, SIDE, 3), 90, np.uint8)

Render = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """The example portrait's head and shoulders, SIDE pixels wide and high."""
    photo = read_image(PORTRAIT)
    side = min(photo.shape[:2])
    return cv2.resize(photo[:side, :side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """Weights, the portrait, a clip of it in motion, and clips with frames that show nobody."""
    folder = tmp_path_factory.mktemp("faces")
    write_tiny(folder / "tiny.safetensors")
    write_image(folder / "photo.png", portrait)
    seen = [moved(portrait, shift) for shift in (0, 5, 10, 16)]
    write_clip(folder / "clip.mp4", seen, sound=True, lossless=False)
    gaps = [BLANK, seen[0], BLANK, seen[1], seen[2], seen[3], BLANK]
    write_clip(folder / "gaps.mp4", gaps, sound=True, lossless=False)
    write_clip(folder / "edges.mp4", [BLANK, BLANK, *seen, BLANK], sound=True, lossless=False)
    write_clip(folder / "nobody.mp4", [BLANK] * 3, lossless=False)
    write_image(folder / "nobody.png", BLANK)
    return folder


@pytest.fixture
def frames(place: Path, tmp_path: Path) -> Render:
    """Renders the portrait with the moving one, with the given options."""

    def render(source: str = "photo.png", driving: str = "clip.mp4", **options: object) -> np.ndarray:
        settings = {"weights": str(place / "tiny.safetensors"), "batch_size": 1, **options}
        return rendered(tmp_path, place / source, place / driving, **settings)

    return render


def moved(photo: np.ndarray, shift: float) -> np.ndarray:
    """The photo turned and moved a little."""
    turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 3), shift / 2, 1 + shift / 200)
    turn[:, 2] += shift / 2, shift / 4
    return cv2.warpAffine(photo, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)


def test_both_sides_are_cropped_to_the_face_by_themselves(place: Path, tmp_path: Path) -> None:
    crops = tmp_path / "crops.json"
    weights = str(place / "tiny.safetensors")
    options = {"weights": weights, "crop_json": crops}
    report = run(place / "photo.png", place / "clip.mp4", output=tmp_path / "a.mp4", **options)
    assert report.detector == "blazeface"
    assert "faces by blazeface" in report.as_text()
    saved = json.loads(crops.read_text())
    for x, y, width, height in (saved["driving"], *saved["sources"]["photo.png"]):
        assert width == height
        assert 0.3 * SIDE < width < 1.2 * SIDE
        assert -0.3 * SIDE < x < 0.7 * SIDE and -0.3 * SIDE < y < 0.7 * SIDE


def test_saved_crops_give_the_same_film_again(frames: Render, tmp_path: Path) -> None:
    crops = tmp_path / "crops.json"
    options = {"crop_json": crops, "reference": "first", "max_frames": 3}
    first = frames(**options)
    assert np.abs(first.astype(int) - frames(**options)).max() <= 3


def test_the_crop_follows_the_framing_of_the_weights(place: Path, tmp_path: Path) -> None:
    def crop_side(source: str, scale: float) -> float:
        photo = read_image(place / "photo.png")
        write_image(tmp_path / source, cv2.resize(photo, None, fx=scale, fy=scale))
        planned = plan(
            AnimationRequest(
                sources=(tmp_path / source,),
                driving=place / "clip.mp4",
                weights=str(place / "tiny.safetensors"),
                output=str(tmp_path / "a.mp4"),
            )
        )
        (box,) = planned.sources[0].crops
        assert "crop auto" in planned.as_text()
        return box[2]

    assert crop_side("double.png", 2) == pytest.approx(2 * crop_side("same.png", 1), rel=0.06)


def test_a_source_without_a_face_is_an_input_error_with_a_way_out(frames: Render) -> None:
    with pytest.raises(InputError, match=r"nobody\.png: no face was found") as caught:
        frames("nobody.png")
    assert "--source-crop" in (caught.value.hint or "")
    assert len(frames("nobody.png", source_crop=CropBox(0, 0, 200, 200))) == 4


def test_a_driving_without_any_face_is_an_input_error_and_leaves_nothing(
    frames: Render, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"nobody\.mp4: no face was found in any frame"):
        frames(driving="nobody.mp4")
    assert not [*tmp_path.iterdir()]


def test_a_given_driving_crop_is_used_even_if_no_detector_sees_a_face(
    frames: Render, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(frames(driving="nobody.mp4", driving_crop=CropBox(0, 0, 200, 200))) == 3
    assert "no face was found" in caplog.text


# Frames without a face: the first, third and last of seven.


def test_hold_starts_with_the_first_face_and_ends_with_the_last_and_goes_on_in_between(
    frames: Render,
) -> None:
    film = frames(driving="gaps.mp4", motion="absolute")
    assert np.array_equal(film[0], film[1]) and np.array_equal(film[6], film[5])
    assert max(difference(film[2], film[1]), difference(film[2], film[3])) < difference(film[1], film[3])


@pytest.mark.slow
def test_source_shows_the_unmoved_source(frames: Render) -> None:
    film = frames(driving="gaps.mp4", on_no_face="source")
    assert np.array_equal(film[0], film[2]) and np.array_equal(film[0], film[6])
    assert np.array_equal(film[0], frames(strength=0.0, max_frames=1)[0])


def test_fail_stops_at_the_first_frame_without_a_face(frames: Render) -> None:
    with pytest.raises(InputError, match="no face in frame 0"):
        frames(driving="gaps.mp4", on_no_face="fail")


def test_skipped_frames_in_between_cost_the_sound_and_say_so(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"weights": str(place / "tiny.safetensors"), "on_no_face": "skip"}
    report = run(place / "photo.png", place / "gaps.mp4", output=tmp_path / "a.mp4", **options)
    assert (report.results[0].frames, report.results[0].no_face) == (4, 3)
    assert not has_sound(tmp_path / "a.mp4")
    assert "no sound" in caplog.text


@pytest.mark.slow
def test_frames_skipped_at_the_ends_take_their_sound_along(place: Path, tmp_path: Path) -> None:
    options = {"weights": str(place / "tiny.safetensors"), "on_no_face": "skip"}
    run(place / "photo.png", place / "edges.mp4", output=tmp_path / "a.mp4", **options)
    assert len(frames_of(tmp_path / "a.mp4")) == 4
    assert has_sound(tmp_path / "a.mp4")


def test_a_compared_film_stays_in_step_when_frames_are_skipped(frames: Render, place: Path) -> None:
    film = frames(
        driving="edges.mp4", on_no_face="skip", compare=True, driving_crop=CropBox(0, 0, SIDE, SIDE)
    )
    side = film.shape[1]
    decoded = frames_of(place / "edges.mp4")[2:6]
    expected = np.stack([cv2.resize(f, (side, side), interpolation=cv2.INTER_AREA) for f in decoded])
    assert difference(film[:, :, side : 2 * side], expected) < 2


# Several faces in the source.


@pytest.fixture(scope="module")
def couple(place: Path, portrait: np.ndarray) -> str:
    """Two of the portrait side by side, the right one smaller."""
    small = cv2.resize(portrait, (220, 220), interpolation=cv2.INTER_AREA)
    right = np.full((SIDE, 220, 3), 120, np.uint8)
    right[60:280] = small
    write_image(place / "couple.png", np.concatenate([portrait, right], axis=1))
    return "couple.png"


@pytest.mark.slow
def test_faces_are_counted_from_the_left_and_the_largest_is_the_default(
    frames: Render, couple: str, tmp_path: Path
) -> None:
    boxes = {}
    for face in ("largest", 0, 1, "all"):
        crops = tmp_path / f"{face}.json"
        frames(couple, face=face, picture="photo", crop_json=crops, max_frames=1)
        boxes[face] = json.loads(crops.read_text())["sources"][couple]
    assert boxes["largest"] == boxes[0]
    assert boxes[0][0][2] > boxes[1][0][2]
    assert boxes[0][0][0] < SIDE / 2 < SIDE < boxes[1][0][0] + boxes[1][0][2]
    assert boxes["all"] == [*boxes[0], *boxes[1]]


def test_a_face_that_is_not_there_is_an_input_error(frames: Render, couple: str) -> None:
    with pytest.raises(InputError, match="no face 2; 2 found"):
        frames(couple, face=2)


def test_all_faces_move_in_the_whole_photo(frames: Render, couple: str, place: Path) -> None:
    photo = read_image(place / couple)
    every, left = (frames(couple, face=face, picture="photo", max_frames=3) for face in ("all", 0))
    assert every.shape[1:] == left.shape[1:] == photo.shape
    changed = np.abs(every.astype(int) - photo).max((0, 3)) > 0
    alone = np.abs(left.astype(int) - photo).max((0, 3)) > 0
    assert changed[:, : SIDE // 2].any() and changed[:, -110:].any()
    assert alone[:, : SIDE // 2].any() and not alone[:, -60:].any()


@pytest.mark.slow
def test_each_face_of_a_photo_may_have_a_driving_of_its_own(place: Path, couple: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "short.mp4", [read_image(place / "photo.png")] * 2)
    write_clip(tmp_path / "fast.mp4", list(frames_of(place / "clip.mp4")) * 2, rate="50", sound=True)
    drivings = ((0, tmp_path / "short.mp4"), (1, tmp_path / "fast.mp4"))
    asked = AnimationRequest(
        sources=(place / couple,),
        face_drivings=drivings,
        weights=str(place / "tiny.safetensors"),
        output=str(tmp_path / "film.mp4"),
    )
    planned = plan(asked)
    assert [each.path for each in (planned.driving, *planned.other_drivings)] == [
        path for _, path in drivings
    ]
    assert "short.mp4" in planned.as_text() and "fast.mp4" in planned.as_text()
    (result,) = animate(asked).results
    assert (result.frames, result.rate) == (4, 25)  # 8 frames at 50 a second, at the rate of the first
    assert has_sound(tmp_path / "film.mp4")
    film = frames_of(tmp_path / "film.mp4").astype(int)
    left, right = (np.abs(film[3] - film[0])[:, half].mean() for half in (slice(40, 280), slice(360, 500)))
    assert right > 4 * left


def test_a_square_of_all_faces_is_a_usage_error(frames: Render, couple: str) -> None:
    with pytest.raises(UsageError, match="no one square"):
        frames(couple, face="all", picture="face")


def test_a_face_is_shown_at_the_photos_size_and_like_the_photo_around_it(
    frames: Render, couple: str, tmp_path: Path
) -> None:
    crops = tmp_path / "crops.json"
    whole = frames(couple, picture="photo", crop_json=crops, max_frames=2)
    box = CropBox(*json.loads(crops.read_text())["sources"][couple][0])
    face = frames(couple, picture="face", crop_json=crops, max_frames=2)
    side = face.shape[1]
    assert abs(side - box.width) <= 2
    expected = np.stack([crop(frame, box, side) for frame in whole])
    assert difference(face, expected) < 0.5


# The rest.


@pytest.mark.slow
def test_the_best_reference_is_the_pose_like_the_sources(
    place: Path, tmp_path: Path, portrait: np.ndarray
) -> None:
    turned = tmp_path / "turned.png"
    write_image(turned, moved(portrait, 16))
    options = {"weights": str(place / "tiny.safetensors"), "batch_size": 1}
    still = rendered(tmp_path, turned, place / "clip.mp4", strength=0.0, max_frames=1, **options)
    assert np.array_equal(rendered(tmp_path, turned, place / "clip.mp4", **options)[3], still[0])
    first = rendered(tmp_path, turned, place / "clip.mp4", reference="first", **options)
    assert np.array_equal(first[0], still[0]) and not np.array_equal(first[3], still[0])


def test_a_motion_carries_the_landmarks_and_who_was_found(place: Path) -> None:
    motion = motion_of(place / "gaps.mp4", place / "tiny.safetensors", crop="auto")
    assert motion.landmarks is not None
    assert motion.found.tolist() == [False, True, False, True, True, True, False]
    nose = motion.landmarks[1, 1]
    assert np.abs(nose).max() < 0.6
    assert motion.irises is not None
    lids, irises = motion.landmarks[1, [159, 145, 386, 374]], motion.irises[1, [0, 5]]
    np.testing.assert_allclose(irises, lids.reshape(2, 2, 2).mean(1), atol=0.02)


def test_a_source_knows_where_its_irises_are(portrait: np.ndarray) -> None:
    finder, options = FaceFinder("blazeface"), {"name": "portrait", "face": "largest", "crop_to": "auto"}
    (face,) = find_faces(portrait, finder, Framing(), **options)
    assert face.landmarks is not None and face.irises is not None
    middles = face.landmarks[[159, 145, 386, 374]].reshape(2, 2, 2).mean(1)
    np.testing.assert_allclose(face.irises[[0, 5]], middles, atol=3)


@pytest.mark.slow
def test_the_same_faces_give_the_same_bytes(place: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        options = {"weights": str(place / "tiny.safetensors"), "picture": "photo", "output": tmp_path / name}
        run(place / "photo.png", place / "clip.mp4", **options)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_face_alignment_without_its_files_is_a_weights_error_or_works(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcnet_cli.errors import WeightsError

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(WeightsError):
        run(
            place / "photo.png",
            place / "clip.mp4",
            output=tmp_path / "a.mp4",
            weights=str(place / "tiny.safetensors"),
            detector="face-alignment",
        )


def test_a_reference_out_of_range_leaves_nothing(frames: Render, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--reference 4"):
        frames(reference=4, save_motion=tmp_path / "a.motion")
    assert not [*tmp_path.iterdir()]

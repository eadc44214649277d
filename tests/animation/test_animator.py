"""The core in memory: arrays in, arrays out."""

import functools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from animation_tools import NO_CROP, SIZE, frames_of, picture, rendered, write_clip, write_photo, write_tiny
from face_tools import ODD_BOXES, example, portrait
from face_tools import animator as default
from media_tools import ffmpeg
from PIL import Image
from places import EXAMPLES

from mcnet_cli import Animator, CropBox, InputError, Transfer, UsageError, write_motion
from mcnet_cli.animation.retarget import Retargeting
from mcnet_cli.face import crop, turned
from mcnet_cli.media import open_frames, write_image
from mcnet_cli.motion import Motion


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("w") / "w.safetensors")


@pytest.fixture(scope="module")
def animator(weights: Path) -> Animator:
    """One that finds faces."""
    return Animator.load(weights, device="cpu", precision="fp32", batch_size=1)


@pytest.fixture(scope="module")
def blind(weights: Path) -> Animator:
    """One that doesn't look for faces."""
    return Animator.load(weights, device="cpu", precision="fp32", detector=None, batch_size=1)


def clip(count: int = 6) -> list[np.ndarray]:
    return [picture(0.9 * number) for number in range(count)]


def shaken(count: int) -> Iterator[np.ndarray]:
    """The example's portrait, moved by a few pixels from frame to frame."""
    for number in range(count):
        yield np.roll(portrait(), 4 * number, axis=1)


def nodding() -> Iterator[np.ndarray]:
    """The first frames of the example's driving, every fifth: a head that turns."""
    with open_frames(EXAMPLES / "driving.mp4", max_frames=15) as frames:
        yield from list(frames)[::5]


def on_a_larger_canvas(frame: np.ndarray, degrees: float) -> np.ndarray:
    """A frame turned clockwise, with nothing of it cut off."""
    height, width = frame.shape[:2]
    side = int(np.hypot(height, width))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
    turn[:, 2] += (side - width) / 2, (side - height) / 2
    rotated: np.ndarray = cv2.warpAffine(frame, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return rotated


@functools.cache
def nodding_motion() -> Motion:
    return default().motion(nodding())


def movements_differ(motion: Motion, expected: Motion, reference: Any) -> float:
    """Mean difference of the example's keypoints, moved by either motion, over how far they move."""
    face = example().faces[0]
    one, other = (
        Retargeting(each, Transfer(reference=reference), face, default().landmarks, 0.0)
        .keypoints(np.arange(len(expected)))
        .values.numpy()
        for each in (motion, expected)
    )
    return float(np.abs(one - other).mean() / np.abs(other - face.source.keypoints.values.numpy()).mean())


def test_arrays_give_the_frames_that_the_command_makes_of_files(
    blind: Animator, weights: Path, tmp_path: Path
) -> None:
    source, driving = write_photo(tmp_path / "photo.png"), write_clip(tmp_path / "clip.mkv", clip())
    written = rendered(tmp_path, source, driving, weights=str(weights), batch_size=1, **NO_CROP)
    motion = blind.motion(clip(), rate=25, crop="none")
    made = list(blind.render(blind.portrait(picture(0.4), crop="none"), motion, picture="network"))
    assert np.array_equal(np.stack(made), written)


def test_a_portrait_that_lies_on_its_side_is_animated_as_if_it_stood() -> None:
    turns = 1
    motion, photo = default().motion(shaken(3)), turned(portrait(), turns)
    upright, lying = example(), default().portrait(photo)
    assert np.array_equal(lying.shown, photo)
    (box,), (expected,) = lying.boxes, upright.boxes
    square, wanted = crop(photo, box, 64), turned(crop(portrait(), expected, 64), turns)
    assert np.abs(square.astype(int) - wanted).mean() < 3
    for before, after in zip(default().render(upright, motion), default().render(lying, motion), strict=True):
        assert np.abs(turned(before, turns).astype(int) - after).mean() < 1
    face = next(default().render(lying, motion, picture="face"))
    assert np.abs(face.astype(int) - next(default().render(upright, motion, picture="face"))).mean() < 3


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_driving_filmed_lying_down_moves_as_if_it_stood(turns: int) -> None:
    upright, lying = nodding_motion(), default().motion(turned(frame, turns) for frame in nodding())
    for reference in ("first", "best"):
        assert movements_differ(lying, upright, reference) < 0.001


@pytest.mark.slow
@pytest.mark.parametrize("turn", ["transpose=1", "hflip,vflip", "transpose=2"])
def test_a_film_that_is_turned_by_quarters_and_coded_moves_as_the_upright_one(
    turn: str, tmp_path: Path
) -> None:
    film = tmp_path / "film.mkv"
    options = ["-vf", turn, "-frames:v", 40, "-c:v", "libx264", "-crf", 23, "-pix_fmt", "yuv420p"]
    ffmpeg("-i", EXAMPLES / "driving.mp4", *options, film)
    upright = default().motion(EXAMPLES / "driving.mp4", max_frames=40)
    for reference in ("first", "best"):
        assert movements_differ(default().motion(film), upright, reference) < 0.05


# 60 degrees are a quarter turn less 30: a roll that counts as a tilt in films that stand.
@pytest.mark.parametrize("degrees", [45, 60, 120])
def test_a_driving_filmed_askew_moves_as_if_it_stood(degrees: float) -> None:
    rolled = default().motion(on_a_larger_canvas(frame, degrees) for frame in nodding())
    assert (
        movements_differ(rolled, nodding_motion(), "first") < 0.15
    )  # 0.12: what the head is tilted by itself


def test_a_network_sees_a_driving_filmed_askew_upright(animator: Animator) -> None:
    motions = [
        animator.motion(frames)
        for frames in (nodding(), (on_a_larger_canvas(frame, 60) for frame in nodding()))
    ]
    upright, askew = (motion.values - motion.values.mean() for motion in motions)
    assert np.abs(askew - upright).mean() < 0.1


@pytest.mark.parametrize("degrees", [40, 75])
def test_a_portrait_that_stands_askew_is_moved_along_its_own_face(degrees: float) -> None:
    motion = default().motion(nodding())
    results = []
    for roll in (0, degrees):
        face = default().portrait(on_a_larger_canvas(portrait(), roll)).faces[0]
        retargeting = Retargeting(motion, Transfer(reference="first"), face, default().landmarks, 0.0)
        moved = retargeting.keypoints(np.arange(len(motion))).values.numpy()
        still = face.source.keypoints.values.numpy()
        assert face.face.roll_deg is not None
        turn = np.radians(face.face.roll_deg)
        back = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        results.append((moved - still) @ back)
    assert np.abs(results[1] - results[0]).mean() < 0.15 * np.abs(results[0]).mean()


def test_a_driving_tilted_further_than_people_tilt_their_heads_is_rolled_as_the_source_is() -> None:
    motion, face = default().motion(nodding()), example().faces[0]
    moved = [
        Retargeting(motion.rolled(degrees), Transfer(reference="first"), face, default().landmarks, 0.0)
        for degrees in (0, 20, 50, -100)
    ]
    plain, near, far, further = (each.keypoints(np.arange(3)).values.numpy() for each in moved)
    assert np.abs(far - further).max() < 0.005, "by the same roll, whatever the driving's"
    assert np.abs(far - plain).mean() < 0.6 * np.abs(near - plain).mean(), "20 degrees are part of the motion"


def test_a_still_with_camera_noise_moves_nothing() -> None:
    noise = np.random.default_rng(0)
    small = crop(portrait(), CropBox(100, 0, 250, 250), 192).astype(np.float64)
    frames = (np.clip(small + noise.normal(0, 3, small.shape), 0, 255).astype(np.uint8) for _ in range(26))
    motion, face = default().motion(frames), example().faces[0]
    retargeting = Retargeting(motion, Transfer(), face, default().landmarks, 0.0)
    values = retargeting.keypoints(np.arange(len(motion))).values.numpy()
    assert np.abs(motion.values - motion.values[0]).max() > 0.001, "landmarks do tremble"
    assert np.array_equal(values, np.broadcast_to(values[0], values.shape))


def test_a_photo_is_a_file_an_array_or_an_image_of_pillow(blind: Animator, tmp_path: Path) -> None:
    path = write_photo(tmp_path / "photo.png")
    photos = (path, str(path), picture(0.4), Image.open(path))
    seen = [blind.portrait(photo, crop="none").photo for photo in photos]
    assert all(np.array_equal(photo, picture(0.4)) for photo in seen)


@pytest.mark.parametrize(
    "shape, kind", [((64, 64), "u1"), ((64, 64, 2), "u1"), ((64, 64, 3), "f4"), ((0, 9, 3), "u1")]
)
def test_an_array_that_is_no_rgb_picture_is_an_input_error(
    blind: Animator, shape: tuple[int, ...], kind: str
) -> None:
    with pytest.raises(InputError, match="uint8 RGB"):
        blind.portrait(np.zeros(shape, kind), crop="none")


def test_frames_of_several_sizes_and_no_frames_are_input_errors(blind: Animator) -> None:
    with pytest.raises(InputError, match="frame 1"):
        blind.motion([picture(0), picture(0, 2 * SIZE)], crop="none")
    with pytest.raises(InputError, match="no frames"):
        blind.motion([], crop="none")


def test_without_a_detector_a_crop_has_to_be_given(blind: Animator) -> None:
    with pytest.raises(UsageError, match="detector"):
        blind.portrait(picture())
    with pytest.raises(UsageError, match="detector"):
        blind.motion(clip())
    assert len(blind.motion(clip(), crop=CropBox(8, 8, 40, 40))) == 6


@pytest.mark.parametrize("kind", ["list", "iterator"])
def test_a_driving_of_arrays_is_cropped_to_its_face_however_it_can_be_read(
    animator: Animator, kind: str, tmp_path: Path
) -> None:
    frames = shaken(3) if kind == "iterator" else list(shaken(3))
    motion = animator.motion(frames, rate=Fraction(30000, 1001))
    whole = animator.motion(list(shaken(3)), crop="none")
    assert motion.rate == Fraction(30000, 1001)
    assert motion.found.all() and motion.landmarks is not None
    assert motion.values.shape == whole.values.shape == (3, 6, 2)
    assert np.abs(motion.values - whole.values).max() > 0.05  # of another part of the picture
    again = animator.motion(list(shaken(3)))
    assert np.array_equal(motion.values, again.values)


def test_frames_come_when_they_are_asked_for_and_rendering_can_stop(blind: Animator) -> None:
    portrait, motion = blind.portrait(picture(0.4), crop="none"), blind.motion(clip(), crop="none")
    whole = list(blind.render(portrait, motion))
    frames = blind.render(portrait, motion)
    assert np.array_equal(next(frames), whole[0])
    frames.close()
    assert next(frames, None) is None


def test_single_frames_can_be_made_in_any_order(blind: Animator) -> None:
    portrait, motion = blind.portrait(picture(0.4), crop="none"), blind.motion(clip(), crop="none")
    whole = list(blind.render(portrait, motion))
    some = list(blind.render(portrait, motion, rows=[4, 1]))
    assert np.array_equal(some[0], whole[4]) and np.array_equal(some[1], whole[1])


def test_a_portrait_moves_by_any_motion_and_a_motion_any_portrait(blind: Animator) -> None:
    portraits = [blind.portrait(picture(shift), crop="none") for shift in (0.0, 2.0)]
    motions = [blind.motion(clip()[::step], crop="none") for step in (1, -1)]
    films = [[*blind.render(one, motion)] for one in portraits for motion in motions]
    assert all(len(film) == 6 for film in films)
    assert all(not np.array_equal(films[a][5], films[b][5]) for a in range(4) for b in range(a))


def test_a_motion_of_another_detector_is_an_input_error(blind: Animator, tmp_path: Path) -> None:
    other = Animator.load(write_tiny(tmp_path / "other.safetensors", seed=1), device="cpu", detector=None)
    motion = other.motion(clip(2), crop="none")
    with pytest.raises(InputError, match="another keypoint detector"):
        blind.render(blind.portrait(picture(), crop="none"), motion)


def test_a_reference_that_does_not_exist_is_a_usage_error(blind: Animator) -> None:
    portrait, motion = blind.portrait(picture(), crop="none"), blind.motion(clip(3), crop="none")
    with pytest.raises(UsageError, match="3 frames"):
        blind.render(portrait, motion, Transfer(reference=3))


@pytest.mark.parametrize(
    "options", [{"picture": "square"}, {"background": "blurred"}, {"background": (1, 2)}]
)
def test_pictures_and_backgrounds_that_do_not_exist_are_usage_errors(
    blind: Animator, options: dict[str, Any]
) -> None:
    portrait, motion = blind.portrait(picture(0.4), crop="none"), blind.motion(clip(), crop="none")
    with pytest.raises(UsageError, match=r"--picture|--background"):
        blind.render(portrait, motion, **options)


@pytest.mark.parametrize("background", ["transparent", (0, 0, 255), picture(0)])
def test_where_nobody_is_found_nobody_is_put_before_another_background(
    blind: Animator, background: Any
) -> None:
    portrait, motion = blind.portrait(picture(0.4), crop="none"), blind.motion(clip(), crop="none")
    with pytest.raises(InputError, match="no person"):
        blind.render(portrait, motion, background=background)


@pytest.mark.parametrize("box", ODD_BOXES)
def test_a_crop_may_lie_anywhere(blind: Animator, box: CropBox) -> None:
    portrait = blind.portrait(picture(0.4), crop=box)
    motion = blind.motion(clip(), crop="none", max_frames=2)
    assert [frame.shape for frame in blind.render(portrait, motion)] == 2 * [(64, 64, 3)]


def test_a_saved_motion_renders_as_it_did_before(blind: Animator, tmp_path: Path) -> None:
    portrait, motion = blind.portrait(picture(), crop="none"), blind.motion(clip(3), crop="none")
    write_motion(tmp_path / "clip.motion", motion)
    loaded = blind.motion(tmp_path / "clip.motion")
    films = [[*blind.render(portrait, each)] for each in (motion, loaded)]
    assert np.array_equal(films[0], films[1])


def test_several_faces_move_in_the_whole_photo(animator: Animator) -> None:
    photo = np.concatenate([portrait(), portrait()], axis=1)
    both = animator.portrait(photo, face="all")
    assert len(both.faces) == len(both.boxes) == 2
    (frame,) = animator.render(both, animator.motion(list(shaken(1))))
    assert frame.shape == photo.shape


def test_each_face_may_have_a_motion_of_its_own_and_the_shorter_one_holds_its_last_pose(
    animator: Animator,
) -> None:
    both = animator.portrait(np.concatenate([portrait(), portrait()], axis=1), face="all")
    still, moved = animator.motion(list(shaken(1))), animator.motion(list(shaken(4)), rate=Fraction(50))
    film = np.stack([*animator.render(both, [still, moved])]).astype(int)
    assert len(film) == 2  # the second's, at the rate of the first
    left, right = (np.abs(film[1] - film[0])[:, half].max() for half in (slice(0, 400), slice(624, None)))
    assert left == 0 and right > 8
    with pytest.raises(UsageError, match="3 motions for 2 faces"):
        animator.render(both, [still, moved, still])


def test_found_faces_are_not_looked_for_again(animator: Animator, tmp_path: Path) -> None:
    write_image(tmp_path / "photo.png", portrait())
    faces = animator.faces(tmp_path / "photo.png")
    assert animator.portrait(portrait(), faces=faces).boxes == animator.portrait(portrait()).boxes
    with pytest.raises(InputError, match=r"blank\.png: no face"):
        write_image(tmp_path / "blank.png", np.full((96, 96, 3), 90, np.uint8))
        animator.faces(tmp_path / "blank.png")


def test_a_driving_file_is_read_in_part(animator: Animator) -> None:
    motion = animator.motion(EXAMPLES / "driving.mp4", start_s=0.4, end_s=0.6)
    assert (len(motion), motion.rate) == (5, 25)
    with pytest.raises(UsageError):
        animator.motion(EXAMPLES / "driving.mp4", start_s=2, end_s=1)
    assert len(frames_of(EXAMPLES / "driving.mp4")) == 100

"""Whole photos put together from layers: what moves, what stands still, and at which edges."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from animation_tools import write_tiny
from face_tools import ODD_BOXES, animator, example, portrait
from places import EXAMPLES

from mcnet_cli import Animator, CropBox, Transfer
from mcnet_cli.animation.retarget import Retargeting
from mcnet_cli.compositing import Drawing, Person, PhotoCompositor, PhotoLayers, Square, photo_layers
from mcnet_cli.compositing.front import REACH
from mcnet_cli.compositing.plate import _mirrored, filled
from mcnet_cli.model.face_parts import FaceParts

SIDE = 240
SQUARE = Square(80, 60, 100, 100)


def compositor(
    layers: PhotoLayers, parts: FaceParts | None = None, *, by_opencv: bool = True, paints: bool = True
) -> PhotoCompositor:
    return PhotoCompositor(layers, parts, torch.device("cpu"), by_opencv=by_opencv, paints=paints)


def stripes(height: int = SIDE, width: int = SIDE) -> np.ndarray:
    """(H, W, 3) upright stripes: bent ones would be seen."""
    bright = (np.arange(width) // 6 % 2)[None, :, None] * 120 + 60
    return np.broadcast_to(bright, (height, width, 3)).astype(np.uint8).copy()


def disk(centre: tuple[int, int] = (130, 110), radius: int = 34) -> np.ndarray:
    """(H, W) the matte of a round person."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    return (np.hypot(x - centre[0], y - centre[1]) < radius).astype(np.float32)


def with_person(matte: np.ndarray, colour: tuple[int, int, int] = (230, 60, 40)) -> np.ndarray:
    return np.where(matte[..., None] > 0, np.uint8(colour), stripes())


def moved_by(x: float, y: float = 0.0, *, trust: float = 1.0) -> Drawing:
    """A drawing in which all of the person has moved by so many pixels of a 100 pixels wide square."""
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 64)] * 2, indexing="xy"), -1)[None]
    shift = torch.tensor([x, y]) / (50 * 255 / 256)
    return Drawing(
        person=grid - shift,
        whole=grid - shift,
        occlusion=torch.full((1, 1, 64, 64), trust),
        source=torch.zeros(1, 1, 2),
        driving=torch.zeros(1, 1, 2),
        paint=lambda _, window: torch.zeros(1, 3, 256, 256)[:, :, *window],
    )


def made(photo: np.ndarray, matte: np.ndarray, drawing: Drawing, **options: object) -> np.ndarray:
    layers = photo_layers(photo, [Person(SQUARE, matte, None)], 256, **options)  # type: ignore[arg-type]
    return compositor(layers).frame([drawing])


def test_what_is_unknown_is_filled_from_around_and_the_rest_stays() -> None:
    known = np.ones((50, 70), np.uint8)
    known[20:30, 20:50] = 0
    photo = np.full((50, 70, 3), 90, np.uint8)
    photo[20:30, 20:50] = 255
    result = filled(photo, known)
    assert np.abs(result.astype(int) - 90).max() <= 1
    assert (filled(photo, np.zeros((50, 70), np.uint8)) == 0).all()


def test_nothing_moves_where_nothing_is_asked_to() -> None:
    matte = disk()
    photo = with_person(matte)
    still = made(photo, matte, moved_by(0))
    assert np.abs(still.astype(int) - photo).mean() < 0.5
    reach = round(REACH * 50)
    outside = np.ones((SIDE, SIDE), bool)
    outside[110 - reach : 110 + reach, 130 - reach : 130 + reach] = False
    assert (still[outside] == photo[outside]).all()


def test_a_person_moves_and_the_stripes_behind_stand_still() -> None:
    matte = disk()
    photo = with_person(matte)
    frame = made(photo, matte, moved_by(8)).astype(int)
    there = np.roll(matte, 8, axis=1)
    inner, around = disk((138, 110), 30) > 0, (np.maximum(matte, there) == 0)
    assert np.abs(frame[inner] - (230, 60, 40)).mean() < 3
    near_edge = disk((130, 110), 40) + disk((138, 110), 40) > 0
    assert np.abs(frame - stripes())[around & ~near_edge].max() == 0
    uncovered = (disk((130, 110), 30) > 0) & (disk((138, 110), 36) == 0)
    assert uncovered.sum() > 50
    assert np.abs(frame[uncovered][:, 0] - 230).min() > 20  # no person is left behind


def test_a_moving_background_moves_with_the_person() -> None:
    matte = disk()
    photo = with_person(matte)
    frame = made(photo, matte, moved_by(6), moving=True).astype(int)
    middle = slice(90, 130), slice(100, 120)
    assert np.abs(frame - np.roll(photo, 6, axis=1))[middle].mean() < 2


def test_without_a_person_everything_is_front() -> None:
    photo, nobody = stripes(), np.zeros((SIDE, SIDE), np.float32)
    frame = made(photo, nobody, moved_by(6)).astype(int)
    middle = slice(90, 130), slice(110, 150)
    assert np.abs(frame - np.roll(photo, 6, axis=1))[middle].mean() < 6  # stripes of six pixels, sampled


def test_a_matte_that_is_mostly_haze_is_not_relied_on() -> None:
    haze = np.maximum(disk(radius=30), 0.5 * disk(radius=60))
    photo = with_person(disk(radius=60))
    assert photo_layers(photo, [Person(SQUARE, haze, None)], 256).fronts[0].whole
    assert not photo_layers(photo, [Person(SQUARE, disk(radius=60), None)], 256).fronts[0].whole


def test_a_person_cut_by_the_photos_lower_edge_stays_there() -> None:
    matte = np.zeros((SIDE, SIDE), np.float32)
    matte[40:, 100:160] = 1
    square = Square(80, 100, 100, 100)
    photo = with_person(matte)
    layers = photo_layers(photo, [Person(square, matte, None)], 256)
    frame = compositor(layers).frame([moved_by(10)])
    left_edges = [int(np.argmax((row[:, 0] > 200) & (row[:, 1] < 100))) for row in frame]
    assert abs(left_edges[-1] - 100) <= 2
    assert left_edges[150] == pytest.approx(110, abs=1)


def test_a_head_cut_by_the_upper_edge_comes_in_round() -> None:
    matte = np.zeros((SIDE, SIDE), np.float32)
    matte[:150, 100:160] = 1
    square = Square(80, -10, 100, 100)
    layers = photo_layers(with_person(matte), [Person(square, matte, None)], 256)
    frame = compositor(layers).frame([moved_by(0, 8)]).astype(int)
    red = (frame[..., 0] > 200) & (frame[..., 1] < 100)
    widths = red[:12].sum(1)
    assert widths[0] < 40 < widths[11]  # narrower above


def test_other_people_stand_still() -> None:
    both = np.maximum(disk((130, 110), 30), disk((215, 110), 18))
    photo = with_person(both)
    frame = made(photo, both, moved_by(-8)).astype(int)
    other = disk((215, 110), 16) > 0
    assert np.abs(frame - photo)[other].max() <= 1


def test_two_people_whose_squares_overlap_move_each_by_their_own() -> None:
    left, right = disk((90, 110), 26), disk((160, 110), 26)
    photo = with_person(np.maximum(left, right))
    squares = Square(40, 60, 100, 100), Square(110, 60, 100, 100)
    people = [Person(square, np.maximum(left, right), None) for square in squares]
    layers = photo_layers(photo, people, 256)
    frame = compositor(layers).frame([moved_by(0, -8), moved_by(0, 8)]).astype(int)
    for centre in ((90, 102), (160, 118)):
        assert np.abs(frame[disk(centre, 22) > 0] - (230, 60, 40)).mean() < 3


def test_a_transparent_background_is_transparent_and_the_person_is_not() -> None:
    matte = disk()
    photo = with_person(matte)
    backdrop = np.zeros((SIDE, SIDE, 4), np.uint8)
    frame = made(photo, matte, moved_by(8), backdrop=backdrop)
    assert frame.shape == (SIDE, SIDE, 4)
    assert (frame[:20, :, 3] == 0).all()
    inner = disk((138, 110), 30) > 0
    assert (frame[inner][:, 3] == 255).all()
    assert np.abs(frame[inner][:, :3].astype(int) - (230, 60, 40)).mean() < 3


def test_another_background_is_behind_the_person() -> None:
    matte, blue = disk(), np.full((SIDE, SIDE, 3), (20, 40, 220), np.uint8)
    frame = made(with_person(matte), matte, moved_by(8), backdrop=blue).astype(int)
    assert (frame[:20] == (20, 40, 220)).all()
    assert np.abs(frame[disk((138, 110), 30) > 0] - (230, 60, 40)).mean() < 3


def test_what_was_behind_soft_edges_does_not_come_along() -> None:
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    matte = np.clip((40 - np.hypot(x - 130, y - 110)) / 5, 0, 1).astype(np.float32)
    soft = matte[..., None]
    photo = np.rint(np.float32((80, 60, 40)) * soft + 255 * (1 - soft)).astype(np.uint8)
    frame = made(photo, matte, moved_by(5), backdrop=np.zeros((SIDE, SIDE, 3), np.uint8))
    assert (frame <= (90, 70, 50)).all()  # no white, where the photo had some behind


def test_what_is_uncovered_of_a_texture_has_one() -> None:
    rough = np.random.default_rng(1).normal(110, 18, (SIDE, SIDE, 1)).clip(0, 255).astype(np.uint8)
    matte = disk()
    photo = np.where(matte[..., None] > 0, np.uint8((230, 60, 40)), rough)
    frame = made(photo, matte, moved_by(8)).astype(int)
    uncovered = (disk((130, 110), 33) > 0) & (disk((138, 110), 36) == 0)
    assert frame[uncovered].std(0).min() > 7  # a smooth fill has 1
    assert np.abs(frame[uncovered].mean(0) - 110).max() < 5


def test_ragged_hair_throws_no_spikes_into_what_is_filled_in() -> None:
    edge = 120 + np.random.default_rng(2).integers(-4, 5, SIDE)
    unknown = (np.arange(SIDE) < edge[:, None]).astype(np.uint8)
    mirrored = _mirrored(unknown)
    deep = mirrored[20:-20, 60:110]
    assert np.abs(np.diff(deep, axis=0) - (0, 1)).max() < 4  # from row to row
    assert np.abs(deep[..., 0] - (2 * 120 - np.arange(60, 110))).mean() < 8
    assert np.array_equal(mirrored[unknown == 0][:, ::-1], np.argwhere(unknown == 0))


@pytest.mark.parametrize(("dark", "bright"), [(20, 200), (200, 90)])
def test_what_the_matte_doubts_moves_whole_if_its_colour_is_not_the_backgrounds(
    dark: int, bright: int
) -> None:
    matte, person = disk(), disk() > 0
    matte[110:, 130:] *= 0.5  # a dark shoulder, say
    photo = np.where(person[..., None], np.uint8(dark), np.full((SIDE, SIDE, 3), bright, np.uint8))
    frame = made(photo, matte, moved_by(8)).astype(int)
    assert np.abs(frame[disk((138, 110), 30) > 0] - dark).max() <= 8
    uncovered = (disk((130, 110), 33) > 0) & (disk((138, 110), 36) == 0)
    assert np.abs(frame[uncovered] - bright).max() <= 3


@pytest.mark.parametrize("box", ODD_BOXES)
@pytest.mark.parametrize("size", [(1, 1), (120, 160)])
def test_squares_of_any_place_and_size_move(size: tuple[int, int], box: CropBox) -> None:
    photo, matte = np.full((*size, 3), 99, np.uint8), np.zeros(size, np.float32)
    matte[30:, 50:110] = 1
    square = Square(box.x, box.y, box.width, box.height)
    layers = photo_layers(photo, [Person(square, matte, None)], 256)
    assert np.abs(compositor(layers).frame([moved_by(3)]).astype(int) - 99).max() <= 1


@cache
def drawings() -> list[Drawing]:
    """Of some frames of the example, in which it turns, talks and blinks."""
    motion = animator().motion(EXAMPLES / "driving.mp4")
    face = example().faces[0]
    retargeting = Retargeting(motion, Transfer(), face, animator().landmarks, 0)
    return [
        animator().renderer.draw(face.source, retargeting.keypoints(np.array([row]))) for row in (12, 40, 83)
    ]


@torch.inference_mode()
def test_what_is_painted_can_be_left_out() -> None:
    matte = disk()
    photo = with_person(matte)
    layers = photo_layers(photo, [Person(SQUARE, matte, None)], 256)
    black = moved_by(5, trust=0)
    warped = compositor(layers).frame([moved_by(5)])
    assert (compositor(layers, paints=False).frame([black]) == warped).all()
    assert (compositor(layers).frame([black]) != warped).any()


@pytest.mark.parametrize("by_opencv", [True, False])
def test_frames_of_a_batch_are_those_that_are_made_one_by_one(by_opencv: bool) -> None:
    face, model = example().faces[0], animator().renderer.model
    motion = animator().motion(EXAMPLES / "driving.mp4", max_frames=42)
    pose = Retargeting(motion, Transfer(), face, animator().landmarks, 0).pose(np.array([12, 35, 41]))
    drawing = animator().renderer.draw(face.source, pose.keypoints, pose.gaze)
    drawn = PhotoCompositor(
        photo_layers(example().photo, example().people, 256),
        model.parts,
        torch.device("cpu"),
        by_opencv=by_opencv,
        painter=model.painter,
        eye_painter=model.eye_painter,
        placing=model.placing,
    )
    together = [frame() for frame in drawn.frames_soon([drawing])]
    for number, frame in enumerate(together):
        apart = np.abs(drawn.frame([drawing[number]]).astype(int) - frame)
        assert apart.max() <= 1 and (apart > 0).mean() < 1e-5  # but for rounding
    assert np.abs(together[0].astype(int) - together[2]).max() > 60


@pytest.mark.slow
def test_opencv_and_torch_draw_the_same_pictures() -> None:
    layers = photo_layers(example().photo, example().people, 256)
    parts = animator().renderer.model.parts
    for drawing in drawings():
        frames = [compositor(layers, parts, by_opencv=how).frame([drawing]) for how in (True, False)]
        apart = np.abs(frames[0].astype(int) - frames[1])
        assert apart.mean() < 0.5 and np.quantile(apart, 0.999) <= 8


@pytest.mark.parametrize("corner", [(0, 0), (300, 500), (700, 900), (350, 0)])
@pytest.mark.parametrize("shift", [(9.0, -4.0), (-30.0, 25.0)])
def test_opencv_and_torch_draw_large_photos_alike_wherever_people_are(
    corner: tuple[int, int], shift: tuple[float, float]
) -> None:
    generator = np.random.default_rng(5)
    photo = cv2.resize(generator.integers(0, 255, (30, 40, 3), np.uint8), (1200, 900))
    top, left = corner
    matte = np.zeros((900, 1200), np.float32)
    matte[top : top + 250, left : left + 300] = 1  # cut by edges of the photo, or by none
    matte[top + 10 : top + 20] = 0
    square = Square(left - 50, top - 60, 400, 400)
    layers = photo_layers(photo, [Person(square, matte, None)], 256)
    assert not layers.fronts[0].whole
    frames = [compositor(layers, by_opencv=how).frame([moved_by(*shift)]) for how in (True, False)]
    apart = np.abs(frames[0].astype(int) - frames[1])
    assert apart.mean() < 0.3 and apart.max() <= 8
    assert np.abs(frames[0].astype(int) - photo).max() > 60


@pytest.mark.slow
@torch.inference_mode()
def test_a_moved_face_is_as_sharp_as_the_photo() -> None:
    def sharpness(picture: np.ndarray) -> float:
        return float(np.abs(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_32F)).mean())

    photo = example().photo
    layers = photo_layers(photo, example().people, 256)
    drawn = compositor(layers, animator().renderer.model.parts)
    (left, top), (right, bottom) = example().people[0].outline.min(0), example().people[0].outline.max(0)  # type: ignore[union-attr]
    upper = slice(int(top), int((top + bottom) / 2)), slice(int(left), int(right))
    for drawing in drawings():
        frame = drawn.frame([drawing])
        assert sharpness(np.ascontiguousarray(frame[upper])) > 0.8 * sharpness(photo[upper].copy())


def test_networks_of_the_papers_kind_move_photos_too(tmp_path: Path) -> None:
    papers = Animator.load(write_tiny(tmp_path / "w.safetensors", size=256), device="cpu", precision="fp32")
    motion = papers.motion(EXAMPLES / "driving.mp4", max_frames=4)
    frames = [*papers.render(papers.portrait(portrait()), motion)]
    assert len(frames) == 4 and frames[0].shape == portrait().shape
    assert np.abs(frames[3].astype(int) - frames[0]).max() > 10


@pytest.mark.parametrize("size", [(3, 5), (40, 41)])
def test_tiny_photos_are_no_trouble(size: tuple[int, int]) -> None:
    photo = np.full((*size, 3), 99, np.uint8)
    whole = Square(0, 0, size[1], size[0])
    layers = photo_layers(photo, [Person(whole, np.zeros(size, np.float32), None)], 256)
    assert (compositor(layers).frame([moved_by(3)]) == 99).all()

"""What is warped of mouth and eyes, and what painted; lids and lips go where they should."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mcnet_cli.model import PRESETS, Keypoints, MCNet, ModelConfig
from mcnet_cli.model.config import KeypointConfig, MotionConfig
from mcnet_cli.model.face_parts import FaceParts
from mcnet_cli.model.geometry import coordinate_grid
from mcnet_cli.model.landmark_networks import LandmarkMotionNetwork

SIZE = (64, 64)
PARTS = FaceParts(mouth=range(6), eyes=range(6, 12))


def face(*, mouth: float = 0.2, eyes: float = 0.05, smile: float = 0.0, angle: float = 0.0) -> Tensor:
    """(1, 12, 2) as `PARTS` orders them, turned by `angle` rad; openings of the mouth, 0.5 wide, and of eyes.

    smile: how far the corners are above the middle of the mouth.
    """
    lips, lids = mouth * 0.5 / 2, eyes / 2
    points = [(-0.25, 0.4 - smile), (0.25, 0.4 - smile)]
    points += [(0.0, 0.4 + y) for y in (-lips, lips, -lips - 0.05, lips + 0.05)]
    for side in (-1, 1):
        points += [(side * 0.25, -lids), (side * 0.25, lids), (side * 0.35, 0.0)]
    cos, sin = math.cos(angle), math.sin(angle)
    return (torch.tensor(points) @ torch.tensor([[cos, sin], [-sin, cos]]))[None]


def at(picture: Tensor, x: float, y: float) -> Tensor:
    """(…, H, W) to the values at a place."""
    height, width = picture.shape[-2:]
    return picture[..., round((y + 1) * (height - 1) / 2), round((x + 1) * (width - 1) / 2)]


def trust(decided: float, source: Tensor, driving: Tensor) -> Tensor:
    """(B, 1, H, W) occlusion where the network decides the same everywhere."""
    return PARTS.occlusion(torch.full((len(source), 1, *SIZE), float(decided)), source, driving)


def sampled(field: Tensor, places: Tensor) -> Tensor:
    """(B, N, 2) values of a (B, h, w, 2) field at (B, N, 2) places."""
    found = F.grid_sample(field.permute(0, 3, 1, 2), places[:, None], align_corners=True)
    return found[:, :, 0].transpose(1, 2)


def test_brows_and_corners_go_where_the_driving_has_them_and_the_rest_stays() -> None:
    parts = FaceParts(mouth=range(6), eyes=range(6, 12), brows=(12, 13))
    source = torch.cat([face(), torch.tensor([[[-0.25, -0.2], [0.25, -0.2]]])], 1)
    driving = source.clone()
    driving[:, 12:, 1] -= 0.05  # brows go up
    driving[:, 0, 0] -= 0.04  # and a corner of the mouth outwards
    field = coordinate_grid(*SIZE, source)[None]
    settled = parts.settled(field, source, driving)
    for number in (0, 1, 12, 13):
        missing = sampled(settled, driving[:, [number]]) - source[:, [number]]
        assert missing.abs().max() < 0.006, number
    assert (settled - field)[:, :8].abs().max() < 1e-3  # above the head
    assert (settled - field)[:, -4:].abs().max() < 2e-3  # and below it
    assert torch.allclose(parts.settled(field, source, source), field, atol=1e-6)


@pytest.mark.parametrize("name", ["lite", "mcnet"])
def test_the_brows_are_those_of_the_keypoints_that_are_landmarks(name: str) -> None:
    config = PRESETS[name]
    with torch.device("meta"):
        parts = MCNet(config).parts
    if name == "mcnet":
        assert parts is None
    else:
        assert parts is not None
        assert [config.keypoints.landmarks[place] for place in parts.brows] == [105, 334]


@pytest.mark.parametrize(
    ("before", "after", "seen"),
    [
        *[(0.2, 0.2, 1), (0.2, 0.35, 1), (0.2, 0.1, 1), (0.2, 0.6, 0)],
        *[(0.02, 0.2, 0), (0.02, 0.03, 1), (0.005, 0.04, 1), (0.07, 0.09, 1), (0.07, 0.2, 0)],
    ],
)
@pytest.mark.parametrize("decided", [0.0, 1.0])
def test_a_mouth_is_warped_unless_the_source_shows_little_of_what_opens(
    before: float, after: float, seen: int, decided: float
) -> None:
    found = trust(decided, face(mouth=before), face(mouth=after))
    assert at(found, 0, 0.4).item() == seen
    for lip in (0.4 - after / 4 - 0.05, 0.4 + after / 4 + 0.05):
        assert at(found, 0, lip) > 0.8
    for x, y in ((0, 0.75), (0, 0.05), (0.5, 0.4), (-0.5, 0.4), (0, 0)):
        assert at(found, x, y) == decided


def test_lips_turn_with_the_head_and_bend_with_a_smile() -> None:
    turned = face(mouth=0.3, angle=math.pi / 2)
    found = trust(0, turned, turned)
    assert 20 < found.sum() < 400
    assert at(found, -0.4, 0.2) == 1
    assert at(found, -0.15, 0) == 0
    smiling = face(smile=0.15)
    found = trust(0, smiling, smiling)
    assert at(found, 0.22, 0.28) == 1
    assert at(found, 0.22, 0.56) == 0


@pytest.mark.parametrize(
    ("before", "after", "hidden"),
    [(0.01, 0.05, 1), (0.01, 0.01, 0), (0.005, 0.015, 0), (0.05, 0.1, 0), (0.05, 0.01, 0), (0.036, 0.08, 0)],
)
def test_eyes_that_open_are_painted_if_the_source_shows_them_shut(
    before: float, after: float, hidden: int
) -> None:
    found = trust(1, face(eyes=before), face(eyes=after))
    for x in (-0.25, 0.25):
        assert at(found, x, 0).item() == 1 - hidden
    assert all(at(found, x, y) == 1 for x, y in ((0, 0), (0.25, 0.2), (0.25, -0.2), (0.5, 0), (0, 0.4)))


def test_faces_of_a_batch_are_looked_at_one_by_one() -> None:
    sources = [face(mouth=0.01), face(mouth=0.3), face(eyes=0.01)]
    drivings = [face(mouth=0.3), face(angle=0.3), face(smile=0.1)]
    together = trust(0.4, torch.cat(sources), torch.cat(drivings))
    alone = torch.cat([trust(0.4, *pair) for pair in zip(sources, drivings, strict=True)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_eyes_that_do_not_open_are_the_networks_to_decide() -> None:
    assert at(trust(0.3, face(), face()), 0.25, 0).item() == pytest.approx(0.3)


def test_each_eye_is_painted_for_itself() -> None:
    winking, open_eyes = face(), face()
    winking[0, 6:9] = face(eyes=0.01)[0, 6:9]
    found = trust(1, winking, open_eyes)
    assert (at(found, -0.25, 0), at(found, 0.25, 0)) == (0, 1)


def test_nothing_breaks_where_all_keypoints_are_in_one_place() -> None:
    nowhere = torch.zeros(2, 12, 2)
    assert (trust(0.5, nowhere, nowhere) == 0.5).all()
    field = torch.rand(2, *SIZE, 2)
    assert PARTS.corrected(field, nowhere, nowhere, SIZE).isfinite().all()


def test_gradients_are_numbers_in_the_middle_of_a_mouth_and_where_all_is_in_one_place() -> None:
    size, mouth = (65, 65), face(mouth=0.3)
    mouth[0, :6, 1] = torch.tensor([0.0, 0, -0.125, 0.125, -0.25, 0.25])  # the middle is a pixel
    for driving in (mouth, torch.zeros(1, 12, 2)):
        driving.requires_grad_()
        PARTS.occlusion(torch.full((1, 1, *size), 0.5), face(mouth=0.01), driving).sum().backward()
        assert driving.grad is not None
        assert driving.grad.isfinite().all()


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_keypoints_that_are_no_places_stop_nothing(value: float) -> None:
    lost = face()
    lost[0, 7] = value
    assert PARTS.corrected(standing(), face(), lost, (256, 256)).shape == (1, 256, 256, 2)


def test_dense_motion_asks_geometry_about_mouth_and_eyes() -> None:
    config = PRESETS["lite"]
    torch.manual_seed(0)
    parts = FaceParts(config.motion.mouth, config.motion.eyes)
    network = LandmarkMotionNetwork(config, parts).eval()
    places = [*config.motion.mouth, *config.motion.eyes]
    source = torch.rand(1, config.keypoints.count, 2) - 0.5
    driving = source.clone()
    source[:, places], driving[:, places] = face(mouth=0.2, eyes=0.01), face(mouth=0.3)
    for bias in (-20, 20):
        torch.nn.init.constant_(network.occlusion.bias, bias)
        expected = parts.occlusion(torch.full((1, 1, *SIZE), float(bias > 0)), source, driving)
        with torch.inference_mode():
            occlusion = network(torch.rand(1, 3, *SIZE), Keypoints(source), Keypoints(driving)).occlusion
        assert torch.allclose(occlusion, expected, atol=1e-6)
        assert (occlusion.min(), occlusion.max()) == (0, 1)


def standing(batch: int = 1) -> Tensor:
    """(B, 64, 64, 2) a deformation that leaves everything where it is."""
    return coordinate_grid(*SIZE, torch.zeros(1)).expand(batch, -1, -1, -1)


def corrected(source: Tensor, driving: Tensor) -> Tensor:
    """(1, 2, 256, 256) where a deformation that stands still is corrected to."""
    return PARTS.corrected(standing(len(source)), source, driving, (256, 256)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("angle", [0.0, 0.5])
def test_lids_and_lips_come_from_where_they_are_in_the_source(angle: float) -> None:
    source, driving = face(mouth=0.3, eyes=0.08, angle=angle), face(mouth=0.15, eyes=0.04, angle=angle)
    field = corrected(source, driving)
    for place in (*range(6), 6, 7, 9, 10):
        found = at(field, *driving[0, place].tolist())[0]
        assert (found - source[0, place]).norm() < 0.02, place
        assert (found - source[0, place]).norm() < (driving - source)[0, place].norm() + 0.01, place


def test_where_lids_meet_nothing_is_left_of_the_eye() -> None:
    field = corrected(face(eyes=0.1), face(eyes=0.0))
    for x in (-0.25, 0.25):
        assert at(field, x, -0.02)[0, 1] < -0.05 < 0.05 < at(field, x, 0.02)[0, 1]


def test_a_lid_that_shuts_stretches_lashes_no_more_than_the_skin_up_to_the_brow() -> None:
    parts = FaceParts(mouth=range(6), eyes=range(6, 12), brows=(12, 13))
    brows = torch.tensor([[[-0.25, -0.35], [0.25, -0.35]]])
    source = torch.cat([face(eyes=0.16), brows], 1)
    driving = source.clone()
    driving[:, [6, 9]] = driving[:, [7, 10]]  # upper lids down to the lower ones
    field = parts.corrected(coordinate_grid(*SIZE, source)[None], source, driving, (256, 256))
    rows = torch.linspace(-0.34, 0.06, 60)
    column = sampled(field, torch.stack([torch.full_like(rows, -0.25), rows], -1)[None])[0, :, 1]
    assert abs(float(column[-1]) - (0.06 - 0.16)) < 0.02  # the lid is the source's
    assert abs(float(column[0]) - rows[0]) < 1e-3  # the brow stays
    assert (column.diff() / rows.diff()).min() > 0.35  # nothing twice, nothing drawn out to stripes


def test_what_is_right_or_far_from_eyes_and_mouth_stays() -> None:
    rest = coordinate_grid(256, 256, torch.zeros(1)).permute(2, 0, 1)
    assert torch.allclose(corrected(face(), face())[0], rest, atol=1e-5)
    field = corrected(face(eyes=0.1), face(eyes=0.0))
    for place in ((0.0, 0.1), (0.9, 0.9), (-0.25, -0.5), (-1.0, 0.0)):
        assert torch.allclose(at(field, *place)[0], torch.tensor(place), atol=0.01)


def test_faces_of_a_batch_are_corrected_as_one_by_one() -> None:
    sources = torch.cat([face(), face(angle=0.3) + 0.4, face(mouth=0.4) * 0.5 - 0.6])
    drivings = torch.cat([face(eyes=0.0), face(angle=0.5), face(mouth=0.1) * 0.5 - 0.4])
    together = corrected(sources, drivings)
    alone = torch.cat([corrected(s[None], d[None]) for s, d in zip(sources, drivings, strict=True)])
    assert torch.allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize(
    ("mouth", "eyes"), [(range(5), range(6)), (range(6), (0, 1, 2, 3, 4, 15)), (range(6), ()), ((), range(6))]
)
def test_parts_are_six_of_the_keypoints_each(mouth: range, eyes: range) -> None:
    motion = MotionConfig(mouth=tuple(mouth), eyes=tuple(eyes))
    with pytest.raises(ValueError, match=r"motion\.(mouth|eyes)"):
        ModelConfig(keypoints=KeypointConfig(count=15), motion=motion)

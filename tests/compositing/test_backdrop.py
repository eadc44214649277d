"""Where a head was, its source's background is shown, filled in from around."""

import pytest
import torch
from animation_tools import tiny_config

from mcnet_cli.compositing import Compositor
from mcnet_cli.compositing.backdrop import Backdrop, filled
from mcnet_cli.model import PRESETS, Keypoints, MCNet
from mcnet_cli.model.geometry import coordinate_grid

SIZE = (64, 64)


def turned(by: float, solid: float = 1.0) -> tuple[Backdrop, torch.Tensor, torch.Tensor]:
    """A person in the middle half goes left by a share of the side: motions of a blend, and of the person."""
    foreground = torch.zeros(1, 1, *SIZE)
    foreground[..., 16:48] = solid
    still = coordinate_grid(*SIZE, foreground)[None]
    person = still + 2 * by * torch.tensor([1.0, 0.0])
    background = torch.linspace(0, 1, 64)[None, None, :, None]  # a soft edge, as a network gives it
    picture = torch.full((1, 3, *SIZE), 0.25)
    return Backdrop(foreground, picture), torch.lerp(person, still, background), person


@pytest.mark.parametrize("solid", [1.0, 0.4])  # a head, a chest
def test_a_person_that_moves_is_not_blended_with_what_does_not_and_leaves_its_backdrop(solid: float) -> None:
    backdrop, blended, person = turned(16 / 63, solid)
    taken, uncovered = backdrop.parted(blended, person)
    assert torch.equal(taken[0, :, 8:], person[0, :, 8:])
    assert uncovered[0, 0, 20, 8:].tolist() == pytest.approx([0.0] * 24 + [1.0] * 32, abs=1e-4)
    shown = backdrop.behind(torch.ones(1, 3, *SIZE), uncovered)
    assert shown[0, 2, 20, 8:].tolist() == pytest.approx([1.0] * 24 + [0.25] * 32, abs=1e-4)


def test_a_person_at_rest_changes_nothing_around() -> None:
    backdrop, blended, person = turned(by=0.0)
    taken, uncovered = backdrop.parted(blended, person)
    assert torch.equal(taken, blended) and not uncovered.any()


def test_what_the_crop_cut_off_of_a_person_is_still_the_person() -> None:
    backdrop, blended, person = turned(by=16 / 63)
    cut = Backdrop(backdrop.foreground.roll(16, 3), backdrop.picture)  # as far as the right edge
    _, uncovered = cut.parted(blended, person)
    assert not uncovered[..., 32:].any()


def test_a_person_is_replaced_by_what_is_around() -> None:
    across = torch.linspace(0, 1, 64).expand(1, 3, *SIZE)
    image, foreground = across.clone(), torch.zeros(1, 1, *SIZE)
    image[..., 20:40, 20:40], foreground[..., 20:40, 20:40] = 9, 1
    found = Backdrop.of(foreground, image).picture
    assert (found - across).abs().max() < 0.2
    assert torch.equal(found[..., :16], image[..., :16])


def test_what_is_hardly_the_person_is_shown_as_it_is() -> None:
    image, foreground = torch.rand(1, 3, *SIZE), torch.zeros(1, 1, *SIZE)
    foreground[..., 20:40, 20:40], foreground[..., 50:60, 50:60] = 0.05, 0.4
    changed = (Backdrop.of(foreground, image).picture != image).any(1)[0]
    assert changed[51:59, 51:59].all()
    assert not changed[:48].any() and not changed[:, :48].any()


@pytest.mark.parametrize("size", [(64, 64), (96, 96), (5, 7)])
def test_where_nothing_or_all_is_known_pictures_stay_finite_or_as_they_are(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size)
    assert torch.equal(filled(image, torch.ones(2, 1, *size)), image)
    assert filled(image, torch.zeros(2, 1, *size)).isfinite().all()


def test_a_source_has_a_backdrop_where_the_networks_keypoints_are_a_face() -> None:
    torch.manual_seed(0)
    model = MCNet(PRESETS["lite"]).eval()
    image, places = torch.rand(1, 3, 256, 256), Keypoints(torch.rand(1, 35, 2) - 0.5)
    with torch.inference_mode():
        state = model.encode_source(image, places)
        layers = Compositor(model).layers(state)
        assert layers.backdrop is not None
        assert torch.equal(state.keypoints.values, places.values)
        at_rest = model(state, places).motion
        assert torch.allclose(layers.backdrop.foreground, 1 - at_rest.shares.background, atol=1e-6)
        paper = MCNet(tiny_config()).eval()
        assert Compositor(paper).layers(paper.encode_source(torch.rand(1, 3, 64, 64))).backdrop is None

"""Where a head was, its source's background is shown, filled in from around."""

import pytest
import torch
from animation_tools import tiny_config

from mcnet_cli.model import Keypoints, MCNet, ModelConfig
from mcnet_cli.model.backdrop import Backdrop, filled
from mcnet_cli.model.geometry import coordinate_grid

SIZE = (64, 64)


def test_background_that_would_show_the_person_once_more_is_filled_in() -> None:
    foreground, background = torch.zeros(1, 1, *SIZE), torch.zeros(1, 1, *SIZE)
    foreground[..., 16:48] = 1  # the person was in the middle, and is on the left now
    background[..., 32:] = 1
    backdrop = Backdrop(foreground, torch.full((1, 3, *SIZE), 0.25))
    still = coordinate_grid(*SIZE, foreground)[None]
    shown = backdrop.behind_moved(torch.ones(1, 3, *SIZE), background, still)
    assert shown[0, 2, 20].tolist() == pytest.approx([1.0] * 32 + [0.25] * 16 + [1.0] * 16)


def test_a_person_is_replaced_by_what_is_around() -> None:
    across = torch.linspace(0, 1, 64).expand(1, 3, *SIZE)
    image, foreground = across.clone(), torch.zeros(1, 1, *SIZE)
    image[..., 20:40, 20:40], foreground[..., 20:40, 20:40] = 9, 1
    found = Backdrop.behind(foreground, image).picture
    assert (found - across).abs().max() < 0.2
    assert torch.equal(found[..., :16], image[..., :16])


@pytest.mark.parametrize("size", [(64, 64), (96, 96), (5, 7)])
def test_where_nothing_or_all_is_known_pictures_stay_finite_or_as_they_are(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size)
    assert torch.equal(filled(image, torch.ones(2, 1, *size)), image)
    assert filled(image, torch.zeros(2, 1, *size)).isfinite().all()


def test_a_source_has_a_backdrop_where_geometry_has_a_say() -> None:
    torch.manual_seed(0)
    model = MCNet(ModelConfig.preset("lite")).eval()
    image, places = torch.rand(1, 3, 256, 256), Keypoints(torch.rand(1, 35, 2) - 0.5)
    with torch.inference_mode():
        state = model.encode_source(image, places)
        assert state.backdrop is not None
        assert torch.equal(state.keypoints.values, places.values)
        at_rest = model(state, places).motion
        assert torch.allclose(state.backdrop.foreground, 1 - at_rest.mask[:, :1], atol=1e-6)
        several = model.render(state, Keypoints(places.values.expand(3, -1, -1)))
        assert several.shape == (3, 3, 256, 256)
    assert MCNet(tiny_config()).encode_source(torch.rand(1, 3, 64, 64)).backdrop is None

"""Teeth are pale, in whatever light a portrait is."""

from dataclasses import replace

import pytest
import torch
from animation_tools import tiny_config

from mcnet_cli.model import PRESETS, Keypoints, MCNet
from mcnet_cli.model.palette import TEETH, Palette
from mcnet_cli.model.tone import brightness

SKIN, LIPS, TEETH_IN_GREEN, TONGUE = (
    (0.84, 0.73, 0.65),
    (0.76, 0.49, 0.45),
    (0.78, 0.86, 0.62),
    (0.6, 0.3, 0.28),
)


def colour(rgb: tuple[float, ...], size: tuple[int, int] = (1, 1)) -> torch.Tensor:
    """(1, 3, H, W) all of it."""
    return torch.tensor(rgb)[None, :, None, None].expand(1, 3, *size)


def of_a_face() -> Palette:
    """Of a picture whose upper half is skin and whose lower half is lips."""
    face = torch.cat([colour(SKIN, (16, 32)), colour(LIPS, (16, 32))], dim=2)
    return Palette.of(
        face, torch.tensor([[[-0.5, -0.5], [0.5, -0.5]]]), torch.tensor([[[0.0, 0.5], [0.1, 0.6]]])
    )


def test_what_is_not_red_between_lips_becomes_as_pale_as_the_skin_allows() -> None:
    painted = torch.cat([colour(rgb) for rgb in (TEETH_IN_GREEN, TONGUE, LIPS)], dim=3)
    found = of_a_face().between_lips(painted, torch.ones(1, 1, 1, 3))
    assert torch.equal(found[..., 1:], painted[..., 1:])
    red, green, blue = found[0, :, 0, 0].tolist()
    assert red > green > blue  # as the skin's
    light, skin = brightness(colour(TEETH_IN_GREEN)), colour(SKIN)
    expected = light * (1 + TEETH * (skin / brightness(skin) - 1))
    torch.testing.assert_close(found[..., :1], expected)


def test_nothing_changes_outside_of_a_mouth_nor_beside_lips_without_colour() -> None:
    painted = colour(TEETH_IN_GREEN, (4, 4))
    assert torch.equal(of_a_face().between_lips(painted, torch.zeros(1, 1, 4, 4)), painted)
    stone = Palette.of(colour((0.5, 0.5, 0.5), (8, 8)), torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))
    grey = stone.between_lips(painted, torch.ones(1, 1, 4, 4))
    assert (grey.amax(1) - grey.amin(1)).max() < 1e-6


@pytest.fixture
def lite() -> MCNet:
    torch.manual_seed(0)
    return MCNet(PRESETS["lite"]).eval()


def test_the_default_network_has_the_palette_of_its_source(lite: MCNet) -> None:
    with torch.inference_mode():
        image = torch.rand(1, 3, 256, 256)
        state = lite.encode_source(image)
        assert state.palette is not None
        assert lite.train().encode_source(image.expand(2, -1, -1, -1)).palette is None
        assert MCNet(tiny_config()).eval().encode_source(torch.rand(1, 3, 64, 64)).palette is None


def test_only_the_inside_of_the_mouth_is_toned(lite: MCNet) -> None:
    parts = lite.generator.dense_motion_network.parts
    assert parts is not None
    places = torch.zeros(1, 35, 2)
    mouth = [(-0.2, 0.3), (0.2, 0.3), (0, 0.24), (0, 0.36), (0, 0.2), (0, 0.42)]
    places[0, [*parts.mouth]] = torch.tensor(mouth)
    with torch.inference_mode():
        state = lite.encode_source(torch.rand(1, 3, 256, 256), Keypoints(places))
        decoded = [lite(s, Keypoints(places)).decoded for s in (state, replace(state, palette=None))]
    changed = (decoded[0] != decoded[1]).any(1)[0]
    rows, columns = changed.nonzero().T
    assert changed[round(255 * 0.65), 128]  # the mouth's middle
    assert changed.sum() < 0.05 * changed.numel()
    assert rows.min() > 255 * (0.5 + 0.2 / 2)
    assert rows.max() < 255 * (0.5 + 0.42 / 2)
    assert columns.min() > 255 * (0.5 - 0.24 / 2)
    assert columns.max() < 255 * (0.5 + 0.24 / 2)

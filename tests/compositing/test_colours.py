"""Painted teeth are pale in whatever light a portrait is; photos of one hue stay in that hue."""

from dataclasses import replace

import pytest
import torch
from animation_tools import tiny_config

from mcnet_cli.compositing import Compositor
from mcnet_cli.compositing.colours import TEETH, Palette, Tone, brightness
from mcnet_cli.model import PRESETS, Keypoints, MCNet

SKIN, LIPS, TEETH_IN_GREEN, TONGUE = (
    (0.84, 0.73, 0.65),
    (0.76, 0.49, 0.45),
    (0.78, 0.86, 0.62),
    (0.6, 0.3, 0.28),
)


def colour(rgb: tuple[float, ...], size: tuple[int, int] = (1, 1)) -> torch.Tensor:
    """(1, 3, H, W) all of it."""
    return torch.tensor(rgb)[None, :, None, None].expand(1, 3, *size)


def of_a_face(skin: tuple[float, ...] = SKIN, lips: tuple[float, ...] = LIPS) -> Palette:
    """Of a picture whose upper half is skin and whose lower half is lips."""
    face = torch.cat([colour(skin, (16, 32)), colour(lips, (16, 32))], dim=2)
    places = torch.tensor([[[-0.5, -0.5], [0.5, -0.5]]]), torch.tensor([[[0.0, 0.5], [0.1, 0.6]]])
    return Palette.of(face, *places)


def colourfulness(picture: torch.Tensor) -> float:
    """How far channels are apart, over the brightness."""
    return float(((picture.amax(1) - picture.amin(1)) / brightness(picture)[:, 0]).max())


def test_what_is_not_red_between_lips_becomes_as_pale_as_the_skin_allows() -> None:
    painted = torch.cat([colour(rgb) for rgb in (TEETH_IN_GREEN, TONGUE, LIPS)], dim=3)
    found = of_a_face().between_lips(painted, torch.ones(1, 1, 1, 3))
    assert torch.equal(found[..., 1:], painted[..., 1:])
    red, green, blue = found[0, :, 0, 0].tolist()
    assert red > green > blue  # as the skin's
    light, skin = brightness(colour(TEETH_IN_GREEN)), colour(SKIN)
    expected = light * (1 + TEETH * (skin / brightness(skin) - 1))
    torch.testing.assert_close(found[..., :1], expected)


def test_nothing_changes_outside_of_a_mouth() -> None:
    painted = colour(TEETH_IN_GREEN, (4, 4))
    assert torch.equal(of_a_face().between_lips(painted, torch.zeros(1, 1, 4, 4)), painted)


@pytest.mark.parametrize(
    "lips", [(0.5, 0.5, 0.5), (0.5, 0.5, 0.496), (0.504, 0.5, 0.496), (0.42, 0.41, 0.40)]
)
def test_beside_lips_of_stone_or_a_grey_beard_nothing_is_red(lips: tuple[float, ...]) -> None:
    grey = (0.5, 0.5, 0.5)
    found = of_a_face(grey, lips).between_lips(colour(TEETH_IN_GREEN), torch.ones(1, 1, 1, 1))
    assert colourfulness(found) < 0.02


def test_teeth_beside_brown_skin_are_no_browner_than_they_were_painted() -> None:
    white = colour((0.78, 0.77, 0.72))
    found = of_a_face((0.35, 0.22, 0.16), (0.4, 0.2, 0.18)).between_lips(white, torch.ones(1, 1, 1, 1))
    assert colourfulness(found) < 1.3 * colourfulness(white)


def test_a_tongue_stays_red_beside_lipstick() -> None:
    tongue = colour(TONGUE)
    found = of_a_face(lips=(0.8, 0.08, 0.12)).between_lips(tongue, torch.ones(1, 1, 1, 1))
    assert torch.equal(found, tongue)


@pytest.fixture
def lite() -> MCNet:
    torch.manual_seed(0)
    return MCNet(PRESETS["lite"]).eval()


def test_sources_have_a_palette_where_the_networks_keypoints_are_a_face(lite: MCNet) -> None:
    paper = MCNet(tiny_config()).eval()
    with torch.inference_mode():
        assert Compositor(lite).layers(lite.encode_source(torch.rand(1, 3, 256, 256))).palette is not None
        assert Compositor(paper).layers(paper.encode_source(torch.rand(1, 3, 64, 64))).palette is None


def a_mouth(lite: MCNet, roll_deg: float = 0.0) -> Keypoints:
    """All keypoints in the middle, but for the mouth's, turned."""
    parts = lite.parts
    assert parts is not None
    mouth = torch.tensor([(-0.2, 0.3), (0.2, 0.3), (0, 0.24), (0, 0.36), (0, 0.2), (0, 0.42)])
    angle = torch.tensor(roll_deg).deg2rad()
    turn = torch.stack([torch.stack([angle.cos(), angle.sin()]), torch.stack([-angle.sin(), angle.cos()])])
    places = torch.zeros(1, 35, 2)
    places[0, [*parts.mouth]] = (mouth - mouth.mean(0)) @ turn + mouth.mean(0)
    return Keypoints(places)


def test_only_the_inside_of_the_mouth_is_toned(lite: MCNet) -> None:
    with torch.inference_mode():
        state, compositor = lite.encode_source(torch.rand(1, 3, 256, 256), a_mouth(lite)), Compositor(lite)
        layers = compositor.layers(state)
        toned, plain = (
            compositor.compose(state, given, a_mouth(lite)).painted
            for given in (layers, replace(layers, palette=None))
        )
    changed = (toned != plain).any(1)[0]
    rows, columns = changed.nonzero().T
    assert changed[round(255 * 0.65), 128]  # the mouth's middle
    assert changed.sum() < 0.05 * changed.numel()
    assert rows.min() > 255 * (0.5 + 0.2 / 2)
    assert rows.max() < 255 * (0.5 + 0.42 / 2)
    assert columns.min() > 255 * (0.5 - 0.25 / 2)
    assert columns.max() < 255 * (0.5 + 0.25 / 2)


@pytest.mark.parametrize("roll_deg", [11.0, 30.0, 45.0])
def test_all_of_a_mouth_is_toned_however_it_is_turned(lite: MCNet, roll_deg: float) -> None:
    parts = lite.parts
    assert parts is not None
    turned = a_mouth(lite, roll_deg).values
    (rows, columns), inside = parts.between_lips(turned, (256, 256))
    _, wide = parts.between_lips(torch.cat([turned, turned.flip(-1) * 3]), (256, 256))
    assert inside.sum() == pytest.approx(float(wide[0].sum()), rel=1e-4)
    assert max(inside[..., edge, :].max() for edge in (0, -1)) == 0
    assert max(inside[..., edge].max() for edge in (0, -1)) == 0
    assert (rows.stop - rows.start) * (columns.stop - columns.start) < 0.1 * 256**2


def test_frames_can_be_fitted(lite: MCNet) -> None:
    state, compositor = lite.encode_source(torch.rand(1, 3, 256, 256), a_mouth(lite)), Compositor(lite)
    moved = a_mouth(lite).values.requires_grad_()
    compositor.frames(state, compositor.layers(state), Keypoints(moved)).mean().backward()
    assert moved.grad is not None
    assert moved.grad.abs().max() > 0


SEPIA = torch.tensor([1.0, 0.89, 0.69])[None, :, None, None]


def in_one_hue(hue: torch.Tensor, noise: float = 0.0) -> torch.Tensor:
    """A picture (1, 3, 64, 64) of it, from black to its brightest."""
    grey = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    return (grey * hue + noise * torch.randn(1, 3, 64, 64)).clamp(0, 1)


def test_paint_takes_the_hue_of_a_photo_that_has_but_one() -> None:
    torch.manual_seed(0)
    paint = torch.rand(1, 3, 64, 64)
    for hue in (torch.ones(1, 3, 1, 1), SEPIA):
        tone = Tone.of(in_one_hue(hue, noise=0.004))
        assert tone is not None
        toned = tone(paint)
        expected = brightness(paint) * hue / brightness(hue)
        dark = brightness(paint) < 0.6  # brighter paint leaves what a screen can show
        assert ((toned - expected).abs() * dark).max() < 0.01


def test_a_photo_in_colours_has_no_tone_and_a_nearly_grey_one_some() -> None:
    torch.manual_seed(0)
    photo = in_one_hue(SEPIA)
    tinted = photo.clone()
    tinted[..., :32, :] = (tinted[..., :32, :] + torch.tensor([0.03, 0.0, -0.03])[None, :, None, None]).clamp(
        0
    )
    assert Tone.of(tinted) is None
    slightly = Tone.of(torch.lerp(photo, tinted, 0.6))
    assert slightly is not None
    assert 0 < slightly.share.item() < 1


def test_of_several_sources_each_has_its_own_tone() -> None:
    torch.manual_seed(0)
    grey, colours, paint = (
        in_one_hue(torch.ones(1, 3, 1, 1)),
        torch.rand(1, 3, 64, 64),
        torch.rand(2, 3, 64, 64),
    )
    tone = Tone.of(torch.cat([grey, colours]))
    assert tone is not None
    toned = tone(paint)
    assert toned[0].std(0).max() < 1e-3
    assert torch.equal(toned[1], paint[1])


def test_the_default_network_makes_grey_frames_of_a_grey_source(lite: MCNet) -> None:
    compositor = Compositor(lite)
    with torch.inference_mode():
        state = lite.encode_source(torch.rand(1, 1, 256, 256).expand(1, 3, 256, 256))
        moved = state.keypoints.map(lambda places: (places + 0.1).expand(2, -1, -1))
        frames = compositor.frames(state, compositor.layers(state), moved)
        assert (frames.amax(1) - frames.amin(1)).max() < 1 / 255
        assert compositor.layers(lite.encode_source(torch.rand(1, 3, 256, 256))).tone is None
        paper = MCNet(tiny_config()).eval()
        assert Compositor(paper).layers(paper.encode_source(torch.zeros(1, 3, 64, 64))).tone is None

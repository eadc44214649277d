"""What is painted into a photo of one hue has that hue."""

import pytest
import torch
from animation_tools import tiny_config

from mcnet_cli.compositing import Compositor
from mcnet_cli.compositing.tone import Tone, brightness
from mcnet_cli.model import PRESETS, MCNet

SEPIA = torch.tensor([1.0, 0.89, 0.69])[None, :, None, None]


def in_one_hue(hue: torch.Tensor, noise: float = 0.0) -> torch.Tensor:
    """A picture (1, 3, 64, 64) of it, from black to its brightest."""
    grey = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    return (grey * hue + noise * torch.randn(1, 3, 64, 64)).clamp(0, 1)


@pytest.fixture
def lite() -> MCNet:
    torch.manual_seed(0)
    return MCNet(PRESETS["lite"]).eval()


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

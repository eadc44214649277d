"""Detail painters: what they paint where, in which colours, and networks with and without them."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mcnet_cli.checkpoint import read_weights, write_weights
from mcnet_cli.errors import WeightsError
from mcnet_cli.model import PRESETS, MCNet, ModelConfig
from mcnet_cli.model.config import PainterConfig
from mcnet_cli.model.detail_paint import Painted
from mcnet_cli.model.detail_painter import EyePainter, MouthPainter, SourceDetail, limit
from mcnet_cli.model.eye_shape import EyeShape
from mcnet_cli.model.mouth_shape import MouthShape
from mcnet_cli.model.windows import Window

SMALL = PainterConfig(size=32, channels=(12, 8, 8), tokens=4)
WITH_PAINTER = replace(PRESETS["lite"], painter=SMALL, eye_painter=SMALL)


def shape(*openings: float) -> MouthShape:
    """Mouths that are open by these shares of their width, in the middle of squares."""
    below = torch.tensor(openings)[:, None] * torch.tensor([0.0, 1.2])
    level = torch.tensor([(-0.6, -0.1), (0.6, -0.1), (0, -0.1), (0, -0.1), (0, -0.3), (0, 0.1)])
    more = torch.tensor([(-1.2, -1.6), (1.2, -1.6), (0, -0.7), (0, 0.9)])
    points = torch.cat([level, more]).repeat(len(openings), 1, 1)
    points[:, [3, 5, 9]] += below[:, None]
    return MouthShape.of_points(points)


def painter(config: PainterConfig = SMALL) -> MouthPainter:
    torch.manual_seed(0)
    return MouthPainter(config).eval().requires_grad_(False)


def pictures(count: int, size: int = SMALL.size) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def encoded(made: MouthPainter, seen: Tensor, opening: float = 0.0) -> SourceDetail:
    return made.encode(seen, shape(*[opening] * len(seen)))


def test_mouths_may_be_painted_between_the_lips_alone() -> None:
    mouth = shape(0.5)
    inner, outer = mouth.distances(128)
    share = limit(inner)
    assert share[0, 0, 80, 64] == 1
    assert (share[inner > 0.02] == 0).all() and (share[outer > 0] == 0).all()
    assert limit(shape(0.0).distances(128)[0]).max() < 0.3


def test_mouths_that_the_source_has_shut_or_open_by_far_less_are_painted_whole() -> None:
    made, seen = painter(), pictures(1)
    mouth = shape(0.6)
    inside = limit(mouth.distances(SMALL.size)[0]) == 1
    assert inside.any()
    assert (made(seen, mouth, encoded(made, seen)).share[inside] == 1).all()
    assert (made(seen, mouth, encoded(made, seen, opening=0.4)).share[inside] < 1).all()
    assert (made(seen, mouth, encoded(made, seen, opening=0.15)).share[inside] == 1).all()


def test_grey_portraits_get_grey_paint() -> None:
    made, grey = painter(), pictures(1).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    colours = made(grey, shape(0.6), encoded(made, grey)).colours
    assert (colours - colours.mean(1, keepdim=True)).abs().max() < 1e-4
    assert colours.std() > 1e-3


def test_tinted_portraits_get_tinted_paint() -> None:
    made, tinted = painter(), pictures(1) * torch.tensor([0.4, 0.6, 1.0])[:, None, None]
    red, green, blue = made(tinted, shape(0.6), encoded(made, tinted)).colours.mean((0, 2, 3))
    assert blue > green > red


def test_a_batch_is_painted_as_each_alone() -> None:
    made, seen, mouths = painter(), pictures(3), shape(0.2, 0.5, 0.8)
    own = shape(0.2, 0.0, 0.1)
    together = made(seen, mouths, made.encode(seen, own))
    for number in range(3):
        rows = slice(number, number + 1)
        alone = made(seen[rows], mouths[rows], made.encode(seen[rows], own[rows]))
        assert torch.allclose(alone.colours, together.colours[rows], atol=1e-5)
        assert torch.allclose(alone.share, together.share[rows], atol=1e-5)


@pytest.mark.parametrize(
    "window",
    [(slice(8, 24), slice(4, 28)), (slice(0, 12), slice(0, 32)), (slice(20, 32), slice(16, 32))],
)
def test_a_window_is_painted_as_a_part_of_the_whole(window: Window) -> None:
    config = replace(SMALL, size=64)
    made, seen, mouths = painter(config), pictures(2, 64), shape(0.4, 0.7)
    source = made.encode(seen, shape(0.0, 0.2))
    rows, columns = (slice(2 * part.start, 2 * part.stop) for part in window)
    whole, part = made(seen, mouths, source), made(seen, mouths, source, (rows, columns))
    assert torch.allclose(part.colours, whole.colours[..., rows, columns], atol=1e-5)
    assert torch.allclose(part.share, whole.share[..., rows, columns], atol=1e-5)


@cache
def enlarging() -> MouthPainter:
    """A painter with an enlarger that adds something."""
    made = painter(replace(SMALL, size=64, enlarger=8))
    assert made.enlarger is not None
    torch.nn.init.normal_(made.enlarger.out.weight, std=0.1)
    return made


def test_enlarged_paint_has_light_of_its_own_and_the_same_chromas() -> None:
    made, large, mouth = enlarging(), pictures(2, 128), shape(0.4, 0.7)
    paint = made(large[..., ::2, ::2], mouth, made.encode(large[..., ::2, ::2], shape(0.0, 0.2))).finished()
    enlarged = made.enlarged(paint, large, mouth)
    plain = F.interpolate(paint.layers, scale_factor=2.0, mode="bicubic").clamp(0, 1)
    assert torch.equal(enlarged.share, plain[:, 3:])
    added = enlarged.colours - plain[:, :3]
    within = (enlarged.colours > 0).all(1) & (enlarged.colours < 1).all(1)
    assert added.abs().max() > 0.01
    assert (added.amax(1) - added.amin(1))[within].max() < 1e-5


def test_an_enlarger_adds_nothing_before_it_has_learned() -> None:
    made, large, mouth = painter(replace(SMALL, size=64, enlarger=8)), pictures(1, 128), shape(0.6)
    paint = Painted(pictures(1, 64), pictures(1, 64)[:, :1])
    plain = F.interpolate(paint.layers, scale_factor=2.0, mode="bicubic").clamp(0, 1)
    assert torch.equal(made.enlarged(paint, large, mouth).layers, plain)


def test_a_painter_without_an_enlarger_leaves_paint_as_it_is() -> None:
    paint = Painted(pictures(1), pictures(1)[:, :1])
    assert painter().enlarged(paint, pictures(1, 64), shape(0.6)) is paint


def test_a_window_is_enlarged_as_a_part_of_the_whole() -> None:
    made, large, mouth = enlarging(), pictures(2, 128), shape(0.4, 0.7)
    whole = Painted(pictures(2, 64), pictures(2, 64)[:, :1])
    rows, columns = slice(16, 48), slice(8, 56)
    part = Painted(whole.colours[..., rows, columns], whole.share[..., rows, columns])
    enlarged = made.enlarged(part, large, mouth, (rows, columns)).layers
    expected = made.enlarged(whole, large, mouth).layers[..., 32:96, 16:112]
    # of what is beyond the window, which is taken for empty, 18 pixels would be seen
    assert torch.allclose(enlarged[..., 18:-18, 18:-18], expected[..., 18:-18, 18:-18], atol=1e-5)


def test_stretched_lips_between_a_shut_mouths_lips_are_not_seen() -> None:
    made, seen, mouth = painter(), pictures(1), shape(0.6)
    source = encoded(made, seen)
    inside = limit(mouth.distances(SMALL.size)[0]) == 1
    other = torch.where(inside, 1 - seen, seen)
    assert torch.allclose(made(other, mouth, source).colours, made(seen, mouth, source).colours, atol=1e-5)
    opened = encoded(made, seen, opening=0.4)
    apart = made(other, mouth, opened).colours - made(seen, mouth, opened).colours
    assert apart.abs().max() > 1e-3


def test_the_bank_is_read_and_can_be_left_out() -> None:
    made, seen, mouth = painter(), pictures(1), shape(0.6)
    before = made(seen, mouth, encoded(made, seen)).colours
    assert made.memory.bank is not None
    made.memory.bank.add_(3.0)
    assert (made(seen, mouth, encoded(made, seen)).colours - before).abs().max() > 1e-4
    without = painter(replace(SMALL, tokens=0))
    assert without.memory.bank is None
    assert without(seen, mouth, encoded(without, seen)).colours.shape == seen.shape


def eye(*openings: float) -> EyeShape:
    """Eyes that are open by these shares of their width, in the middle of squares."""
    u = torch.linspace(-1, 1, 9)
    bend = 0.6 * torch.tensor(openings)[:, None] * (1 - u.square())
    across = (0.6 * u).expand(len(bend), -1)
    arcs = torch.stack([torch.stack([across, -bend], -1), torch.stack([across, bend], -1)], 1)
    iris = torch.tensor([(0.0, 0.0), (0.15, 0.0)]).expand(len(bend), 2, 2)
    return EyeShape(torch.cat([arcs[:, 0, [0, -1]], arcs[:, :, 4], iris], 1), arcs)


def eye_painter() -> EyePainter:
    torch.manual_seed(0)
    return EyePainter(SMALL).eval().requires_grad_(False)


def test_eyes_that_the_source_has_shut_are_painted_whole() -> None:
    made, seen = eye_painter(), pictures(1)
    inside = limit(eye(0.4).distances(SMALL.size)[0]) == 1
    assert inside.any()
    assert (made(seen, eye(0.4), made.encode(seen, eye(0.05))).share[inside] == 1).all()
    assert (made(seen, eye(0.4), made.encode(seen, eye(0.35))).share[inside] < 1).all()


def test_eyes_in_grey_portraits_are_grey_and_others_of_any_hue() -> None:
    made, seen = eye_painter(), pictures(1)
    grey = seen.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    colours = made(grey, eye(0.4), made.encode(grey, eye(0.0))).colours
    assert (colours - colours.mean(1, keepdim=True)).abs().max() < 1e-4
    tinted = seen * torch.tensor([1.0, 0.6, 0.4])[:, None, None]
    assert made.out.bias is not None
    made.out.bias[3] = 3.0  # towards blue
    red, _, blue = made(tinted, eye(0.4), made.encode(tinted, eye(0.0))).colours.mean((0, 2, 3))
    assert blue > red


def test_painters_need_keypoints_that_place_a_mouth_or_eyes() -> None:
    with pytest.raises(ValueError, match=r"eye_painter\.size = 32: needs motion\.eyes"):
        replace(PRESETS["mcnet"], eye_painter=SMALL)
    with pytest.raises(ValueError, match=r"painter\.size = 32: needs motion\.mouth"):
        replace(PRESETS["mcnet"], painter=SMALL)
    with pytest.raises(ValueError, match=r"multiple of 16"):
        PainterConfig(size=40)


def test_networks_without_a_painter_are_described_as_ever() -> None:
    assert MCNet(PRESETS["mcnet"]).painter is None
    assert not {"painter", "eye_painter"} & json.loads(PRESETS["mcnet"].to_json()).keys()
    assert ModelConfig.from_json(WITH_PAINTER.to_json()) == WITH_PAINTER


def test_weights_files_carry_the_painter(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    model = MCNet(WITH_PAINTER)
    write_weights(path, model.state_dict(), WITH_PAINTER, framing=None, smooth=None, card={}, half=False)
    weights = read_weights(path)
    assert weights.config == WITH_PAINTER
    for bank in ("painter.memory.bank", "eye_painter.memory.bank"):
        assert torch.equal(weights.state[bank], model.state_dict()[bank])
    lacking = {name: x for name, x in model.state_dict().items() if name != "painter.memory.bank"}
    with pytest.raises(WeightsError, match=r"missing painter\.memory\.bank"):
        write_weights(path, lacking, WITH_PAINTER, framing=None, smooth=None, card={})

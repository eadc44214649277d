"""The stage in which openings are painted: what its discriminators see, that they learn, whom they teach."""

import logging
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from training_tools import LANDMARKS, PAPER, STAGE, config, run_training, talking

from mcnet_cli.errors import UsageError
from mcnet_cli.face.topology import MOUTH_OUTLINE
from mcnet_cli.media.clips import find_clips
from mcnet_cli.model import MCNet
from mcnet_cli.training import RunConfig
from mcnet_cli.training.dataset import load_dataset
from mcnet_cli.training.losses import LEFT_EYE, RIGHT_EYE
from mcnet_cli.training.opening_stage import GATHERING, PAINTING, learn_openings, way_that_opens
from mcnet_cli.training.openings import EYES, MOUTHS, Kind, OpeningDiscriminator, Openings, inside_mask
from mcnet_cli.training.sampling import PairSampler

SIZE = 128
MIDDLE = 0.1, 0.4  # of the lips, in [-1, 1]


def lips(opening: float) -> Tensor:
    """(1, 478, 2): the inner lips on an ellipse around `MIDDLE`, `opening` high; all else in the corner."""
    points = torch.full((1, 478, 2), -1.0)
    angles = torch.linspace(0, 2 * torch.pi, len(MOUTH_OUTLINE) + 1)[:-1]
    ring = torch.stack([0.15 * angles.cos(), opening * angles.sin()], -1)
    points[0, list(MOUTH_OUTLINE)] = ring + torch.tensor(MIDDLE)
    return points


def mask(points: Tensor, size: int = SIZE) -> Tensor:
    return inside_mask(points[0], MOUTH_OUTLINE, size)[0, 0]


def test_a_mask_shows_what_is_between_lips() -> None:
    opened = mask(lips(0.1))
    x, y = (round((at + 1) * (SIZE - 1) / 2) for at in MIDDLE)
    assert opened[y, x] == 1
    assert opened[y + 12, x] == opened[y - 12, x] == opened[y, x + 14] == 0
    assert 0 < opened[y, x + 11] <= 1
    assert 0.004 < opened.mean() < 0.03


def test_a_mask_scales_with_the_picture() -> None:
    shares = [mask(lips(0.1), size).mean().item() for size in (64, 128, 256)]
    assert max(shares) < 1.4 * min(shares)


def eyes(left: float, right: float) -> Tensor:
    """(1, 478, 2): lids on ellipses, so far open; all else in the corner."""
    points = torch.full((1, 478, 2), -1.0)
    for outline, height, x in ((LEFT_EYE, left, -0.3), (RIGHT_EYE, right, 0.3)):
        angles = torch.linspace(0, 2 * torch.pi, len(outline) + 1)[:-1]
        points[0, list(outline)] = torch.stack([x + 0.12 * angles.cos(), height * angles.sin()], -1)
    return points


def opened(kind: Kind, before: Tensor, after: Tensor) -> list[tuple[int, ...]]:
    pixels = [((points[0] + 1) * (SIZE - 1) / 2).numpy() for points in (before, after)]
    return kind.opened(pixels[0], pixels[1], SIZE)


def test_what_opens_is_open_and_was_less_so() -> None:
    assert opened(MOUTHS, lips(0.0), lips(0.1)) == [MOUTH_OUTLINE]
    assert opened(MOUTHS, lips(0.05), lips(0.1)) == [MOUTH_OUTLINE]
    assert opened(MOUTHS, lips(0.09), lips(0.1)) == opened(MOUTHS, lips(0.1), lips(0.0)) == []
    assert opened(EYES, eyes(0.0, 0.05), eyes(0.05, 0.05)) == [LEFT_EYE]
    assert opened(EYES, eyes(0.0, 0.0), eyes(0.05, 0.04)) == [LEFT_EYE, RIGHT_EYE]
    assert opened(EYES, eyes(0.05, 0.05), eyes(0.05, 0.0)) == []
    assert opened(EYES, eyes(0.02, 0.025), eyes(0.05, 0.05)) == [LEFT_EYE]  # narrow ones are warped


def test_the_inside_alone_is_replaced() -> None:
    pictures = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    real = Openings(pictures, mask(lips(0.1))[None, None])
    made = real.with_inside(torch.zeros_like(pictures))
    assert (made.pictures * (real.masks == 1)).abs().max() == 0
    assert torch.equal(made.pictures * (real.masks == 0), pictures * (real.masks == 0))
    assert torch.equal(real.with_inside(pictures).pictures, pictures)


def smears(count: int, seed: int) -> tuple[Openings, Openings]:
    """Mouths with a light and a dark half, and their means."""
    real = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 0.1
    made, masks = real.clone(), torch.zeros(count, 1, 32, 32)
    masks[:, :, 8:24, 8:24] = 1
    real[:, :, 8:16, 8:24] += 0.8
    made[:, :, 8:24, 8:24] += 0.4
    return Openings(real, masks), Openings(made, masks)


def test_the_discriminator_learns_to_tell_smears_from_teeth() -> None:
    torch.manual_seed(0)
    discriminator = OpeningDiscriminator(8)
    optimizer = torch.optim.Adam(discriminator.parameters(), 1e-3)
    for step in range(60):
        optimizer.zero_grad()
        discriminator.loss(*smears(4, step)).backward()
        optimizer.step()
    real, made = (discriminator(openings)[0] for openings in smears(4, 1000))
    assert real.shape == (4,)
    assert real.min() > 0 > made.max()


def test_the_generators_side_teaches_the_inside_alone_and_not_the_discriminator() -> None:
    torch.manual_seed(0)
    discriminator, (real, _) = OpeningDiscriminator(8), smears(2, 0)
    result = torch.full_like(real.pictures, 0.5).requires_grad_()
    gan, features = discriminator.generator_losses(real, real.with_inside(result))
    (gan + features).backward()
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert result.grad is not None
    touched = result.grad.abs().sum((0, 1)) > 0
    assert touched[8:24, 8:24].all()
    assert touched.sum() == 16 * 16


def test_roughness_is_the_squared_slope_of_the_scores() -> None:
    torch.manual_seed(0)
    discriminator, (real, _) = OpeningDiscriminator(4), smears(2, 0)
    once = discriminator.roughness(real)
    once.backward()
    assert all(p.grad is not None for name, p in discriminator.named_parameters() if "weight" in name)
    with torch.no_grad():
        for head in (discriminator.fine, discriminator.coarse):
            head.weight.mul_(3)
    assert discriminator.roughness(real).item() == pytest.approx(9 * once.item(), rel=1e-4)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talking(tmp_path_factory.mktemp("clips"))


def learned(
    clips: Path, settings: RunConfig, stages: list[str] | None = None
) -> tuple[MCNet, dict[str, Tensor], dict[str, float]]:
    """A network after the stage, its weights before, and the figures."""
    torch.manual_seed(0)
    model = MCNet(settings.model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seen = [] if stages is None else stages
    data = load_dataset(find_clips(clips), settings, clips)
    figures = learn_openings(
        model, data.clips, settings, torch.device("cpu"), lambda stage, *_: seen.append(stage)
    )
    return model, before, figures


def changed(model: MCNet, before: dict[str, Tensor]) -> set[str]:
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


def test_nothing_but_the_decoder_learns(clips: Path) -> None:
    settings = config(*STAGE, "model.generator.residual_blocks=[1, 1]")
    stages: list[str] = []
    model, before, figures = learned(clips, settings, stages)
    names = changed(model, before)
    assert names
    decoder = ("resblock.1.", "up_blocks.", "join.", "final.")
    assert all(name.startswith(tuple(f"generator.{part}" for part in decoder)) for name in names)
    assert {"generator.final.weight", "generator.resblock.1.conv1.weight"} <= names
    terms = {"discriminator", "gan", "feature_matching", "pixel", "still", "total"}
    assert set(figures) == {"mouths", "eyes", *terms}
    assert (figures["mouths"], figures["eyes"]) == (6, 3)
    assert stages.count(PAINTING) == 6


def test_the_stage_repeats_to_the_bit(clips: Path) -> None:
    first, second = (learned(clips, config(*STAGE))[0].state_dict() for _ in range(2))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def warnings_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("mcnet_cli"), "propagate", True)
    return caplog


def test_a_pair_is_turned_round_where_it_opens_the_other_way(clips: Path) -> None:
    settings = config(*STAGE)
    sampler = PairSampler(load_dataset(find_clips(clips), settings, clips).clips, 0, expressive_share=1)
    seen = set()
    for draw in map(sampler.draw, range(20)):
        pair = draw.pair
        assert pair is not None
        way, outlines = way_that_opens(pair, [MOUTHS])
        turned = way is not pair
        seen.add((turned, bool(outlines)))
        first, second = (pair.driving, pair.source) if turned else (pair.source, pair.driving)
        assert np.array_equal(way.source, first)
        assert np.array_equal(way.driving, second)
        before, after = (
            cv2.contourArea(points[[*MOUTH_OUTLINE]]) for points in (way.source_points, way.driving_points)
        )
        assert not outlines or before < after
    assert {(False, True), (True, True)} <= seen


def test_eyes_are_trained_alone_where_no_mouth_opens(tmp_path: Path) -> None:
    model, before, figures = learned(talking(tmp_path, lips=0.9), config(*STAGE))
    assert figures["eyes"] == 3
    assert "mouths" not in figures
    assert changed(model, before)


def test_eyes_are_left_out_where_none_are_wanted_or_none_open(
    tmp_path: Path, clips: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = warnings_of(caplog, monkeypatch)
    _, _, figures = learned(clips, config(*STAGE, "openings.eyes=0"))
    assert "mouths" in figures
    assert "eyes" not in figures
    assert not said.text
    model, before, figures = learned(talking(tmp_path, lids=0.9), config(*STAGE))
    assert "eyes" not in figures
    assert changed(model, before)
    assert "too few eyes" in said.text


def test_too_few_openings_are_a_warning_and_nothing_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, stages = warnings_of(caplog, monkeypatch), []
    model, before, figures = learned(talking(tmp_path, lips=0.9, lids=0.9), config(*STAGE), stages)
    assert PAINTING not in stages
    assert figures == {}
    assert not changed(model, before)
    assert "too few mouths" in said.text
    assert "too few eyes" in said.text


def test_a_loss_that_is_not_finite_is_a_warning_and_nothing_changes(
    clips: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, settings = warnings_of(caplog, monkeypatch), config(*STAGE)
    model = MCNet(settings.model)
    with torch.no_grad():
        model.generator.final.bias.fill_(torch.nan)  # what a run that has diverged may end with
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    data = load_dataset(find_clips(clips), settings, clips)
    figures = learn_openings(model, data.clips, settings, torch.device("cpu"), lambda *_: None)
    assert figures == {}
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0, equal_nan=True)
    assert "not finite" in said.text


def weights_of(run: Path) -> dict[str, Tensor]:
    return load_file(run / "weights.safetensors")


def test_a_run_ends_with_the_stage_and_one_that_was_stopped_in_it_ends_the_same(
    clips: Path, tmp_path: Path
) -> None:
    settings = config("steps=2", *STAGE)
    run_training(clips, tmp_path / "whole", settings)
    run_training(clips, tmp_path / "without", config("steps=2"))

    def stop(stage: str, done: int, *_: object) -> None:
        if stage == PAINTING and done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(clips, tmp_path / "stopped", settings, stop)
    assert not (tmp_path / "stopped" / "weights.safetensors").exists()
    run_training(clips, tmp_path / "stopped", settings)
    whole, stopped, without = (weights_of(tmp_path / name) for name in ("whole", "stopped", "without"))
    for name, tensor in whole.items():
        assert torch.equal(tensor, stopped[name]), name
    assert not torch.equal(whole["generator.final.weight"], without["generator.final.weight"])
    assert "openings_discriminator" in (tmp_path / "whole" / "log.jsonl").read_text()


@pytest.mark.slow
def test_a_run_that_goes_on_and_is_stopped_at_its_last_step_still_has_it(clips: Path, tmp_path: Path) -> None:
    def stop(stage: str, *_: object) -> None:
        if stage == "training":
            os.kill(os.getpid(), signal.SIGINT)

    run_training(clips, tmp_path, config("steps=2", *STAGE))
    with pytest.raises(KeyboardInterrupt):
        run_training(clips, tmp_path, config("steps=3", *STAGE), stop)
    stages: list[str] = []
    run_training(clips, tmp_path, config("steps=3", *STAGE), lambda stage, *_: stages.append(stage))
    assert PAINTING in stages


@pytest.mark.slow
def test_a_signal_in_the_stage_saves_first(clips: Path, tmp_path: Path) -> None:
    def stop(stage: str, done: int, *_: object) -> None:
        if stage == PAINTING and done == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_training(clips, tmp_path, config("steps=3", *STAGE), stop)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000003"]
    run_training(clips, tmp_path, config("steps=3", *STAGE))
    assert (tmp_path / "weights.safetensors").exists()


def test_more_mouths_than_in_a_step_are_asked_for() -> None:
    with pytest.raises(UsageError, match=r"openings\.count"):
        config("openings.count=5", "openings.batch_size=6")


@pytest.mark.slow
def test_a_finished_run_does_not_repeat_it_and_a_longer_one_does(clips: Path, tmp_path: Path) -> None:
    stages: list[str] = []

    def see(stage: str, *_: object) -> None:
        stages.append(stage)

    run_training(clips, tmp_path, config("steps=2", *STAGE), see)
    assert PAINTING in stages
    stages.clear()
    run_training(clips, tmp_path, config("steps=2", *STAGE), see)
    assert PAINTING not in stages
    run_training(clips, tmp_path, config("steps=3", *STAGE), see)
    assert PAINTING in stages


def test_after_a_short_run_the_stage_is_short(clips: Path, tmp_path: Path) -> None:
    long = ["openings.steps=1000", "openings.alone=1000", "openings.count=1000", "openings.batch_size=3"]
    seen: list[tuple[str, int]] = []
    run_training(
        clips, tmp_path, config("steps=2", *long), lambda stage, _, total, *__: seen.append((stage, total))
    )
    assert seen.count((PAINTING, 4)) == 4
    assert (GATHERING, 4 + 2) in seen


def test_the_papers_training_has_no_such_stage() -> None:
    assert config(base=[s for s in PAPER if "openings" not in s]).openings.steps == 0
    assert config(base=[s for s in LANDMARKS if "openings" not in s]).openings.steps > 0
    with pytest.raises(UsageError, match=r"openings\.steps"):
        config("openings.steps=5", base=PAPER)

"""The discriminator of open mouths: what it sees, that it learns, and whom it teaches."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from training_tools import LANDMARKS, config, run_training, write_clips

from mcnet_cli.checkpoint import read_weights
from mcnet_cli.devices import Compute
from mcnet_cli.training.augment import Batch
from mcnet_cli.training.learner import Learner
from mcnet_cli.training.losses import INNER_LIPS
from mcnet_cli.training.moment import Moment
from mcnet_cli.training.mouths import MouthDiscriminator, MouthObjective, Mouths, mouth_losses, open_mouths
from mcnet_cli.training.world import ALONE, World

CPU = Compute(torch.device("cpu"), torch.float32, "in tests")
SIZE = 128
MIDDLE = 0.1, 0.4  # of the lips, in [-1, 1]
OPEN, SHUT = 0.1, 0.0


def lips(opening: float) -> Tensor:
    """(1, 478, 2): the inner lips on an ellipse around `MIDDLE`, `opening` high; all else in the corner."""
    points = torch.full((1, 478, 2), -1.0)
    angles = torch.linspace(0, 2 * torch.pi, len(INNER_LIPS) + 1)[:-1]
    ring = torch.stack([0.15 * angles.cos(), opening * angles.sin()], -1)
    points[0, list(INNER_LIPS)] = ring + torch.tensor(MIDDLE)
    return points


def batch_of(*openings: float, size: int = SIZE) -> Batch:
    """Frames of noise, with mouths so far open in the driving."""
    frames = torch.rand(len(openings), 3, size, size, generator=torch.Generator().manual_seed(0))
    points = torch.cat([lips(opening) for opening in openings])
    still = torch.zeros(len(openings), dtype=torch.bool)
    numbers = torch.arange(len(openings))
    return Batch(frames, frames, points, points, still, numbers, ("a",) * len(openings))


def test_open_mouths_are_cut_out_and_shut_ones_are_not() -> None:
    batch = batch_of(SHUT, OPEN, SHUT)
    mouths = open_mouths(torch.zeros_like(batch.driving), batch)
    assert mouths.real.shape == mouths.made.shape == (1, 4, 32, 32)
    x, y = (round((at + 1) * (SIZE - 1) / 2) for at in MIDDLE)
    around = batch.driving[1:2, :, y - 16 : y + 16, x - 16 : x + 16]
    assert (mouths.real[:, :3] - around).abs().mean() < 0.25  # noise between pixels
    assert torch.equal(mouths.real[:, 3:], mouths.made[:, 3:])


def test_the_prediction_replaces_nothing_but_the_inside() -> None:
    batch = batch_of(OPEN)
    mouths = open_mouths(torch.zeros_like(batch.driving), batch)
    real, made, mask = mouths.real[:, :3], mouths.made[:, :3], mouths.real[:, 3:]
    assert mask[0, 0, 16, 16] == 1
    assert (made * (mask == 1)).abs().max() == 0
    assert torch.equal(made * (mask == 0), real * (mask == 0))
    assert 0.1 < (mask > 0).float().mean() < 0.7
    same = open_mouths(batch.driving, batch)
    assert torch.equal(same.made, same.real)


def test_a_mouth_at_the_pictures_edge_is_cut_out_within_it() -> None:
    batch = batch_of(OPEN)
    batch.driving_points[:] += 0.5
    mouths = open_mouths(batch.driving, batch)
    assert mouths.real.shape == (1, 4, 32, 32)
    assert mouths.real.isfinite().all()


def smears(count: int, seed: int) -> Mouths:
    """Mouths with a light and a dark half, and their means."""
    real = torch.rand(count, 4, 32, 32, generator=torch.Generator().manual_seed(seed)) * 0.1
    real[:, 3:] = 0
    real[:, 3:, 8:24, 8:24] = 1
    made = real.clone()
    real[:, :3, 8:16, 8:24] += 0.8
    made[:, :3, 8:24, 8:24] += 0.4
    return Mouths(real, made)


def test_it_learns_to_tell_smears_from_teeth() -> None:
    torch.manual_seed(0)
    objective = MouthObjective(MouthDiscriminator(8))
    optimizer = torch.optim.Adam(objective.parameters(), 1e-3)
    for step in range(60):
        optimizer.zero_grad()
        loss = objective(batch_of(OPEN), smears(4, step))
        loss.backward()
        optimizer.step()
    unseen = smears(4, 1000)
    scores = [objective.discriminator(crops).scores for crops in (unseen.real, unseen.made)]
    assert scores[0].shape == (4,)
    assert scores[0].min() > 0 > scores[1].max()


def test_the_generators_side_reaches_the_inside_alone_and_no_parameter_of_the_discriminator() -> None:
    torch.manual_seed(0)
    discriminator, batch = MouthDiscriminator(8), batch_of(OPEN, SHUT)
    prediction = torch.full_like(batch.driving, 0.5).requires_grad_()
    mouths = open_mouths(prediction, batch)
    sum(mouth_losses(discriminator, mouths), torch.zeros(())).backward()
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert prediction.grad is not None
    x, y = (round((at + 1) * (SIZE - 1) / 2) for at in MIDDLE)
    touched = prediction.grad.abs().sum(1) > 0
    assert touched[0, y, x]
    assert not touched[0, : y - 20].any() and not touched[1].any()


def test_without_an_open_mouth_there_is_nothing_to_learn() -> None:
    discriminator, batch = MouthDiscriminator(8), batch_of(SHUT, SHUT)
    mouths = open_mouths(batch.driving.clone().requires_grad_(), batch)
    assert len(mouths.real) == 0
    loss = MouthObjective(discriminator)(batch, mouths)
    loss.backward()
    assert loss.item() == 0
    assert all(not parameter.grad.any() for parameter in discriminator.parameters())
    assert [term.item() for term in mouth_losses(discriminator, mouths)] == [0, 0]


def learner_of(*changes: str) -> Learner:
    return Learner(config("model.size=128", *changes), CPU, World(ALONE, CPU.device), None)


def test_in_a_run_it_waits_then_learns_alone_then_teaches() -> None:
    learner, batch = learner_of("schedule.gan_from=0.5"), batch_of(OPEN, OPEN)

    def terms(progress: float) -> set[str]:
        found = learner.update([batch], Moment(0, 0, progress)).terms
        return {"discriminator", "gan", "feature_matching"} & found.keys()

    assert terms(0.4) == set()
    before = {name: t.clone() for name, t in learner.checkpoint({}).weights.items()}
    assert terms(0.51) == {"discriminator"}
    assert terms(0.56) == {"discriminator", "gan", "feature_matching"}
    after = learner.checkpoint({}).weights
    names = [name for name in after if name.startswith("discriminator.")]
    assert names
    assert any(not torch.equal(before[name], after[name]) for name in names)
    small = batch_of(OPEN, OPEN, size=64)  # the first part of a run, at a smaller size
    assert "gan" not in learner.update([small], Moment(0, 0, 0.9)).terms


def test_without_its_factor_there_is_no_discriminator() -> None:
    learner = learner_of("losses.gan=0", "schedule.gan_from=0")
    assert learner.discriminator is None
    assert "gan" not in learner.update([batch_of(OPEN, OPEN)], Moment(0, 0, 0.9)).terms


@pytest.mark.parametrize("share", ["-0.1", "1.5"])
def test_its_beginning_is_a_share(share: str) -> None:
    with pytest.raises(Exception, match="gan_from"):
        config(f"schedule.gan_from={share}")


def test_weights_of_a_run_hold_nothing_of_it(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", "ab")
    settings = config("steps=2", "schedule.gan_from=0", base=LANDMARKS)
    weights = read_weights(run_training(clips, tmp_path / "run", settings).weights)
    assert not any("discriminator" in name for name in weights.state)

"""The discriminators: what they judge, that they learn, whom they teach, and how steep they may be."""

import pytest
import torch
import torch.nn.functional as F
from parity_tools import rebuilt_weights
from torch import Tensor

from mcnet_cli.model import Keypoints
from mcnet_cli.training.discriminator import (
    Discriminator,
    FeatureDiscriminator,
    InsideDiscriminator,
    Insides,
    of_one_size,
)


def random(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def smears(count: int, seed: int) -> tuple[Insides, Insides]:
    """Mouths with a light and a dark half, and their means."""
    real = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 0.1
    made, masks = real.clone(), torch.zeros(count, 1, 32, 32)
    masks[:, :, 8:24, 8:24] = 1
    real[:, :, 8:16, 8:24] += 0.8
    made[:, :, 8:24, 8:24] += 0.4
    return Insides(real, masks), Insides(made, masks)


def test_the_discriminator_learns_to_tell_smears_from_teeth() -> None:
    torch.manual_seed(0)
    discriminator = InsideDiscriminator(8)
    optimizer = torch.optim.Adam(discriminator.parameters(), 1e-3)
    for step in range(60):
        optimizer.zero_grad()
        discriminator.loss(*smears(4, step)).backward()
        optimizer.step()
    real, made = (discriminator(insides)[0] for insides in smears(4, 1000))
    assert real.shape == (4,)
    assert real.min() > 0 > made.max()


def test_the_generators_side_teaches_the_inside_alone_and_not_the_discriminator() -> None:
    torch.manual_seed(0)
    discriminator, (real, _) = InsideDiscriminator(8), smears(2, 0)
    result = torch.full_like(real.pictures, 0.5).requires_grad_()
    gan, features = discriminator.generator_losses(
        real, Insides(torch.lerp(real.pictures, result, real.masks), real.masks)
    )
    (gan + features).backward()
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert result.grad is not None
    touched = result.grad.abs().sum((0, 1)) > 0
    assert touched[8:24, 8:24].all()
    assert touched.sum() == 16 * 16


def test_roughness_is_the_squared_slope_of_the_scores() -> None:
    torch.manual_seed(0)
    discriminator, (real, _) = InsideDiscriminator(4), smears(2, 0)
    once = discriminator.roughness(real)
    once.backward()
    assert all(p.grad is not None for name, p in discriminator.named_parameters() if "weight" in name)
    with torch.no_grad():
        for head in (discriminator.fine, discriminator.coarse):
            head.weight.mul_(3)
    assert discriminator.roughness(real).item() == pytest.approx(9 * once.item(), rel=1e-4)


def test_the_discriminator_has_the_official_names_and_shapes() -> None:
    official = rebuilt_weights("discriminator.")
    ours = Discriminator(15).state_dict(prefix="discriminator.")
    assert {name: tensor.shape for name, tensor in ours.items()} == {n: t.shape for n, t in official.items()}


def test_the_discriminator_judges_patches_and_shows_its_maps() -> None:
    discriminator = Discriminator(15)
    judgement = discriminator(random(1, 3, 256, 256), Keypoints(random(1, 15, 2)))
    assert judgement.scores.shape == (1, 1, 26, 26)
    shapes = [tuple(feature.shape[1:]) for feature in judgement.features]
    assert shapes == [(64, 126, 126), (128, 61, 61), (256, 29, 29), (512, 26, 26)]


def test_the_discriminator_sees_where_keypoints_are_but_does_not_teach_them() -> None:
    discriminator = Discriminator(2, (8, 8))
    frames, values = random(1, 3, 64, 64), (random(1, 2, 2) - 0.5).requires_grad_()
    scores = discriminator(frames, Keypoints(values)).scores
    assert not torch.equal(scores, discriminator(frames, Keypoints(values + 0.3)).scores)
    scores.sum().backward()
    assert values.grad is None


def test_a_critic_judges_alike_and_teaches_the_frames_alone() -> None:
    discriminator, points = Discriminator(2, (8, 8)), Keypoints(random(1, 2, 2))
    frames = random(1, 3, 64, 64).requires_grad_()
    judgement = discriminator.as_critic(frames, points)
    assert torch.equal(judgement.scores, discriminator(frames, points).scores)
    (judgement.scores.sum() + sum(feature.sum() for feature in judgement.features)).backward()
    assert frames.grad is not None and frames.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in discriminator.parameters())


def features_of(insides: Insides) -> list[Tensor]:
    """Features as a network has them: of two layers at one size, and of half and a quarter of it."""
    pictures = insides.pictures
    found = [pictures, pictures[:, :1] * 3]
    return [*found, *(F.avg_pool2d(pictures, by) for by in (2, 4, 8))]


def test_features_of_one_size_are_joined_and_the_coarsest_are_left_out() -> None:
    real, _ = smears(2, 0)
    sizes = of_one_size(features_of(real))
    assert [tuple(feature.shape[1:]) for feature in sizes] == [(4, 32, 32), (3, 16, 16), (3, 8, 8)]
    for part in (sizes[0][:, :3], sizes[0][:, 3:], *sizes[1:]):
        assert part.square().mean().item() == pytest.approx(1, rel=1e-4)


def test_the_discriminator_of_features_learns_to_tell_smears_from_teeth_at_each_size() -> None:
    torch.manual_seed(0)
    discriminator = FeatureDiscriminator([4, 3, 3], 8)
    fixed = [mixture.weight.clone() for mixture in (*discriminator.channels, *discriminator.scales)]
    learning = [parameter for parameter in discriminator.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning, 3e-3)
    for step in range(60):
        real, made = smears(4, step)
        optimizer.zero_grad()
        discriminator.loss(
            of_one_size(features_of(real)), of_one_size(features_of(made)), real.masks
        ).backward()
        optimizer.step()
    real, made = smears(4, 1000)
    ours, theirs = (discriminator(of_one_size(features_of(each)), real.masks) for each in (made, real))
    assert theirs.shape == (4, 3)
    assert (theirs.min(0).values > ours.max(0).values).all()
    mixtures = (*discriminator.channels, *discriminator.scales)
    assert all(torch.equal(before, now.weight) for before, now in zip(fixed, mixtures, strict=True))


def test_the_discriminator_of_features_teaches_what_the_features_are_of() -> None:
    torch.manual_seed(0)
    discriminator, (real, _) = FeatureDiscriminator([4, 3, 3], 8), smears(2, 0)
    result = torch.full_like(real.pictures, 0.5).requires_grad_()
    made = features_of(Insides(torch.lerp(real.pictures, result, real.masks), real.masks))
    discriminator.generator_loss(of_one_size(made), real.masks).backward()
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert result.grad is not None and result.grad[:, :, 8:24, 8:24].abs().min() > 0
    taught = result.grad.clone()
    made = features_of(Insides(torch.lerp(real.pictures, result, real.masks), real.masks))
    discriminator.loss(of_one_size(features_of(real)), of_one_size(made), real.masks).backward()
    assert all(p.grad is not None for p in discriminator.parameters() if p.requires_grad)
    assert torch.equal(result.grad, taught), "it learns without changing what was made"

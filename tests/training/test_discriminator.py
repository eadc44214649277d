"""The discriminator of insides: that it learns, whom it teaches, and how steep it may be."""

import pytest
import torch

from mcnet_cli.training.discriminator import InsideDiscriminator, Insides


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

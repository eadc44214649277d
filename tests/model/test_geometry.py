"""Sampling pictures at a deformation."""

import torch

from mcnet_cli.model.geometry import coordinate_grid, warp

SIZE = (64, 64)


def test_cubic_sampling_is_sharper_exact_at_rest_and_stays_in_range() -> None:
    picture = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0)).round()
    rest = coordinate_grid(*SIZE, torch.zeros(1))[None]
    moved = rest + 1 / 63  # half a pixel

    def contrast(cubic: float) -> float:
        return warp(picture, moved, "border", cubic).std().item()

    assert torch.allclose(warp(picture, rest, "border", 1.0), picture, atol=1e-4)
    assert 1.1 * contrast(0) < contrast(0.5) < 0.9 * contrast(1)
    sharp = warp(picture, moved, "border", 1.0)
    assert sharp.min() >= 0 and sharp.max() <= 1

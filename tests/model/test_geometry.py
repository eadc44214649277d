"""Sampling pictures at a deformation."""

import pytest
import torch
import torch.nn.functional as F
from places import ROOT

from mcnet_cli.model.geometry import coordinate_grid, grid_sample_without_borders, warp

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


@pytest.mark.parametrize("align_corners", [True, False])
def test_sampling_on_apples_gpus_gives_what_border_padding_gives(align_corners: bool) -> None:
    chance = torch.Generator().manual_seed(0)
    picture = torch.rand(2, 3, 5, 8, generator=chance)
    grid = 3 * torch.rand(2, 40, 40, 2, generator=chance) - 1.5  # a third of it beyond the border
    expected = F.grid_sample(picture, grid, padding_mode="border", align_corners=align_corners)
    found = grid_sample_without_borders(picture, grid, "border", align_corners=align_corners)
    assert torch.allclose(found, expected, atol=1e-5)
    unpadded = F.grid_sample(picture, grid, align_corners=align_corners)
    assert not torch.allclose(unpadded, expected, atol=1e-1)
    assert torch.equal(
        grid_sample_without_borders(picture, grid, "zeros", align_corners=align_corners), unpadded
    )


def test_all_sampling_goes_through_the_function_that_knows_what_devices_lack() -> None:
    for path in (ROOT / "mcnet_cli").rglob("*.py"):
        if path.relative_to(ROOT / "mcnet_cli").as_posix() != "model/geometry.py":
            assert "F.grid_sample" not in path.read_text(encoding="utf-8"), f"{path}: take geometry's"

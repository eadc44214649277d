"""What a photo shows beyond the network's square, and heads that its edge cuts off."""

import torch

from mcnet_cli.compositing.backdrop import Backdrop, warp_beyond, with_crown
from mcnet_cli.model.geometry import coordinate_grid

SIZE = (64, 64)


def a_head_cut_off() -> tuple[Backdrop, torch.Tensor]:
    """White from column 20 to 44 before dark, as far as the photo's upper edge."""
    image, foreground = torch.full((1, 3, *SIZE), 0.25), torch.zeros(1, 1, *SIZE)
    image[..., 20:44], foreground[..., 16:48] = 1, 1  # the network sees it wider than it is
    return Backdrop(foreground, torch.full((1, 3, *SIZE), 0.25)), image


def test_a_head_that_the_photo_cuts_off_is_rounded_above() -> None:
    backdrop, image = a_head_cut_off()
    wide = torch.nn.functional.pad(image, (16, 16, 16, 16), mode="replicate")
    rounded = with_crown(wide, backdrop, 16)
    assert torch.equal(rounded[..., 16:, :], wide[..., 16:, :])
    widths = (rounded[0, 0, :16] > 0.9).sum(1).tolist()
    assert widths == sorted(widths) and widths[0] == 0 and 16 <= widths[-1] <= 24
    assert rounded[0, 0, 15, 48] == 1 and rounded[0, 0, 15, 30] == 0.25


def test_a_photo_that_goes_on_above_a_head_stays_as_it_is() -> None:
    backdrop, image = a_head_cut_off()
    assert torch.equal(with_crown(image, backdrop, 0), image)
    bare = Backdrop(torch.zeros(1, 1, *SIZE), backdrop.picture)
    assert torch.equal(with_crown(image, bare, 9), image)


def test_a_square_that_lies_above_the_photo_stays_a_picture() -> None:
    backdrop, image = a_head_cut_off()
    assert with_crown(image, backdrop, 1000).shape == image.shape


def test_a_margin_is_sampled_where_a_motion_leads_beyond_the_picture() -> None:
    wide = torch.rand(1, 3, 84, 84, generator=torch.Generator().manual_seed(0))
    rest, pixel = coordinate_grid(*SIZE, torch.zeros(1))[None], 2 / 63
    inner = warp_beyond(wide, rest, 10, "border")
    assert torch.allclose(inner, wide[..., 10:-10, 10:-10], atol=1e-4)
    moved = warp_beyond(wide, rest - torch.tensor([4 * pixel, 9 * pixel]), 10, "border")
    assert torch.allclose(moved, wide[..., 1:65, 6:70], atol=1e-4)
    lost = warp_beyond(wide, rest - 12 * pixel, 10, "border")  # further than there is anything
    assert torch.allclose(lost[..., :2, :2], wide[..., :1, :1], atol=1e-4)

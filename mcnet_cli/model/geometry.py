"""Coordinates, keypoints and their motion, heatmaps and sampling.

Coordinates are (x, y) in [-1, 1], x to the right, y down; -1 and 1 are the centres of the first and
last pixel.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from mcnet_cli.model.config import Border

# Factors of a bump below this count as 0. Their products would be denormal numbers, with which convolutions
# take ten times as long on some processors.
LEAST_FACTOR = 1e-18
CUBIC_DEVICES = ("cpu", "cuda")  # that surely have bicubic sampling; Apple's GPUs may lack it


@dataclass(frozen=True, slots=True)
class Keypoints:
    """Sparse motion of a batch of frames.

    values: (B, K, 2) positions, x then y, in [-1, 1].
    jacobians: (B, K, 2, 2) local affine frames, or None for a model without them.
    """

    values: Tensor
    jacobians: Tensor | None = None

    def __len__(self) -> int:
        return self.values.shape[0]

    def __getitem__(self, index: int | slice) -> "Keypoints":
        """The keypoints of some frames; the batch dimension stays."""
        rows = slice(index, index + 1 or None) if isinstance(index, int) else index
        return Keypoints(self.values[rows], None if self.jacobians is None else self.jacobians[rows])

    def map(self, change: Callable[[Tensor], Tensor]) -> "Keypoints":
        """`change` applied to values and jacobians."""
        return Keypoints(change(self.values), None if self.jacobians is None else change(self.jacobians))


def transfer_motion(
    driving: Keypoints, reference: Keypoints, source: Keypoints, scale: float = 1.0
) -> Keypoints:
    """Relative motion: the change from `reference` to `driving`, applied to `source` (FOMM, sec. 3.3).

    driving: B frames; reference and source: one frame, or B. scale: factor on the displacements.
    """
    values = source.values + scale * (driving.values - reference.values)
    if driving.jacobians is None or reference.jacobians is None or source.jacobians is None:
        return Keypoints(values)
    change = driving.jacobians @ torch.linalg.inv(reference.jacobians)
    return Keypoints(values, change @ source.jacobians)


def full_precision(like: Tensor) -> torch.autocast:
    """A context without autocast: coordinates need more than bfloat16's eight bits."""
    return torch.autocast(like.device.type, enabled=False)


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # cached tensors must serve training too
def constant(values: tuple[float, ...] | tuple[int, ...], device: torch.device) -> Tensor:
    """A tensor (N,) of these values, made once a device: making one on a GPU waits for all of its work."""
    return torch.tensor(values, device=device)


def picked(points: Tensor, numbers: Sequence[int]) -> Tensor:
    """(B, N, ...): those of (B, K, ...) points that have these numbers, without waiting for a GPU."""
    return points.index_select(1, constant(tuple(numbers), points.device))


def inverse(matrices: Tensor) -> Tensor:
    """Inverses of (..., N, N) matrices.

    Where there is none, LinAlgError on a CPU; a GPU isn't waited for, and gives what isn't finite.
    """
    found: Tensor = torch.linalg.inv_ex(matrices, check_errors=matrices.device.type == "cpu").inverse
    return found


def coordinate_grid(height: int, width: int, like: Tensor) -> Tensor:
    """(H, W, 2) coordinates of the pixel centres, in the dtype and on the device of `like`."""
    x = torch.linspace(-1, 1, width, dtype=like.dtype, device=like.device)
    y = torch.linspace(-1, 1, height, dtype=like.dtype, device=like.device)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def gaussian_heatmaps(values: Tensor, size: tuple[int, int], variances: Tensor | float) -> Tensor:
    """(B, K, H, W) bumps exp(-½‖z - value‖² / variance) around (B, K, 2) positions."""
    if isinstance(variances, Tensor):
        variances = variances[:, None]
    # a bump is the product of one along x and one along y: size + size exponentials in place of size · size
    across, down = (
        F.threshold(torch.exp(-0.5 * square / variances), LEAST_FACTOR, 0.0)
        for square in squared_offsets(values, size)
    )
    return down[..., :, None] * across[..., None, :]


def squared_offsets(values: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(B, K, W) and (B, K, H): squared distances along x and y of the grid's lines to (B, K, 2) positions."""
    height, width = size
    x = torch.linspace(-1, 1, width, dtype=values.dtype, device=values.device)
    y = torch.linspace(-1, 1, height, dtype=values.dtype, device=values.device)
    return (x - values[..., :1]).square(), (y - values[..., 1:]).square()


def affine_motions(source: Keypoints, driving: Keypoints) -> Tensor:
    """(B, K, 2, 3): matrix and shift of each keypoint's motion T_k(z) = source_k + J_k (z - driving_k).

    The shift is source_k - J_k · driving_k. J_k = Jsource_k · Jdriving_k⁻¹ (FOMM, NeurIPS 2019, sec. 3.1), or
    the identity without jacobians.
    """
    with full_precision(driving.values):
        if source.jacobians is None or driving.jacobians is None:
            like = driving.values
            local = torch.eye(2, dtype=like.dtype, device=like.device).expand(*like.shape, 2)
            shifts = source.values - driving.values
        else:
            local = source.jacobians @ inverse(driving.jacobians)
            shifts = source.values - (local @ driving.values[..., None])[..., 0]
        return torch.cat([local, shifts[..., None]], dim=-1)


def resized(deformation: Tensor, size: tuple[int, int]) -> Tensor:
    """A (B, h, w, 2) deformation at (H, W)."""
    if deformation.shape[1:3] == size:
        return deformation
    deformation = rearrange(deformation, "b h w c -> b c h w")
    deformation = F.interpolate(deformation, size, mode="bilinear", align_corners=True)
    return rearrange(deformation, "b c h w -> b h w c")


def ramp(value: Tensor, low: float, high: float) -> Tensor:
    """0 up to `low`, 1 from `high` on, linear in between."""
    return ((value - low) / (high - low)).clamp(0, 1)


def smooth_ramp(value: Tensor, low: float, high: float) -> Tensor:
    """0 up to `low`, 1 from `high` on, 3t² - 2t³ in between."""
    share = ramp(value, low, high)
    return share.square() * (3 - 2 * share)


def warp(image: Tensor, deformation: Tensor, border: Border, cubic: float = 0.0) -> Tensor:
    """(B, C, H, W) sampled at a (B, h, w, 2) deformation that is first resized to (H, W)."""
    return sample_picture(image, resized(deformation, (image.shape[2], image.shape[3])), border, cubic)


def sample_picture(image: Tensor, grid: Tensor, border: Border, cubic: float = 0.0) -> Tensor:
    """(B, C, H, W) sampled at a (B, h, w, 2) grid, -1 and 1 being the centres of the border's pixels.

    cubic: share of bicubic interpolation, the rest is bilinear. It keeps pictures sharper; its part is cut to
    [0, 1]. Devices that may lack it sample bilinearly alone.
    """
    smooth = sample(image, grid, border, align_corners=True)
    if not cubic or image.device.type not in CUBIC_DEVICES:
        return smooth
    sharp = sample(image, grid, border, align_corners=True, mode="bicubic").clamp(0, 1)
    return torch.lerp(smooth, sharp, cubic)


def sample(
    image: Tensor, grid: Tensor, border: Border, *, align_corners: bool, mode: str = "bilinear"
) -> Tensor:
    """(B, C, H, W) sampled at a (B, h, w, 2) grid, in the grid's precision: bfloat16 would be pixels off."""
    sampled = grid_sample(image.to(grid.dtype), grid, mode, border, align_corners=align_corners)
    sampled = sampled.to(image.dtype)
    if image.stride(1) == 1:  # the layout that convolutions want, and `grid_sample` doesn't keep
        sampled = sampled.contiguous(memory_format=torch.channels_last)
    return sampled


def grid_sample(
    image: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    *,
    align_corners: bool,
) -> Tensor:
    """`torch.nn.functional.grid_sample`, which nothing else calls: Apple's GPUs lack parts of it."""
    if image.device.type == "mps":
        return grid_sample_without_borders(image, grid, padding_mode, align_corners=align_corners)
    return F.grid_sample(image, grid, mode, padding_mode, align_corners)


def grid_sample_without_borders(
    image: Tensor, grid: Tensor, padding_mode: str, *, align_corners: bool
) -> Tensor:
    """Bilinear sampling for devices without the padding mode `border`, and without bicubic sampling.

    Apple's GPUs have neither before torch 2.13. Places beyond the border are moved onto the centres of its
    pixels, so that no zeros are mixed in: the values are those of `border` but for rounding.
    """
    if padding_mode == "border":
        sides = torch.tensor(image.shape[:1:-1], dtype=grid.dtype, device=grid.device)
        centres = torch.ones_like(sides) if align_corners else 1 - 1 / sides
        grid, padding_mode = grid.clamp(-centres, centres), "zeros"
    return F.grid_sample(image, grid, "bilinear", padding_mode, align_corners)


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # the cached kernel must serve training too, even if inference asks for it first
def _gaussian_kernel(factor: int) -> Tensor:
    sigma = (factor - 1) / 2
    radius = round(4 * sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    line = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = torch.outer(line, line)
    return kernel / kernel.sum()


def band_limited_downsample(image: Tensor, factor: int) -> Tensor:
    """(B, C, H, W) blurred with σ = (factor - 1) / 2, then every `factor`-th pixel."""
    if factor == 1:
        return image
    kernel = _gaussian_kernel(factor).to(image)
    channels, radius = image.shape[1], kernel.shape[0] // 2
    weight = kernel.expand(channels, 1, *kernel.shape)
    return F.conv2d(image, weight, stride=factor, padding=radius, groups=channels)

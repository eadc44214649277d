"""A smooth motion by all keypoints, for what lies between them.

A blend of shifts has seams half way between keypoints: where a head turns, chins and cheeks broke there.
"""

import torch
from einops import einsum
from torch import Tensor

from mcnet_cli.model.geometry import Keypoints, coordinate_grid, full_precision, squared_offsets

REACH = 2.0  # where about half of a keypoint's say is left, in [-1, 1]
SLACK = 1e-3  # variance of the keypoints' noise: lips and lids that meet would bend all around them
LEAST = 1e-12  # squared distance


def spline_motion(source: Keypoints, driving: Keypoints, size: tuple[int, int]) -> Tensor:
    """(B, H, W, 2): where in the source each position comes from, bent as little as the keypoints allow.

    Regression by a Gaussian process with a Matérn kernel of smoothness 3/2 (Rasmussen and Williams, Gaussian
    Processes for Machine Learning, sec. 2.2 and 4.2): where a thin-plate spline goes on, it comes to rest.
    Jacobians aren't asked.
    """
    places = driving.values
    with full_precision(places):
        near = _kernel((places[:, :, None] - places[:, None]).square().sum(-1))
        slack = SLACK * torch.eye(near.shape[-1], dtype=near.dtype, device=near.device)
        # `solve` is newer on Apple's GPUs than the oldest torch that we take
        weights = torch.linalg.inv(near + slack) @ (source.values - places)
        across, down = squared_offsets(places, size)
        alike = _kernel(down[..., :, None] + across[..., None, :])
        shifts = einsum(alike, weights, "b k h w, b k c -> b h w c")
        motion: Tensor = coordinate_grid(*size, like=places) + shifts
    return motion


def _kernel(squares: Tensor) -> Tensor:
    """How alike the motions of two positions are, by their squared distance."""
    # the slope of a root is infinite at 0
    distance = squares.clamp_min(LEAST).sqrt() * (3**0.5 / REACH)
    alike: Tensor = (1 + distance) * torch.exp(-distance)
    return alike

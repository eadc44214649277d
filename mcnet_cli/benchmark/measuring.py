"""Measures wall and processor time of some work, counts its operations, and finds the machine's peak."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from mcnet_cli.devices import Compute

Work = Callable[[], Any]

MATRIX_SIDE = {"cpu": 1024, "cuda": 8192, "mps": 2048}  # of the product that tells a device's peak
# Batch, channels and side of pictures whose 3×3 convolution tells a device's peak, too.
CONVOLUTION = {"cpu": (2, 64, 128), "cuda": (32, 256, 128), "mps": (4, 128, 128)}
PEAK_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Timing:
    """How long some work took, in milliseconds a unit of it.

    wall, cpu: medians of several rounds; cpu counts all threads and finished child processes. low, high: the
    lower and the upper quartile of wall.
    """

    wall: float
    cpu: float
    low: float
    high: float

    @classmethod
    def of(cls, walls: NDArray[np.float64], cpus: NDArray[np.float64], units: int = 1) -> Self:
        """From the seconds that each round took, in which so many units of work were done."""
        low, middle, high = (1000 / units * np.quantile(walls, (0.25, 0.5, 0.75))).tolist()
        return cls(middle, 1000 / units * float(np.median(cpus)), low, high)


@dataclass(frozen=True, slots=True)
class Peak:
    """The most operations a second that this machine did in this run, in GFLOP/s, all threads together."""

    matrix_product: float
    convolution: float

    @property
    def largest(self) -> float:
        """What a stage's rate is compared with."""
        return max(self.matrix_product, self.convolution)


@torch.inference_mode()
def seconds_of(
    works: Sequence[Work], device: torch.device, *, rounds: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, R) wall and (N, R) processor seconds of N works, done in turn in each of R rounds.

    In turn, so that a machine that changes its speed is fair to all. A round before, in which kernels are
    chosen and compiled, isn't counted.
    """
    walls, cpus = np.empty((2, len(works), rounds + 1))
    for number in range(rounds + 1):
        for place, work in enumerate(works):
            _wait_for(device)
            wall, cpu = time.perf_counter(), _cpu_seconds()
            work()
            _wait_for(device)
            walls[place, number] = time.perf_counter() - wall
            cpus[place, number] = _cpu_seconds() - cpu
    return walls[:, 1:], cpus[:, 1:]


def operations(work: Work) -> float:
    """The floating-point operations of some work's products and convolutions in torch, in GFLOP."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops()) / 1e9


def peak(compute: Compute) -> Peak:
    """What `compute` does in a large matrix product and in a convolution, at its best of some rounds."""
    device, dtype = compute.device, compute.dtype
    side = MATRIX_SIDE[device.type]
    matrix = torch.rand(side, side, device=device, dtype=dtype)
    batch, channels, size = CONVOLUTION[device.type]
    picture = torch.rand(batch, channels, size, size, device=device, dtype=dtype)
    weight = torch.rand(channels, channels, 3, 3, device=device, dtype=dtype)
    picture, weight = (values.to(memory_format=torch.channels_last) for values in (picture, weight))
    works: list[Work] = [lambda: matrix @ matrix, lambda: F.conv2d(picture, weight, padding=1)]
    walls, _ = seconds_of(works, device, rounds=PEAK_ROUNDS)
    return Peak(*(operations(work) / float(wall.min()) for work, wall in zip(works, walls, strict=True)))


def _cpu_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    return time.process_time() + sum(os.times()[2:4])  # the latter in hundredths of a second


def _wait_for(device: torch.device) -> None:
    """Waits until a GPU has finished what was started on it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()

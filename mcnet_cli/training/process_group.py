"""The process group that trains one network together: one process, or as many as torchrun has started."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from mcnet_cli.errors import SystemFailure

TIMEOUT = timedelta(hours=1)  # long, since the others wait while the first one computes landmarks


@dataclass(frozen=True, slots=True)
class Launch:
    """This process's place, as a launcher such as torchrun gives it.

    rank: its number among all processes. local_rank: its number on its machine. size: how many processes
    there are. attempt: how often the launcher has restarted them.
    """

    rank: int = 0
    local_rank: int = 0
    size: int = 1
    attempt: int = 0


class ProcessGroup:
    """This process among those that train together. Use it as a context manager."""

    def __init__(self, launch: Launch, device: torch.device) -> None:
        self.rank, self.size, self.device = launch.rank, launch.size, device
        self._launch = launch

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def __enter__(self) -> "ProcessGroup":
        if self.size > 1:
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)
            try:
                store, rank, size = next(rendezvous("env://", timeout=TIMEOUT))
                # torchrun keeps its store through restarts, with the addresses of those that have died
                store = dist.PrefixStore(f"attempt {self._launch.attempt}", store)  # type: ignore[attr-defined]
                backend = "nccl" if self.device.type == "cuda" else "gloo"
                dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
            except (RuntimeError, ValueError) as error:
                raise SystemFailure(
                    "the processes of this run can't find each other", hint="start them by torchrun"
                ) from error
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self.size > 1 and error is None:  # after an error the others might wait for each other
            dist.destroy_process_group()

    @contextlib.contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process runs the block before the others, which then find the files it has kept."""
        if not self.is_main:
            self.barrier()
        yield
        if self.is_main:
            self.barrier()

    def barrier(self) -> None:
        """Waits for all."""
        self.largest(0.0)

    def largest(self, *values: float) -> list[float]:
        """Of each value the largest that any process has; SystemFailure if one of them is gone."""
        if self.size == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        with failing_together():
            dist.all_reduce(shared, dist.ReduceOp.MAX)
        found: list[float] = shared.tolist()
        return found

    def parallel(self, module: nn.Module) -> nn.Module:
        """`module` with gradients averaged over all processes, and batch norms that see the whole batch."""
        if self.size == 1:
            return module
        if self.device.type == "cuda":
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        else:
            _sync_norms(module)
        return DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=True)


@contextlib.contextmanager
def failing_together() -> Iterator[None]:
    """Turns the error that a process meets if another one has ended into SystemFailure."""
    try:
        yield
    except RuntimeError as error:
        said = str(error)
        if (
            isinstance(error, dist.DistBackendError | dist.DistNetworkError)
            or "onnection" in said
            or "gloo" in said
        ):
            raise SystemFailure(
                "another process of this run has ended", hint="its own message says why"
            ) from error
        raise


def averaging(module: nn.Module, *, wanted: bool) -> contextlib.AbstractContextManager[Any]:
    """Around a backward pass: whether it averages gradients over the processes, or only adds to its own."""
    if wanted or not isinstance(module, DistributedDataParallel):
        return contextlib.nullcontext()
    return module.no_sync()


def _sync_norms(module: nn.Module) -> None:
    for child in module.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__ = SyncedBatchNorm2d  # parameters, buffers and names stay


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the batches of all processes; torch has it for CUDA alone (`nn.SyncBatchNorm`)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), likewise; the processes may have batches of different sizes."""
        if not self.training:
            return super().forward(x)
        wide = x.float()
        here = wide.new_tensor([wide.numel() // wide.shape[1]])
        together = _summed(torch.cat([wide.sum((0, 2, 3)), here]))
        count = together[-1].detach()
        mean = together[:-1] / count
        centred = wide - mean[:, None, None]
        variance = _summed(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None
            assert self.momentum is not None and self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def _summed(values: Tensor) -> Tensor:
    """Added up over the processes, with gradient."""
    from torch.distributed.nn.functional import all_reduce

    together: Tensor = all_reduce(values)  # type: ignore[no-untyped-call]
    return together

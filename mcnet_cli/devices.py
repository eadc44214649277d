"""Where and in what numbers the network computes: `auto` is explained here and nowhere else."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from mcnet_cli.errors import SystemFailure, UsageError, shown
from mcnet_cli.system import processor_name

log = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Compute:
    """A device, the numbers that it computes with, and why these."""

    device: torch.device
    dtype: torch.dtype
    why: str

    @property
    def precision(self) -> str:
        """`fp32`, `bf16` or `fp16`."""
        return next(name for name, dtype in DTYPES.items() if dtype == self.dtype)

    def autocast(self) -> torch.autocast:
        """A context that computes in these numbers, where they are narrower than float32."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)


def choose(device: str = "auto", precision: str = "auto", *, training: bool = False) -> Compute:
    """Device and precision by their names on the command line; UsageError for what doesn't exist here."""
    place = choose_device(device)
    dtype, why = choose_precision(precision, place, training=training)
    return Compute(place, dtype, why)


def choose_device(name: str = "auto") -> torch.device:
    """`auto` (CUDA, then Apple's MPS, then the CPU), `cpu`, `cuda`, `cuda:N` or `mps`."""
    if name == "auto":
        if (trouble := cuda_trouble()) is None:
            return torch.device("cuda")
        if trouble.gpu_found:
            log.warning("the GPU can't be used, computing on the CPU: %s", trouble.reason)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (
        colon and (kind != "cuda" or not (number.isascii() and number.isdecimal()))
    ):
        raise UsageError(f"no device {name!r}", hint="there are auto, cpu, cuda, cuda:N and mps")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError("mps isn't available on this machine", hint="take --device cpu, or leave it out")
    if kind == "cuda":
        if number and torch.cuda.is_available() and int(number) >= torch.cuda.device_count():
            raise UsageError(f"there is no {name}: {torch.cuda.device_count()} CUDA device(s) were found")
        if (trouble := cuda_trouble(name)) is not None:
            raise trouble.error()
    return torch.device(name)


@dataclass(frozen=True, slots=True)
class CudaTrouble:
    """Why CUDA doesn't compute here.

    gpu_found: whether there is a GPU with a driver, so that somebody may expect it to be used.
    hint: what mends it.
    """

    reason: str
    hint: str
    gpu_found: bool

    def error(self) -> UsageError | SystemFailure:
        """What is raised if CUDA was asked for: the system's failure if there is a GPU."""
        if self.gpu_found:
            return SystemFailure(f"the GPU can't be used: {self.reason}", hint=self.hint)
        return UsageError(f"cuda isn't available: {self.reason}", hint=self.hint)


def cuda_trouble(device: str = "cuda") -> CudaTrouble | None:
    """What keeps a CUDA device from computing; None if it computes.

    It is found by computing something: a GPU that torch lists may be one that it has no kernels for.
    """
    try:
        torch.ones(1, device=device).add(1).item()
    except (RuntimeError, AssertionError) as error:  # the latter by a torch without CUDA
        said = str(error)
    else:
        return None
    reason = shown(said.strip().partition("\n")[0])
    oldest = 'pip install "torch==2.6.*"'
    if "driver" in said and "too old" in said:
        hint = f"update the NVIDIA driver, or take a torch for older ones: {oldest}"
        return CudaTrouble(reason, f"{hint}; or --device cpu", gpu_found=True)
    if "no kernel image" in said:
        # the capability is read without a kernel
        newest = max((int(name.rpartition("_")[2]) for name in torch.cuda.get_arch_list()), default=0)
        major, minor = torch.cuda.get_device_capability(device)
        take = "pip install --upgrade torch" if 10 * major + minor > newest else oldest
        reason = f"this torch has no code for it (compute capability {major}.{minor})"
        return CudaTrouble(reason, f"take a torch that has: {take}; or --device cpu", gpu_found=True)
    if "out of memory" in said:
        hint = "close what else uses the GPU, or take --device cpu"
        return CudaTrouble("its memory is full", hint, gpu_found=True)
    hint = "take --device cpu, or leave it out"
    if torch.cuda.is_available():
        return CudaTrouble(reason, hint, gpu_found=True)
    return CudaTrouble("no NVIDIA GPU, no driver, or a torch without CUDA", hint, gpu_found=False)


def choose_precision(name: str, device: torch.device, *, training: bool = False) -> tuple[torch.dtype, str]:
    """The dtype called `name`, and why. `auto`: bf16 where `device` gains by computing in it, else fp32.

    On CPUs without a unit for bf16 it is emulated and takes several times as long as fp32. AVX512-BF16 alone
    halves the time of a training step. Convolutions forward take 0.6 of the time by it on AMD's processors
    (measured on an EPYC of the Zen 4 kind), but nearly twice the time on Intel's (on a Xeon of the fourth
    generation without AMX).
    """
    if name in DTYPES:
        return DTYPES[name], "as asked for"
    if name != "auto":
        raise UsageError(f"no precision {name!r}", hint=f"there are auto, {', '.join(DTYPES)}")
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= (8, 0):
            return torch.bfloat16, "this GPU computes in bf16"
        return torch.float32, "this GPU has no bf16"
    if device.type == "cpu":
        if has_amx() or (has_avx512_bf16() and (training or "AMD" in processor_name())):
            return torch.bfloat16, "this processor computes in bf16"
        if has_avx512_bf16():
            return torch.float32, "this processor's bf16 is slower in rendering"
        return torch.float32, "this processor has no unit for bf16"
    return torch.float32, "the safe choice on this device"


@contextlib.contextmanager
def computing(device: torch.device) -> Iterator[None]:
    """A context in which a network computes: without gradients, and `exact`."""
    with torch.inference_mode(), exact(device):
        yield


@contextlib.contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """On CUDA the same input gives the same bits, and float32 means float32; in all threads."""
    with contextlib.ExitStack() as stack:
        if device.type == "cuda":
            flags: dict[str, Any] = {"enabled": True, "benchmark": False, "deterministic": True}
            stack.enter_context(torch.backends.cudnn.flags(**flags, allow_tf32=False))
        yield


@contextlib.contextmanager
def beside_another_process() -> Iterator[None]:
    """A context in which torch uses one thread, since another process of ours keeps the other cores busy.

    Threads that have to wait for a core make each other wait: loading a network took 1.3 s instead of 0.2.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def limit_threads(count: int) -> None:
    """Has torch and OpenCV use so many threads in this process, or fewer if the environment says so."""
    import cv2

    count = min(count, torch.get_num_threads())  # $OMP_NUM_THREADS
    torch.set_num_threads(count)
    cv2.setNumThreads(count)


def has_amx() -> bool:
    """Whether the CPU has matrix units that compute in bf16."""
    return _cpu_says("_is_amx_tile_supported")


def has_avx512_bf16() -> bool:
    """Whether the CPU has vector instructions for bf16."""
    return _cpu_says("_is_avx512_bf16_supported")


def _cpu_says(probe: str) -> bool:
    return bool(getattr(torch.cpu, probe, bool)())  # private names: a torch without one says no

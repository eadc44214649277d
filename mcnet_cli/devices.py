"""Where and in what numbers the network computes: `auto` is explained here and nowhere else."""

from dataclasses import dataclass

import torch

from mcnet_cli.errors import UsageError

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
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (
        colon and (kind != "cuda" or not (number.isascii() and number.isdecimal()))
    ):
        raise UsageError(f"no device {name!r}", hint="there are auto, cpu, cuda, cuda:N and mps")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError("mps isn't available on this machine", hint="take --device cpu, or leave it out")
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise UsageError(
                "cuda isn't available: no NVIDIA GPU, no driver, or a torch without CUDA",
                hint="take --device cpu, or leave it out",
            )
        if number and int(number) >= torch.cuda.device_count():
            raise UsageError(f"there is no {name}: {torch.cuda.device_count()} CUDA device(s) were found")
    return torch.device(name)


def choose_precision(name: str, device: torch.device, *, training: bool = False) -> tuple[torch.dtype, str]:
    """The dtype called `name`, and why. `auto`: bf16 where `device` gains by computing in it, else fp32.

    On CPUs without a unit for bf16 it is emulated and takes several times as long as fp32. AVX512-BF16 alone
    halves the time of a training step, but its convolutions forward take nearly twice as long as in fp32
    (measured on a Xeon of the fourth generation without AMX), so rendering takes it only with AMX.
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
        if has_amx() or (training and has_avx512_bf16()):
            return torch.bfloat16, "this processor computes in bf16"
        if has_avx512_bf16():
            return torch.float32, "this processor's bf16 is slower in rendering"
        return torch.float32, "this processor has no unit for bf16"
    return torch.float32, "the safe choice on this device"


def has_amx() -> bool:
    """Whether the CPU has matrix units that compute in bf16."""
    return _cpu_says("_is_amx_tile_supported")


def has_avx512_bf16() -> bool:
    """Whether the CPU has vector instructions for bf16."""
    return _cpu_says("_is_avx512_bf16_supported")


def _cpu_says(probe: str) -> bool:
    return bool(getattr(torch.cpu, probe, bool)())  # private names: a torch without one says no

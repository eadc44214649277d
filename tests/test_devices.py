"""Device and precision: what `auto` takes, and what is refused."""

import re

import pytest
import torch

from mcnet_cli import devices
from mcnet_cli.devices import choose, choose_device
from mcnet_cli.errors import SystemFailure, UsageError


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch finds none, whether this machine has one or not."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cuda_trouble = devices.cuda_trouble
    monkeypatch.setattr(devices, "cuda_trouble", lambda *_: cuda_trouble("cuda:99"))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_auto_is_the_cpu_where_there_is_no_gpu() -> None:
    assert choose_device("auto") == torch.device("cpu")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_cuda_without_a_gpu_is_a_usage_error_that_says_what_to_do(name: str) -> None:
    with pytest.raises(UsageError, match="cuda isn't available") as caught:
        choose_device(name)
    assert "--device cpu" in (caught.value.hint or "")


OLD_DRIVER = "The NVIDIA driver on your system is too old (found version 11040). Please update it."
NO_KERNELS = "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors may"


@pytest.fixture(
    params=[
        (OLD_DRIVER, (8, 6), "driver on your system is too old", "update the NVIDIA driver"),
        (NO_KERNELS, (6, 1), r"no code for it \(compute capability 6.1\)", 'pip install "torch==2.6'),
        (NO_KERNELS, (15, 0), r"compute capability 15.0", "pip install --upgrade torch"),
        ("CUDA out of memory. Tried to allocate 2.00 MiB.", (8, 0), "its memory is full", "close what else"),
    ],
    ids=["driver", "old GPU", "new GPU", "memory"],
)
def broken_gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A GPU on which nothing can be computed; the reason, and what mends it."""
    said, capability, reason, hint = request.param

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(torch, "ones", fails)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80", "sm_90", "sm_120"])
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    return reason, hint


def test_auto_takes_the_cpu_and_says_so_where_the_gpu_cant_compute(
    broken_gpu: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert choose_device("auto") == torch.device("cpu")
    (record,) = caplog.records
    assert re.search(f"computing on the CPU: .*{broken_gpu[0]}", record.getMessage())


def test_a_gpu_that_was_asked_for_and_cant_compute_is_a_system_failure(broken_gpu: tuple[str, str]) -> None:
    reason, hint = broken_gpu
    with pytest.raises(SystemFailure, match=reason) as caught:
        choose_device("cuda")
    assert hint in (caught.value.hint or "")


def test_auto_says_nothing_where_there_is_no_gpu(caplog: pytest.LogCaptureFixture) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    choose_device("auto")
    assert not caplog.records


@pytest.mark.usefixtures("no_gpu")
def test_mps_elsewhere_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="mps"):
        choose_device("mps")


@pytest.mark.parametrize("name", ["", "gpu", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "cuda:²", "tpu"])
def test_an_unknown_device_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError):
        choose_device(name)


@pytest.mark.parametrize(
    ("processor", "amx", "avx", "rendering", "training"),
    [
        ("Intel(R) Xeon(R) Processor", True, True, "bf16", "bf16"),
        ("Intel(R) Xeon(R) Processor", False, True, "fp32", "bf16"),
        ("AMD EPYC", False, True, "bf16", "bf16"),
        ("AMD EPYC", False, False, "fp32", "fp32"),
    ],
)
def test_bf16_on_a_cpu_follows_its_units_and_its_maker(
    processor: str, amx: bool, avx: bool, rendering: str, training: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    monkeypatch.setattr("mcnet_cli.devices.processor_name", lambda: processor)
    assert choose("cpu").precision == rendering
    assert choose("cpu", training=True).precision == training


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_a_precision_that_is_asked_for_is_taken(name: str, dtype: torch.dtype) -> None:
    compute = choose("cpu", name)
    assert (compute.dtype, compute.precision, compute.why) == (dtype, name, "as asked for")


def test_an_unknown_precision_names_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        choose("cpu", "fp8")
    assert "fp32" in (caught.value.hint or "")

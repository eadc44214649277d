"""Device and precision: what `auto` takes, and what is refused."""

import pytest
import torch

from mcnet_cli.devices import choose, choose_device
from mcnet_cli.errors import UsageError


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch finds none, whether this machine has one or not."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
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


@pytest.mark.usefixtures("no_gpu")
def test_mps_elsewhere_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="mps"):
        choose_device("mps")


@pytest.mark.parametrize("name", ["", "gpu", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "cuda:²", "tpu"])
def test_an_unknown_device_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError):
        choose_device(name)


def test_bf16_on_a_cpu_follows_what_torch_says_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {}
    for amx, avx in ((True, True), (False, True), (False, False)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: avx)
        taken[amx, avx] = [choose("cpu", training=training).precision for training in (False, True)]
    assert taken == {
        (True, True): ["bf16", "bf16"],
        (False, True): ["fp32", "bf16"],
        (False, False): ["fp32", "fp32"],
    }


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

"""Values on their way between the processor and a GPU, without either waiting for the other.

A GPU works through what it was told, in order, while the processor goes on. Both lose time where the
processor asks for a result at once (`.item()`, `.cpu()`), or sends values from memory that the system may
move. So values are sent from pinned memory, and results are asked for early and fetched when they are needed.
On a CPU nothing is copied, and all is there at once; Apple's GPUs are waited for.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

Value = TypeVar("Value")
Later = Callable[[], Value]  # what is under way; calling it waits for it


def upload(values: Tensor | NDArray[Any], device: torch.device) -> Tensor:
    """The same values on a device."""
    tensor = torch.as_tensor(values)
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type == "cuda")


def download(values: Tensor) -> Later[Tensor]:
    """The same values on the CPU, as soon as the device has computed them and they have arrived."""
    if values.device.type != "cuda":
        return values.cpu
    stream = _downloads(values.device)
    stream.wait_stream(torch.cuda.current_stream(values.device))
    with torch.cuda.stream(stream):
        arriving = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        arriving.copy_(values, non_blocking=True)
        values.record_stream(stream)  # its memory isn't used for anything else before
        arrived = stream.record_event()

    def fetched() -> Tensor:
        arrived.synchronize()
        return arriving.clone()  # which leaves the pinned memory, of which there is little, to the next

    return fetched


@functools.cache
def _downloads(device: torch.device) -> torch.cuda.Stream:
    """A queue of copies beside the device's work, so that its next work doesn't wait for them."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

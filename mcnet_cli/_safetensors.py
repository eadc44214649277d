"""safetensors: strangers' files checked before anything is allocated, ours with the same bytes each time."""

import json
import math
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from mcnet_cli._header import HEADER_LIMIT
from mcnet_cli.errors import McnetError, WeightsError, shown

_DTYPES = {
    torch.float16: "F16",
    torch.float32: "F32",
    torch.int64: "I64",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def read_tensors(
    path: Path, names: Iterable[str], *, error: type[McnetError] = WeightsError
) -> dict[str, Tensor]:
    """The entries `names` of a file whose header has been checked."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in names}
    except (safetensors.SafetensorError, OSError, ValueError, RuntimeError) as failure:
        raise error(f"{shown(path)} is damaged: its data can't be read") from failure


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes `path` in place (wrap it in `atomic_output`). Equal arguments give equal bytes.

    The library's own writer shuffles the metadata. Entries go by element size, then name: so all are aligned.
    """
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    table: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name in order:
        tensor = tensors[name]
        begin, end = end, end + math.prod(tensor.shape) * tensor.element_size()
        table[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    if len(header) > HEADER_LIMIT:
        raise ValueError(f"a header of {len(header)} bytes could not be read again")
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for name in order:
            file.write(
                tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            )

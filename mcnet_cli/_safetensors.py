"""safetensors: strangers' files checked before anything is allocated, ours with the same bytes each time."""

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from mcnet_cli.errors import McnetError, WeightsError, shown

HEADER_LIMIT = 4 << 20  # bytes; the library allows 100 MB, of which a million empty entries take a minute
_LENGTH = 8
_DTYPES = {
    torch.float16: "F16",
    torch.float32: "F32",
    torch.int64: "I64",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says it holds: shapes and types (e.g. `F16`) by entry, and its metadata."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    metadata: dict[str, str]


def read_header(path: Path, *, error: type[McnetError] = WeightsError) -> Header:
    """The checked header of `path`; `error` if it is too large, damaged, or the file is cut off."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(_LENGTH), "little")
            if length > HEADER_LIMIT:
                raise error(
                    f"{shown(path)} is not a safetensors file or is damaged: its header would be too large"
                )
            if length > size - _LENGTH:
                raise error(f"{shown(path)} is cut off or damaged: its header is incomplete")
            table = json.loads(file.read(length))
        if not isinstance(table, dict):
            raise ValueError
        metadata = table.pop("__metadata__", {})
        shapes = {name: tuple(entry["shape"]) for name, entry in table.items()}
        dtypes = {name: entry["dtype"] for name, entry in table.items()}
        end = max((entry["data_offsets"][1] for entry in table.values()), default=0)
        if end > size - _LENGTH - length:
            raise error(f"{shown(path)} is truncated: {end - size + _LENGTH + length} bytes are missing")
        with safetensors.safe_open(path, "pt"):  # the library checks offsets, overlaps and overflows
            return Header(shapes, dtypes, metadata)
    except OSError as failure:
        raise error(
            f"can't read {shown(path)}: {failure.strerror or 'it changed while it was read'}"
        ) from failure
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as failure:
        raise error(f"{shown(path)} is damaged: its header can't be read") from failure
    except safetensors.SafetensorError as failure:
        raise error(f"{shown(path)} is damaged: its header and its size or shapes disagree") from failure


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

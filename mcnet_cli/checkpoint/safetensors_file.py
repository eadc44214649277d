"""Safetensors files: their headers, their tensors, and what mcnet writes into their metadata.

A file may come from a stranger, so its header is checked before anything is allocated. Weights, motions and
training checkpoints are such files. Importing this module loads neither torch nor safetensors.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcnet_cli.errors import McnetError, WeightsError, shown

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "1"  # version of the metadata in mcnet's weights
LANDMARKS_ENTRY = "mcnet.landmarks"  # numbers of the landmarks that keypoints are, if they are some
FRAMING_FIELDS = ("face_height", "center_x", "center_y")
FLOATS = ("F16", "BF16", "F32", "F64")
HEADER_LIMIT = 4 << 20  # bytes; the library allows 100 MB, of which a million empty entries take a minute
LENGTH_BYTES = 8  # a file begins with the length of its header
_DTYPES = {
    "torch.float16": "F16",
    "torch.float32": "F32",
    "torch.int64": "I64",
    "torch.uint8": "U8",
    "torch.bool": "BOOL",
}


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says it holds: shapes and types (e.g. `F16`) by entry, and its metadata."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    metadata: dict[str, str]


def landmarks_in(metadata: Mapping[str, str]) -> tuple[int, ...]:
    """Which landmark each keypoint is; empty for learned ones. ValueError or the like for a bad entry."""
    return tuple(map(int, json.loads(metadata.get(LANDMARKS_ENTRY, "[]"))))


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: eight bytes with the header's length, then its JSON."""
    try:
        with open(path, "rb") as file:
            return file.read(LENGTH_BYTES + 1)[LENGTH_BYTES:] == b"{"
    except OSError as error:
        raise WeightsError(f"can't read {shown(path)}: {error.strerror}") from error


def read_header(path: Path, *, error: type[McnetError] = WeightsError) -> Header:
    """The checked header of `path`; raises `error` if it is too large, damaged, or the file is cut off."""
    import safetensors

    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
            if length > HEADER_LIMIT:
                raise error(
                    f"{shown(path)} is not a safetensors file or is damaged: its header would be too large"
                )
            if length > size - LENGTH_BYTES:
                raise error(f"{shown(path)} is cut off or damaged: its header is incomplete")
            table = json.loads(file.read(length))
        if not isinstance(table, dict):
            raise ValueError
        metadata = table.pop("__metadata__", {})
        shapes = {name: tuple(entry["shape"]) for name, entry in table.items()}
        dtypes = {name: entry["dtype"] for name, entry in table.items()}
        end = max((entry["data_offsets"][1] for entry in table.values()), default=0)
        if (missing := end + LENGTH_BYTES + length - size) > 0:
            raise error(f"{shown(path)} is truncated: {missing} bytes are missing")
        with safetensors.safe_open(path, "numpy"):  # the library checks offsets, overlaps and overflows
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
) -> dict[str, "Tensor"]:
    """The entries `names` of a file whose header has been checked."""
    import safetensors

    try:
        with safetensors.safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in names}
    except (safetensors.SafetensorError, OSError, ValueError, RuntimeError) as failure:
        raise error(f"{shown(path)} is damaged: its data can't be read") from failure


def write_tensors(path: Path, tensors: Mapping[str, "Tensor"], metadata: Mapping[str, str]) -> None:
    """Writes `path` in place (wrap it in `atomic_output`). Equal arguments give equal bytes.

    The library's own writer shuffles the metadata. Entries are sorted by element size, which aligns all of
    them, then by name.
    """
    import torch

    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    table: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name in order:
        tensor = tensors[name]
        begin, end = end, end + math.prod(tensor.shape) * tensor.element_size()
        table[name] = {
            "dtype": _DTYPES[str(tensor.dtype)],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    if len(header) > HEADER_LIMIT:
        raise ValueError(f"a header of {len(header)} bytes could not be read again")
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(LENGTH_BYTES, "little") + header)
        for name in order:
            flat = tensors[name].detach().cpu().contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().tobytes())


@dataclass(frozen=True, slots=True)
class Description:
    """What weights say about themselves beside their architecture; see `Weights` for the fields."""

    framing: dict[str, float] | None
    smooth: float | None
    card: dict[str, Any]

    @classmethod
    def parse(cls, path: Path, metadata: Mapping[str, str]) -> "Description":
        """From a header's metadata; WeightsError names `path` and the entry that makes no sense."""
        key = ""
        try:
            key = "mcnet.framing"
            framing = json.loads(metadata.get(key, "null"))
            if framing is not None:
                framing = {name: float(framing[name]) for name in FRAMING_FIELDS}
                _require(0.05 <= framing["face_height"] <= 1 and all(0 <= v <= 1 for v in framing.values()))
            key = "mcnet.smooth"
            smooth = float(metadata[key]) if key in metadata else None
            _require(smooth is None or 0 <= smooth <= 100)
            key = "mcnet.card"
            card = json.loads(metadata.get(key, "{}"))
            _require(isinstance(card, dict))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise WeightsError(f"{shown(path)}: bad metadata: {key} makes no sense") from error
        return cls(framing, smooth, card)

    def metadata(self) -> dict[str, str]:
        """The entries that `parse` reads."""
        entries = {"mcnet.card": json.dumps(self.card)}
        if self.framing is not None:
            chosen = {name: float(self.framing[name]) for name in FRAMING_FIELDS}
            entries["mcnet.framing"] = json.dumps(chosen)
        if self.smooth is not None:
            entries["mcnet.smooth"] = repr(float(self.smooth))
        return entries


def _require(makes_sense: bool) -> None:
    if not makes_sense:
        raise ValueError

"""Headers of safetensors files, checked, and what weights say in them. Nothing here needs torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors

from mcnet_cli.errors import McnetError, WeightsError, shown

FORMAT = "1"  # of mcnet's weights
FRAMING_FIELDS = ("face_height", "center_x", "center_y")
HEADER_LIMIT = 4 << 20  # bytes; the library allows 100 MB, of which a million empty entries take a minute
_LENGTH = 8


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


def framing_in(metadata: Mapping[str, str]) -> dict[str, float] | None:
    """How faces were cropped for weights (see `face.crop.Framing`); None if they don't say.

    ValueError if what they say makes no sense.
    """
    try:
        said = json.loads(metadata.get("mcnet.framing", "null"))
        if said is None:
            return None
        framing = {field: float(said[field]) for field in FRAMING_FIELDS}
    except (KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError("no framing") from error
    if not (0.05 <= framing["face_height"] <= 1 and all(0 <= value <= 1 for value in framing.values())):
        raise ValueError("out of range")
    return framing

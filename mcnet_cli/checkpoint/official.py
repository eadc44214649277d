"""Checkpoints that torch saved (`.pth`, `.pth.tar`), as the paper's authors publish theirs.

They are pickles, so only tensors and plain values are loaded; no code in a file ever runs.
"""

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mcnet_cli.checkpoint.safetensors_file import is_safetensors
from mcnet_cli.errors import WeightsError, shown
from mcnet_cli.model.config import Condition, KeypointConfig, MemoryConfig, ModelConfig

PARTS = ("generator", "kp_detector")
# Constants, which we compute.
BLUR_KERNELS = (
    "generator.dense_motion_network.down.weight",
    "kp_detector.down.weight",
)
PICKLE_LIMIT = 64 << 20  # bytes; the official file's structure takes 0.1 MB
MEMBER_LIMIT = 20_000
# A pickled 0x1950A86A20F9469CFC6C: what torch before 1.6 starts its files with.
LEGACY_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def read_checkpoint(path: Path, *, device: str) -> dict[str, Tensor]:
    """The generator's and keypoint detector's entries of a checkpoint, under official names.

    device: `meta` for shapes without data. Discriminator, optimizers and anything else are left aside.
    WeightsError says what is wrong with the file.
    """
    return official_entries(path, _load(path, device))


def read_epoch(path: Path) -> int | None:
    """The epoch stored in a file that `read_weights` accepts; None if there is none, as in safetensors."""
    if is_safetensors(path):
        return None
    content = _load(path, "meta")
    epoch = content.get("epoch") if isinstance(content, Mapping) else None
    return epoch if type(epoch) is int and 0 <= epoch < 10**9 else None


def config_of(shapes: Mapping[str, tuple[int, ...]]) -> ModelConfig:
    """The paper's architecture with the keypoints, experts and condition that `shapes` show.

    shapes: official parameter names to shapes. ValueError where a telling entry is missing.
    """

    def shape(name: str) -> tuple[int, ...]:
        try:
            return shapes[name]
        except KeyError:
            raise ValueError(f"missing {name}") from None

    count = shape("kp_detector.kp.weight")[0]
    width = shape("generator.mbUnit.mb")[1]
    condition: Condition = "none"
    if "generator.mbUnit.style_route.0.weight" in shapes:
        inputs = shapes["generator.mbUnit.style_route.0.weight"][1]
        conditions: dict[int, Condition] = {
            width + 2 * count: "both",
            width: "features",
            2 * count: "keypoints",
        }
        if inputs not in conditions:
            raise ValueError(f"generator.mbUnit.style_route.0.weight has {inputs} inputs")
        condition = conditions[inputs]
    return ModelConfig(
        keypoints=KeypointConfig(count=count, jacobians="kp_detector.jacobian.weight" in shapes),
        memory=MemoryConfig(experts=shape("generator.mbUnit.conv_kv.weight")[0], condition=condition),
    )


def check_container(path: Path) -> None:
    """Raises WeightsError unless `path` is a whole zip as torch writes it: stored members, one pickle."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile, RecursionError) as error:
        raise WeightsError(
            f"{shown(path)} is truncated or damaged: its list of contents is missing",
            hint="download it again",
        ) from error
    pickles = [member for member in members if member.filename.split("/")[1:] == ["data.pkl"]]
    if len(members) > MEMBER_LIMIT or len(pickles) != 1 or pickles[0].file_size > PICKLE_LIMIT:
        raise WeightsError(f"{shown(path)} is a zip archive, but not a weights file")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise WeightsError(
            f"{shown(path)} has compressed contents of unknown size; torch never writes such files"
        )


def official_entries(path: Path, content: object) -> dict[str, Tensor]:
    """The parameters in a checkpoint's `content`, named `generator.…` and `kp_detector.…`.

    Takes a dict of state dicts and a flat one, with or without the `module.` of distributed training.
    """
    if not isinstance(content, Mapping):
        raise WeightsError(f"{shown(path)} is not an MCNet checkpoint: it holds a {type(content).__name__}")
    entries: dict[str, Tensor] = {}
    for name, value in _flat(content):
        if not isinstance(value, Tensor):
            raise WeightsError(f"{shown(path)}: {shown(name)} is not a tensor")
        if name not in BLUR_KERNELS:
            entries[name] = value
    if not entries:
        raise WeightsError(
            f"{shown(path)} is not an MCNet checkpoint: generator and kp_detector are missing or empty",
            hint="an official file holds both",
        )
    return entries


def _flat(content: Mapping[Any, Any]) -> Iterator[tuple[str, object]]:
    """Each entry of the parts that rendering needs, with its full name and without `module.`."""
    for key, value in content.items():
        if not isinstance(key, str):
            continue
        name = key.removeprefix("module.")
        part, _, rest = name.partition(".")
        if part not in PARTS:
            continue
        if rest:
            yield f"{part}.{rest.removeprefix('module.')}", value
        elif isinstance(value, Mapping):
            for inner, entry in value.items():
                yield f"{part}.{str(inner).removeprefix('module.')}", entry


def _load(path: Path, device: str) -> object:
    """The file's content. torch's own messages never reach the user: they advise to load unsafely."""
    mapped = device == "cpu" and zipfile.is_zipfile(path)  # leaves the optimizers, two thirds, unread
    try:
        return torch.load(path, map_location=device, weights_only=True, mmap=mapped)
    except MemoryError:
        raise
    except pickle.UnpicklingError as error:
        if "global" in str(error).lower() or "Can only" in str(error):
            raise WeightsError(
                f"{shown(path)} is unsafe: besides tensors it holds code or objects, which mcnet never loads",
                hint="ask its author for a file with tensors only",
            ) from error
        raise WeightsError(f"{shown(path)} is damaged or not a weights file") from error
    except Exception as error:  # whatever a hostile file makes torch raise: the file is at fault
        raise WeightsError(f"{shown(path)} is incomplete or damaged", hint="download it again") from error

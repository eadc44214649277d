"""Motion files: safetensors, checked before use, so that one from a stranger is safe to open."""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mcnet_cli._header import Header, read_header
from mcnet_cli._safetensors import read_tensors, write_tensors
from mcnet_cli.animation.motion import Motion
from mcnet_cli.errors import InputError, shown
from mcnet_cli.files import atomic_output, require_regular_file

FORMAT = "1"
FRAME_LIMIT = 1_000_000  # eleven hours at 25 frames/s
KEYPOINT_LIMIT = 500
LARGEST_VALUE = 100.0
SMALLEST_DETERMINANT = 1e-8
RATE_LIMITS = (Fraction(1, 100), Fraction(1000))
LANDMARKS = 468


def write_motion(path: Path, motion: Motion, *, overwrite: bool = False) -> None:
    """Saves `motion`; the file appears under its name when it is complete. Equal motions give equal bytes."""
    tensors = {"values": torch.from_numpy(motion.values), "found": torch.from_numpy(motion.found)}
    if motion.jacobians is not None:
        tensors["jacobians"] = torch.from_numpy(motion.jacobians)
    if motion.landmarks is not None:
        tensors["landmarks"] = torch.from_numpy(motion.landmarks)
    metadata = {
        "mcnet.motion": FORMAT,
        "mcnet.rate": str(motion.rate),
        "mcnet.detector": motion.digest,
    }
    with atomic_output(path, overwrite=overwrite) as part:
        write_tensors(part, tensors, metadata)


def read_motion(path: Path) -> Motion:
    """Reads what `write_motion` wrote. InputError names the file and the first thing wrong."""
    require_regular_file(path)
    header = read_header(path, error=InputError)
    if header.metadata.get("mcnet.motion") != FORMAT:
        raise InputError(f"{shown(path)} is not a motion file", hint="make one with --save-motion")
    rate = _rate(path, header.metadata.get("mcnet.rate", ""))
    digest = header.metadata.get("mcnet.detector", "")
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise InputError(f"{shown(path)}: its detector's digest makes no sense")
    _check_entries(path, header)
    entries = {name: t.numpy() for name, t in read_tensors(path, header.shapes, error=InputError).items()}
    for name, entry in entries.items():
        if name != "found" and not (np.isfinite(entry).all() and np.abs(entry).max() <= LARGEST_VALUE):
            raise InputError(f"{shown(path)}: {name} holds numbers that make no sense")
    motion = Motion(
        entries["values"],
        entries.get("jacobians"),
        entries.get("landmarks"),
        entries["found"],
        rate,
        digest,
    )
    _check_jacobians(path, motion.jacobians)
    if not motion.found.any():
        raise InputError(f"{shown(path)}: there is no face in any of its frames")
    return motion


def _rate(path: Path, text: str) -> Fraction:
    if re.fullmatch(r"[0-9]{1,9}(/[0-9]{1,9})?", text) and not text.endswith("/0"):
        rate = Fraction(*map(int, text.split("/")))
        if RATE_LIMITS[0] <= rate <= RATE_LIMITS[1]:
            return rate
    raise InputError(f"{shown(path)}: its frame rate makes no sense")


def _check_entries(path: Path, header: Header) -> None:
    """Names, types and shapes, before anything is allocated."""
    for name in ("values", "found"):
        if name not in header.shapes:
            raise InputError(f"{shown(path)}: missing {name}")
    shape = header.shapes["values"]
    if len(shape) != 3 or not (1 <= shape[0] <= FRAME_LIMIT and 1 <= shape[1] <= KEYPOINT_LIMIT):
        raise InputError(f"{shown(path)}: values has the shape {shape}, which makes no sense")
    frames, count = shape[:2]
    expected = {
        "values": ("F32", (frames, count, 2)),
        "jacobians": ("F32", (frames, count, 2, 2)),
        "landmarks": ("F16", (frames, LANDMARKS, 2)),
        "found": ("BOOL", (frames,)),
    }
    for name, shape in header.shapes.items():
        if name not in expected:
            raise InputError(f"{shown(path)}: unexpected {shown(name[:100])}")
        if (header.dtypes[name], shape) != expected[name]:
            raise InputError(
                f"{shown(path)}: {name} is {shown(header.dtypes[name])} {shape}, "
                f"not {expected[name][0]} {expected[name][1]}"
            )


def _check_jacobians(path: Path, jacobians: NDArray[np.float32] | None) -> None:
    if jacobians is not None and np.abs(np.linalg.det(jacobians)).min() < SMALLEST_DETERMINANT:
        raise InputError(f"{shown(path)}: one of its jacobians can't be inverted")

"""What a clip's files hold: frames, decoded at once or when they are wanted, and landmarks."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import Tensor

from mcnet_cli.arrays import resized
from mcnet_cli.checkpoint.safetensors_file import write_tensors
from mcnet_cli.errors import InputError, shown
from mcnet_cli.face import CAREFUL_LOOKS, FaceMesh, FaceTracker, make_detector
from mcnet_cli.face.topology import MESH_POINTS
from mcnet_cli.files import atomic_output
from mcnet_cli.media import open_frames
from mcnet_cli.media.clips import ClipPath

Array = np.ndarray  # shapes and dtypes are in the docstrings


class Frames(Protocol):
    """A clip's frames by number, (S, S, 3) uint8 each. A (T, S, S, 3) array is such a sequence, too."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, number: int, /) -> Array:
        """One of them; InputError if it can't be decoded."""


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """What a clip's header says. count: of frames, None where it doesn't say."""

    side: int
    rate: Fraction
    count: int | None


def clip_info(clip: ClipPath) -> ClipInfo:
    """Opens a clip; InputError if it can't be used or isn't square."""
    with open_frames(clip.path) as source:
        if source.width != source.height:
            raise InputError(
                f"it is {source.width}x{source.height}, not square",
                hint="cut faces out with mcnet preprocess",
            )
        return ClipInfo(source.height, source.frame_rate, source.frame_count_hint)


def read_all(clip: ClipPath, size: int) -> list[Array]:
    """All frames of a clip at (size, size, 3), as far as they decode; InputError if none does."""
    with open_frames(clip.path) as source:
        return [resized(frame, size, size) for frame in source]


@dataclass(frozen=True, slots=True)
class SoughtFrames:
    """Frames `numbers` of a clip, each decoded when it is asked for."""

    clip: ClipPath
    rate: Fraction
    numbers: Sequence[int]
    size: int

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, number: int) -> Array:
        at_s = float(self.numbers[number] / self.rate)
        with open_frames(self.clip.path, start_s=at_s, max_frames=1) as source:
            for frame in source:
                return resized(frame, self.size, self.size)
        raise InputError(f"{shown(self.clip.path)} has no frame {self.numbers[number]}")


def as_tensor(frames: Array, device: torch.device) -> Tensor:
    """(B, H, W, 3) uint8 frames as (B, 3, H, W) in [0, 1] on a device."""
    return torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).float() / 255


def array_on_disk(path: Path, make: Callable[[], Array]) -> Array:
    """Maps the array in the file `path` into memory; if there is no such file, `make` fills it first."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_output(path, overwrite=True) as part, open(part, "wb") as file:
            np.save(file, make())
    mapped: Array = np.load(path, mmap_mode="r")
    return mapped


@dataclass(frozen=True, slots=True)
class ClipLandmarks:
    """points: (T, 468, 2) float32 pixels of the clip, not finite where there is no face; scores: (T,)."""

    points: Array
    scores: Array


def landmarks_beside(clip: ClipPath) -> ClipLandmarks | None:
    """What `mcnet preprocess` has written beside a clip, or its like in an `.npz`; None if there is neither.

    InputError if it can't be read.
    """
    for suffix, scores in ((".landmarks.safetensors", "scores"), (".landmarks.npz", "score")):
        path = clip.beside(suffix)
        if path.is_file():
            return _read_landmarks(path, scores)
    return None


def computed_landmarks(
    clip: ClipPath, read: Callable[[], Sequence[Array]], side: int, cache: Path
) -> ClipLandmarks:
    """Landmarks of the (side, side, 3) frames that `read` reads; kept in `cache` for the next time."""
    kept = cache / f"{clip.key(side)}.safetensors"
    if not kept.is_file():
        found = _tracked(read())
        cache.mkdir(parents=True, exist_ok=True)
        tensors = {"points": torch.from_numpy(found.points), "scores": torch.from_numpy(found.scores)}
        with atomic_output(kept, overwrite=True) as part:
            write_tensors(part, tensors, {})
    return _read_landmarks(kept, "scores")


def _tracked(frames: Sequence[Array]) -> ClipLandmarks:
    tracker = FaceTracker(make_detector("blazeface"), FaceMesh(CAREFUL_LOOKS))
    found = [tracker(frame) for frame in frames]
    nowhere = np.full((MESH_POINTS, 2), np.nan, np.float32)
    points = np.stack([face.points if face else nowhere for face in found]).astype(np.float32)
    return ClipLandmarks(points, np.array([face.score if face else 0.0 for face in found], np.float32))


def _read_landmarks(path: Path, scores: str) -> ClipLandmarks:
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as data:
                entries = {name: data[name] for name in ("points", scores)}
        else:
            entries = load_file(path)
        points, score = entries["points"].astype(np.float32), entries[scores].astype(np.float32)
    except (ValueError, KeyError, EOFError, zlib.error, BadZipFile, SafetensorError) as error:
        raise InputError(f"{shown(path)} holds no landmarks that can be read", hint="remove it") from error
    if points.ndim != 3 or points.shape[1:] != (MESH_POINTS, 2) or score.shape != points.shape[:1]:
        raise InputError(f"{shown(path)} has points of shape {points.shape}, not (frames, {MESH_POINTS}, 2)")
    return ClipLandmarks(points, score)

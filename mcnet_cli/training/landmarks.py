"""The landmarks of a clip: read from beside it, or computed once and kept in the run's folder."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file

from mcnet_cli.checkpoint.safetensors_file import write_tensors
from mcnet_cli.errors import InputError, shown
from mcnet_cli.files import atomic_output
from mcnet_cli.media.clips import ClipPath

POINTS = 468


@dataclass(frozen=True, slots=True)
class ClipLandmarks:
    """points: (T, 468, 2) float32 pixels of the clip, not finite where there is no face; scores: (T,)."""

    points: np.ndarray
    scores: np.ndarray


def landmarks_beside(clip: ClipPath) -> ClipLandmarks | None:
    """What `mcnet preprocess` has written beside a clip, or its like in an `.npz`; None if there is neither.

    InputError if it can't be read.
    """
    for suffix, scores in ((".landmarks.safetensors", "scores"), (".landmarks.npz", "score")):
        path = clip.beside(suffix)
        if path.is_file():
            return _read(path, scores)
    return None


def computed_landmarks(
    clip: ClipPath, read: Callable[[], Sequence[np.ndarray]], side: int, cache: Path
) -> ClipLandmarks:
    """Landmarks of the (side, side, 3) frames that `read` reads; kept in `cache` for the next time."""
    kept = cache / f"{clip.key(side)}.safetensors"
    if not kept.is_file():
        found = _computed(read())
        cache.mkdir(parents=True, exist_ok=True)
        tensors = {"points": torch.from_numpy(found.points), "scores": torch.from_numpy(found.scores)}
        with atomic_output(kept, overwrite=True) as part:
            write_tensors(part, tensors, {})
    return _read(kept, "scores")


def _computed(frames: Sequence[np.ndarray]) -> ClipLandmarks:
    from mcnet_cli.face import STEADY_LOOKS, FaceMesh, FaceTracker, make_detector

    tracker = FaceTracker(make_detector("blazeface"), FaceMesh(STEADY_LOOKS))
    found = [tracker(frame) for frame in frames]
    nowhere = np.full((POINTS, 2), np.nan, np.float32)
    points = np.stack([face.points if face else nowhere for face in found]).astype(np.float32)
    return ClipLandmarks(points, np.array([face.score if face else 0.0 for face in found], np.float32))


def _read(path: Path, scores: str) -> ClipLandmarks:
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as data:
                entries = {name: data[name] for name in ("points", scores)}
        else:
            entries = load_file(path)
        points, score = entries["points"].astype(np.float32), entries[scores].astype(np.float32)
    except (ValueError, KeyError, EOFError, zlib.error, BadZipFile, SafetensorError) as error:
        raise InputError(f"{shown(path)} holds no landmarks that can be read", hint="remove it") from error
    if points.ndim != 3 or points.shape[1:] != (POINTS, 2) or score.shape != points.shape[:1]:
        raise InputError(f"{shown(path)} has points of shape {points.shape}, not (frames, {POINTS}, 2)")
    return ClipLandmarks(points, score)

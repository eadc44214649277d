"""Clips in memory, and the pairs of frames that a step sees."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mcnet_cli.errors import InputError, McnetError, shown
from mcnet_cli.media import open_frames

logger = logging.getLogger(__name__)
SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi"}
Array = np.ndarray  # shorter below; shapes and dtypes are in the docstrings
MOUTH, EYES, EYE_DISTANCE = ((13, 14),), ((159, 145), (386, 374)), (33, 263)


@dataclass(frozen=True, slots=True)
class Clip:
    """A face clip. frames: (T, S, S, 3) uint8; points: (T, 468, 2) float32 pixels of the frames."""

    path: Path
    frames: Array
    points: Array

    @property
    def openings(self) -> Array:
        """(T, 2): mouth and lid openings over the eye distance."""
        return np.stack([opening(self.points, MOUTH), opening(self.points, EYES)], axis=1)


def opening(points: Array, pairs: Sequence[tuple[int, int]]) -> Array:
    """(T,) summed distances between pairs of (T, 468, 2) landmarks, over the eye distance."""

    def distance(pair: tuple[int, int]) -> Array:
        return np.linalg.norm(points[:, pair[0]] - points[:, pair[1]], axis=-1)

    total: Array = sum(map(distance, pairs)) / np.maximum(distance(EYE_DISTANCE), 1e-3)
    return total


def find_clips(folder: Path) -> list[Path]:
    """The video files of a folder, sorted; InputError if there are none."""
    if not folder.is_dir():
        raise InputError(f"{shown(folder)} is not a folder of clips")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not paths:
        raise InputError(f"no clips in {shown(folder)}", hint="it should hold face videos (mp4, mov, mkv, webm)")
    return paths


def load_clips(paths: Sequence[Path], *, size: int, limit: int, cache: Path) -> list[Clip]:
    """Reads clips into memory; unusable ones are warned of and left out. InputError if none is usable.

    size: side of the frames; limit: at most so many frames a clip, every n-th; cache: folder for landmarks
    that are not beside the clips.
    """
    clips = []
    for path in paths:
        try:
            clips.append(_load_clip(path, size, limit, cache))
        except McnetError as error:
            logger.warning("skipped %s: %s", shown(path), error)
    if not clips:
        raise InputError(f"no usable clips among the {len(paths)} in {shown(paths[0].parent)}")
    return clips


def _load_clip(path: Path, size: int, limit: int, cache: Path) -> Clip:
    with open_frames(path) as source:
        frames = [_resized(frame, size) for frame in source]
        scale = size / source.width
        if source.width != source.height:
            raise InputError(f"{shown(path)} is {source.width}×{source.height}, not square")
    if len(frames) < 2:
        raise InputError(f"{shown(path)} has {len(frames)} frames; a pair needs two")
    landmarks = path.with_suffix(".landmarks.npz")
    if landmarks.is_file():
        with np.load(landmarks, allow_pickle=False) as data:
            points, score = data["points"].astype(np.float32) * scale, data["score"]
    else:
        points, score = _computed_landmarks(path, frames, cache)
    count = min(len(frames), len(points))
    good = np.flatnonzero((score[:count] > 0.5) & np.isfinite(points[:count]).all((1, 2)))
    if len(good) < 2:
        raise InputError(f"{shown(path)} shows a face in {len(good)} frames; a pair needs two")
    good = good[:: -(-len(good) // limit)]
    return Clip(path, np.stack([frames[i] for i in good]), points[good])


def _resized(frame: Array, size: int) -> Array:
    if frame.shape[:2] == (size, size):
        return frame
    shrinks = frame.shape[0] > size
    return cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _computed_landmarks(path: Path, frames: list[Array], cache: Path) -> tuple[Array, Array]:
    """Landmarks of a clip that has none beside it; computed once, kept in the run's folder."""
    from mcnet_cli.face import FaceMesh, FaceTracker, make_detector

    status = path.stat()
    kept = cache / f"{path.stem}-{status.st_size}-{status.st_mtime_ns}-{frames[0].shape[0]}.npz"
    if not kept.is_file():
        mesh = FaceMesh()
        tracker = FaceTracker(make_detector("blazeface"), mesh)
        found = [tracker(frame) for frame in frames]
        points = np.stack([f.points if f else np.full((468, 2), np.nan, np.float32) for f in found])
        cache.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part.npz")
        np.savez(part, points=points, score=np.array([f.score if f else 0.0 for f in found]))
        part.replace(kept)
    with np.load(kept, allow_pickle=False) as data:
        return data["points"].astype(np.float32), data["score"]


@dataclass(frozen=True, slots=True)
class Pairs:
    """A batch of source and driving frames: (B, S, S, 3) uint8 and (B, 468, 2) float32 pixels each."""

    source: Array
    driving: Array
    source_points: Array
    driving_points: Array


class PairSampler:
    """Draws pairs: a clip, a source frame, and a driving frame, more often one with another expression."""

    def __init__(self, clips: Sequence[Clip], expressive_share: float, rng: np.random.Generator) -> None:
        self.clips, self.expressive_share, self.rng = clips, expressive_share, rng
        self._openings = [clip.openings for clip in clips]

    def draw(self, batch: int) -> Pairs:
        """A batch of pairs; every clip is as likely as another."""
        rng, chosen = self.rng, []
        for _ in range(batch):
            number = int(rng.integers(len(self.clips)))
            openings = self._openings[number]
            source = int(rng.integers(len(openings)))
            if rng.random() < self.expressive_share:
                candidates = rng.integers(len(openings), size=6)
                differences = np.abs(openings[candidates] - openings[source]).sum(1)
                driving = int(candidates[differences.argmax()])
            else:
                driving = int(rng.integers(len(openings)))
            chosen.append((self.clips[number], source, driving))
        return Pairs(
            np.stack([clip.frames[s] for clip, s, _ in chosen]),
            np.stack([clip.frames[d] for clip, _, d in chosen]),
            np.stack([clip.points[s] for clip, s, _ in chosen]),
            np.stack([clip.points[d] for clip, _, d in chosen]),
        )

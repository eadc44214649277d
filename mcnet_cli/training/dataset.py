"""The clips that a run can use, found in a folder or drawn, and what is wrong with the others."""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcnet_cli.errors import InputError, McnetError, SystemFailure, shown
from mcnet_cli.face import LID_OPENINGS, MOUTH_OPENING, opening
from mcnet_cli.files import SYSTEM_ERRNOS
from mcnet_cli.media.clips import ClipPath
from mcnet_cli.progress import OnProgress, Progress, silent
from mcnet_cli.synthetic import render_clip
from mcnet_cli.system import processor_count
from mcnet_cli.training.config import RunConfig
from mcnet_cli.training.frames import (
    Array,
    ClipInfo,
    ClipLandmarks,
    Frames,
    SoughtFrames,
    array_on_disk,
    clip_info,
    computed_landmarks,
    landmarks_beside,
    read_all,
)

logger = logging.getLogger(__name__)
MIN_FACE_SCORE = 0.5  # of a frame that is used


@dataclass(frozen=True, slots=True)
class Clip:
    """A usable clip.

    points: (T, 468, 2) float32 pixels of the frames, None where no landmarks are wanted.
    path, numbers, own_side: the file, which of its frames these are, and their side there in pixels; None,
    nothing and 0 for drawn clips.
    """

    name: str
    identity: str
    frames: Frames
    points: Array | None
    path: ClipPath | None = None
    numbers: Sequence[int] = ()
    own_side: int = 0

    @property
    def openings(self) -> Array | None:
        """(T, 2): mouth and lid openings over the eye distance."""
        if self.points is None:
            return None
        return np.stack([opening(self.points, MOUTH_OPENING), opening(self.points, LID_OPENINGS)], axis=1)


@dataclass(frozen=True, slots=True)
class ClipReport:
    """What came of one clip. frames: usable ones. landmarks: beside, computed, not used. problem: if any."""

    name: str
    identity: str
    frames: int
    side: int
    landmarks: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class Dataset:
    """The usable clips, and a report on each that there is."""

    clips: list[Clip]
    reports: list[ClipReport]

    @property
    def bad(self) -> list[ClipReport]:
        """Those that can't be used."""
        return [report for report in self.reports if report.problem]

    def require_most(self, folder: Path) -> None:
        """InputError, which names their folder, if more than half of the clips, or all, can't be used."""
        if not self.clips:
            first = self.bad[0]
            raise InputError(
                f"{shown(folder)}: none of {len(self.bad)} clips can be used; "
                f"{shown(first.name)}: {first.problem}"
            )
        if len(self.bad) > len(self.clips):
            raise InputError(
                f"{shown(folder)}: {len(self.bad)} of {len(self.reports)} clips can't be used: over half",
                hint="mcnet train CLIPS --check-data lists them",
            )


def load_dataset(
    found: Sequence[ClipPath], config: RunConfig, run: Path, on_progress: OnProgress = silent
) -> Dataset:
    """Opens all clips; unusable ones are warned of, once, and left out. run: for what is worth keeping."""
    loader = _Loader(config, run, _storage(found, config))
    clips, reports = [], []
    for clip, report in _in_parallel(loader.load, found, on_progress):
        reports.append(report)
        if clip is None:
            logger.warning("skipped %s: %s", shown(report.name), report.problem)
        else:
            clips.append(clip)
    return Dataset(clips, reports)


def _in_parallel(
    load: Callable[[ClipPath], tuple[Clip | None, ClipReport]],
    found: Sequence[ClipPath],
    on_progress: OnProgress,
) -> Iterator[tuple[Clip | None, ClipReport]]:
    """Results in the order of `found`."""
    with _reader_threads() as pool:
        try:
            for number, result in enumerate(pool.map(load, found)):
                on_progress(Progress("reading clips", number + 1, len(found), "clips"))
                yield result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _reader_threads() -> ThreadPoolExecutor:
    """Threads that open clips: waiting for ffmpeg is most of that work."""
    return ThreadPoolExecutor(min(8, processor_count()))


def _storage(found: Sequence[ClipPath], config: RunConfig) -> str:
    """`data.frames`, with `auto` decided by the headers."""
    if config.data.frames != "auto":
        return config.data.frames
    with _reader_threads() as pool:
        frames = sum(pool.map(lambda clip: expected_frames(clip, config), found))
    return "memory" if frames * 3 * config.model.size**2 <= config.data.memory_gb * 1e9 else "seek"


def expected_frames(clip: ClipPath, config: RunConfig) -> int:
    """How many frames of a clip a run will use, by its header; 0 if loading will say why it can't be used."""
    try:
        count = clip_info(clip).count or 0
    except (McnetError, OSError):
        return 0
    return min(count, config.data.frames_per_clip or count)


class _Loader:
    """Opens clips one by one, as a configuration says."""

    def __init__(self, config: RunConfig, run: Path, storage: str) -> None:
        self.size, self.data, self.storage = config.model.size, config.data, storage
        self.wants_landmarks = config.keypoints.supervision == "landmarks"
        self.landmark_cache = run / "landmarks"
        self.frame_cache = Path(config.data.cache) if config.data.cache else run / "frames"

    def load(self, found: ClipPath) -> tuple[Clip | None, ClipReport]:
        """A clip, or None, and a report."""
        side, kind = 0, ""
        try:
            info = clip_info(found)
            side = info.side
            clip, kind = self._open(found, info)
        except SystemFailure:
            raise
        except (McnetError, OSError) as error:
            if isinstance(error, OSError) and error.errno in SYSTEM_ERRNOS:
                raise
            reason = error.strerror if isinstance(error, OSError) else str(error)
            return None, ClipReport(found.name, found.identity, 0, side, kind, shown(reason or "unreadable"))
        return clip, ClipReport(found.name, found.identity, len(clip.frames), side, kind, None)

    def _open(self, found: ClipPath, info: ClipInfo) -> tuple[Clip, str]:
        frames: list[Array] = []

        def read() -> list[Array]:
            """All frames, decoded once however many ask."""
            if not frames:
                frames.extend(read_all(found, self.size))
            return frames

        count = len(read()) if self.storage == "memory" else self._count(found, info) or len(read())
        landmarks, kind = None, "not used"
        if self.wants_landmarks:
            landmarks, kind = self._landmarks(found, info, read)
        numbers = self._chosen(count, landmarks)
        if self.storage == "memory":
            stored: Frames = np.stack([frames[i] for i in numbers])
        elif self.storage == "disk":
            name = found.key(self.size, self.data.frames_per_clip, self.wants_landmarks)
            stored = array_on_disk(
                self.frame_cache / f"{name}.npy",
                lambda: np.stack([read()[min(i, len(frames) - 1)] for i in numbers]),
            )
        else:
            stored = SoughtFrames(found, info.rate, numbers, self.size)
        points = None if landmarks is None else landmarks.points[numbers]
        return Clip(found.name, found.identity, stored, points, found, numbers, info.side), kind

    def _count(self, found: ClipPath, info: ClipInfo) -> int:
        """The header's count, if the last frame is really there; else 0."""
        if not info.count:
            return 0
        try:
            SoughtFrames(found, info.rate, range(info.count), self.size)[info.count - 1]
        except InputError:
            return 0
        return info.count

    def _landmarks(
        self, found: ClipPath, info: ClipInfo, read: Callable[[], list[Array]]
    ) -> tuple[ClipLandmarks, str]:
        beside = landmarks_beside(found)
        if beside is None:
            return computed_landmarks(found, read, self.size, self.landmark_cache), "computed"
        return ClipLandmarks(beside.points * (self.size / info.side), beside.scores), "beside"

    def _chosen(self, count: int, landmarks: ClipLandmarks | None) -> list[int]:
        """The numbers of the frames to use: with a face, if landmarks are wanted, and not too many."""
        good = np.arange(count)
        if count < 2:
            raise InputError(f"it has {count} frame{'s' * (count != 1)}; a pair needs two")
        if landmarks is not None:
            count = min(count, len(landmarks.points))
            found = (landmarks.scores[:count] > MIN_FACE_SCORE) & np.isfinite(landmarks.points[:count]).all(
                (1, 2)
            )
            good = np.flatnonzero(found)
        if len(good) < 2:
            raise InputError(f"it shows a face in {len(good)} of {count} frames; a pair needs two")
        limit = self.data.frames_per_clip or len(good)
        numbers: list[int] = good[:: -(-len(good) // limit)].tolist()
        return numbers


def synthetic_clips(count: int, config: RunConfig, run: Path, on_progress: OnProgress = silent) -> list[Clip]:
    """`count` synthetic heads, each talking for `data.synthetic_frames` frames; the same ones in every run.

    They are drawn once and kept in the run's folder.
    """
    clips, wanted = [], config.keypoints.supervision == "landmarks"
    for seed in range(count):
        pictures, landmarks = _drawn_clip(run / "synthetic", seed, config)
        name = f"synthetic {seed}"
        clips.append(Clip(name, name, pictures, landmarks if wanted else None))
        on_progress(Progress("drawing heads", seed + 1, count, "clips"))
    return clips


def _drawn_clip(folder: Path, seed: int, config: RunConfig) -> tuple[Array, Array]:
    """Frames and landmarks, mapped from files, which are drawn if they aren't there yet."""
    frames, size = config.data.synthetic_frames, config.model.size
    clip = functools.cache(functools.partial(render_clip, seed, frames, size))
    stem = f"{seed}-{frames}-{size}"
    pictures = array_on_disk(folder / f"{stem}.frames.npy", lambda: clip().frames)
    return pictures, array_on_disk(folder / f"{stem}.landmarks.npy", lambda: clip().landmarks)

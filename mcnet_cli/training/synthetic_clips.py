"""Synthetic heads as clips to train on: drawn once, kept in the run's folder."""

import functools
from collections.abc import Callable
from pathlib import Path

from mcnet_cli.training.config import RunConfig
from mcnet_cli.training.dataset import Clip
from mcnet_cli.training.frames import Array, array_on_disk


def synthetic_clips(
    count: int, config: RunConfig, run: Path, on_progress: Callable[[int, int], None] | None = None
) -> list[Clip]:
    """`count` people, each talking for `data.synthetic_frames` frames; the same ones in every run."""
    clips, wanted = [], config.keypoints.supervision == "landmarks"
    for seed in range(count):
        pictures, landmarks = _drawn(run / "synthetic", seed, config.data.synthetic_frames, config.model.size)
        name = f"synthetic {seed}"
        clips.append(Clip(name, name, pictures, landmarks if wanted else None))
        if on_progress:
            on_progress(seed + 1, count)
    return clips


def _drawn(folder: Path, seed: int, frames: int, size: int) -> tuple[Array, Array]:
    """Frames and landmarks, mapped from files."""
    from mcnet_cli.synthetic import render_clip

    clip = functools.cache(functools.partial(render_clip, seed, frames, size))
    place = f"{seed}-{frames}-{size}"
    pictures = array_on_disk(folder / f"{place}.frames.npy", lambda: clip().frames)
    return pictures, array_on_disk(folder / f"{place}.landmarks.npy", lambda: clip().landmarks)

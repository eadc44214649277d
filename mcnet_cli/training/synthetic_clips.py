"""Synthetic heads as clips to train on: drawn once, kept in the run's folder."""

import functools
from collections.abc import Callable
from pathlib import Path

from mcnet_cli.training.config import RunConfig
from mcnet_cli.training.dataset import Clip
from mcnet_cli.training.frames import array_on_disk


def synthetic_clips(
    count: int, config: RunConfig, run: Path, on_progress: Callable[[int, int], None] | None = None
) -> list[Clip]:
    """`count` people, each talking for `data.synthetic_frames` frames; the same ones in every run."""
    from mcnet_cli.synthetic import render_clip

    clips, frames, size = [], config.data.synthetic_frames, config.model.size
    for seed in range(count):
        clip = functools.cache(functools.partial(render_clip, seed, frames, size))
        pictures, landmarks = (
            array_on_disk(run / "synthetic" / f"{seed}-{frames}-{size}.{part}.npy", lambda: getattr(clip(), part))  # noqa: B023
            for part in ("frames", "landmarks")
        )
        wanted = config.keypoints.supervision == "landmarks"
        clips.append(Clip(f"synthetic {seed}", f"synthetic {seed}", pictures, landmarks if wanted else None))
        if on_progress:
            on_progress(seed + 1, count)
    return clips

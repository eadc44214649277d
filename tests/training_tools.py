"""Small clips with landmarks, and settings of runs that take milliseconds a step."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from animation_tools import SIZE, picture, write_clip
from places import ROOT

from mcnet_cli.face.topology import CHIN, NOSE
from mcnet_cli.model.mouth_shape import INNER_LOWER, LIPS
from mcnet_cli.progress import OnProgress, Progress, silent
from mcnet_cli.training import RunConfig, TrainReport, TrainRequest, train
from mcnet_cli.training.objective_config import PART_LANDMARKS
from mcnet_cli.training.settings import assignment, resolve

torch.set_num_threads(1)  # so little work is done sooner without help

# As tiny as the network can be; without the perceptual networks, which would be most of the work.
TINY = """
model.size=64
model.keypoints.hourglass={expansion=4, cap=8, blocks=2}
model.keypoints.kernel=3
model.keypoints.padded=true
model.motion.hourglass={expansion=4, cap=8, blocks=2}
model.motion.kernel=3
model.motion.heatmap_variances=[0.01]
model.motion.locality=[]
model.motion.mouth=[]
model.motion.eyes=[]
model.memory={sizes=[64], width=8, style_width=4, bank_size=4, experts=1}
model.generator={channels=[4, 4, 4], stem_stride=1, residual_blocks=[0, 0]}
model.generator.hint_channels=0
model.generator.detail_keypoints=[]
batch_size=2
data.frames=memory
output.log_every=1
output.sheet_every=1000
model.painter.size=0
model.eye_painter.size=0
""".strip().splitlines()
NO_PERCEPTUAL_LOSSES = [f"losses.{name}perceptual=0" for name in ("", "decoded_", "crop_", "warped_")]
LANDMARKS = [
    *TINY,
    "model.keypoints.count=7",
    "model.keypoints.jacobians=false",
    "model.keypoints.landmarks=[10, 152, 234, 454, 105, 334, 1]",
    *NO_PERCEPTUAL_LOSSES,
]
PAPER = [
    *TINY,
    "keypoints.supervision=none",
    "model.keypoints={count=5, jacobians=true}",
    "losses.perceptual=0",
]


# Only the landmarks that mouths and eyes need: mouth, eyes, tip of the nose and chin.
MOUTH, EYES = PART_LANDMARKS["mouth"], PART_LANDMARKS["eyes"]
WITH_MOUTHS = [
    *(line for line in TINY if not line.startswith(("model.motion.mouth", "model.motion.eyes"))),
    f"model.keypoints.count={len(MOUTH) + len(EYES) + 2}",
    "model.keypoints.jacobians=false",
    f"model.keypoints.landmarks={[*MOUTH, *EYES, NOSE, CHIN]}",
    f"model.motion.mouth={[*range(len(MOUTH))]}",
    f"model.motion.eyes={[*range(len(MOUTH), len(MOUTH) + len(EYES))]}",
    *NO_PERCEPTUAL_LOSSES,
]
PAINTER = [
    "painter.only=true",
    "painter.steps=4",
    "painter.alone=1",
    "painter.per_clip=7",
    "painter.batch_size=2",
    "painter.perceptual=0",
    "checkpoint_every=2",
    "model.painter={size=32, channels=[12, 8, 8], tokens=4, enlarger=0}",
]


def config(*changes: str, base: list[str] = LANDMARKS) -> RunConfig:
    """A tiny run's settings, and these."""
    return resolve(map(assignment, [*base, *changes]))


def options(*changes: str, base: list[str] = LANDMARKS) -> list[str]:
    """The same for a command line."""
    return [word for setting in [*base, *changes] for word in ("--set", setting)]


def points_of(count: int, size: int = SIZE) -> np.ndarray:
    """(T, 468, 2) pixels: a ring of points that wanders."""
    angle = np.linspace(0, 2 * np.pi, 468, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], -1) * size * 0.3 + size / 2
    shifts = np.stack([np.arange(count) % 3, np.arange(count) % 2], -1)
    return (ring + shifts[:, None]).astype(np.float32)


def write_face_clip(
    path: Path, count: int = 6, *, size: int = SIZE, landmarks: bool = True, start: float = 0.0
) -> Path:
    """A lossless clip of the moving disk with an `.npz` of landmarks beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, [picture(start + 0.9 * n, size) for n in range(count)])
    if landmarks:
        np.savez(
            path.with_suffix(".landmarks.npz"),
            points=points_of(count, size),
            score=np.ones(count, np.float16),
        )
    return path


def write_clips(folder: Path, names: str = "abc", **more: Any) -> Path:
    """A folder of clips called `a.mp4` and so on."""
    for number, name in enumerate(names):
        write_face_clip(folder / f"{name}.mp4", start=float(number), **more)
    return folder


def write_mouths(folder: Path, opening: float = 12.0) -> Path:
    """Clips in which a mouth is shut in every other frame, else open by so many pixels."""
    for path in write_clips(folder, "ab").glob("*.npz"):
        landmarks = dict(np.load(path))
        points = landmarks["points"]
        points[:] = points_of(len(points), SIZE)
        places = {61: (14, 40), 291: (50, 40), 0: (32, 36), 17: (32, 46), 33: (16, 20), 263: (48, 20)}
        places |= {1: (32, 30), 152: (32, 60)}
        for arc in LIPS:
            places |= {
                point: (17 + 3 * number, 40) for number, point in enumerate(arc) if point not in places
            }
        for point, place in places.items():
            points[:, point] = place
        for number, point in enumerate(INNER_LOWER):
            points[1::2, point, 1] += opening * (1 - abs(number / 5 - 1) ** 3)
        np.savez(path, **landmarks)
    return folder


def run_training(
    clips: Path | None, run: Path, config: RunConfig, see: OnProgress = silent, **more: Any
) -> TrainReport:
    """`train` on the CPU in float32."""
    return train(TrainRequest(clips, run, config, device="cpu", precision="fp32", **more), see)


def environment(**more: str) -> dict[str, str]:
    """For child processes: one thread each, this tree's package."""
    root = str(ROOT)
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root, **more}


def train_command(clips: Path, run: Path, *words: str, prefix: tuple[str, ...] = ()) -> list[str]:
    """The words of `mcnet train` on the CPU, for a process of its own."""
    program = [sys.executable, *prefix, "-m", "mcnet_cli"]
    return [*program, "train", str(clips), "-o", str(run), "--device", "cpu", *words]


def mcnet_train(clips: Path, run: Path, *words: str, prefix: tuple[str, ...] = (), **more: Any) -> Any:
    """`mcnet train` as a process."""
    command = train_command(clips, run, *words, prefix=prefix)
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment(), **more)


def when(step: int, act: Callable[[], None]) -> OnProgress:
    """A progress callback that acts once `step` steps are done."""

    def see(progress: Progress) -> None:
        if progress.stage == "training" and progress.done == step:
            act()

    return see

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

from mcnet_cli.face.topology import MOUTH_OUTLINE
from mcnet_cli.training import RunConfig, TrainReport, TrainRequest, train
from mcnet_cli.training.losses import LEFT_EYE, RIGHT_EYE
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
openings.steps=0
model.painter.size=0
""".strip().splitlines()
LANDMARKS = [
    *TINY,
    "model.keypoints.count=7",
    "model.keypoints.jacobians=false",
    "model.keypoints.landmarks=[10, 152, 234, 454, 105, 334, 1]",
    *(f"losses.{name}perceptual=0" for name in ("", "decoded_", "crop_", "warped_")),
]
PAPER = [
    *TINY,
    "keypoints.supervision=none",
    "model.keypoints={count=5, jacobians=true}",
    "losses.perceptual=0",
]

STAGE = [
    "openings.steps=4",
    "openings.alone=2",
    "openings.count=6",
    "openings.batch_size=3",
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


def talking(folder: Path, *, lips: float = 0.2, lids: float = 0.2) -> Path:
    """Clips in which lips and lids are apart, and in every other frame so many times as far."""
    for path in write_clips(folder).glob("*.npz"):
        landmarks = dict(np.load(path))
        for outline, least in ((MOUTH_OUTLINE, lips), (LEFT_EYE, lids), (RIGHT_EYE, lids)):
            around = landmarks["points"][:, list(outline)]
            middle = around.mean(1, keepdims=True)
            scale = np.where(np.arange(len(around)) % 2, least, 1.0)[:, None, None]
            landmarks["points"][:, list(outline)] = middle + scale * (around - middle)
        np.savez(path, **landmarks)
    return folder


def run_training(
    clips: Path | None, run: Path, config: RunConfig, see: Any = None, **more: Any
) -> TrainReport:
    """`train` on the CPU in float32."""
    return train(TrainRequest(clips, run, config, device="cpu", precision="fp32", **more), see)


def environment(**more: str) -> dict[str, str]:
    """For child processes: one thread each, this tree's package."""
    root = str(ROOT)
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root, **more}


def mcnet_train(clips: Path, run: Path, *words: str, prefix: tuple[str, ...] = (), **more: Any) -> Any:
    """`mcnet train` as a process."""
    command = [
        sys.executable,
        *prefix,
        "-m",
        "mcnet_cli",
        "train",
        str(clips),
        "-o",
        str(run),
        "--device",
        "cpu",
        *words,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment(), **more)


def when(step: int, act: Callable[[], None]) -> Callable[..., None]:
    """A progress callback that acts once `step` steps are done."""

    def see(stage: str, done: int, _total: int, _unit: str) -> None:
        if stage == "training" and done == step:
            act()

    return see

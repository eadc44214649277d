"""A tiny seeded network and small clips for the tests of the pipeline."""

import math
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mcnet_cli.animation import AnimationReport, AnimationRequest, Animator, animate
from mcnet_cli.checkpoint import write_weights
from mcnet_cli.media import ffmpeg_binary, open_frames, read_image, write_image
from mcnet_cli.model import Keypoints, MCNet, ModelConfig
from mcnet_cli.model.config import (
    GeneratorConfig,
    HourglassConfig,
    KeypointConfig,
    MemoryConfig,
    MotionConfig,
)
from mcnet_cli.model.replays import ComputeBatch
from mcnet_cli.motion import Motion

SIZE = 64
FRAMING = {"face_height": 0.53, "center_x": 0.5, "center_y": 0.54}
torch.set_num_threads(1)  # so little work is done sooner without help
NO_CROP = {"source_crop": "none", "driving_crop": "none"}


def tiny_config(*, jacobians: bool = True, size: int = SIZE, landmarks: tuple[int, ...] = ()) -> ModelConfig:
    """A network of the paper's kind that takes milliseconds."""
    return ModelConfig(
        size=size,
        keypoints=KeypointConfig(
            6, jacobians, HourglassConfig(8, 16, 2), 7, padded=True, landmarks=landmarks
        ),
        motion=MotionConfig(HourglassConfig(8, 16, 2), kernel=3),
        memory=MemoryConfig(sizes=(64,), width=8, style_width=4, bank_size=4, experts=1),
        generator=GeneratorConfig(channels=(8, 8, 8), residual_blocks=(1, 1)),
    )


def write_tiny(
    path: Path,
    *,
    seed: int = 0,
    smooth: float | None = None,
    framing: dict[str, float] | None = FRAMING,
    **options: Any,
) -> Path:
    """Weights of a random tiny network whose keypoints follow the picture: they move visibly."""
    torch.manual_seed(seed)
    model = MCNet(tiny_config(**options)).eval()
    with torch.no_grad():
        model.kp_detector.kp.weight.mul_(4)
    facts: dict[str, Any] = {"framing": framing, "smooth": smooth, "card": {}}
    write_weights(path, model.state_dict(), model.config, **facts, half=False)
    return path


def picture(shift: float = 0.0, size: int = SIZE) -> np.ndarray:
    """Smooth colours and a bright disk that `shift` moves."""
    y, x = np.mgrid[0:size, 0:size] / size
    disk = np.hypot(x - 0.5 - 0.2 * math.sin(shift), y - 0.5 + 0.15 * math.cos(1.3 * shift)) < 0.2
    colours = np.stack([x, y, 1 - x], -1) * 160
    return np.where(disk[..., None], (250, 220, 180), colours).round().astype(np.uint8)


def write_clip(
    path: Path, frames: list[np.ndarray], *, rate: str = "25", sound: bool = False, lossless: bool = True
) -> Path:
    """A video of these frames, lossless unless said otherwise."""
    height, width = frames[0].shape[:2]
    command = [ffmpeg_binary(), "-v", "error", "-nostdin", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-framerate", rate, "-i", "pipe:"]
    if sound:
        seconds = float(len(frames) / Fraction(rate))
        command += ["-f", "lavfi", "-i", f"sine=440:duration={seconds}", "-c:a", "aac"]
    video = ["libx264rgb", "-crf", "0"] if lossless else ["libx264", "-pix_fmt", "yuv420p"]
    command += ["-c:v", *video, "-y", str(path)]
    subprocess.run(command, input=b"".join(frame.tobytes() for frame in frames), check=True, timeout=60)
    return path


def write_moving_clip(path: Path, count: int = 6, **options: Any) -> Path:
    """The disk in motion."""
    return write_clip(path, [picture(0.9 * number) for number in range(count)], **options)


def write_photo(path: Path, shift: float = 0.4, size: int = SIZE) -> Path:
    """The disk, still."""
    write_image(path, picture(shift, size))
    return path


def write_inputs(folder: Path, **clip: Any) -> Path:
    """Tiny weights, a photo and a clip with sound, in a folder, which is returned."""
    write_tiny(folder / "tiny.safetensors")
    write_photo(folder / "photo.png")
    write_moving_clip(folder / "clip.mp4", sound=True, **clip)
    return folder


def run(source: Path | tuple[Path, ...], driving: Path, **options: Any) -> AnimationReport:
    """`animate` with float32 on the CPU, the network's own square, unless `options` say otherwise."""
    sources = source if isinstance(source, tuple) else (source,)
    options = {"device": "cpu", "precision": "fp32", "picture": "network", **options}
    see = options.pop("see", None)
    return animate(AnimationRequest(sources=sources, driving=driving, **options), see)


def motion_of(driving: Path, weights: Path, **options: Any) -> Motion:
    """A driving's motion for weights, with float32 on the CPU; uncropped unless `options` say otherwise."""
    animator = Animator.load(weights, device="cpu", precision="fp32")
    return animator.motion(driving, **{"crop": "none", **options})


def rendered(folder: Path, source: Path, driving: Path, **options: Any) -> np.ndarray:
    """The frames (T, H, W, 3) that `animate` makes, through lossless pictures in a fresh subfolder."""
    target = folder / f"run{len([*folder.glob('run*')])}"
    run(source, driving, output=f"{target}/%05d.png", **options)
    return np.stack([read_image(path) for path in sorted(target.glob("*.png"))])


def frames_of(path: Path) -> np.ndarray:
    """The frames of a video."""
    with open_frames(path) as frames:
        return np.stack([*frames])


def has_sound(path: Path) -> bool:
    """Whether a file has a sound track."""
    with open_frames(path) as frames:
        return frames.audio is not None


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference in levels."""
    return float(np.abs(one.astype(np.float32) - other).mean())


def recorded(compute: ComputeBatch, motion: Keypoints) -> ComputeBatch:
    """What a CUDA graph is: the same work on the same memory, which each replay overwrites."""
    given = motion.map(torch.clone)

    def replay(motion: Keypoints) -> tuple[Tensor, ...]:
        given.values.copy_(motion.values)
        return compute(given)

    return replay

"""What `gpu.py` measures of whole frames: photos drawn in several ways, and films by video hardware."""

import copy
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mcnet_cli import Animator, Motion, Portrait, Transfer
from mcnet_cli.animation.frames import MakeFrames, frames_of
from mcnet_cli.animation.retarget import Retargeting, SourcePose
from mcnet_cli.arrays import Picture, resized
from mcnet_cli.compositing import Drawing, PhotoCompositor, photo_layers
from mcnet_cli.media import open_frames, open_output, read_image
from mcnet_cli.media.hardware import DEVICES, device_trouble, working_device, working_encoders
from mcnet_cli.metrics import ssim
from mcnet_cli.model.replays import Replays
from mcnet_cli.model.windows import Window
from mcnet_cli.transfers import Later

RATE = Fraction(25)


def ways_to_draw(
    portrait: Path, driving: Path, device: torch.device, *, frames: int, sides: Sequence[int], quick: bool
) -> Iterator[tuple[str, dict[str, float]]]:
    """Frames/s of photos of these sides: all as it is, then each part left out by itself."""
    for side in sides:
        animator = Animator.load("lite", device=str(device), batch_size=2 if quick else None)
        photo = resized(read_image(portrait), side, side)
        source, motion = animator.portrait(photo), animator.motion(driving, max_frames=frames)
        animator.renderer.on_gpu = True  # a CPU goes the same way here
        for name, render in _ways(animator, source, motion).items():
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            for _ in range(1 if quick else 2):  # the first run warms up
                began = time.perf_counter()
                count = sum(1 for _ in render())
                taken = time.perf_counter() - began
            row = {"frames/s": count / taken}
            if device.type == "cuda":
                row["peak GiB"] = torch.cuda.max_memory_allocated(device) / 2**30
            yield f"{side} pixels, {name}", row


def _ways(
    animator: Animator, portrait: Portrait, motion: Motion
) -> dict[str, Callable[[], Iterator[Picture]]]:
    renderer, replays = animator.renderer, animator.renderer.replays

    def whole() -> Iterator[Picture]:
        renderer.replays = replays
        return animator.render(portrait, motion)

    def launched() -> Iterator[Picture]:
        renderer.replays = Replays(None)
        return animator.render(portrait, motion)

    def waited_for() -> Iterator[Picture]:
        renderer.replays = replays
        make = frames_of(portrait, renderer, "photo", "still", None)
        for pose in _batches(animator, portrait, motion):
            yield from make([pose])

    def drawn_by_opencv() -> Iterator[Picture]:
        renderer.replays = replays
        make = _by_opencv(animator, portrait)
        frames = renderer.frames_in_order(
            make.begin, ([pose] for pose in _batches(animator, portrait, motion))
        )
        with closing(frames):
            yield from frames

    return {
        "as it is": whole,
        "without graphs": launched,
        "each batch waited for": waited_for,
        "drawn by OpenCV": drawn_by_opencv,
    }


def _batches(animator: Animator, portrait: Portrait, motion: Motion) -> Iterator[SourcePose]:
    (face,), count = portrait.faces, animator.renderer.batch_size
    retargeting = Retargeting(motion, Transfer(), face, animator.landmarks, 0.0)
    for start in range(0, len(motion), count):
        yield retargeting.pose(np.arange(start, min(start + count, len(motion))))


def _by_opencv(animator: Animator, portrait: Portrait) -> MakeFrames:
    """The network on the device, and all else as on a CPU."""
    renderer, model, (face,) = animator.renderer, animator.renderer.model, portrait.faces
    compositor = PhotoCompositor(
        photo_layers(portrait.photo, portrait.people, renderer.size),
        model.parts,
        torch.device("cpu"),
        by_opencv=True,
        painter=copy.deepcopy(model.painter).cpu(),
        eye_painter=copy.deepcopy(model.eye_painter).cpu(),
        placing=model.placing,
    )

    def fetched(drawing: Drawing) -> Drawing:
        def paint(frames: slice, window: Window) -> Tensor:
            return drawing.paint(frames, window).cpu()

        return replace(drawing, paint=paint)

    def begin(poses: Sequence[SourcePose]) -> Later[list[Later[Picture]]]:
        (pose,) = poses
        begun = renderer.draw_soon(face.source, pose.keypoints, pose.gaze)

        return lambda: compositor.frames_soon([fetched(begun())])

    return MakeFrames(begin)


def video_hardware(
    portrait: Path, driving: Path, *, frames: int, sides: Sequence[int]
) -> Iterator[tuple[str, dict[str, float]]]:
    """Rates of encoding and decoding without hardware and with it; of films also their size and likeness."""
    device = working_device("auto")
    for name in DEVICES:
        trouble = device_trouble(name)
        yield (
            f"{name}: {'encodes by ' + ', '.join(working_encoders(name)) if trouble is None else trouble}",
            {},
        )
    kinds = ("none", "auto") if device else ("none",)
    with tempfile.TemporaryDirectory() as folder:
        for side in sides:
            pictures = _moving(resized(read_image(portrait), side, side), frames)
            for codec in ("h264", "h265", "av1"):
                for hwaccel in kinds:
                    film = Path(folder, f"{codec}-{hwaccel}-{side}.mp4")
                    began = time.perf_counter()
                    with open_output(
                        film, size=(side, side), frame_rate=RATE, codec=codec, hwaccel=hwaccel
                    ) as sink:
                        for picture in pictures:
                            sink.write(picture)
                    encoded = frames / (time.perf_counter() - began)
                    began = time.perf_counter()
                    with open_frames(film, hwaccel=hwaccel) as decoded:
                        found = [*decoded]
                    row = {
                        "frames/s encoded": encoded,
                        "frames/s decoded": frames / (time.perf_counter() - began),
                    }
                    row |= {"kB a frame": film.stat().st_size / frames / 1000}
                    row |= {"SSIM": float(np.mean([*map(ssim, found[::10], pictures[::10])]))}
                    yield f"{codec} of {side} pixels, --hwaccel {hwaccel}", row
    for hwaccel in kinds:
        began = time.perf_counter()
        with open_frames(driving, hwaccel=hwaccel, max_frames=frames) as source:
            count = sum(1 for _ in source)
        yield f"the driving, --hwaccel {hwaccel}", {"frames/s decoded": count / (time.perf_counter() - began)}


def _moving(photo: Picture, count: int) -> list[Picture]:
    """A photo whose middle moves to and fro, as a face does."""
    frames, quarter = [], len(photo) // 4
    for number in range(count):
        frame, shift = photo.copy(), round(6 * np.sin(number / 4))
        middle = slice(quarter, 3 * quarter)
        frame[middle, middle] = np.roll(photo, shift, axis=1)[middle, middle]
        frames.append(frame)
    return frames

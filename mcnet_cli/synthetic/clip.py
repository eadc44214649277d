"""Clips of synthetic heads that talk, look around and blink."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.errors import UsageError
from mcnet_cli.face.expression import Expression
from mcnet_cli.face.topology import MESH_POINTS
from mcnet_cli.synthetic.identity import Identity
from mcnet_cli.synthetic.mesh import FRAMING, Points, Pose
from mcnet_cli.synthetic.render import Head, head_of

FRAME_RATE = 25  # that the motions are timed for
SMALLEST_PX = 16


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticClip:
    """A clip and what is known about it.

    frames: (T, S, S, 3) uint8, RGB. landmarks: (T, 468, 2) float32 pixels, in the face mesh's order.
    """

    frames: NDArray[np.uint8]
    landmarks: NDArray[np.float32]


def render_clip(seed: int, frames: int = 100, size: int = 256) -> SyntheticClip:
    """A person of their own for every seed (at least 0), who talks for `frames` frames, 25 of them a second.

    The same arguments give the same clip. UsageError for a clip without frames or smaller than 16 pixels.
    """
    if seed < 0 or frames < 1 or size < SMALLEST_PX:
        raise UsageError(
            f"there is no synthetic clip with seed {seed}, {frames} frames and {size} pixels",
            hint=f"give a seed of at least 0, at least 1 frame and at least {SMALLEST_PX} pixels",
        )
    head = head_of(Identity.draw(seed))
    poses, expressions = performance(seed, frames)
    poses = framed(head, poses, expressions)
    pictures = np.empty((frames, size, size, 3), np.uint8)
    landmarks = np.empty((frames, MESH_POINTS, 2), np.float32)
    for number, (pose, expression) in enumerate(zip(poses, expressions, strict=True)):
        pictures[number], landmarks[number] = head.draw(pose, expression, size)
    return SyntheticClip(pictures, landmarks)


def performance(seed: int, frames: int) -> tuple[list[Pose], list[Expression]]:
    """What the person of a seed does, frame by frame."""
    rng = np.random.default_rng([seed, 4])
    time_s = np.arange(frames) / FRAME_RATE
    mouth, rounding = _speech(rng, frames)
    lively = rng.uniform(0.4, 1.3)
    yaw = np.clip(rng.normal(0, 7) + _wander(rng, time_s, 11 * lively), -38, 38)
    pitch = np.clip(rng.normal(0, 3) + _wander(rng, time_s, 4 * lively), -18, 18)
    roll = np.clip(rng.normal(0, 2) + _wander(rng, time_s, 3.5 * lively), -15, 15)
    x, y, zoom = (_wander(rng, time_s, 0.008 * lively) for _ in range(3))
    smile = np.clip(rng.normal(0.15, 0.3) + _wander(rng, time_s, 0.2), -0.5, 1)
    brows = np.clip(_wander(rng, time_s, 0.35) + 0.3 * mouth, -1, 1)
    # The eyes rest on the viewer more than the head does.
    gaze_x = np.clip(-0.7 * yaw + _glances(rng, frames, 6), -28, 28)
    gaze_y = np.clip(-0.5 * pitch + _glances(rng, frames, 3), -12, 14)
    lids = _blinks(rng, frames)
    poses = [Pose(*values) for values in np.stack([yaw, pitch + 2 * mouth, roll, x, y, 1 + zoom], 1).tolist()]
    actions = np.stack([mouth, smile, rounding, lids, gaze_x, gaze_y, brows], 1)
    return poses, [Expression(*values) for values in actions.tolist()]


def framed(head: Head, poses: list[Pose], expressions: list[Expression]) -> list[Pose]:
    """The poses, all moved and resized alike so that the median mesh lies as in training clips."""
    for _ in range(2):  # the first pass changes the size, about which the second one corrects the place
        meshes = np.array([head.landmarks(*posed, 1) for posed in zip(poses, expressions, strict=True)])
        low, high = meshes.min(1), meshes.max(1)
        growth = FRAMING.face_height / float(np.median(high[:, 1] - low[:, 1]))
        x, y = np.array([FRAMING.center_x, FRAMING.center_y]) - np.median((low + high) / 2, axis=0)
        poses = [
            replace(pose, x=pose.x + float(x), y=pose.y + float(y), zoom=pose.zoom * growth) for pose in poses
        ]
    return poses


def _wander(rng: np.random.Generator, time_s: Points, spread: float) -> Points:
    """A smooth random movement about 0 with that standard deviation."""
    total = np.zeros(len(time_s))
    for _ in range(5):
        frequency_hz = rng.uniform(0.08, 0.9)
        strength = rng.normal() * 0.4 / (0.4 + frequency_hz)
        total += strength * np.sin(2 * np.pi * (frequency_hz * time_s + rng.uniform()))
    return total * spread


def _speech(rng: np.random.Generator, frames: int) -> tuple[Points, Points]:
    """The mouth's opening and rounding: syllables of 4 to 8 frames, now and then a pause."""
    mouth, rounding = np.zeros(frames), np.zeros(frames)
    loudness = rng.uniform(0.5, 1.1)
    start = int(rng.integers(0, 12))
    while start < frames:
        length = int(rng.integers(4, 9))
        wave = np.sin(np.pi * (np.arange(length + 2) + 0.5) / (length + 2)) ** 2
        span = slice(start, min(start + length + 2, frames))
        wave = wave[: span.stop - span.start]
        mouth[span] = np.maximum(mouth[span], wave * min(1.0, loudness * rng.uniform(0.2, 1)))
        rounding[span] += wave * rng.uniform(-0.35, 0.8)
        start += length + (int(rng.integers(8, 30)) if rng.random() < 0.14 else 0)
    return mouth, np.clip(rounding, -0.4, 1)


def _glances(rng: np.random.Generator, frames: int, spread: float) -> Points:
    """The gaze's direction in degrees: it rests, then jumps."""
    gaze = np.zeros(frames)
    start = 0
    while start < frames:
        length = int(rng.integers(12, 60))
        gaze[start : start + length] = rng.normal(0, spread)
        start += length
    return gaze


def _blinks(rng: np.random.Generator, frames: int) -> Points:
    """How far the lids are closed: every 1 to 4 seconds for about a quarter of one."""
    lids = np.full(frames, max(0.0, float(rng.normal(0, 0.08))))
    start = int(rng.integers(5, 50))
    while start < frames:
        length = int(rng.integers(6, 9))
        wave = np.clip(1.25 * np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 1.2, 0, 1)
        span = slice(start, min(start + length, frames))
        lids[span] = np.maximum(lids[span], wave[: span.stop - span.start])
        start += int(rng.integers(25, 100))
    return lids

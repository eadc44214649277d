"""The stages of `mcnet animate`, each measured alone, in the order in which a frame passes them."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import torch

from mcnet_cli.animation import Animator, Portrait, Transfer
from mcnet_cli.animation.retarget import Retargeting
from mcnet_cli.arrays import Picture
from mcnet_cli.benchmark.measuring import Timing, Work, operations, seconds_of
from mcnet_cli.compositing import photo_layers
from mcnet_cli.face import STEADY_LOOKS, OuterTracker
from mcnet_cli.face.networks import INPUT_PX, AttentionMesh
from mcnet_cli.media import open_frames, open_output
from mcnet_cli.model.geometry import warp

RATE = Fraction(25)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage, measured.

    unit: what the timing and the operations are of. gflop: None where they are not counted. share: of the
    peak of what computes it; over 1 where Winograd's algorithm multiplies less often than was counted; None
    without operations.
    """

    name: str
    unit: str
    timing: Timing
    gflop: float | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What is measured on.

    photo: (H, W, 3). frames: some of the driving, each with a face. clip: the driving as a film of `count`
    frames. folder: for results.
    """

    photo: Picture
    frames: list[Picture]
    clip: Path
    count: int
    folder: Path


def stages(
    animator: Animator, inputs: Inputs, *, rounds: int, peak: float, opencv_peak: float
) -> Iterator[Stage]:
    """Measures one stage after the other.

    peak, opencv_peak: of the device in the network's precision, and of the CPU in float32, in GFLOP/s.
    """
    device = animator.compute.device

    def stage(
        name: str, work: Work, unit: str, units: int = 1, gflop: float | None = None, best: float = peak
    ) -> Stage:
        timing = Timing.of(*seconds_of([work], device, rounds=rounds), units)
        share = None if gflop is None else gflop / timing.wall * 1000 / best
        return Stage(name, unit, timing, gflop, share)

    def counted(name: str, work: Work, units: int) -> Stage:
        """A stage of the network, for some frames."""
        with torch.inference_mode(), animator.compute.autocast():
            return stage(name, work, "frame", units, operations(work) / units)

    yield stage("imports", _imports, "run")
    yield stage("decode", lambda: _decode(inputs.clip), "frame", inputs.count)
    yield from _tracking(animator, inputs, partial(stage, best=opencv_peak))
    portrait = animator.portrait(inputs.photo)
    yield stage("source", lambda: animator.portrait(inputs.photo), "source")
    yield stage("photo's layers", lambda: _layers(portrait, animator), "source")
    yield from _network(animator, portrait, inputs, counted)
    yield stage("compositing", _compositing(animator, portrait, inputs), "frame")
    film = inputs.folder / "encoded.mp4"
    yield stage("encode", lambda: _encode(film, inputs), "frame", len(inputs.frames))


MakeStage = Callable[..., Stage]


def _imports() -> None:
    subprocess.run([sys.executable, "-c", "from mcnet_cli.animation import Animator"], check=True)


def _decode(clip: Path) -> None:
    with open_frames(clip) as frames:
        for _ in frames:
            pass


def _encode(film: Path, inputs: Inputs) -> None:
    """As many frames of the photo's size as the driving has; the photo moves, as a result would."""
    height, width = (side - side % 2 for side in inputs.photo.shape[:2])
    with open_output(film, size=(width, height), frame_rate=RATE, overwrite=True) as sink:
        for number in range(len(inputs.frames)):
            moved = np.roll(inputs.photo, number % 7, axis=1)
            sink.write(np.ascontiguousarray(moved[:height, :width]))


def _tracking(animator: Animator, inputs: Inputs, stage: MakeStage) -> Iterator[Stage]:
    """How the driving's face is found and followed; nothing without a detector."""
    finder = animator.finder
    if finder is None:
        return
    first, second = inputs.frames[:2]
    yield stage("detection", lambda: finder.detector(first), "call")
    network = AttentionMesh()
    face = np.zeros((INPUT_PX, INPUT_PX, 3), np.uint8) + np.uint8(127)
    trunk, heads = network.operations()
    looks = range(STEADY_LOOKS)
    seen = network(face)
    yield stage("mesh", lambda: [network(face) for _ in looks], "frame", 1, STEADY_LOOKS * trunk)
    refine: Work = lambda: [network.refined(seen) for _ in looks]  # noqa: E731
    yield stage("eyes and lips", refine, "frame", 1, STEADY_LOOKS * heads)
    (found,) = animator.faces(first)
    if animator.landmarks and found.landmarks is not None:
        points, outer = found.landmarks, OuterTracker()
        outer(first, points)
        yield stage("hair flow", lambda: outer(second, points), "frame")
    else:
        pictures = [animator.portrait(first, crop="none").faces[0].picture]
        yield stage("keypoints", lambda: animator.renderer.detect_keypoints(pictures), "frame")


def _layers(portrait: Portrait, animator: Animator) -> None:
    fresh = replace(portrait)  # its people are looked for once a portrait
    photo_layers(fresh.photo, fresh.people, animator.size, moving=False)


def _network(animator: Animator, portrait: Portrait, inputs: Inputs, counted: MakeStage) -> Iterator[Stage]:
    """The network's parts, for one batch."""
    renderer, source = animator.renderer, portrait.faces[0].source
    generator, count = renderer.model.generator, renderer.batch_size
    motion = animator.motion([*itertools.islice(itertools.cycle(inputs.frames), count)])
    driving = motion.keypoints(slice(None), animator.compute.device)
    with torch.inference_mode(), animator.compute.autocast():
        moved = renderer.compositor.moved(source.state, driving).motion
        state = source.state.expand(count)
        canvas = generator.painted(state, driving, moved).canvas
        sizes = [s for s in reversed(renderer.config.feature_sizes) if s in renderer.config.memory.sizes]
        features = [
            (
                warp(state.features[renderer.config.feature_sizes.index(size)], moved.deformation, "border"),
                size,
            )
            for size in sizes
        ]

    def memory() -> None:
        for feature, size in features:
            generator.mbUnit(feature, size, state.keypoints.values)

    yield counted("dense motion", lambda: renderer.compositor.moved(source.state, driving), count)
    yield counted("memory", memory, count)
    yield counted("decoder", lambda: generator.decode(canvas), count)


def _compositing(animator: Animator, portrait: Portrait, inputs: Inputs) -> Work:
    """Composes one frame of the photo, without the network and without what it paints."""
    renderer = animator.renderer
    motion = animator.motion(inputs.frames[:2])
    retargeting = Retargeting(motion, Transfer(), portrait.faces[0], animator.landmarks, 0.0)
    pose = retargeting.pose(np.array([1]))
    drawing = renderer.draw(portrait.faces[0].source, pose.keypoints, pose.gaze)
    nothing = torch.zeros(1, 3, animator.size, animator.size, device=animator.compute.device)
    drawing = replace(drawing, paint=lambda _frames, window: nothing[:, :, *window])
    layers = photo_layers(portrait.photo, portrait.people, animator.size, moving=False)
    compositor = renderer.photo_compositor(layers)
    return lambda: compositor.frame([drawing])

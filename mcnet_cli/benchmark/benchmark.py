"""`benchmark`: measures the network, the whole command and, if asked, each stage, on a drawn person."""

import dataclasses
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mcnet_cli.animation import Animator
from mcnet_cli.arrays import Picture
from mcnet_cli.benchmark.measuring import Peak, Timing, operations, peak, seconds_of
from mcnet_cli.benchmark.stages import RATE, Inputs, Stage, stages
from mcnet_cli.checkpoint import Weights, build_model
from mcnet_cli.compositing import Compositor
from mcnet_cli.devices import choose
from mcnet_cli.errors import SystemFailure
from mcnet_cli.media import open_frames, open_output, read_image
from mcnet_cli.model import optimised
from mcnet_cli.options import require_between
from mcnet_cli.progress import OnProgress, Progress, silent
from mcnet_cli.synthetic import Expression, Identity, Pose, render, render_clip
from mcnet_cli.system import processor_name
from mcnet_cli.weights import NEVER, Fetch

DRAWN_FRAMES = 25  # of the driving; they go forwards and backwards until there are enough
MEASURED_FRAMES = 50  # that stages are measured on, and all that is held of a driving
DRIVING_PX, PHOTO_PX = 320, 512
DRIVER_SEED, PORTRAIT_SEED = 1, 23


@dataclass(frozen=True, slots=True)
class BenchmarkRequest:
    """What is measured.

    weights, device, precision, fetch: as for `Animator.load`. source, driving: files; None draws them.
    frames: of the whole command. rounds: of each measurement. stages: whether each stage is measured too.
    """

    weights: str | None = None
    device: str = "auto"
    precision: str = "auto"
    source: Path | None = None
    driving: Path | None = None
    frames: int = 250
    rounds: int = 7
    stages: bool = False
    fetch: Fetch = NEVER

    def __post_init__(self) -> None:
        require_between("--frames", self.frames, 2, None)
        require_between("--rounds", self.rounds, 1, None)


@dataclass(frozen=True, slots=True)
class NetworkPair:
    """The network as it is trained beside its optimised form, in turn, in one run; both in float32.

    plain, optimised: how long a frame takes. speedup, low, high: plain time over optimised time, the median
    and the quartiles of the rounds' ratios. gflop: what the plain network computes for a frame.
    """

    plain: Timing
    optimised: Timing
    speedup: float
    low: float
    high: float
    gflop: float


@dataclass(frozen=True, slots=True)
class WholeCommand:
    """`mcnet animate` in a process of its own.

    seconds: wall time, start-up included. cpu_seconds: of all threads and of ffmpeg. rate: frames a second.
    """

    frames: int
    seconds: float
    cpu_seconds: float
    rate: float
    peak_memory_mb: float | None
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class BenchmarkReport:
    """Everything that was measured, and where.

    threads: how many torch uses. peak: what the device can do in the network's precision. opencv_peak: what
    the CPU can do in float32, in which OpenCV computes the networks that find faces. stages: empty unless
    they were asked for.
    """

    processor: str
    device: str
    precision: str
    threads: int
    weights: str
    peak: Peak
    opencv_peak: Peak
    network: NetworkPair
    command: WholeCommand
    stages: tuple[Stage, ...]

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return dataclasses.asdict(self)

    def as_text(self) -> str:
        """Tables for people."""
        command, pair = self.command, self.network
        memory = "" if command.peak_memory_mb is None else f", {command.peak_memory_mb:.0f} MB at most"
        lines = [
            f"{self.processor}, {self.threads} threads; {self.weights} on {self.device} in {self.precision}",
            f"peak: {self.peak.matrix_product:.0f} GFLOP/s in a matrix product, "
            f"{self.peak.convolution:.0f} in a convolution; of what OpenCV computes in fp32 on the CPU: "
            f"{self.opencv_peak.largest:.0f}",
            f"whole command: {command.frames} frames of {command.size[0]}x{command.size[1]} in "
            f"{command.seconds:.1f} s, {command.rate:.1f} frames/s, {command.cpu_seconds:.1f} s of "
            f"processor time{memory}",
            f"network, a frame in fp32: {pair.plain.wall:.1f} ms plain ({pair.gflop:.1f} GFLOP), "
            f"{pair.optimised.wall:.1f} ms optimised, {pair.speedup:.2f} times as fast "
            f"({pair.low:.2f} to {pair.high:.2f})",
        ]
        if self.stages:
            lines += [
                "",
                f"{'stage':16}{'wall ms':>9}{'quartiles':>17}{'cpu ms':>9}{'GFLOP':>8}{'of peak':>9}",
            ]
            lines += map(_line, self.stages)
        return "\n".join(lines)


def _line(stage: Stage) -> str:
    timing = stage.timing
    quartiles = f"{timing.low:.1f} to {timing.high:.1f}"
    gflop = "" if stage.gflop is None else f"{stage.gflop:.2f}"
    share = "" if stage.share is None else f"{stage.share:.0%}"
    return (
        f"{stage.name:16}{timing.wall:9.1f}{quartiles:>17}{timing.cpu:9.1f}{gflop:>8}{share:>9}"
        f"  a {stage.unit}"
    )


def benchmark(request: BenchmarkRequest, on_progress: OnProgress = silent) -> BenchmarkReport:
    """Measures this machine; nothing else should run meanwhile.

    on_progress: called after each measurement.

    Raises what `animate` raises, of the same weights, device, source and driving.

    Example:
        >>> from mcnet_cli.benchmark import BenchmarkRequest, benchmark
        >>> report = benchmark(BenchmarkRequest(device="cpu", frames=5, rounds=1))
        >>> report.command.frames, report.network.speedup > 0
        (5, True)
    """
    animator = Animator.load(
        request.weights, device=request.device, precision=request.precision, fetch=request.fetch
    )
    done = itertools.count(1)

    def tell() -> None:
        on_progress(Progress("measuring", next(done), None, "measurements"))

    with tempfile.TemporaryDirectory(prefix="mcnet-benchmark-") as name:
        inputs, photo = _inputs(request, Path(name))
        tell()
        best = peak(animator.compute)
        opencv_best = peak(choose("cpu", "fp32"))
        tell()
        pair = _network(animator.weights, animator.compute.device, request.rounds)
        tell()
        measured = []
        if request.stages:
            peaks = {"peak": best.largest, "opencv_peak": opencv_best.largest}
            for stage in stages(animator, inputs, rounds=request.rounds, **peaks):
                measured.append(stage)
                tell()
        command = _whole_command(request, animator, photo, inputs)
        tell()
    return BenchmarkReport(
        processor=processor_name(),
        device=str(animator.compute.device),
        precision=animator.compute.precision,
        threads=torch.get_num_threads(),
        weights=animator.weights.path.stem,
        peak=best,
        opencv_peak=opencv_best,
        network=pair,
        command=command,
        stages=tuple(measured),
    )


def _inputs(request: BenchmarkRequest, folder: Path) -> tuple[Inputs, Path]:
    """Photo and driving, drawn where no file is given, and the photo's file."""
    photo = request.source or folder / "photo.png"
    if request.source is None:
        from PIL import Image

        drawn, _ = render(Identity.draw(PORTRAIT_SEED), Pose(), Expression(), PHOTO_PX)
        Image.fromarray(drawn).save(photo)
    if request.driving is None:
        frames = list(render_clip(DRIVER_SEED, DRAWN_FRAMES, DRIVING_PX).frames)
    else:
        with open_frames(request.driving, max_frames=MEASURED_FRAMES) as opened:
            frames = [frame.copy() for frame in opened]
    clip = folder / "driving.mp4"
    height, width = frames[0].shape[:2]
    with open_output(clip, size=(width, height), frame_rate=RATE) as sink:
        for frame in itertools.islice(_back_and_forth(frames), request.frames):
            sink.write(frame)
    measured = list(itertools.islice(_back_and_forth(frames), min(request.frames, MEASURED_FRAMES)))
    return Inputs(read_image(photo), measured, clip, request.frames, folder), photo


def _back_and_forth(frames: list[Picture]) -> Iterator[Picture]:
    while True:
        yield from frames
        yield from frames[-2:0:-1]


def _network(weights: Weights, device: torch.device, rounds: int) -> NetworkPair:
    """A frame of the network alone, with and without its optimisations."""
    on_cpu = device.type == "cpu"
    plain = build_model(weights, device)
    fast = optimised(build_model(weights), by_winograd=on_cpu).to(device)
    picture = torch.rand(1, 3, plain.config.size, plain.config.size, device=device)
    works = []
    with torch.inference_mode():
        for model in (plain, fast):
            compositor, state = Compositor(model), model.encode_source(picture)
            works.append(partial(compositor.frames, state, compositor.layers(state), state.keypoints))
        gflop = operations(works[0])
    walls, cpus = seconds_of(works, device, rounds=rounds)
    low, speedup, high = np.quantile(walls[0] / walls[1], (0.25, 0.5, 0.75)).tolist()
    times = [Timing.of(wall, cpu) for wall, cpu in zip(walls, cpus, strict=True)]
    return NetworkPair(times[0], times[1], speedup, low, high, gflop)


def _whole_command(
    request: BenchmarkRequest, animator: Animator, photo: Path, inputs: Inputs
) -> WholeCommand:
    """Runs `mcnet animate` on the whole clip."""
    film = inputs.folder / "film.mp4"
    words = [sys.executable, "-m", "mcnet_cli", "animate", str(photo), str(inputs.clip), "-o", str(film)]
    words += ["-w", str(animator.weights.path), "--device", str(animator.compute.device)]
    words += ["--precision", animator.compute.precision, "--json", "-q"]
    wall, before = time.perf_counter(), os.times()
    done = subprocess.run(words, capture_output=True, check=False)
    seconds, after = time.perf_counter() - wall, os.times()
    if done.returncode:
        raise SystemFailure("mcnet animate failed", hint=done.stderr.decode("utf-8", "replace")[-500:])
    (result,) = json.loads(done.stdout)["results"]
    with open_frames(film) as frames:
        size = frames.width, frames.height
    return WholeCommand(
        frames=result["frames"],
        seconds=seconds,
        cpu_seconds=sum(after[2:4]) - sum(before[2:4]),
        rate=result["frames"] / seconds,
        peak_memory_mb=result["peak_memory_mb"],
        size=size,
    )

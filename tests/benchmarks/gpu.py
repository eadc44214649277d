"""All that is worth knowing about speed on a GPU, in one run of under ten minutes, with nothing else on it.

    python tests/benchmarks/gpu.py
    python tests/benchmarks/gpu.py --device cpu --quick

- roof: what the device reaches in a matrix product, a convolution and copies, as a measure for the rest.
- parity: how far frames in float32 are from the CPU's.
- network: frames/s of drawings, by preset, batch and precision: of the plain network, the optimised one,
  the same recorded in a CUDA graph, and compiled; and the share of the roof.
- frames: whole photos, with all that keeps a GPU busy, and with each part of it left out: graphs, work ahead
  of what is fetched, drawing on the GPU.
- video hardware: what there is, and how fast, small and exact films are with it and without.
- kernels: where the time of the optimised network goes.
- end to end: `mcnet animate` as a user runs it.
- training: samples/s of steps on noise, and of runs on one GPU, and on two if there are two.

The paper's network has random weights: speed doesn't depend on them. Each section prints as soon as it is
done; one that fails says why, and the others go on. `--quick` shows on any machine that the script works.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from gpu_frames import video_hardware, ways_to_draw
from numpy.typing import NDArray
from torch import Tensor

from mcnet_cli import Animator
from mcnet_cli.animation.renderer import EncodedSource, Renderer
from mcnet_cli.benchmark.measuring import Peak, Work, operations, peak
from mcnet_cli.checkpoint import Weights, build_model, read_weights, write_weights
from mcnet_cli.compositing import Compositor
from mcnet_cli.devices import DTYPES, Compute, choose_device, computing
from mcnet_cli.model import PRESETS, Keypoints, MCNet
from mcnet_cli.model.replays import cuda_graph
from mcnet_cli.transfers import download, upload
from mcnet_cli.weights import resolve_weights

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured, and how thoroughly. quick: as little as shows that everything works."""

    device: torch.device
    quick: bool
    weights: dict[str, Path]
    peaks: dict[str, Peak] = field(default_factory=dict)

    def compute(self, precision: str) -> Compute:
        """The device in a precision."""
        return Compute(self.device, DTYPES[precision], "measured")

    def peak(self, precision: str) -> Peak:
        """The roof, which is measured once."""
        if precision not in self.peaks:
            self.peaks[precision] = peak(self.compute(precision))
        return self.peaks[precision]

    @property
    def precisions(self) -> list[str]:
        """Those that the device has units for; all work on a CPU, slowly."""
        return ["fp32"] if self.quick else ["fp32", "bf16", "fp16"]

    def milliseconds(self, work: Work, *, times: int = 10) -> float:
        """The mean of several runs after two that warm up; a GPU is waited for only at the ends."""
        for _ in range(1 if self.quick else 2):
            work()
        times = 1 if self.quick else times
        self.wait()
        began = time.perf_counter()
        for _ in range(times):
            work()
        self.wait()
        return (time.perf_counter() - began) / times * 1e3

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def roof(setting: Setting) -> dict[str, float]:
    """TFLOP/s of a matrix product and of a convolution as the decoder has it, and TB/s of copies."""
    found: dict[str, float] = {}
    for name in setting.precisions:
        reached = setting.peak(name)
        found[f"matrix product {name} TFLOP/s"] = reached.matrix_product / 1e3
        found[f"convolution {name} TFLOP/s"] = reached.convolution / 1e3
    there = torch.empty((1 << 24) if setting.quick else (1 << 31), dtype=torch.uint8, device=setting.device)
    back = torch.empty_like(there)
    found["copy TB/s"] = 2 * there.numel() / setting.milliseconds(lambda: back.copy_(there)) / 1e9
    if setting.device.type == "cpu":
        return found
    frames = there[: 1 << 24]
    found["download GB/s"] = frames.numel() / setting.milliseconds(lambda: download(frames)()) / 1e6
    held = torch.zeros(1 << 24, dtype=torch.uint8)
    found["upload GB/s"] = held.numel() / setting.milliseconds(lambda: upload(held, setting.device)) / 1e6
    return found


def parity(setting: Setting) -> dict[str, float]:
    """Differences from what a CPU makes, in levels of 255, in float32: of squares, and of whole photos."""
    found: dict[str, float] = {}
    places = torch.device("cpu"), setting.device
    for name, path in setting.weights.items():
        squares = []
        for device in places:
            renderer = Renderer(read_weights(path), Compute(device, torch.float32, "parity"))
            source, motion = encoded(renderer, 2)
            squares.append(renderer.render(source, motion))
        found |= differences(name, *squares)
    photos = []
    for device in places:
        animator = Animator.load("lite", device=str(device), precision="fp32")
        portrait, motion = animator.portrait(PORTRAIT), animator.motion("talk", max_frames=4)
        photos.append(np.stack([*animator.render(portrait, motion)]))
    return found | differences("photo", *photos)


def differences(name: str, expected: NDArray[np.uint8], made: NDArray[np.uint8]) -> dict[str, float]:
    """The largest and the mean."""
    apart = np.abs(made.astype(int) - expected)
    return {f"{name} largest": float(apart.max()), f"{name} mean": float(apart.mean())}


def encoded(renderer: Renderer, count: int) -> tuple[EncodedSource, Keypoints]:
    """The same random source each time, and motion around it."""
    chance = torch.Generator().manual_seed(0)
    picture = torch.randint(256, (renderer.size, renderer.size, 3), generator=chance, dtype=torch.uint8)
    source = renderer.encode_source(picture.numpy())

    def moved(t: Tensor) -> Tensor:
        return t + 0.02 * torch.randn(count, *t.shape[1:], generator=chance).to(t)

    return source, source.keypoints.map(moved)


def network(setting: Setting) -> Iterator[tuple[str, dict[str, float]]]:
    """Rates of drawings, row by row."""
    cuda = setting.device.type == "cuda"
    for name, path in setting.weights.items():
        weights = read_weights(path)
        for precision in setting.precisions:
            compute, reached = setting.compute(precision), setting.peak(precision)
            for batch in [1] if setting.quick else [1, 8, 32, 64]:
                whole = precision == "bf16" and batch == 32 and cuda
                for form, work, gflop in forms(weights, compute, batch, compiles=whole):
                    if cuda:
                        torch.cuda.reset_peak_memory_stats()
                    taken = setting.milliseconds(work) / batch
                    row = {"frames/s": 1e3 / taken, "GFLOP": gflop}
                    row["share of the convolution's rate"] = 1e3 * gflop / taken / reached.convolution
                    if cuda:
                        row["peak GiB"] = torch.cuda.max_memory_allocated() / 2**30
                    yield f"{name} {precision} batch {batch} {form}", row


def forms(
    weights: Weights, compute: Compute, batch: int, *, compiles: bool
) -> Iterator[tuple[str, Work, float]]:
    """Each form of the network: its name, what computes a batch, and its GFLOP a frame."""
    plain = build_model(weights, compute.device)
    renderer = Renderer(weights, compute, batch_size=batch)
    source, motion = encoded(renderer, batch)
    there = motion.map(lambda values: upload(values, compute.device))
    for name, model in (("plain", plain), ("optimised", renderer.model)):
        compositor = Compositor(model)

        def work(motion: Keypoints = there, compositor: Compositor = compositor) -> tuple[Tensor, ...]:
            with computing(compute.device), compute.autocast():
                return compositor.drawings(source.state, source.layers, motion)

        gflop = operations(work) / batch
        yield name, work, gflop
    if compute.device.type == "cuda":
        try:
            with computing(compute.device):
                graph = cuda_graph(work, there)
        except RuntimeError as error:
            yield f"optimised, not recorded: {error}", work, gflop
        else:
            yield "optimised, in a graph", lambda: graph(there), gflop
    yield "optimised, with checks and downloads", lambda: renderer.draw(source, motion).painted(), gflop
    if compiles:
        compiled = Renderer(weights, compute, batch_size=batch, compiled=True)
        yield "optimised, compiled", lambda: compiled.draw(source, motion), gflop


def kernels(setting: Setting) -> str:
    """A profile of the paper's network in the precision that `auto` takes."""
    from torch.profiler import ProfilerActivity, profile

    precision = "bf16" if setting.device.type == "cuda" else "fp32"
    compute = setting.compute(precision)
    weights = read_weights(setting.weights["lite" if setting.quick else "mcnet"])
    renderer = Renderer(weights, compute, batch_size=1 if setting.quick else 32)
    source, motion = encoded(renderer, renderer.batch_size)
    renderer.draw(source, motion)
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (setting.device.type == "cuda")
    with profile(activities=kinds, record_shapes=True) as seen:
        renderer.draw(source, motion)
        setting.wait()
    averages = seen.key_averages(group_by_input_shape=True)
    order = f"self_{setting.device.type}_time_total"
    table: str = averages.table(
        sort_by=order, row_limit=40, max_name_column_width=60, max_shapes_column_width=90
    )
    return table


def end_to_end(setting: Setting) -> dict[str, float]:
    """frames/s of the command, start included, without video hardware and with what there is."""
    frames, found = 4 if setting.quick else 100, {}  # the whole example
    with tempfile.TemporaryDirectory() as folder:
        for hwaccel in ("none", "auto"):
            film = f"{folder}/{hwaccel}.mp4"
            words = ["animate", str(PORTRAIT), str(DRIVING), "-o", film, "-q", "--json"]
            more = ["--device", str(setting.device), "--max-frames", str(frames), "--hwaccel", hwaccel]
            began = time.monotonic()
            (report,) = json.loads(output_of("-m", "mcnet_cli", *words, *more))["results"]
            found[f"frames/s, --hwaccel {hwaccel}"] = report["frames"] / (time.monotonic() - began)
    return found


def training(setting: Setting) -> dict[str, float]:
    """Samples/s of training: of steps on noise, and of runs on drawn heads in one process and two."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        common = [
            "train",
            "--json",
            "-q",
            "--device",
            str(setting.device),
            "--set",
            "output.sheet_every=100000",
        ]
        for name in ["lite"] if setting.quick else ["lite", "mcnet"]:
            batch = 1 if setting.quick else 8
            words = ["--config", name, "--synthetic", "1", "--set", f"batch_size={batch}"]
            words += ["--set", "schedule.small_share=0", "--dry-run", "-o", f"{folder}/plan"]
            plan = json.loads(output_of("-m", "mcnet_cli", *common, *words))
            found[f"{name} batch {batch}, steps on noise"] = batch / plan["seconds_a_step"]
        for count in range(1, 1 + min(2, torch.cuda.device_count() if setting.device.type == "cuda" else 0)):
            launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count))
            words = ["--synthetic", "4", "--steps", "60", "--set", "batch_size=8", "--set", "painter.steps=0"]
            words += ["--set", "schedule.small_share=0", "-o", f"{folder}/run{count}"]
            report = json.loads(output_of(*launcher, "-m", "mcnet_cli", *common, *words))
            found[f"lite batch 8, {count} processes"] = 8 * count * report["steps"] / report["elapsed_s"]
    return found


def output_of(*words: str) -> bytes:
    """What Python prints if it is started with these words."""
    return subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, check=True).stdout


def main() -> None:
    """Runs the sections one after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="auto", help="as for mcnet animate")
    parser.add_argument("--quick", action="store_true", help="as little as shows that the script works")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    options = parser.parse_args()
    device = choose_device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        weights = {"lite": resolve_weights("lite")}
        if not options.quick:
            weights["mcnet"] = Path(folder) / "mcnet.safetensors"
            paper = MCNet(PRESETS["mcnet"])
            facts = {"framing": None, "smooth": None, "card": {}}
            write_weights(weights["mcnet"], paper.state_dict(), paper.config, **facts)
        setting = Setting(device, options.quick, weights)
        for section in options.only:
            began = time.monotonic()
            print(f"\n{section}", flush=True)
            try:
                for line in SECTIONS[section](setting):
                    print(f"  {line}", flush=True)
            except Exception:  # the others still have something to say
                traceback.print_exc()
                failed += 1
            print(f"  ({time.monotonic() - began:.0f} s)")
    sys.exit(failed)


Row = tuple[str, dict[str, float]]


def listed(measure: Callable[[Setting], dict[str, float]]) -> Callable[[Setting], Iterator[str]]:
    """Lines of what a section measures."""
    return lambda setting: (f"{name}: {value:.4g}" for name, value in measure(setting).items())


def rows(measure: Callable[[Setting], Iterator[Row]]) -> Callable[[Setting], Iterator[str]]:
    """Lines of a section that measures several things of each row."""
    return lambda setting: (
        ": ".join(filter(None, (name, ", ".join(f"{value:.4g} {unit}" for unit, value in row.items()))))
        for name, row in measure(setting)
    )


SECTIONS: dict[str, Callable[[Setting], Iterator[str]]] = {
    "roof": listed(roof),
    "parity": listed(parity),
    "network": rows(network),
    "frames": rows(
        lambda setting: ways_to_draw(
            *(PORTRAIT, DRIVING, setting.device),
            frames=4 if setting.quick else 100,
            sides=[256] if setting.quick else [512, 1080],
            quick=setting.quick,
        )
    ),
    "video hardware": rows(
        lambda setting: video_hardware(
            *(PORTRAIT, DRIVING),
            frames=11 if setting.quick else 100,
            sides=[256] if setting.quick else [512, 1080],
        )
    ),
    "kernels": lambda setting: iter(kernels(setting).splitlines()),
    "end to end": listed(end_to_end),
    "training": listed(training),
}


if __name__ == "__main__":
    main()

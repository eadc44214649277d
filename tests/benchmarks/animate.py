"""How fast `mcnet animate` is here, and how much memory it takes. Nothing else should run meanwhile.

    python tests/benchmarks/animate.py speed
    python tests/benchmarks/animate.py memory --long-s 600

speed: frames/s of the network alone (batch as `auto` takes it, the source encoded once) and end to end (the
example's clip, faces found, encoded with sound, start-up included), and that as a share of real time.
memory: peaks with a short and a long driving that shows a face; the long one is the short one repeated.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from mcnet_cli.animation.renderer import suitable_batch_size
from mcnet_cli.checkpoint import build_model, read_weights, write_weights
from mcnet_cli.compositing import Compositor
from mcnet_cli.devices import Compute, choose
from mcnet_cli.media import ffmpeg_binary
from mcnet_cli.model import MCNet, ModelConfig
from mcnet_cli.weights import resolve_weights

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"


def animate(driving: Path, folder: Path, *options: str) -> dict[str, float]:
    """Runs the command in a process of its own; its report, with `wall` seconds."""
    words = [sys.executable, "-m", "mcnet_cli", "animate", str(PORTRAIT), str(driving)]
    began = time.monotonic()
    done = subprocess.run(
        [*words, "-o", str(folder / "result.mp4"), "-y", "-q", "--json", *options],
        stdout=subprocess.PIPE,
        check=True,
    )
    return {**json.loads(done.stdout)["results"][0], "wall": time.monotonic() - began}


def network_rate(model: MCNet, compute: Compute, *, rounds: int) -> float:
    """Frames/s of the network alone, the best of `rounds` batches."""
    batch = suitable_batch_size(model.config, compute)
    picture = torch.rand(1, 3, model.config.size, model.config.size, device=compute.device)
    half = compute.dtype != torch.float32
    with torch.inference_mode(), torch.autocast(compute.device.type, compute.dtype, enabled=half):
        state, compositor = model.encode_source(picture), Compositor(model)
        layers = compositor.layers(state)
        motion = state.keypoints.map(lambda t: t.expand(batch, *t.shape[1:]))
        best = float("inf")
        for _ in range(rounds):
            began = time.monotonic()
            compositor.frames(state, layers, motion).sum().item()  # .item() waits for a GPU
            best = min(best, time.monotonic() - began)
    return batch / best


def speed() -> None:
    """Prints the three figures, `mcnet`'s with random weights: speed doesn't depend on them."""
    for precision in ("fp32", "auto"):
        compute = choose("auto", precision)
        lite = build_model(read_weights(resolve_weights("lite")), compute.device)
        paper = MCNet(ModelConfig.preset("mcnet")).channels_last().eval().to(compute.device)
        label = f"{compute.device} {compute.precision}"
        print(f"network alone, lite, {label}: {network_rate(lite, compute, rounds=12):.1f} frames/s")
        print(f"network alone, mcnet, {label}: {network_rate(paper, compute, rounds=3):.2f} frames/s")
    with tempfile.TemporaryDirectory() as folder:
        report = animate(DRIVING, Path(folder))
    rate = report["frames"] / report["wall"]
    print(f"end to end, lite: {rate:.1f} frames/s, {rate / 25:.2f} times real time")


def memory(short_s: int, long_s: int) -> None:
    """Prints both peaks, with a narrow network: what grows with the clip isn't the network."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        narrow = MCNet(ModelConfig.preset("lite"))
        weights = folder / "random.safetensors"
        write_weights(weights, narrow.state_dict(), narrow.config, framing=None, smooth=None, card={})
        peaks = []
        for seconds in (short_s, long_s):
            clip = folder / f"{seconds}.mp4"
            words = [
                "-v",
                "error",
                "-stream_loop",
                "-1",
                "-i",
                str(DRIVING),
                "-t",
                str(seconds),
                "-c",
                "copy",
            ]
            subprocess.run([ffmpeg_binary(), *words, str(clip)], check=True)
            report = animate(clip, folder, "-w", str(weights))
            peaks.append(report["peak_memory_mb"])
            print(f"{report['frames']} frames: {report['peak_memory_mb']:.0f} MB, {report['wall']:.0f} s")
        print(f"the long one takes {peaks[1] - peaks[0]:.0f} MB more")


def main() -> None:
    """Measures what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("speed", "memory"))
    parser.add_argument("--short-s", type=int, default=10)
    parser.add_argument("--long-s", type=int, default=600)
    options = parser.parse_args()
    if options.what == "speed":
        speed()
    else:
        memory(options.short_s, options.long_s)


if __name__ == "__main__":
    main()

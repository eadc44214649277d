"""How much memory `mcnet animate` takes; `mcnet benchmark` measures how fast it is.

    python tests/benchmarks/memory.py --long-s 600

Peaks with a short and a long driving that shows a face; the long one is the short one repeated.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mcnet_cli.checkpoint import write_weights
from mcnet_cli.media import ffmpeg_binary
from mcnet_cli.model import PRESETS, MCNet

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


def memory(short_s: int, long_s: int) -> None:
    """Prints both peaks, with a narrow network: what grows with the clip isn't the network."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        narrow = MCNet(PRESETS["lite"])
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
    """Measures both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short-s", type=int, default=10)
    parser.add_argument("--long-s", type=int, default=600)
    options = parser.parse_args()
    memory(options.short_s, options.long_s)


if __name__ == "__main__":
    main()

"""What `mcnet batch` gains over separate commands, and what a million films would take. Linux alone.

    python tests/benchmarks/batch.py             # 200 films of 8 frames, against 10 commands
    python tests/benchmarks/batch.py --kill      # and again by two processes, one of which is killed
    python tests/benchmarks/batch.py --sources 2 --drivings 3 --frames 100 --commands 2 --price 0.04

Sources and drivings are copies of the examples. Wall time depends on what else the machine does, the time of
processors hardly. Figures for a million films are those measured here times their number.
"""

import argparse
import hashlib
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcnet_cli.batch.batch import JOBS_PER_TASK
from mcnet_cli.system import processor_count

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MCNET = [sys.executable, "-m", "mcnet_cli"]
MILLION, SIDE = 1_000_000, 1000  # films, of so many sources and so many drivings


def main() -> None:
    """Measures what is asked for, and prints it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sources", type=int, default=10)
    parser.add_argument("--drivings", type=int, default=20)
    parser.add_argument("--frames", type=int, default=8, help="of each film")
    parser.add_argument("--commands", type=int, default=10, help="separate ones to compare with")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kill", action="store_true", help="kill a process in the middle of a second run")
    parser.add_argument("--price", type=float, help="of an hour of one core, in any currency")
    options = parser.parse_args()
    print(f"{processor()}, {processor_count()} processors, load {os.getloadavg()[0]:.1f} at the start")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, options.sources, options.drivings)
        alone = commands(folder, options.commands, options.frames)
        print(f"{options.commands} separate commands: {alone}")
        together, memory_mb = batch(folder, "films", options.frames, options.workers)
        count = options.sources * options.drivings
        print(f"one batch of {count} by {options.workers}: {together}; {memory_mb} MB a worker")
        print(f"separate commands take {alone.wall_s / together.wall_s:.1f} times as long,")
        print(f"  and {alone.processor_s / together.processor_s:.1f} times as much processor time")
        if options.kill:
            killed(folder, options.frames)
        million(folder, together.processor_s, options)


def processor() -> str:
    """The name of this machine's processor."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(": ")[2] if names else platform.processor()


def write_inputs(folder: Path, sources: int, drivings: int) -> None:
    """Copies of the examples, as if they were so many portraits and clips."""
    for kind, count, file in (("sources", sources, "portrait.jpg"), ("drivings", drivings, "driving.mp4")):
        (folder / kind).mkdir()
        for number in range(count):
            shutil.copy(EXAMPLES / file, folder / kind / f"{number:03}{Path(file).suffix}")


@dataclass(frozen=True)
class Cost:
    """Of one film: time that passed, and time of processors."""

    wall_s: float
    processor_s: float

    def __str__(self) -> str:
        return f"{self.wall_s:.2f} s a film, {self.processor_s:.2f} s of processors"


class Meter:
    """Measures from when it is made; processor time is that of children that have ended."""

    def __init__(self) -> None:
        self._wall_s, self._processor_s = time.monotonic(), self._used()

    def per_film(self, films: int) -> Cost:
        """The time since then, shared among films."""
        return Cost((time.monotonic() - self._wall_s) / films, (self._used() - self._processor_s) / films)

    def _used(self) -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime


def commands(folder: Path, count: int, frames: int) -> Cost:
    """Of films by `mcnet animate`, a process each."""
    meter = Meter()
    for number in range(count):
        words = ["animate", "sources/000.jpg", "drivings/000.mp4", "-o", f"alone{number}.mp4", "-q"]
        subprocess.run([*MCNET, *words, "--max-frames", str(frames)], cwd=folder, check=True)
    return meter.per_film(count)


def line(output: str, frames: int, workers: int) -> list[str]:
    """The command of a batch."""
    words = [
        "batch",
        "--product",
        "sources/*.jpg",
        "drivings/*.mp4",
        "-o",
        output,
        "--set",
        f"max-frames={frames}",
    ]
    return [*MCNET, *words, "--workers", str(workers), "--json", "-q"]


def batch(folder: Path, output: str, frames: int, workers: int) -> tuple[Cost, int]:
    """Of a film, start-up included, and the peak memory of the largest process in MB."""
    meter, peak = Meter(), 0
    child = subprocess.Popen(line(output, frames, workers), cwd=folder, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    done = 0
    for said in child.stdout:
        done += json.loads(said).get("status") == "done"
        peak = max([peak, *map(peak_mb, children(child.pid))])
    if child.wait():
        sys.exit(f"the batch ended with code {child.returncode}")
    return meter.per_film(done), peak


def children(pid: int) -> list[int]:
    """The processes that work for a batch."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def peak_mb(pid: int) -> int:
    """Most memory that a process has held."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(row.split()[1]) >> 10 for row in status.splitlines() if row.startswith("VmHWM")), 0)


def killed(folder: Path, frames: int) -> None:
    """Runs the batch by two processes, kills one when a third of the films is there, and compares them."""
    whole, began = digests(folder / "films"), time.monotonic()
    child = subprocess.Popen(line("again", frames, 2), cwd=folder, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    done, victim = 0, None
    for said in child.stdout:
        done += json.loads(said).get("status") == "done"
        if victim is None and 3 * done >= len(whole):
            victim = children(child.pid)[0]
            os.kill(victim, signal.SIGKILL)
    code, seconds = child.wait(), time.monotonic() - began
    equal = sum(digest == whole[name] for name, digest in digests(folder / "again").items())
    print(f"two workers, one killed: code {code}, {done} films, {equal} with equal bytes, {seconds:.0f} s")


def digests(folder: Path) -> dict[str, str]:
    """Of all films in a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("[!.]*.mp4")}


def million(folder: Path, seconds: float, options: argparse.Namespace) -> None:
    """What a million films of this kind would take."""
    films: Sequence[Path] = [*(folder / "films").glob("*.mp4")]
    records = [*(folder / "films").glob("batch.records/*.json")]
    written = sum(path.stat().st_size for path in (*films, *records)) / len(films)
    read = SIDE * sum((EXAMPLES / name).stat().st_size for name in ("portrait.jpg", "driving.mp4"))
    hours = MILLION * seconds / 3600
    print(f"a million films of {options.frames} frames, of {SIDE} sources and {SIDE} drivings:")
    print(f"  {SIDE * -(-SIDE // JOBS_PER_TASK)} tasks of up to {JOBS_PER_TASK} films")
    print(f"  {read / 1e6:.0f} MB of inputs, {MILLION * written / 1e9:.1f} GB of films and records")
    print(f"  {hours:.0f} core hours: {hours / 24 / 1000:.1f} days on 1000 cores")
    if options.price is not None:
        print(f"  {hours * options.price:.0f} at {options.price} a core hour")


if __name__ == "__main__":
    main()

"""What a benchmark found, for people and for programs."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from mcnet_cli.benchmark.measuring import Peak, Timing
from mcnet_cli.benchmark.stages import Stage


@dataclass(frozen=True, slots=True)
class NetworkPair:
    """The network as it is trained beside its optimised form, in turn, in one run; both in float32.

    plain, optimised: a frame. speedup, low, high: plain time over optimised time, the median and quartiles of
    the rounds' ratios. gflop: of the plain network, a frame.
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

    threads: of torch. stages: empty unless they were asked for.
    """

    processor: str
    device: str
    precision: str
    threads: int
    weights: str
    peak: Peak
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
            f"{self.peak.convolution:.0f} in a convolution",
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

"""`mcnet benchmark`: how long each stage takes on this machine, beside what the machine could do."""

from mcnet_cli.benchmark.benchmark import BenchmarkRequest, benchmark
from mcnet_cli.benchmark.report import BenchmarkReport

__all__ = ["BenchmarkReport", "BenchmarkRequest", "benchmark"]

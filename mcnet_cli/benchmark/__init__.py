"""`mcnet benchmark`: how long each stage takes on this machine, beside what the machine could do."""

from mcnet_cli.benchmark.benchmark import BenchmarkReport, BenchmarkRequest, benchmark

__all__ = ["BenchmarkReport", "BenchmarkRequest", "benchmark"]

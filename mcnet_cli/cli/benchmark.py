"""`mcnet benchmark`: how fast this machine is, stage by stage."""

from pathlib import Path
from typing import Annotated

from mcnet_cli.cli._console import console
from mcnet_cli.cli._options import (
    AllowFetch,
    Device,
    Json,
    Precision,
    Quiet,
    Verbose,
    fetch_policy,
    panel,
    weights_option,
)
from mcnet_cli.system import load_torch

measure_option = panel("What is measured")


def benchmark(
    weights: Annotated[str | None, weights_option("Weights of the network.")] = None,
    fetch: AllowFetch = False,
    stages: Annotated[
        bool,
        measure_option(
            "--stages",
            help="Measure each stage too, from imports to encoding: wall and processor time, operations, and "
            "the share of the most that this machine can do.",
        ),
    ] = False,
    frames: Annotated[
        int, measure_option("--frames", metavar="N", help="Frames of the film that the whole command makes.")
    ] = 250,
    rounds: Annotated[
        int, measure_option("--rounds", metavar="N", help="Rounds of each measurement; medians are shown.")
    ] = 7,
    source: Annotated[
        Path | None, measure_option("--source", metavar="FILE", help="A photo. Default: a drawn person.")
    ] = None,
    driving: Annotated[
        Path | None, measure_option("--driving", metavar="FILE", help="A video. Default: a drawn person.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure how fast mcnet animate is here, and how near to what the machine can do.

    Nothing else should run meanwhile. The network as it is trained and its optimised form take turns in one
    run, so that a machine that changes its speed is fair to both. With --device cuda too, which nobody has
    ever timed; tests/benchmarks/gpu.py of the repository measures more of a GPU.

    Example: mcnet benchmark --stages
    """
    load_torch()  # here, not at --help
    from mcnet_cli.benchmark import BenchmarkRequest
    from mcnet_cli.benchmark import benchmark as run

    request = BenchmarkRequest(
        weights=weights,
        device=device,
        precision=precision,
        source=source,
        driving=driving,
        frames=frames,
        rounds=rounds,
        stages=stages,
        fetch=fetch_policy(fetch),
    )
    console.show(run(request, console.progress))

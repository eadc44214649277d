"""`mcnet train`: options in, one call, a report out."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from mcnet_cli.cli._console import console
from mcnet_cli.cli._options import OUTPUT, Device, Json, Precision, Quiet, Verbose

TIME = "Time"


def train(
    clips: Annotated[Path, typer.Argument(metavar="CLIPS", help="A folder of face clips.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="RUN", help="The run's folder.", rich_help_panel=OUTPUT)
    ] = Path("run"),
    config: Annotated[
        str, typer.Option("--config", metavar="lite|mcnet", help="The architecture.")
    ] = "lite",
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.01, help="How long to train.", rich_help_panel=TIME)
    ] = 90.0,
    steps: Annotated[
        int, typer.Option("--steps", min=0, help="Train for so many steps instead.", rich_help_panel=TIME)
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything random.")] = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train on face clips; run again to go on with what the run's folder holds.

    Example: mcnet train clips/ -o run --minutes 90
    """
    from mcnet_cli import training  # torch loads here, not at --help

    settings = dataclasses.replace(training.RunConfig(), minutes=minutes, steps=steps, seed=seed)
    request = training.TrainRequest(clips, output, settings, config, device, precision)
    report = training.train(
        request,
        lambda row: console.progress(
            f"training, loss {row['total']:.3f}", round(1000 * row["progress"]), 1000, "‰"
        ),
    )
    console.report(report.as_json(), report.as_text())

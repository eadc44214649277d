"""`mcnet evaluate`: options to a request, the result to text or JSON."""

from pathlib import Path
from typing import Annotated

import typer

from mcnet_cli.cli._console import console
from mcnet_cli.cli._fetching import Agreed, fetch_policy
from mcnet_cli.cli._options import (
    MACHINE,
    OUTPUT,
    Device,
    Json,
    Overwrite,
    Precision,
    Quiet,
    Verbose,
    batch_size_option,
    detector_option,
    weights_option,
)

WHAT = "What is measured"


def evaluate(
    clips: Annotated[
        Path,
        typer.Argument(
            metavar="CLIPS",
            help="A folder of square face clips: videos, or folders of pictures (see mcnet preprocess).",
            show_default=False,
        ),
    ],
    weights: Annotated[
        str | None,
        weights_option("Weights of the network, as mcnet animate takes them."),
    ] = None,
    fetch: Agreed = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="REPORT",
            help="A folder for report.json, report.csv and sheet.png (best, median and worst clip). "
            "Without it the figures are only shown.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Overwrite = False,
    protocol: Annotated[
        str,
        typer.Option(
            "--protocol",
            metavar="reconstruction|reenactment",
            help="reconstruction: each clip's first frame is moved by its others, and compared with them. "
            "reenactment: by another person's clip, with relative motion; there is no truth to compare with.",
            rich_help_panel=WHAT,
        ),
    ] = "reconstruction",
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            metavar="FILE.csv",
            help="Pairs for reenactment: columns source and driving, paths below CLIPS. "
            "Default: each clip drives the next one of another person.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="NAME,...",
            help="Of l1 (also over that of a still), psnr, ssim, lpips, akd, mouth, eyes, aed, csim. "
            "Default: what the protocol allows. What can't be measured is listed with the reason.",
            rich_help_panel=WHAT,
            show_default=False,
        ),
    ] = None,
    detector: Annotated[
        str,
        detector_option(
            "What finds faces. akd compares the 468 points of the face mesh, with face-alignment "
            "(slow, needs files of its own) its 68.",
            WHAT,
        ),
    ] = "blazeface",
    every: Annotated[
        int,
        typer.Option(
            "--every", metavar="N", help="Make and measure each N-th frame only.", rich_help_panel=WHAT
        ),
    ] = 1,
    max_frames: Annotated[
        int | None,
        typer.Option(
            "--max-frames", metavar="N", help="At most so many frames of a clip.", rich_help_panel=WHAT
        ),
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    batch_size: Annotated[
        str,
        batch_size_option(MACHINE),
    ] = "auto",
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="End with code 3 if a clip can't be used, or only in part; the others are measured.",
        ),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure how well weights make face clips anew.

    Example: mcnet evaluate heldout/ --weights run/weights.safetensors -o report
    """
    from mcnet_cli import evaluation
    from mcnet_cli.options import parse_batch_size

    request = evaluation.EvaluationRequest(
        clips=clips,
        protocol=protocol,
        pairs=pairs,
        metrics=None
        if metrics is None
        else tuple(name.strip() for name in metrics.split(",") if name.strip()),
        output=output,
        overwrite=overwrite,
        weights=weights,
        fetch=fetch_policy(fetch),
        device=device,
        precision=precision,
        batch_size=parse_batch_size(batch_size),
        detector=detector,
        every=every,
        max_frames=max_frames,
        strict=strict,
    )
    report = evaluation.evaluate(
        request, lambda now: console.progress(now.stage, now.done, now.total, "clips")
    )
    console.report(report.as_json(), report.as_text())

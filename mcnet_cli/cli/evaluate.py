"""`mcnet evaluate`: options to a request, the result to text or JSON."""

from dataclasses import replace
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
from mcnet_cli.errors import UsageError

WHAT = "What is measured"


def evaluate(
    clips: Annotated[
        Path,
        typer.Argument(
            metavar="CLIPS",
            help="A folder of square face clips: videos, or folders of pictures (see mcnet preprocess). "
            "For animation the drivings, of any shape.",
            show_default=False,
        ),
    ],
    weights: Annotated[
        list[str] | None,
        weights_option("Weights of the network, as mcnet animate takes them; may be repeated."),
    ] = None,
    fetch: Agreed = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="REPORT",
            help="A folder for report.html, .json, .csv and .md, and sheet.png (best, median, worst clip). "
            "Without it the figures are only shown.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Overwrite = False,
    markdown: Annotated[
        bool,
        typer.Option(
            "--markdown",
            help="Print the means on stdout as a table in Markdown, as a weights' card has them.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    protocol: Annotated[
        str,
        typer.Option(
            "--protocol",
            metavar="NAME,...",
            help="reconstruction: each clip's first frame is moved by its others, and compared with them. "
            "reenactment: by another person's clip, with relative motion; there is no truth to compare with. "
            "animation: the pictures of --portraits are moved by the clips, cropped as mcnet animate does.",
            rich_help_panel=WHAT,
        ),
    ] = "reconstruction",
    portraits: Annotated[
        Path | None,
        typer.Option(
            "--portraits", metavar="FOLDER", help="The pictures, for animation.", rich_help_panel=WHAT
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            metavar="FILE.csv",
            help="Pairs across people: columns source and driving, paths below their folders. "
            "Default: each clip drives the next one of another person; each picture is moved by each clip.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    settings: Annotated[
        str | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE,...",
            help="How all portraits are moved: motion, reference, adapt_scale (on or off), strength, smooth, "
            "gaze as in mcnet animate; keypoints (tracked or network); picture (network, or face as mcnet "
            "animate makes it), size of the pictures in pixels, paint (off leaves the warped face alone); "
            "for animation face_height, center_x, center_y.",
            rich_help_panel=WHAT,
            show_default=False,
        ),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="NAME=VALUE,...",
            help="Add a row for each of the weights in which these are set otherwise; may be repeated.",
            rich_help_panel=WHAT,
            show_default=False,
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="NAME,...",
            help="Of l1 (also over that of a still), mouth_over_copy, inner_mouth_over_copy, psnr, ssim, "
            "lpips, akd, landmarks, flow, sharpness, mouth, eyes, smile, brows, gaze (each also with _gain), "
            "motion, identity, jitter, aed, csim. "
            "Default: what the protocol allows. What can't be measured is listed with the reason.",
            rich_help_panel=WHAT,
            show_default=False,
        ),
    ] = None,
    recognizer: Annotated[
        str | None,
        typer.Option(
            "--recognizer",
            metavar="FILE.onnx",
            help="A face recognition network, for aed and csim: like ArcFace's or OpenCV's SFace, "
            "3 x 112 x 112 in, one embedding out.",
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
    """Measure how well weights move faces, one file or several side by side.

    Example: mcnet evaluate heldout/ -w run/weights.safetensors -w lite -o report
    """
    from mcnet_cli import evaluation
    from mcnet_cli.options import parse_batch_size

    request = evaluation.EvaluationRequest(
        clips=clips,
        protocols=_names(protocol),
        portraits=portraits,
        pairs=pairs,
        weights=tuple(weights or ()),
        settings=evaluation.Settings.parse(settings, "--set") if settings else evaluation.Settings(),
        variations=tuple(evaluation.Settings.parse(text) for text in vary or ()),
        metrics=None if metrics is None else _names(metrics),
        recognizer=recognizer,
        output=output,
        overwrite=overwrite,
        fetch=fetch_policy(fetch),
        device=device,
        precision=precision,
        batch_size=parse_batch_size(batch_size),
        detector=detector,
        every=every,
        max_frames=max_frames,
        strict=strict,
    )
    if markdown and json:
        raise UsageError("--markdown and --json both print on stdout", hint="take one of them")
    report = evaluation.evaluate(request, lambda now: console.progress(replace(now, unit="clips")))
    if markdown:
        console.show(report.as_json(), report.as_markdown())
    else:
        console.report(report.as_json(), report.as_text())


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))

"""`mcnet evaluate`: options to a request, the result to text or JSON."""

from pathlib import Path
from typing import Annotated

import typer

from mcnet_cli.cli._console import console
from mcnet_cli.cli._options import (
    AllowFetch,
    Device,
    Json,
    Overwrite,
    Precision,
    Quiet,
    Verbose,
    batch_size_option,
    detector_option,
    engine_option,
    fetch_policy,
    machine_option,
    output_option,
    panel,
    weights_option,
    workers_option,
)
from mcnet_cli.errors import UsageError
from mcnet_cli.system import load_torch

measure_option = panel("What is measured")


def evaluate(
    clips: Annotated[
        Path,
        typer.Argument(
            metavar="CLIPS",
            help="A folder of square face clips: videos, or folders of pictures (see mcnet preprocess). "
            "If it holds train/ and test/ alone, the latter is measured on. For animation the drivings, of "
            "any shape.",
            show_default=False,
        ),
    ],
    weights: Annotated[
        list[str] | None,
        weights_option("Weights of the network, as mcnet animate takes them; may be repeated."),
    ] = None,
    fetch: AllowFetch = False,
    output: Annotated[
        Path | None,
        output_option(
            "-o",
            "--output",
            metavar="REPORT",
            help="A folder for report.html, .json, .csv and .md, and sheet.png (best, median, worst clip). "
            "Without it the figures are only shown.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    markdown: Annotated[
        bool,
        output_option(
            "--markdown",
            help="Print the means on stdout as a table in Markdown, as a weights' card has them.",
        ),
    ] = False,
    protocol: Annotated[
        str,
        measure_option(
            "--protocol",
            metavar="NAME,...",
            help="reconstruction: each clip's first frame is moved by its others, and compared with them. "
            "reenactment: by another person's clip, with relative motion; there is no truth to compare with. "
            "animation: the pictures of --portraits are moved by the clips, cropped as mcnet animate does.",
        ),
    ] = "reconstruction",
    portraits: Annotated[
        Path | None, measure_option("--portraits", metavar="FOLDER", help="The pictures, for animation.")
    ] = None,
    pairs: Annotated[
        Path | None,
        measure_option(
            "--pairs",
            metavar="FILE.csv",
            help="Pairs across people: columns source and driving, paths below their folders. "
            "Default: each clip drives the next one of another person; each picture is moved by each clip.",
        ),
    ] = None,
    settings: Annotated[
        str | None,
        measure_option(
            "--set",
            metavar="NAME=VALUE,...",
            help="How all portraits are moved: motion, reference, adapt_scale (on or off), strength, smooth, "
            "gaze as in mcnet animate; keypoints (tracked or network); picture (network, or face as mcnet "
            "animate makes it), size of the pictures in pixels, paint (off leaves the warped face alone); "
            "for animation face_height, center_x, center_y.",
        ),
    ] = None,
    vary: Annotated[
        list[str] | None,
        measure_option(
            "--vary",
            metavar="NAME=VALUE,...",
            help="Add a row for each of the weights in which these are set otherwise; may be repeated.",
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        measure_option(
            "--metrics",
            metavar="NAME,...",
            help="Of l1 (also over that of a still), mouth_over_copy, inner_mouth_over_copy, psnr, ssim, "
            "lpips, akd, landmarks, flow, sharpness, mouth, eyes, smile, brows, gaze (each also with _gain), "
            "lids_gain, motion, identity, jitter, aed, csim. "
            "Default: what the protocol allows. What can't be measured is listed with the reason.",
        ),
    ] = None,
    recognizer: Annotated[
        str | None,
        measure_option(
            "--recognizer",
            metavar="FILE.onnx",
            help="A face recognition network, for aed and csim: like ArcFace's or OpenCV's SFace, "
            "3 x 112 x 112 in, one embedding out.",
        ),
    ] = None,
    detector: Annotated[
        str,
        detector_option(
            measure_option,
            "What finds faces. akd compares the 468 points of the face mesh, with face-alignment "
            "(slow, needs files of its own) its 68.",
        ),
    ] = "blazeface",
    every: Annotated[
        int, measure_option("--every", metavar="N", help="Make and measure each N-th frame only.")
    ] = 1,
    max_frames: Annotated[
        int | None, measure_option("--max-frames", metavar="N", help="At most so many frames of a clip.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    batch_size: Annotated[str, batch_size_option(machine_option)] = "auto",
    engine: Annotated[str, engine_option()] = "local",
    workers: Annotated[
        int | None,
        workers_option(
            "Processes at work, which share the processors. Default: this one alone, on Ray half the "
            "processors."
        ),
    ] = None,
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
    load_torch()  # here, not at --help
    from mcnet_cli import evaluation
    from mcnet_cli.options import parse_batch_size, parse_names

    request = evaluation.EvaluationRequest(
        clips=clips,
        protocols=parse_names(protocol),
        portraits=portraits,
        pairs=pairs,
        weights=tuple(weights or ()),
        settings=evaluation.Settings.parse(settings, "--set") if settings else evaluation.Settings(),
        variations=tuple(evaluation.Settings.parse(text) for text in vary or ()),
        metrics=None if metrics is None else parse_names(metrics),
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
        engine=engine,
        workers=workers,
    )
    if markdown and json:
        raise UsageError("--markdown and --json both print on stdout", hint="take one of them")
    report = evaluation.evaluate(request, console.progress)
    if markdown:
        console.show(report, report.as_markdown())
    else:
        console.report(report)

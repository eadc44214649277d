"""`mcnet preprocess`: options to a request, the result to text or JSON."""

from pathlib import Path
from typing import Annotated

import typer

from mcnet_cli.cli._console import console
from mcnet_cli.cli._options import (
    AllowFetch,
    Json,
    Quiet,
    Verbose,
    detector_option,
    engine_option,
    fetch_policy,
    machine_option,
    output_option,
    panel,
    weights_option,
    workers_option,
)

face_option, crop_option = panel("Faces"), panel("Crop")


def preprocess(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Videos, pictures, folders of them (searched through), patterns in quotes, or tables of "
            "metadata in the manner of VoxCeleb (.csv, with --videos). Folders below an input, or below the "
            "folder that several inputs share, name the person: all files in PEOPLE/anna show anna. Faces "
            "of other files count as a person each.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        output_option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Where clips, clips.jsonl and preview.png go. Run again, and only what is missing is done.",
            show_default=False,
        ),
    ],
    videos: Annotated[
        Path | None,
        typer.Option(
            "--videos",
            metavar="FOLDER",
            help="The videos that tables name: FOLDER/.../VIDEO_ID.mp4 or the like.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")
    ] = False,
    rule: Annotated[
        str,
        crop_option(
            "--rule",
            metavar="framing|paper",
            help="framing: the whole head, as --weights want it; the square, one a clip, grows by up to 1.6 "
            "to hold a head that moves. paper: as VoxCeleb is cropped for the paper; what reaches beyond the "
            "picture is dropped. With both, a face that moves further goes on in another clip of the same "
            "person.",
        ),
    ] = "framing",
    weights: Annotated[
        str | None,
        weights_option(
            "With --rule framing: weights that the clips are for; only how they want faces cropped is read.",
            crop_option,
        ),
    ] = None,
    fetch: AllowFetch = False,
    size: Annotated[int, crop_option("--size", metavar="PIXELS", help="Side of the clips.")] = 256,
    align: Annotated[
        str,
        crop_option(
            "--align",
            metavar="none|eyes",
            help="eyes: turn clips and portraits so that the eyes are level, by one angle a clip.",
        ),
    ] = "none",
    follow: Annotated[
        bool,
        crop_option(
            "--follow",
            help="With --align eyes: hold the face still, by a similarity a frame, smoothed over time.",
        ),
    ] = False,
    format_: Annotated[
        str,
        output_option(
            "--format",
            metavar="mp4|png",
            help="mp4: H.264 at a quality without visible loss. png: a folder of pictures a clip.",
        ),
    ] = "mp4",
    fps: Annotated[
        str | None,
        output_option(
            "--fps",
            metavar="RATE",
            help="Frames a second, such as 25 or 30000/1001. Default: each video's own, exactly.",
        ),
    ] = None,
    preview: Annotated[
        bool, output_option("--preview", help="Write preview.png too: some frames of each clip on one sheet.")
    ] = False,
    min_frames: Annotated[int, face_option("--min-frames", metavar="N", help="Drop shorter clips.")] = 64,
    min_face: Annotated[
        int | None,
        face_option(
            "--min-face",
            metavar="PIXELS",
            help="Drop smaller faces: by their height in the video (default 64); with --rule paper by the "
            "longer side of the box that holds the face throughout (default 256).",
        ),
    ] = None,
    min_score: Annotated[
        float,
        face_option(
            "--min-score",
            metavar="SHARE",
            help="Drop what is less surely a face: the landmarks' mean score, 0 to 1.",
        ),
    ] = 0.8,
    min_sharpness: Annotated[
        float,
        face_option(
            "--min-sharpness",
            metavar="NUMBER",
            help="Drop blurred faces: the variance of the Laplacian of the face at 128 x 128.",
        ),
    ] = 12.0,
    detector: Annotated[str, detector_option(face_option)] = "blazeface",
    detect_every: Annotated[
        int,
        face_option(
            "--detect-every",
            metavar="N",
            help="Frames from one search for new faces to the next; in between, known faces are followed. "
            "While there is none, every fifth frame is searched at least.",
        ),
    ] = 15,
    device: Annotated[
        str,
        machine_option(
            "--device",
            metavar="auto|cpu|cuda|cuda:N|mps",
            help="Where face-alignment computes. auto: a GPU if there is one, which gets several frames at "
            "once. blazeface uses the CPU.",
        ),
    ] = "auto",
    engine: Annotated[str, engine_option()] = "local",
    workers: Annotated[
        int | None,
        workers_option("Processes at work, each with one thread. Default: half the processors."),
    ] = None,
    shard: Annotated[
        str | None,
        machine_option(
            "--shard",
            metavar="I/N",
            help="Do the I-th of N parts, as a job array does; all parts share the output folder.",
        ),
    ] = None,
    resume: Annotated[bool, machine_option("--resume/--no-resume", help="Keep what is done already.")] = True,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="End with code 3 if an input can't be used, or only in part; the others are done.",
        ),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Cut videos into clips of single faces to train on, with landmarks and an index.

    Example: mcnet preprocess videos/ -o clips --preview
    """
    from mcnet_cli import preprocessing
    from mcnet_cli.options import parse_rate, parse_shard

    request = preprocessing.PreprocessRequest(
        inputs=tuple(inputs),
        output=output,
        settings=preprocessing.Settings(
            rule=rule,
            framing=preprocessing.choose_framing(rule, weights, fetch_policy(fetch)),
            size=size,
            format=format_,
            fps=None if fps is None else parse_rate(fps),
            align=align,
            follow=follow,
            detector=detector,
            detect_every=detect_every,
            min_frames=min_frames,
            min_face=min_face,
            min_score=min_score,
            min_sharpness=min_sharpness,
        ),
        videos=videos,
        device=device,
        engine=engine,
        workers=workers,
        shard=None if shard is None else parse_shard(shard),
        resume=resume,
        preview=preview,
        strict=strict,
        dry_run=dry_run,
    )
    console.report(preprocessing.preprocess(request, console.progress))

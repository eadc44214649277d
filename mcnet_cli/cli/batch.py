"""`mcnet batch`: options to a request, each result to a line of text or JSON."""

from typing import TYPE_CHECKING, Annotated

import typer

from mcnet_cli.cli._console import console
from mcnet_cli.cli._options import (
    AllowFetch,
    JsonLines,
    Overwrite,
    Quiet,
    Verbose,
    engine_option,
    fetch_policy,
    output_option,
    workers_option,
)
from mcnet_cli.errors import InputError, UsageError
from mcnet_cli.system import load_torch

if TYPE_CHECKING:
    from mcnet_cli.batch import JobResult


def batch(
    jobs: Annotated[
        str | None,
        typer.Argument(
            metavar="JOBS.jsonl|JOBS.csv|-",
            help="A job a line: source, driving, output and options of mcnet animate by their long names, as "
            'JSON ({"source": "a.jpg", "driving": "b.mp4", "output": "c.mp4", "strength": 1.2}) or as CSV '
            "whose first line has the names. - reads stdin. Paths start from the current folder.",
            show_default=False,
        ),
    ] = None,
    product: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--product",
            metavar="SOURCES DRIVINGS",
            help="In place of JOBS, every source that the first pattern matches with every driving that the "
            "second does: --product 'sources/*.jpg' 'drivings/*.mp4' -o films.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        output_option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Where films go whose job names no output, as SOURCE--DRIVING.mp4. Without it: the current "
            "folder.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="An option of mcnet animate for all jobs that don't give it, such as weights=FILE or "
            "audio=false; may be repeated.",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    resume: Annotated[
        bool,
        output_option(
            "--resume/--no-resume",
            help="Keep films that an earlier run has made with the same options from the same files.",
        ),
    ] = True,
    fetch: AllowFetch = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the jobs, say what is left to do, and make nothing.")
    ] = False,
    engine: Annotated[str, engine_option()] = "local",
    workers: Annotated[
        int | None,
        workers_option(
            "Processes at work, which share the processors. Default: half the processors, or one with a "
            "GPU. On Ray each has one thread."
        ),
    ] = None,
    json: JsonLines = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make thousands of films: processes keep the network warm, and read each driving once.

    All jobs are checked before the first film. Run again, and only what is missing or changed is made. What
    fails is listed, and the exit code is 3 then.

    Example: mcnet batch --product 'sources/*.jpg' 'drivings/*.mp4' -o films
    """
    load_torch()  # here, not at --help
    from mcnet_cli import batch as batches

    request = batches.BatchRequest(
        jobs=jobs,
        product=product,
        output=output,
        options=dict(_setting(text) for text in settings or ()),
        engine=engine,
        workers=workers,
        resume=resume,
        overwrite=overwrite,
        fetch=fetch_policy(fetch),
    )
    if dry_run:
        console.report(batches.plan(request))
        return
    report = batches.batch(request, _tell, console.progress)
    console.report(report)
    if report.failures:
        raise InputError(
            f"{len(report.failures)} of {len(report.results)} jobs failed",
            hint="the same command tries these again, and leaves the others as they are",
        )


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: must be NAME=VALUE", hint="such as --set strength=1.2")
    return name, value


def _tell(result: "JobResult") -> None:
    """Failures are warnings, which the batch logs; films of earlier runs are no news to people."""
    console.result(result.as_json(), result.as_text() if result.status == "done" else None)

"""`mcnet web`: options to a server's settings."""

from pathlib import Path
from typing import Annotated

from mcnet_cli.cli._console import console, explain
from mcnet_cli.cli._options import Device, Precision, Quiet, Verbose, panel, weights_option
from mcnet_cli.cli.animate import animate
from mcnet_cli.errors import SystemFailure
from mcnet_cli.installed import install_line

access_option, limit_option = panel("Access"), panel("What one visitor may do")


def web(
    host: Annotated[
        str,
        access_option(
            "--host",
            metavar="ADDRESS",
            help="The address that is listened to. Any but the default lets other machines in; "
            "0.0.0.0 stands for all addresses of this one.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, access_option("--port", metavar="N", help="The port that is listened to; 0 takes a free one.")
    ] = 7860,
    public_name: Annotated[
        str | None,
        access_option(
            "--public-name",
            metavar="NAME",
            help="The name by which visitors reach a server with HTTPS that is before this one.",
        ),
    ] = None,
    password_file: Annotated[
        Path | None,
        access_option(
            "--password-file",
            metavar="FILE",
            help="Ask visitors for the password on this file's first line, with any user's name.",
        ),
    ] = None,
    weights: Annotated[str | None, weights_option("Weights of the network.")] = None,
    max_upload: Annotated[
        int, limit_option("--max-upload", metavar="MB", help="Size of one request with its files.")
    ] = 200,
    max_megapixels: Annotated[
        int, limit_option("--max-megapixels", metavar="N", help="Size of a photo, and of a video's frames.")
    ] = 40,
    max_seconds: Annotated[
        int,
        limit_option(
            "--max-seconds", metavar="N", help="Length of a film, which has 60 frames a second at most."
        ),
    ] = 60,
    max_queue: Annotated[
        int, limit_option("--max-queue", metavar="N", help="Films that wait, of all visitors.")
    ] = 20,
    max_disk: Annotated[
        int, limit_option("--max-disk", metavar="MB", help="All files that are kept at a time.")
    ] = 4000,
    keep: Annotated[
        int,
        limit_option(
            "--keep", metavar="MINUTES", help="How long the files of a visitor who has left are kept."
        ),
    ] = 15,
    device: Device = "auto",
    precision: Precision = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make films in the browser: a page on this machine, and a JSON API for other programs.

    Nothing is sent elsewhere, and the page loads nothing from elsewhere. Films are made one at a time.

    Files are in a temporary folder, and go when their visitor has left and when the server ends.

    The API: POST /animate, a form with source, driving and options by their long names, starts a job.

    GET /jobs/ID tells its state and progress, GET /jobs/ID/film has the film, DELETE /jobs/ID cancels.

    Example: mcnet web
    """
    try:
        from mcnet_cli import web as package
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "anyio"):
            raise
        raise SystemFailure("mcnet web needs some libraries more", hint=install_line("web")) from error

    request = package.WebRequest(
        host=host,
        port=port,
        public_name=public_name,
        password_file=password_file,
        weights=weights,
        device=device,
        precision=precision,
        limits=package.Limits(
            upload_mb=max_upload,
            megapixels=max_megapixels,
            seconds=max_seconds,
            queue=max_queue,
            disk_mb=max_disk,
            keep_minutes=keep,
        ),
    )
    package.serve(request, package.described(animate), explain, console.line)

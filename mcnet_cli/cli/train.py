"""`mcnet train`: options in, one call, a report out."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mcnet_cli.cli._console import console
from mcnet_cli.cli._options import (
    AllowFetch,
    Device,
    Json,
    Precision,
    Quiet,
    Verbose,
    fetch_policy,
    output_option,
    panel,
)
from mcnet_cli.errors import UsageError
from mcnet_cli.system import load_torch

if TYPE_CHECKING:
    from mcnet_cli.training import Launch

length_option, setting_option, data_option = panel("Length: one of"), panel("Settings"), panel("Data")


def train(
    clips: Annotated[
        Path | None,
        typer.Argument(
            metavar="CLIPS",
            help="A folder of face clips: videos, or folders of pictures, in one folder a person or named "
            "PERSON#... . If it holds train/ and test/ alone, the latter is measured on, as with --val. May "
            "be left out with --synthetic.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path, output_option("-o", "--output", metavar="RUN", help="The run's folder.")] = Path(
        "run"
    ),
    resume: Annotated[
        bool | None,
        output_option(
            "--resume/--no-resume",
            help="Insist on going on with a run, or on beginning one. By default whatever RUN calls for.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, output_option("--dry-run", help="Show the plan, from a few steps on noise; train nothing.")
    ] = False,
    check_data: Annotated[
        bool,
        output_option(
            "--check-data", help="Show how the folder is understood, and which clips can be used; end."
        ),
    ] = False,
    steps: Annotated[int | None, length_option("--steps", min=1, help="Steps of the optimizer.")] = None,
    epochs: Annotated[
        float | None, length_option("--epochs", min=0.001, help="Passes over the identities.")
    ] = None,
    minutes: Annotated[
        float | None,
        length_option(
            "--minutes",
            min=0.01,
            help="Time, over all parts of a run but the last one, which paints what opens.",
        ),
    ] = None,
    config: Annotated[
        list[str] | None,
        setting_option(
            "--config",
            metavar="lite|mcnet|FILE.toml",
            help="A recipe, or settings. May be repeated: the later ones win.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        setting_option(
            "--set",
            metavar="NAME=VALUE",
            help="One setting, e.g. losses.perceptual=5 or model.memory.condition=none.",
        ),
    ] = None,
    seed: Annotated[int | None, setting_option("--seed", min=0, help="Of everything random.")] = None,
    init: Annotated[
        str | None, setting_option("--init", metavar="NAME|FILE", help="Weights to begin with.")
    ] = None,
    fetch: AllowFetch = False,
    freeze: Annotated[
        str | None,
        setting_option("--freeze", metavar="keypoints", help="Leave the keypoint detector as it is."),
    ] = None,
    val: Annotated[
        Path | None,
        data_option("--val", metavar="CLIPS", help="Clips to measure on; the best checkpoint is kept."),
    ] = None,
    synthetic: Annotated[
        int, data_option("--synthetic", min=0, metavar="N", help="Add N synthetic heads.")
    ] = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train on face clips; run again to go on with what the run's folder holds.

    Example: mcnet train clips/ -o run --minutes 90
    """
    load_torch()  # here, not at --help
    from mcnet_cli import training

    policy = fetch_policy(fetch)
    first = training.initial_weights(init, policy) if init else None
    request = training.TrainRequest(
        clips,
        output,
        training.configure(
            output,
            configs=config or (),
            assignments=settings or (),
            changes=_changes(steps, epochs, minutes, seed, freeze),
            model=first.config if first else None,
        ),
        init=first,
        held_out=val,
        synthetic=synthetic,
        resume=resume,
        device=device,
        precision=precision,
        launch=_launch(),
        command=_command(),
        fetch=policy,
    )
    if check_data:
        table = training.check_data(request, console.progress)
        console.report(table)
        raise typer.Exit(0 if table.is_enough else 3)
    if dry_run:
        console.report(training.plan(request, console.progress))
        return
    console.report(training.train(request, console.progress))


def _changes(
    steps: int | None, epochs: float | None, minutes: float | None, seed: int | None, freeze: str | None
) -> dict[str, Any]:
    """The options that are settings, as settings."""
    if sum(length is not None for length in (steps, epochs, minutes)) > 1:
        raise UsageError(
            "--steps, --epochs and --minutes are three ways to say one thing", hint="give one of them"
        )
    if freeze not in (None, "keypoints"):
        raise UsageError(f"--freeze {freeze}: only keypoints can be frozen")
    changes: dict[str, Any] = {} if seed is None else {"seed": seed}
    if steps is not None:
        changes["steps"] = steps
    if epochs is not None:
        changes |= {"steps": 0, "schedule": {"epochs": epochs}}
    if minutes is not None:
        changes |= {"steps": 0, "schedule": {"epochs": 0.0, "minutes": minutes}}
    if freeze:
        changes["keypoints"] = {"freeze": True}
    return changes


def _launch() -> "Launch":
    """This process's place among those that torchrun or the like has started."""
    from mcnet_cli.training import Launch

    names = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "TORCHELASTIC_RESTART_COUNT": "0"}
    return Launch(*(int(os.environ.get(name, default)) for name, default in names.items()))


def _command() -> str:
    """The command line for the weights' card, folders by their names alone."""
    words = (Path(word).name if "/" in word and not word.startswith("-") else word for word in sys.argv[1:])
    return shlex.join(["mcnet", *words])

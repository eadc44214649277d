"""A small folder of sources and drivings without faces, and jobs on it, for the tests of batches."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from animation_tools import NO_CROP, write_moving_clip, write_photo, write_tiny

from mcnet_cli.batch import BatchRequest
from mcnet_cli.batch.batch import checked, tasks_of
from mcnet_cli.batch.work import FilmMaker, Task

# As `mcnet animate` would have them on its command line.
PLAIN = {
    "device": "cpu",
    "precision": "fp32",
    "picture": "network",
    **{name.replace("_", "-"): value for name, value in NO_CROP.items()},
}


def write_inputs(folder: Path) -> Path:
    """Two sources, two drivings and weights that take milliseconds."""
    write_tiny(folder / "tiny.safetensors")
    for number, name in enumerate(("anna", "bert")):
        write_photo(folder / f"{name}.png", 0.4 + number)
        write_moving_clip(folder / f"clip{number}.mp4", 3 + number)
    return folder


def write_jobs(path: Path, jobs: Sequence[dict[str, Any]]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(job) + "\n" for job in jobs), encoding="utf-8")
    return path


def asked(jobs: Path, **options: Any) -> BatchRequest:
    """A request with the tiny weights that lie beside the jobs."""
    defaults = {**PLAIN, "weights": str(jobs.parent / "tiny.safetensors"), **options.pop("options", {})}
    return BatchRequest(jobs=str(jobs), options=defaults, **options)


def planned(request: BatchRequest) -> tuple[FilmMaker, list[Task]]:
    """What makes the films of a request, and its tasks."""
    jobs, maker = checked(request)
    return maker, tasks_of([job for job in jobs if maker.done_before(job) is None])

"""`batch`: checks all jobs, makes the films that are left to do, and reports each when it is made."""

import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mcnet_cli import engines
from mcnet_cli.animation.paths import planned
from mcnet_cli.batch.jobs import Job, at, paired_jobs, read_jobs
from mcnet_cli.batch.report import BatchPlan, BatchReport, JobResult
from mcnet_cli.batch.work import RECORDS, FilmMaker, JobWeights, Task
from mcnet_cli.checkpoint import read_weights
from mcnet_cli.devices import choose_device
from mcnet_cli.engines import ENGINES
from mcnet_cli.errors import McnetError, UsageError, shown
from mcnet_cli.files import check_free, made_folders
from mcnet_cli.media import output_kind
from mcnet_cli.options import require_among, require_between
from mcnet_cli.progress import OnProgress, Progress, silent
from mcnet_cli.weights import NEVER, Fetch, resolve_weights, weights_name
from mcnet_cli.weights.registry import entry_of
from mcnet_cli.weights.store import sha256_of

MAKING = "making films"
JOBS_PER_TASK = 64  # at most; a driving with more is read again, by another process that would have to wait

log = logging.getLogger(__name__)

OnResult = Callable[[JobResult], None]


@dataclass(frozen=True, kw_only=True)
class BatchRequest:
    """The options of `mcnet batch`; UsageError where they make no sense.

    jobs: a file of jobs, `-` for stdin. product: patterns of sources and of drivings, in place of jobs.
    output: a folder for films whose job names no output. options: by the names of `mcnet animate`, for jobs
    that don't give them. workers: number of processes, None for half the processors. resume: keep films that
    are done. overwrite: replace films that are not the batch's own.
    """

    jobs: str | None = None
    product: tuple[str, str] | None = None
    output: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    engine: str = "local"
    workers: int | None = None
    resume: bool = True
    overwrite: bool = False
    fetch: Fetch = NEVER

    def __post_init__(self) -> None:
        require_among("--engine", self.engine, ENGINES)
        require_between("--workers", self.workers, 1, 1024)
        if (self.jobs is None) == (self.product is None):
            raise UsageError("give a file of jobs or --product", hint="mcnet batch jobs.jsonl")
        if self.output is not None and Path(self.output).exists() and not Path(self.output).is_dir():
            raise UsageError(f"-o {shown(self.output)}: is a file, not a folder")

    def read(self) -> Iterable[Job]:
        """The jobs, each checked by itself."""
        if self.product is not None:
            return paired_jobs(*self.product, self.options, self.output)
        assert self.jobs is not None
        return read_jobs(self.jobs, self.options, self.output)


def batch(
    request: BatchRequest, on_result: OnResult = lambda _: None, on_progress: OnProgress = silent
) -> BatchReport:
    """Makes the films of all jobs that are left to do. A job that fails doesn't stop the others.

    on_result: called with each result when it is known.

    Raises UsageError for jobs that make no sense and for outputs that are taken, all before any work;
    WeightsError for weights that can't be used, likewise; SystemFailure if the system fails.
    """
    began = time.monotonic()
    jobs, maker = checked(request)
    results: dict[str, JobResult] = {}

    def note(result: JobResult) -> None:
        if result.output not in results:  # news of it has come before
            results[result.output] = result
            if result.status == "failed":
                log.warning("%s", result.as_text())
            on_result(result)
        on_progress(Progress(MAKING, len(results), len(jobs), "films"))

    waiting = []
    for job in jobs:
        if done := maker.done_before(job):
            note(done)
        else:
            waiting.append(job)
    tasks = tasks_of(waiting)
    if tasks:
        workers = min(request.workers or (1 if maker.gpu else engines.default_workers()), len(tasks))
        maker = replace(maker, threads=engines.threads_of(request.engine, workers))
        with contextlib.ExitStack() as stack:
            parents = {(maker.folder / job.output).parent for job in waiting}
            stack.enter_context(_folders(_new_folder(request, maker.folder), parents))
            events = engines.run(maker, tasks, request.engine, workers)
            for event in stack.enter_context(contextlib.closing(events)):
                for result in event.result or ([] if event.news is None else [event.news]):
                    note(result)
                on_progress(Progress(MAKING, len(results), len(jobs), "films"))
    return BatchReport([results[job.output] for job in jobs], time.monotonic() - began)


def plan(request: BatchRequest) -> BatchPlan:
    """What `batch` would do; raises as it does before the work."""
    jobs, maker = checked(request)
    waiting = [job for job in jobs if maker.done_before(job) is None]
    return BatchPlan(
        waiting=[job.output for job in waiting],
        done=len(jobs) - len(waiting),
        tasks=len(tasks_of(waiting)),
        drivings=len({job.driving for job in waiting}),
        sources=len({job.source for job in waiting}),
    )


def tasks_of(jobs: Sequence[Job]) -> list[Task]:
    """Jobs of one network and one driving together, those of one source after each other.

    Tasks of one network follow each other, so that processes seldom load another one.
    """
    networks: dict[str, dict[str, dict[str, list[Job]]]] = {}
    for job in jobs:
        network = repr([job.options.get(name) for name in ("weights", "device", "precision", "compile")])
        sources = networks.setdefault(network, {}).setdefault(job.driving, {})
        sources.setdefault(job.source, []).append(job)
    tasks = []
    for drivings in networks.values():
        for sources in drivings.values():
            together = [job for of_source in sources.values() for job in of_source]
            tasks += [
                Task(tuple(together[start : start + JOBS_PER_TASK]))
                for start in range(0, len(together), JOBS_PER_TASK)
            ]
    return tasks


def checked(request: BatchRequest) -> tuple[list[Job], FilmMaker]:
    """All jobs and what makes their films, once everything is checked that can be before the work."""
    folder, jobs, outputs = Path.cwd(), list[Job](), dict[str, Job]()
    new_folder = _new_folder(request, folder)
    weights: dict[str | None, JobWeights] = {}
    devices: set[str] = set()
    for job in request.read():
        try:
            asked = job.options.get("weights")
            if asked not in weights:
                weights[asked] = _usable(asked, request.fetch)
            devices.add(job.options.get("device", "auto"))
            _check(job, folder, new_folder)
        except McnetError as error:
            raise at(job.place, error) from error
        other = outputs.setdefault(os.path.realpath(job.output), job)
        if other is not job:
            raise UsageError(
                f"{job.place}: {shown(job.output)} is the output of {other.place} too",
                hint="give each job an output of its own",
            )
        jobs.append(job)
    maker = FilmMaker(
        folder=folder,
        weights=tuple(weights.values()),
        overwrite=request.overwrite,
        resume=request.resume,
        run=secrets.token_hex(8),
        gpu=any(choose_device(device).type == "cuda" for device in devices),
    )
    for job in jobs:
        if not maker.may_replace(job):
            try:
                check_free(folder / job.output, overwrite=False)
            except McnetError as error:
                raise at(job.place, error) from error
    return jobs, maker


def _new_folder(request: BatchRequest, folder: Path) -> Path | None:
    """The folder for films whose job names no output."""
    return None if request.output is None else folder / request.output


def _check(job: Job, folder: Path, new_folder: Path | None) -> None:
    """UsageError for options that make no sense, and for an output that can't be one.

    new_folder: is made when the work begins, if it isn't there.
    """
    asked = job.request(folder)
    if output_kind(job.output) in ("pattern", "stdout"):
        raise UsageError(
            f"the output {shown(job.output)}: each job makes one file",
            hint="take .mp4, .mov, .mkv, .webm, .gif or .webp",
        )
    planned(asked, job.output)
    if asked.crop_json is not None and not asked.crop_json.exists():
        raise UsageError(
            f"--crop-json {shown(asked.crop_json)}: isn't there, and a batch writes none",
            hint="mcnet animate --crop-json writes one",
        )
    film = folder / job.output
    check_free(film, overwrite=True, inputs=asked.inputs)
    if not film.parent.is_dir() and film.parent != new_folder:
        raise UsageError(
            f"can't write {shown(job.output)}: there is no folder {shown(Path(job.output).parent)}",
            hint="make it first",
        )


def _usable(asked: str | None, fetch: Fetch) -> JobWeights:
    """Weights, read once here so that none fails when other films have been made."""
    path = resolve_weights(asked, fetch=fetch)
    read_weights(path)
    name = weights_name(asked)
    return JobWeights(asked, name if entry_of(name) else str(path.absolute()), sha256_of(path))


@contextlib.contextmanager
def _folders(folder: Path | None, parents: Iterable[Path]) -> Iterator[None]:
    """Makes the folder for the films. At the end empty folders go: that one, and those of records.

    parents: the folders of all films, beside which records are.
    """
    with contextlib.nullcontext() if folder is None else made_folders(folder):
        try:
            yield
        finally:
            for parent in parents:
                with contextlib.suppress(OSError):
                    (parent / RECORDS).rmdir()

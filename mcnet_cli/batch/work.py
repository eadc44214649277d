"""The work on the jobs of one driving, as every engine does it: each film, then its record.

A record is a small file for each film, in `batch.records` beside the films. It is begun before the work on a
film and completed after it. A film appears whole or not at all, so a record that was only begun tells enough:
the job is done if the film isn't the one that was there before.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mcnet_cli.animation import AnimationRequest
from mcnet_cli.animation.films import Caches, animate_with
from mcnet_cli.batch.jobs import Job
from mcnet_cli.batch.report import JobResult
from mcnet_cli.devices import limit_threads
from mcnet_cli.engines import MAX_ATTEMPTS, Tell, Work
from mcnet_cli.errors import McnetError, SystemFailure, shown
from mcnet_cli.files import (
    SYSTEM_ERRNOS,
    atomic_output,
    make_folder,
    stamp_of,
    sweep_partials,
    system_failure,
)
from mcnet_cli.progress import silent

RECORDS, RECORD_FORMAT = "batch.records", 1

Stamp = tuple[int, int]  # size in bytes, time in nanoseconds
# A job at which so many processes have died is left out by the next one, which goes on with the task.
MAX_DEATHS = MAX_ATTEMPTS - 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a film.

    wanted: digest of all that it depends on. before: the film that was there when the work began, None for
    none. replaces: whether that one was the batch's own. made: the film when the work ended, None while it
    goes on. run: which run began the work. attempts: how often it has begun it. facts: for reports.
    """

    wanted: str
    before: Stamp | None
    replaces: bool
    made: Stamp | None
    run: str
    attempts: int
    facts: dict[str, Any]
    format: int = RECORD_FORMAT

    def owns(self, film: Path) -> bool:
        """Whether the film that is there, if there is one, was made by the batch."""
        stamp = stamp_of(film)
        return stamp is None or self.is_of(stamp) or (self.replaces and stamp == self.before)

    def is_of(self, stamp: Stamp | None) -> bool:
        """Whether a film with this stamp is what the recorded work has made."""
        return stamp is not None and (stamp == self.made if self.made else stamp != self.before)


def record_path(film: Path) -> Path:
    """The file of a film's record."""
    digest = hashlib.sha256(os.fsencode(film.name)).hexdigest()[:24]
    return film.parent / RECORDS / f"{digest}.json"


def read_record(film: Path) -> Record | None:
    """A film's record, if there is a readable one."""
    try:
        values = json.loads(record_path(film).read_text(encoding="ascii"))
        if values["format"] != RECORD_FORMAT:
            return None
        for name in ("before", "made"):
            values[name] = values[name] and tuple(values[name])
        return Record(**values)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_record(film: Path, record: Record) -> None:
    """Writes a film's record; SystemFailure if the disk fails."""
    path = record_path(film)
    make_folder(path.parent)
    with atomic_output(path, overwrite=True) as part:
        part.write_text(json.dumps(asdict(record), separators=(",", ":")), encoding="ascii")


def begin_record(film: Path, wanted: str, run: str) -> Record:
    """Writes that the work on a film begins. Attempts of the same run are counted."""
    known = read_record(film)
    if known is not None and (known.wanted, known.run, known.made) == (wanted, run, None):
        record = replace(known, attempts=known.attempts + 1)
    else:
        replaces = known is not None and known.owns(film)
        record = Record(wanted, stamp_of(film), replaces, None, run, 1, {})
    write_record(film, record)
    return record


def wanted_of(request: AnimationRequest, weights: str) -> str:
    """A digest of all that a film depends on: options, inputs with their sizes and times, and `weights`."""
    values = {name: value for name, value in vars(request).items() if name not in ("fetch", "overwrite")}
    files = [*request.inputs, *([] if request.crop_json is None else [request.crop_json])]
    text = repr((sorted(values.items()), [stamp_of(path) for path in files], weights))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Task:
    """Jobs of one driving and one network, one after the other in one process."""

    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class JobWeights:
    """Weights that jobs name.

    asked: as they do, None for the default. used: a name or path that all processes understand alike. sha256:
    of the file.
    """

    asked: str | None
    used: str
    sha256: str


@dataclass(frozen=True)
class FilmMaker(Work[Task, Caches, list[JobResult]]):
    """Makes the films of a batch.

    folder: that relative paths start from. weights: of all jobs. overwrite: replace films that are not the
    batch's own. resume: keep films that are done. run: a name of this run. threads: of each process. gpu:
    whether a job computes on one.
    """

    folder: Path
    weights: tuple[JobWeights, ...]
    overwrite: bool
    resume: bool
    run: str
    threads: int = 1
    gpu: bool = False

    @property
    def uses_gpu(self) -> bool:
        """Whether a job computes on a GPU."""
        return self.gpu

    def prepare(self) -> Caches:
        """Empty caches. The process uses its share of the processors, if not less is asked for."""
        limit_threads(self.threads)
        return Caches()

    def do(self, item: Task, state: Caches, tell: Tell) -> list[JobResult]:
        """Makes what is left to make of a task, and tells each result.

        Raises SystemFailure, which concerns all jobs; anything else that goes wrong is that job's failure.
        """
        results = []
        for job in item.jobs:
            results.append(self.film(job, state))
            tell(results[-1])
        return results

    def done_before(self, job: Job) -> JobResult | None:
        """The result of a job whose film is there, None if it has to be made."""
        film = self._film(job)
        record = read_record(film)
        if record is None or not record.is_of(stamp_of(film)) or record.wanted != self._wanted(job):
            return None
        if not self.resume and record.run != self.run:
            return None
        facts: Mapping[str, Any] = record.facts
        return _result(job, "before" if record.run != self.run else "done", **facts)

    def may_replace(self, job: Job) -> bool:
        """Whether a job may write its film: none is there, or the batch's own, or it was allowed."""
        film = self._film(job)
        record = read_record(film)
        return self.overwrite or stamp_of(film) is None or (record is not None and record.owns(film))

    def film(self, job: Job, caches: Caches) -> JobResult:
        """Makes a film, unless it is done."""
        film = self._film(job)
        try:
            if result := self.done_before(job):
                return result
            record = begin_record(film, self._wanted(job), self.run)
            if record.attempts > 1:  # a process has died of it before
                sweep_partials(film, older_s=0)
            if record.attempts > MAX_DEATHS:
                record_path(film).unlink(missing_ok=True)
                return _result(job, "failed", error=f"the process that worked on it died, {MAX_DEATHS} times")
            try:
                request = self._request(job, overwrite=self.may_replace(job))
                (made,) = animate_with(caches, request, silent).results
            except BaseException:
                if stamp_of(film) == record.before:
                    record_path(film).unlink(missing_ok=True)
                raise
            facts = {
                "frames": made.frames,
                "rate": str(made.rate),
                "seconds": round(made.seconds, 3),
                "no_face": made.no_face,
                "bridged": made.bridged,
                "damaged": made.damaged,
            }
            write_record(film, replace(record, made=stamp_of(film), facts=facts))
            return _result(job, "done", **facts)
        except SystemFailure:
            raise
        except McnetError as error:
            return _result(job, "failed", error=str(error), hint=error.hint)
        except MemoryError as error:
            raise SystemFailure(f"out of memory at {job.place}", hint="take fewer --workers") from error
        except Exception as error:  # libraries may raise anything, and the other jobs must go on
            if isinstance(error, OSError) and error.errno in SYSTEM_ERRNOS:
                raise system_failure(error, film) from error
            log.debug("%s", job.place, exc_info=True)
            return self._fault(job, error)

    def note_crash(self, item: Task) -> list[JobResult]:
        """Results of a task whose process died in every attempt, with films of those attempts."""
        error = f"the process that worked on it died, {MAX_ATTEMPTS} times"
        return [self.done_before(job) or _result(job, "failed", error=error) for job in item.jobs]

    def note_fault(self, item: Task, error: Exception) -> list[JobResult]:
        """Results of a task at which the program failed outside of its jobs."""
        return [self.done_before(job) or self._fault(job, error) for job in item.jobs]

    def _fault(self, job: Job, error: Exception) -> JobResult:
        reason = f"mcnet failed at it ({type(error).__name__}: {shown(str(error).split(chr(10))[0])})"
        return _result(job, "failed", error=reason)

    def _film(self, job: Job) -> Path:
        return self.folder / job.output

    def _weights(self, job: Job) -> JobWeights:
        return next(weights for weights in self.weights if weights.asked == job.options.get("weights"))

    def _request(self, job: Job, *, overwrite: bool = False) -> AnimationRequest:
        request = job.request(self.folder, overwrite=overwrite)
        return replace(request, weights=self._weights(job).used)

    def _wanted(self, job: Job) -> str:
        return wanted_of(self._request(job), self._weights(job).sha256)


def _result(job: Job, status: Any, **facts: Any) -> JobResult:
    return JobResult(job.place, job.source, job.driving, job.output, status, **facts)

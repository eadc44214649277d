"""The work on the jobs of one driving, as every engine does it: each film, then its record."""

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcnet_cli.animation import AnimationRequest
from mcnet_cli.animation.animate import animate_with
from mcnet_cli.animation.kept import Kept
from mcnet_cli.batch.jobs import Job
from mcnet_cli.batch.records import (
    begin,
    read_record,
    record_path,
    wanted_of,
    write_record,
)
from mcnet_cli.batch.report import JobResult
from mcnet_cli.devices import limit_threads
from mcnet_cli.engines import MAX_ATTEMPTS, Tell, Work
from mcnet_cli.errors import McnetError, SystemFailure, shown
from mcnet_cli.files import SYSTEM_ERRNOS, stamp_of, sweep_partials, system_failure
from mcnet_cli.progress import silent

# After so many deaths of a process at a job, the next process leaves it out, and goes on with the task.
MAX_DEATHS = MAX_ATTEMPTS - 1

log = logging.getLogger(__name__)


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
class FilmMaker(Work[Task, Kept, list[JobResult]]):
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

    def prepare(self) -> Kept:
        """Nothing is kept yet. The process uses its share of the processors, if not less is asked for."""
        limit_threads(self.threads)
        return Kept()

    def do(self, item: Task, state: Kept, tell: Tell) -> list[JobResult]:
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

    def film(self, job: Job, kept: Kept) -> JobResult:
        """Makes a film, unless it is done."""
        film = self._film(job)
        try:
            if result := self.done_before(job):
                return result
            record = begin(film, self._wanted(job), self.run)
            if record.attempts > 1:  # the process that was at it before has died
                sweep_partials(film, older_s=0)
            if record.attempts > MAX_DEATHS:
                record_path(film).unlink(missing_ok=True)
                return _result(job, "failed", error=f"the process that worked on it died, {MAX_DEATHS} times")
            try:
                request = self._request(job, overwrite=self.may_replace(job))
                (made,) = animate_with(kept, request, silent).results
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
            write_record(film, dataclasses.replace(record, made=stamp_of(film), facts=facts))
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
        return dataclasses.replace(request, weights=self._weights(job).used)

    def _wanted(self, job: Job) -> str:
        return wanted_of(self._request(job), self._weights(job).sha256)


def _result(job: Job, status: Any, **facts: Any) -> JobResult:
    return JobResult(job.place, job.source, job.driving, job.output, status, **facts)

"""Jobs and their queue: one job runs at a time, and the others wait for their turn."""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mcnet_cli.errors import Failure, counted
from mcnet_cli.progress import OnProgress, Progress
from mcnet_cli.web.errors import TooMuch, Unknown, report_bug
from mcnet_cli.web.settings import Limits

State = Literal["queued", "running", "done", "failed", "cancelled"]
MAX_ENDED_JOBS = 1000  # jobs that have ended


class Cancelled(Exception):  # noqa: N818 - a wish, no error
    """Raised from within a job's work to end it, because its visitor has cancelled it."""


@dataclass(frozen=True, slots=True)
class Film:
    """What a job has made. name: what it is called when it is saved. warnings: what was left out, and why."""

    path: Path
    name: str
    frames: int
    rate: float
    warnings: tuple[str, ...] = ()


Work = Callable[[OnProgress], Film]


@dataclass(eq=False)
class Job:
    """One film that is to be made.

    Args:
        visitor: whose it is.
        command: the command line that makes the same.
        work: makes the film.
    """

    visitor: str
    command: str
    work: Work
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    state: State = "queued"
    film: Film | None = None
    failure: Failure | None = None
    progress: Progress | None = None
    _wanted: bool = True
    _stage_began: float = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("done", "failed", "cancelled")

    def cancel(self) -> None:
        """Ends the work before its next frame."""
        self._wanted = False

    def tell(self, progress: Progress) -> None:
        """Notes how far the work has come. Raises Cancelled if the visitor has cancelled it."""
        if not self._wanted:
            raise Cancelled
        if self.progress is None or progress.stage != self.progress.stage:
            self._stage_began = time.monotonic()
        self.progress = progress

    def run(self, explain: Callable[[BaseException], Failure]) -> None:
        """Does the work, in this thread."""
        self.state = "running"
        try:
            if not self._wanted:
                raise Cancelled
            self.film = self.work(self.tell)
            self.state = "done"
        except Cancelled:
            self.state = "cancelled"
        except Exception as error:
            self.failure = explain(error)
            if self.failure.is_bug:
                report_bug(error)
            self.state = "failed"

    def as_json(self, place: int | None) -> dict[str, Any]:
        """What the visitor may know. place: in the queue, from 1 for the next; None if it doesn't wait."""
        return {
            "id": self.id,
            "state": self.state,
            "place": place,
            "progress": self._progress_as_json(),
            "command": self.command,
            "error": self.failure and self.failure.as_json(),
            "film": None
            if self.film is None
            else {
                "url": f"/jobs/{self.id}/film",
                "name": self.film.name,
                "frames": self.film.frames,
                "rate": self.film.rate,
                "warnings": [*self.film.warnings],
            },
        }

    def _progress_as_json(self) -> dict[str, Any] | None:
        progress = self.progress
        if progress is None:
            return None
        seconds = time.monotonic() - self._stage_began
        rate = progress.done / seconds if seconds > 0 else None
        left = (progress.total - progress.done) / rate if rate and progress.total else None
        return {
            "stage": progress.stage,
            "done": progress.done,
            "total": progress.total,
            "unit": progress.unit,
            "per_second": rate and round(rate, 2),
            "seconds_left": left and round(left, 1),
        }


class Queue:
    """Runs jobs one after the other, in a thread of its own.

    explain: says in words what went wrong. Leaving the block cancels what waits and what runs.
    """

    def __init__(self, limits: Limits, explain: Callable[[BaseException], Failure]) -> None:
        self._limits, self._explain = limits, explain
        self._jobs: dict[str, Job] = {}
        self._changed = threading.Condition()  # its lock is reentrant
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)

    def __enter__(self) -> "Queue":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closing = True
            for job in self._jobs.values():
                job.cancel()
            self._changed.notify_all()
        self._thread.join()

    @property
    def busy(self) -> frozenset[str]:
        """Visitors whose jobs wait or run."""
        with self._changed:
            return frozenset(job.visitor for job in self._jobs.values() if not job.has_ended)

    def submit(self, job: Job) -> None:
        """Puts a job at the end of the queue. TooMuch if it is full, or if the visitor has a job in it."""
        with self._changed:
            unfinished = [other for other in self._jobs.values() if not other.has_ended]
            if any(other.visitor == job.visitor for other in unfinished):
                raise TooMuch("your last film isn't done yet", hint="wait for it, or cancel it")
            if len(unfinished) >= self._limits.queue:
                raise TooMuch(
                    f"the queue of {counted(len(unfinished), 'film')} is full", hint="try again later"
                )
            ended = [other.id for other in self._jobs.values() if other.has_ended]
            for old in ended[: max(0, len(ended) - MAX_ENDED_JOBS)]:
                del self._jobs[old]
            self._jobs[job.id] = job
            self._changed.notify_all()

    def job(self, name: str) -> Job:
        """The job of that id."""
        with self._changed:
            if name not in self._jobs:
                raise Unknown("there is no such job, or no more", hint="start it again")
            return self._jobs[name]

    def place(self, job: Job) -> int | None:
        """Its place among the jobs that wait, from 1; None if it runs or has ended."""
        with self._changed:
            waiting = [other for other in self._jobs.values() if other.state == "queued"]
            return waiting.index(job) + 1 if job in waiting else None

    def cancel(self, job: Job) -> None:
        """Takes a job out of the queue, or has it end before its next frame."""
        with self._changed:
            job.cancel()
            if job.state == "queued":
                job.state = "cancelled"

    def cancel_all(self, visitor: str) -> None:
        """Cancels what a visitor has in the queue."""
        with self._changed:
            for job in self._jobs.values():
                if job.visitor == visitor:
                    self.cancel(job)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._next() is not None)
                job = self._next()
                if self._closing or job is None:
                    return
                job.state = "running"
            job.run(self._explain)

    def _next(self) -> Job | None:
        return next((job for job in self._jobs.values() if job.state == "queued"), None)

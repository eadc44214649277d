"""What a batch has done or would do, for each job and in sum, as text for people and JSON for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mcnet_cli import __version__
from mcnet_cli.errors import counted, shown


@dataclass(frozen=True, slots=True)
class JobResult:
    """What has become of a job.

    place: where it was asked for. status: `before` if the film was there from an earlier run. seconds: of the
    work on it; reading the driving and encoding the source count for the first job that needs them. error,
    hint: why it failed.
    """

    place: str
    source: str
    driving: str
    output: str
    status: Literal["done", "before", "failed"]
    frames: int = 0
    rate: str = ""
    seconds: float = 0.0
    no_face: int = 0
    bridged: int = 0
    damaged: bool = False
    error: str | None = None
    hint: str | None = None

    def as_json(self) -> dict[str, Any]:
        """A line of `--json`."""
        return {"job": self.place, **{name: value for name, value in asdict(self).items() if name != "place"}}

    def as_text(self) -> str:
        """One line."""
        if self.status == "failed":
            return f"{self.place}: {self.error}"
        faceless = f", {self.no_face} without a face" if self.no_face else ""
        hidden = f", {self.bridged} bridged" if self.bridged else ""
        damaged = ", driving damaged" if self.damaged else ""
        return f"{shown(self.output)}: {self.frames} frames{faceless}{hidden}{damaged}, {self.seconds:.1f} s"


@dataclass(frozen=True, slots=True)
class BatchReport:
    """A finished batch: its jobs in their order, and the seconds that it took."""

    results: Sequence[JobResult]
    seconds: float

    @property
    def failures(self) -> list[JobResult]:
        """Jobs without a film."""
        return [result for result in self.results if result.status == "failed"]

    def _count(self, status: str) -> int:
        return sum(result.status == status for result in self.results)

    def as_json(self) -> dict[str, Any]:
        """The last line of `--json`."""
        return {
            "version": __version__,
            "jobs": len(self.results),
            "done": self._count("done"),
            "done_before": self._count("before"),
            "failed": self._count("failed"),
            "frames": sum(result.frames for result in self.results if result.status == "done"),
            "seconds": round(self.seconds, 3),
        }

    def as_text(self) -> str:
        """The sums."""
        done, before, failures = self._count("done"), self._count("before"), len(self.failures)
        each = f", {self.seconds / done:.2f} s a film" if done else ""
        earlier = f", {before} done before" if before else ""
        failed = f", {failures} failed" if failures else ""
        return (
            f"{done} of {counted(len(self.results), 'film')} in {self.seconds:.1f} s{each}{earlier}{failed}"
        )


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What a batch would do.

    waiting: outputs of jobs that are left to do. done: how many are done. tasks: how many parts processes
    would take one after the other, each of one driving. drivings, sources: how many would be read.
    """

    waiting: Sequence[str]
    done: int
    tasks: int
    drivings: int
    sources: int

    def as_json(self) -> dict[str, Any]:
        """The object that `--dry-run --json` prints."""
        return {"version": __version__, "dry_run": True, "done_before": self.done} | {
            name: value for name, value in asdict(self).items() if name != "done"
        }

    def as_text(self) -> str:
        """One line a film, and the sums."""
        sums = (
            f"{counted(len(self.waiting), 'film')} to make of {counted(self.sources, 'source')} and "
            f"{counted(self.drivings, 'driving')}, in {counted(self.tasks, 'task')}; "
            f"{self.done} done before; nothing was written"
        )
        return "\n".join([*map(shown, self.waiting), sums])

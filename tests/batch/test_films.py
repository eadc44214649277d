"""Films of a batch: those of `mcnet animate`, made once, kept, and made again when they have to be."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from animation_tools import write_tiny
from batch_tools import PLAIN, asked, planned, write_jobs

from mcnet_cli import engines
from mcnet_cli.animation.films import Caches
from mcnet_cli.batch import BatchRequest, JobResult
from mcnet_cli.batch.batch import checked
from mcnet_cli.batch.jobs import Job
from mcnet_cli.batch.work import MAX_DEATHS, RECORDS, FilmMaker, Task, begin_record, read_record
from mcnet_cli.cli import main
from mcnet_cli.errors import SystemFailure, UsageError
from mcnet_cli.files import partial_name, stamp_of

PAIRS = [(source, driving) for source in ("anna", "bert") for driving in ("clip0", "clip1")]
JOBS = [
    {"source": f"{source}.png", "driving": f"{driving}.mp4", "output": f"{source}-{driving}.mp4"}
    for source, driving in PAIRS
]


@pytest.fixture(autouse=True)
def _here(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(inputs)


@pytest.fixture
def jobs(inputs: Path) -> Path:
    return write_jobs(inputs / "jobs.jsonl", JOBS)


def made(request: BatchRequest) -> list[JobResult]:
    """The work on a request, in this process."""
    maker, tasks = planned(request)
    kept, told = Caches(), list[JobResult]()
    results = [result for task in tasks for result in maker.do(task, kept, told.append)]
    assert told == results
    return results


def films(folder: Path) -> dict[str, bytes]:
    """The films that jobs have made, by name."""
    return {job["output"]: path.read_bytes() for job in JOBS if (path := folder / job["output"]).exists()}


def test_films_are_those_of_separate_commands(jobs: Path, inputs: Path) -> None:
    results = made(asked(jobs))
    assert {(result.status, result.frames) for result in results} == {("done", 3), ("done", 4)}
    options = [word for name, value in PLAIN.items() for word in (f"--{name}", value)]
    words = ["anna.png", "clip1.mp4", "-o", "alone.mp4", "-w", "tiny.safetensors", "-q"]
    assert main(["animate", *words, *options]) == 0
    assert (inputs / "alone.mp4").read_bytes() == films(inputs)["anna-clip1.mp4"]


def test_a_second_run_makes_what_is_missing_and_nothing_else(jobs: Path, inputs: Path) -> None:
    write_jobs(jobs, JOBS[:2])
    made(asked(jobs))
    before = films(inputs)
    (inputs / "anna-clip0.mp4").unlink()
    assert [result.output for result in made(asked(jobs))] == ["anna-clip0.mp4"]
    assert films(inputs) == before
    assert made(asked(jobs)) == []
    assert len(made(asked(jobs, resume=False))) == 2


@pytest.mark.parametrize("changed", ["options", "source", "driving", "weights"])
def test_films_of_other_options_or_files_are_made_again(inputs: Path, changed: str) -> None:
    jobs = write_jobs(inputs / "jobs.jsonl", JOBS[:2])
    made(asked(jobs))
    before = films(inputs)
    if changed == "options":
        write_jobs(jobs, [JOBS[0], {**JOBS[1], "strength": 0.3}])
    else:
        one, other = {
            "source": ("bert.png", "anna.png"),
            "driving": ("clip0.mp4", "clip1.mp4"),
            "weights": ("other.safetensors", "tiny.safetensors"),
        }[changed]
        if changed == "weights":
            write_tiny(inputs / one, seed=5)
        shutil.copy(inputs / one, inputs / other)
    again = [result.output for result in made(asked(jobs))]
    both = [job["output"] for job in JOBS[:2]]
    assert again == (both if changed in ("source", "weights") else both[1:])
    assert {name for name, film in films(inputs).items() if film != before[name]} == {*again}


def test_what_is_not_the_batch_s_own_is_replaced_only_if_asked_for(jobs: Path, inputs: Path) -> None:
    write_jobs(jobs, JOBS[:1])
    (inputs / "anna-clip0.mp4").write_bytes(b"somebody's")
    with pytest.raises(UsageError, match=r"line 1: .*anna-clip0\.mp4 exists already"):
        checked(asked(jobs))
    assert len(made(asked(jobs, overwrite=True))) == 1
    assert made(asked(jobs, overwrite=True)) == [], "and then it is the batch's own"
    (inputs / "anna-clip0.mp4").write_bytes(b"somebody's again")
    with pytest.raises(UsageError, match="exists already"):
        checked(asked(jobs))


def test_a_job_that_fails_is_told_and_tried_again_and_the_others_go_on(jobs: Path, inputs: Path) -> None:
    (inputs / "clip0.mp4").write_bytes(b"no film" * 50)
    results = {result.output: result for result in made(asked(jobs))}
    bad = [result for result in results.values() if result.status == "failed"]
    assert {result.driving for result in bad} == {"clip0.mp4"}
    assert all("clip0.mp4 is not a video" in str(result.error) for result in bad)
    assert len(films(inputs)) == len([*(inputs / RECORDS).iterdir()]) == 2
    shutil.copy(inputs / "clip1.mp4", inputs / "clip0.mp4")
    assert {result.status for result in made(asked(jobs))} == {"done"}


def test_a_killed_run_s_whole_film_counts_and_an_old_one_does_not(jobs: Path, inputs: Path) -> None:
    maker, tasks = planned(asked(jobs))
    job, film = tasks[0].jobs[0], inputs / "anna-clip0.mp4"
    first = maker.film(job, Caches())
    record = read_record(film)
    assert record is not None
    film.rename(inputs / "whole")
    begin_record(film, record.wanted, "killed")
    assert maker.done_before(job) is None, "it was killed before there was a film"
    (inputs / "whole").rename(film)
    assert maker.done_before(job) is not None, "it was killed when the film was there"
    begin_record(film, "other options", "killed")
    begin_record(film, record.wanted, "killed again")
    assert maker.done_before(job) is None, "it was killed while the old film was still there"
    assert maker.may_replace(job)
    assert maker.film(job, Caches()).frames == first.frames


def test_a_job_at_which_processes_die_is_left_out_by_the_next_one(jobs: Path, inputs: Path) -> None:
    maker, tasks = planned(asked(jobs))
    dead, alive = tasks[0].jobs
    record = maker.film(dead, Caches()) and read_record(inputs / dead.output)
    assert record is not None
    (inputs / dead.output).unlink()
    for _ in range(MAX_DEATHS):
        begin_record(inputs / dead.output, record.wanted, maker.run)
    partial_name(inputs / dead.output).touch()
    results = maker.do(tasks[0], Caches(), lambda _: None)
    assert [result.status for result in results] == ["failed", "done"]
    assert "died, 2 times" in str(results[0].error)
    assert not [*inputs.glob(".*.part*")]
    other = FilmMaker(**{**vars(maker), "run": "another"})
    assert other.film(dead, Caches()).status == "done", "another run tries it again"
    assert [r.status for r in other.note_crash(Task((dead, alive)))] == ["done", "before"]


def test_a_full_disk_ends_the_run_and_leaves_no_record(jobs: Path, inputs: Path) -> None:
    maker, tasks = planned(asked(jobs))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # a record is smaller, and a film larger
    try:
        with pytest.raises(SystemFailure, match=r"anna-clip0\.mp4"):
            maker.do(tasks[0], Caches(), lambda _: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not [*(inputs / RECORDS).iterdir()]


class Fragile(FilmMaker):
    """Dies once at the second film of each driving, like a process that the system kills."""

    def film(self, job: Job, kept: Caches) -> JobResult:
        mark = self.folder / f"killed-{job.driving}"
        if job.source == "bert.png" and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().film(job, kept)


@pytest.mark.slow
@pytest.mark.parametrize("engine", engines.ENGINES)
def test_a_killed_worker_costs_one_film_of_its_driving(jobs: Path, inputs: Path, engine: str) -> None:
    made(asked(jobs))
    alone = films(inputs)
    for name in alone:
        (inputs / name).unlink()
    maker, tasks = planned(asked(jobs))
    fragile = Fragile(**vars(maker))
    results: dict[str, JobResult] = {}
    for event in engines.run(fragile, tasks, engine, 2):
        for result in event.result or ([] if event.news is None else [event.news]):
            results.setdefault(result.output, result)
    assert {path.name for path in inputs.glob("killed-*")} == {"killed-clip0.mp4", "killed-clip1.mp4"}
    assert {name: result.status for name, result in results.items()} == dict.fromkeys(alone, "done")
    assert films(inputs) == alone
    begun = [read_record(inputs / name) for name in alone]
    assert {record.attempts for record in begun if record is not None} == {1}, "no film was made twice"


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(jobs: Path, inputs: Path) -> None:
    options = {**PLAIN, "weights": "tiny.safetensors"}
    words = ["batch", str(jobs), "--workers", "1"]
    words += [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    line = [sys.executable, "-m", "mcnet_cli", *words]
    child = subprocess.Popen(line, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not films(inputs) and time.monotonic() < until:
        time.sleep(0.01)
    child.kill()
    child.wait()
    whole = {name: stamp_of(inputs / name) for name in films(inputs)}
    assert whole
    assert subprocess.run(line, stderr=subprocess.DEVNULL, timeout=120).returncode == 0
    assert len(films(inputs)) == 4
    assert {name: stamp_of(inputs / name) for name in whole} == whole
    assert not [path for path in inputs.rglob("*") if ".part" in path.name]

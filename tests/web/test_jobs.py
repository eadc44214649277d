"""The queue of `mcnet web`: one job at a time, in order, with places, and cancelled when that is wanted."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mcnet_cli.cli._console import explain
from mcnet_cli.errors import InputError
from mcnet_cli.progress import OnProgress, Progress
from mcnet_cli.web.errors import TooMuch, Unknown
from mcnet_cli.web.jobs import Film, Job, Queue
from mcnet_cli.web.settings import Limits

LONGEST_S = 20
FILM = Film(Path("film.mp4"), "film.mp4", 5, 25.0)


class Held:
    """Work that goes on to its next frame when it is let."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, tell: OnProgress) -> Film:
        tell(Progress("rendering", 1, 5))
        self.begun.set()
        assert self.go_on.wait(LONGEST_S)
        tell(Progress("rendering", 2, 5))
        return FILM


def quick(tell: OnProgress) -> Film:
    tell(Progress("rendering", 5, 5))
    return FILM


def ended(job: Job, queue: Queue) -> Job:
    """The job, after the queue has nothing left to do for its visitor."""
    for _ in range(100 * LONGEST_S):
        if job.visitor not in queue.busy:
            return job
        threading.Event().wait(0.01)
    raise AssertionError(job.state)


def test_one_job_runs_and_the_others_wait_in_their_order() -> None:
    order: list[str] = []

    def noted(name: str) -> Callable[[OnProgress], Film]:
        def work(_tell: OnProgress) -> Film:
            order.append(name)
            return FILM

        return work

    held = Held()
    jobs = [Job("a", "", held), Job("b", "", noted("b")), Job("c", "", noted("c"))]
    with Queue(Limits(), explain) as queue:
        for job in jobs:
            queue.submit(job)
        assert held.begun.wait(LONGEST_S)
        assert [job.state for job in jobs] == ["running", "queued", "queued"]
        assert [queue.place(job) for job in jobs] == [None, 1, 2]
        assert queue.busy == {"a", "b", "c"}
        progress = jobs[0].as_json(None)["progress"]
        assert (progress["stage"], progress["done"], progress["total"]) == ("rendering", 1, 5)
        assert progress["seconds_left"] >= 0
        held.go_on.set()
        assert ended(jobs[2], queue).as_json(None)["film"]["frames"] == 5
    assert [job.state for job in jobs] == ["done", "done", "done"]
    assert order == ["b", "c"]


def test_a_waiting_job_that_is_cancelled_leaves_the_queue_and_never_runs() -> None:
    held = Held()
    first, second, third = Job("a", "", held), Job("b", "", pytest.fail), Job("c", "", quick)
    with Queue(Limits(), explain) as queue:
        for job in (first, second, third):
            queue.submit(job)
        assert held.begun.wait(LONGEST_S)
        queue.cancel(second)
        assert (second.state, queue.place(third)) == ("cancelled", 1)
        held.go_on.set()
        assert ended(third, queue).state == "done"


def test_a_running_job_that_is_cancelled_stops_before_its_next_frame() -> None:
    held = Held()
    job = Job("a", "", held)
    with Queue(Limits(), explain) as queue:
        queue.submit(job)
        assert held.begun.wait(LONGEST_S)
        queue.cancel(job)
        assert job.state == "running"
        held.go_on.set()
        assert ended(job, queue).state == "cancelled"
        assert job.progress is not None
        assert job.progress.done == 1


def test_closing_the_queue_cancels_what_runs_and_what_waits() -> None:
    held = Held()
    jobs = [Job("a", "", held), Job("b", "", pytest.fail)]
    with Queue(Limits(), explain) as queue:
        for job in jobs:
            queue.submit(job)
        assert held.begun.wait(LONGEST_S)
        held.go_on.set()
        queue.cancel_all("b")
    assert jobs[0].state in ("cancelled", "done")
    assert jobs[1].state == "cancelled"


def test_an_error_ends_its_job_alone_in_words(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_tell: OnProgress) -> Film:
        raise InputError("a.png: no face was found", hint="say where it is")

    def has_a_bug(_tell: OnProgress) -> Film:
        raise ZeroDivisionError

    jobs = [Job("a", "", fails), Job("b", "", has_a_bug), Job("c", "", quick)]
    with Queue(Limits(), explain) as queue:
        for job in jobs:
            queue.submit(job)
        assert ended(jobs[2], queue).state == "done"
    wanted = {"code": 3, "message": "a.png: no face was found", "hint": "say where it is"}
    assert jobs[0].as_json(None)["error"] == wanted
    assert jobs[1].as_json(None)["error"]["code"] == 1
    assert "has_a_bug" in caplog.text  # with its traceback


def test_a_visitor_has_one_job_at_a_time_and_the_queue_has_an_end() -> None:
    held = Held()
    with Queue(Limits(queue=2), explain) as queue:
        queue.submit(Job("a", "", held))
        with pytest.raises(TooMuch, match="your last film"):
            queue.submit(Job("a", "", quick))
        last = Job("b", "", quick)
        queue.submit(last)
        with pytest.raises(TooMuch, match="queue of 2 films"):
            queue.submit(Job("c", "", quick))
        held.go_on.set()
        ended(last, queue)
        queue.submit(Job("a", "", quick))


def test_an_unknown_job_is_unknown() -> None:
    with Queue(Limits(), explain) as queue, pytest.raises(Unknown):
        queue.job("0" * 32)

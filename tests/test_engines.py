"""What all work can count on, whichever command's it is. The commands' own tests let processes die."""

import logging
import os
import signal
from typing import Any

import pytest

from mcnet_cli.engines import Event, Tell, Work, run_here, run_locally
from mcnet_cli.engines.work import MAX_ATTEMPTS

log = logging.getLogger("mcnet_cli.test_engines")


class Doubling(Work[int, list[int], tuple[int, int]]):
    """Doubles numbers, and says how many its process has doubled before."""

    uses_gpu = False

    def prepare(self) -> list[int]:
        return []

    def do(self, item: int, state: list[int], tell: Tell) -> tuple[int, int]:
        state.append(item)
        log.warning("working on %d", item)
        log.debug("not worth telling")
        tell(f"begun {item}")
        return 2 * item, len(state)

    def note_crash(self, item: int) -> tuple[int, int]:
        return -1, os.getpid()

    def note_fault(self, item: int, error: Exception) -> tuple[int, int]:
        raise error


class Ended(Doubling):
    """Is asked to end, and again while it undoes what it has begun."""

    def do(self, item: int, state: list[int], tell: Tell) -> tuple[int, int]:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            tell("undone")
            # of a signal that arrives while its handler is changed for SIG_IGN Python prints a traceback
            tell(callable(signal.getsignal(signal.SIGTERM)))
        return super().do(item, state, tell)


def told(events: Any, news: list[Any]) -> dict[int, tuple[int, int]]:
    """The results by their items; news of events come to the others."""
    results = {}
    for event in events:
        assert isinstance(event, Event)
        if event.news is not None:
            news.append(event.news)
        if event.finished is not None:
            results[event.finished] = event.result
    return results


@pytest.mark.parametrize("here", [True, False])
def test_a_process_prepares_once_and_tells_news_results_and_its_log(
    here: bool, caplog: pytest.LogCaptureFixture
) -> None:
    news: list[Any] = []
    work = Doubling()
    events = run_here(work, [3, 4], work.prepare(), news.append) if here else run_locally(work, [3, 4], 1)
    assert told(events, news) == {3: (6, 1), 4: (8, 2)}
    assert news == ["begun 3", "begun 4"]
    assert [record.getMessage() for record in caplog.records] == ["working on 3", "working on 4"]


def test_a_process_that_ends_is_not_disturbed_by_further_signals() -> None:
    news: list[Any] = []
    assert [*told(run_locally(Ended(), [3], 1), news)] == [3]
    assert news == ["undone", True] * MAX_ATTEMPTS

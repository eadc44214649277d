"""What all tests share."""

import gc
import logging
import os
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

# Tests run in several processes, so each computes in one thread; torch reads this when it is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A job in the background ignores Ctrl-C, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="fail where a test skips, unless it needs GPU, network, display or browser",
    )


def pytest_collection_finish() -> None:
    """`mcnet` collects garbage when it ends, and would search all modules that the tests have loaded."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With `--no-skips`, tests fail that skip for want of more than a GPU, the internet, Xvfb or Chromium."""
    report = yield
    needs = {mark.name for mark in item.iter_markers()} & {"gpu", "network", "display", "browser"}
    if report.skipped and not needs and item.config.getoption("no_skips"):
        report.outcome, report.longrepr = "failed", f"{item.nodeid} skips: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def _quiet_logger() -> Iterator[None]:
    """The command line takes over the package's logger; the next test gets it back as it was."""
    logger = logging.getLogger("mcnet_cli")
    before = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = before[:2]
    logger.setLevel(before[2])


@pytest.fixture
def mcnet(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., CompletedProcess[str]]]:
    """Runs `mcnet WORDS...` within this process, which has loaded torch already: that takes seconds."""
    from mcnet_cli.cli import main

    def run(*words: str | Path) -> CompletedProcess[str]:
        capfd.readouterr()
        code = main([*map(str, words)])
        return CompletedProcess(words, code, *capfd.readouterr())

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)

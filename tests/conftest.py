"""What all tests share."""

import logging
import os
import signal
from collections.abc import Iterator

import pytest

# Tests run in several processes, so each computes in one thread; torch reads this when it is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A job in the background ignores Ctrl-C, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _quiet_logger() -> Iterator[None]:
    """The command line takes over the package's logger; the next test gets it back as it was."""
    logger = logging.getLogger("mcnet_cli")
    before = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = before[:2]
    logger.setLevel(before[2])

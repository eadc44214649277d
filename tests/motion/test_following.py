"""A driving followed by a process of its own is followed as it is here."""

import logging
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from places import EXAMPLES, ROOT

from mcnet_cli.checkpoint import weights_landmarks
from mcnet_cli.errors import InputError
from mcnet_cli.media import open_frames, write_image
from mcnet_cli.motion.following import FINDING, Order, following_ahead
from mcnet_cli.progress import Progress, silent
from mcnet_cli.weights import resolve_weights


def order(path: Path = EXAMPLES / "driving.mp4", **options: object) -> Order:
    """To follow the first frames of a driving."""
    exact = weights_landmarks(resolve_weights())
    assert exact
    opened = partial(open_frames, path, max_frames=4)
    values = {"which": "largest", "whole": False, "requires_face": False, "level": logging.WARNING} | options
    return Order(opened=opened, exact=exact, **values)  # type: ignore[arg-type]


def test_a_process_of_its_own_finds_what_is_found_here() -> None:
    asked, told = order(), list[Progress]()
    here = asked.done(silent)
    with following_ahead(asked) as ahead:
        assert ahead is not None
        there = ahead.result(told.append)
    assert there is not None
    assert np.array_equal(there.track.exact, here.track.exact)
    assert np.array_equal(there.track.landmarks, here.track.landmarks)
    assert (there.path, there.frame_rate, there.frames_read) == (here.path, here.frame_rate, 4)
    assert (there.width, there.height, there.sound) == (here.width, here.height, here.sound)
    assert [(each.stage, each.done) for each in told] == [(FINDING, number) for number in range(1, 5)]


def test_its_errors_are_those_of_following_here(tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    write_image(empty, np.zeros((64, 64, 3), np.uint8))
    with (
        following_ahead(order(empty)) as ahead,
        pytest.raises(InputError, match="no face was found") as error,
    ):
        assert ahead is not None
        ahead.result(silent)
    assert error.value.hint is not None


def test_nothing_comes_of_a_process_that_dies() -> None:
    with following_ahead(order()) as ahead:
        assert ahead is not None
        ahead._child.process.kill()
        assert ahead.result(silent) is None


def test_the_process_ends_with_the_block() -> None:
    with following_ahead(order()) as ahead:
        assert ahead is not None
    assert ahead._child.process.poll() is not None


def test_what_is_wrong_with_files_is_told_without_torch() -> None:
    script = (
        "import sys\nfrom mcnet_cli.cli import main\n"
        "assert main(['animate', 'none.jpg', 'none.mp4']) == 3\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_the_landmarks_of_weights_are_known_by_their_header(tmp_path: Path) -> None:
    landmarks = weights_landmarks(resolve_weights("lite"))
    assert landmarks is not None and {61, 291} < {*landmarks}
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\x00" * 64)
    assert weights_landmarks(broken) is None

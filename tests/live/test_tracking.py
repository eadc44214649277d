"""Landmarks that a process of its own finds are those that this one finds."""

from functools import partial
from itertools import islice

import numpy as np
import pytest
from places import EXAMPLES

from mcnet_cli.arrays import Picture
from mcnet_cli.errors import SystemFailure
from mcnet_cli.face import STEADY_LOOKS, BlazeFaceDetector, FaceMesh, FaceTracker
from mcnet_cli.face.topology import OUTER
from mcnet_cli.live.tracking import Tracking, TrackingHere, tracking_beside
from mcnet_cli.media import open_frames

EXACT = (61, 291, OUTER[0])  # hair is followed from frame to frame


def frames() -> list[Picture]:
    """The first frames of the example."""
    with open_frames(EXAMPLES / "driving.mp4", max_frames=4) as opened:
        return list(islice(opened, 4))


def found(tracking: Tracking) -> list[np.ndarray]:
    """What it finds in two frames that are kept, in two that are not, and in one after a restart."""
    first, second, third, fourth = frames()
    tracks = [tracking.add(first, keeps=True).exact.copy(), tracking.add(second, keeps=True).exact.copy()]
    tracks += [tracking.add(third, keeps=False).exact.copy(), tracking.add(fourth, keeps=False).exact.copy()]
    tracking.restart()
    return [*tracks, tracking.add(third, keeps=True).exact.copy()]


def test_a_process_of_its_own_finds_what_is_found_here() -> None:
    here = TrackingHere(partial(FaceTracker, BlazeFaceDetector(), FaceMesh(STEADY_LOOKS)), EXACT)
    expected = found(here)
    assert [len(points) for points in expected] == [1, 2, 1, 1, 1]
    with tracking_beside("largest", EXACT) as beside:
        for points, here_points in zip(found(beside), expected, strict=True):
            assert np.array_equal(points, here_points)


def test_a_process_that_has_ended_is_told() -> None:
    with tracking_beside("largest", EXACT) as beside:
        beside._child.process.kill()
        beside._child.process.wait()
        with pytest.raises(SystemFailure, match="follows the face"):
            beside.add(frames()[0], keeps=True)

"""The figures of one clip, gathered frame by frame."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.animation.pictures import Picture
from mcnet_cli.evaluation.request import COPY
from mcnet_cli.evaluation.suite import Suite
from mcnet_cli.face import LIDS, MOUTH, FaceTracker, opening
from mcnet_cli.metrics import correlation, l1, landmark_distance, psnr, ssim

Points = NDArray[Any]
FindPoints = Callable[[Picture], Points | None]
REFERENCE_PX = 256  # landmarks' distances are given for this size
OPENINGS = {"mouth": MOUTH, "eyes": LIDS}


class ClipMeter:
    """Measures frames of one clip against the driving's.

    suite: what is measured. trackers: meshes of the driving's faces and of the made ones. points: the same
    for `akd`, None to take the meshes. faceless: made frames without a face where the driving has one; they
    don't count for figures from landmarks.
    """

    def __init__(
        self,
        suite: Suite,
        source: Picture,
        trackers: tuple[FaceTracker, FaceTracker],
        points: FindPoints | None,
    ) -> None:
        self._suite = suite
        self._source = source
        self._trackers = trackers
        self._points = points
        self._values: dict[str, list[float]] = {}
        self._openings: dict[str, list[tuple[float, float]]] = {}
        self.faceless = 0

    def add(self, real: list[Picture], made: list[Picture]) -> None:
        """The next frames, (S, S, 3) each."""
        for truth, result in zip(real, made, strict=True):
            if "l1" in self._suite.measured:
                self._note("l1", l1(result, truth))
                self._note("copy", l1(self._source, truth))
            for name, measure in (("psnr", psnr), ("ssim", ssim)):
                if name in self._suite.measured:
                    self._note(name, measure(result, truth))
            if {"akd", *OPENINGS}.intersection(self._suite.measured):
                self._compare_faces(result, truth)
        if self._suite.lpips is not None:
            for distance in self._suite.lpips.compare(np.stack(made), np.stack(real)):
                self._note("lpips", distance)

    def figures(self) -> dict[str, float]:
        """Means over frames, and correlations; NaN where nothing could be measured."""
        means = {name: float(np.mean(values)) for name, values in self._values.items()}
        found = {}
        for name in self._suite.measured:
            if name in OPENINGS:
                pairs = self._openings.get(name, [])
                found[name] = correlation([a for a, _ in pairs], [b for _, b in pairs])
            else:
                found[name] = means.get(name, math.nan)
            if name == "l1":
                found[COPY] = means["l1"] / means["copy"] if means["copy"] else math.nan
        return found

    def _compare_faces(self, made: Picture, real: Picture) -> None:
        meshes = [tracker(picture) for tracker, picture in zip(self._trackers, (made, real), strict=True)]
        a, b = (None if mesh is None else mesh.points for mesh in meshes)
        wanted = [name for name in OPENINGS if name in self._suite.measured]
        if a is not None and b is not None:
            for name in wanted:
                pair = float(opening(a, OPENINGS[name])), float(opening(b, OPENINGS[name]))
                self._openings.setdefault(name, []).append(pair)
        if "akd" in self._suite.measured and self._points is not None:
            a, b = self._points(made), self._points(real)
        self.faceless += a is None and b is not None
        if "akd" in self._suite.measured and a is not None and b is not None:
            self._note("akd", landmark_distance(a, b) * REFERENCE_PX / len(real))

    def _note(self, name: str, value: float) -> None:
        self._values.setdefault(name, []).append(value)

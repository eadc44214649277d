"""What figures are measured with, loaded once; which can't be measured here, and why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.devices import Compute
from mcnet_cli.errors import McnetError, UsageError, WeightsError
from mcnet_cli.evaluation.request import FIGURES, RECONSTRUCTION, EvaluationRequest
from mcnet_cli.face import STEADY_LOOKS, Detector, FaceMesh, FaceTracker, Landmarks, make_detector
from mcnet_cli.face.face_alignment import FaceAlignmentDetector
from mcnet_cli.metrics import LPIPS, PerceptualDistance, Recognizer, load_lpips, load_perceptual
from mcnet_cli.weights import resolve_file
from mcnet_cli.weights.registry import entry_of

Picture = NDArray[np.uint8]
Points = NDArray[Any]

BACKBONE = "alexnet"  # of LPIPS, by its name among the weights
MESH_POINTS = "mean of |dx| and |dy| of the face mesh's 468 points"
LIBRARY_POINTS = "mean of |dx| and |dy| of face-alignment's 68 points"
NO_TRUTH = UsageError(
    "it compares with real frames, and across people there are none",
    hint=f"take --protocol {RECONSTRUCTION}",
)
NO_PERCEPTUAL = WeightsError(
    "it needs a perceptual network, which is not installed", hint="install mcnet-cli[train]"
)


@dataclass(frozen=True)
class Instruments:
    """What figures are measured with, loaded once.

    wanted: figures by protocol, without those that can't be measured here. skipped: these, and what stands in
    the way. lpips, looks, recognizer: None where no figure needs them.
    """

    detector: Detector
    mesh: FaceMesh
    wanted: Mapping[str, tuple[str, ...]]
    skipped: Mapping[str, McnetError] = field(default_factory=dict)
    lpips: LPIPS | None = None
    looks: PerceptualDistance | None = None
    recognizer: Recognizer | None = None

    @property
    def find_points(self) -> Callable[[Picture], Points | None] | None:
        """What finds the points for `akd`; None for the meshes, which are found anyway."""
        return self.detector.points if isinstance(self.detector, FaceAlignmentDetector) else None

    @property
    def landmarks(self) -> str:
        """What `akd` compares."""
        return MESH_POINTS if self.find_points is None else LIBRARY_POINTS

    def detected(self, picture: Picture) -> Landmarks | None:
        """The largest face of a picture; None without a face."""
        return FaceTracker(self.detector, self.mesh)(picture)


def choose_instruments(request: EvaluationRequest, compute: Compute) -> Instruments:
    """Loads what the metrics need; raises the obstacle itself if nothing is left to measure in a protocol.

    A face recognition network that was named and can't be used is an error, never skipped.
    """
    skipped: dict[str, McnetError] = {}
    asked = {protocol: request.wanted(protocol) for protocol in request.protocols}
    names = {name for metrics in asked.values() for name in metrics}
    lpips, looks, recognizer = None, None, None
    if RECONSTRUCTION not in request.protocols:
        skipped |= {name: NO_TRUTH for name in names if FIGURES[name].needs_truth}
    if request.recognizer is not None:
        recognizer = Recognizer(_recognizer_file(request))
    if "lpips" in names - skipped.keys():
        try:
            lpips = load_lpips(resolve_file(BACKBONE, fetch=request.fetch), compute.device)
        except WeightsError as error:
            skipped["lpips"] = error
    if "identity" in names:
        looks = load_perceptual()
        if looks is None:
            skipped["identity"] = NO_PERCEPTUAL
        else:
            looks.to(compute.device)
    wanted = {
        protocol: tuple(
            name
            for name in metrics
            if name not in skipped and not (FIGURES[name].needs_truth and protocol != RECONSTRUCTION)
        )
        for protocol, metrics in asked.items()
    }
    for protocol, measured in wanted.items():
        if not measured:
            name = asked[protocol][0]
            obstacle = skipped.get(name, NO_TRUTH)
            raise type(obstacle)(f"--metrics {name}: {obstacle}", hint=obstacle.hint)
    detector = make_detector(request.detector, str(compute.device))
    return Instruments(detector, FaceMesh(STEADY_LOOKS), wanted, skipped, lpips, looks, recognizer)


def _recognizer_file(request: EvaluationRequest) -> Path:
    """By a registered name or a hub address, else a path."""
    assert request.recognizer is not None
    if entry_of(request.recognizer) is not None:
        return resolve_file(request.recognizer, fetch=request.fetch)
    return Path(request.recognizer)

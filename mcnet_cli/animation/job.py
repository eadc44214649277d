"""What a run needs, loaded when it is first needed and in the order that fails early."""

from functools import cached_property
from pathlib import Path

from mcnet_cli.animation.crops import Crops
from mcnet_cli.animation.engine import Engine
from mcnet_cli.animation.extraction import Driving, read_driving
from mcnet_cli.animation.pictures import Picture
from mcnet_cli.animation.report import AnimationReport, AnimationResult
from mcnet_cli.animation.request import AnimationRequest, OnProgress, is_motion_file
from mcnet_cli.animation.sources import Source, look_at
from mcnet_cli.checkpoint import Weights, read_weights
from mcnet_cli.devices import Compute, choose
from mcnet_cli.face import (
    STEADY_LOOKS,
    Detector,
    FaceMesh,
    FaceTracker,
    Framing,
    Landmarks,
    faces_in,
    make_detector,
)
from mcnet_cli.files import require_regular_file
from mcnet_cli.weights import resolve_weights


class Job:
    """A request and the tools for it; InputError at once if one of its files isn't there."""

    def __init__(self, request: AnimationRequest, on_progress: OnProgress) -> None:
        self.request = request
        self.on_progress = on_progress
        for path in (*request.sources, request.driving):
            if not (path == request.driving and path.is_dir()):
                require_regular_file(path)
        self.crops = Crops(request)

    def load(self) -> None:
        """Loads the network, so that it fails now if it can't be loaded."""
        _ = self.engine

    @cached_property
    def compute(self) -> Compute:
        """Device and precision."""
        return choose(self.request.device, self.request.precision)

    @cached_property
    def weights(self) -> Weights:
        """The checked weights file."""
        return read_weights(resolve_weights(self.request.weights, fetch=self.request.fetch))

    @cached_property
    def engine(self) -> Engine:
        """The network on its device."""
        return Engine(
            self.weights, self.compute, batch_size=self.request.batch_size, compiled=self.request.compile
        )

    @property
    def framing(self) -> Framing:
        """How the weights want faces cropped."""
        return Framing.PAPER if self.weights.framing is None else Framing(**self.weights.framing)

    @property
    def detects(self) -> bool:
        """Whether any face is looked for; with both crops `none` the pictures are taken as they are."""
        return not self.request.source_crop == self.request.driving_crop == "none"

    @property
    def detector_name(self) -> str | None:
        """The face detector that runs, None if none does."""
        return self._detector.name if self.detects else None

    @cached_property
    def _detector(self) -> Detector:
        return make_detector(self.request.detector)

    @cached_property
    def _mesh(self) -> FaceMesh:
        return FaceMesh(STEADY_LOOKS)

    def look_at(self, path: Path) -> Source:
        """Finds the faces of a source."""
        return look_at(
            path,
            self.request,
            self.framing,
            boxes=self.crops.source(path),
            find_faces=self._find_faces if self.detects else None,
        )

    def read_driving(self, *, whole_landmarks: bool) -> Driving:
        """Reads the driving."""
        tracks = self.detects and not is_motion_file(self.request.driving)
        return read_driving(
            self.request,
            self.engine,
            self.framing,
            box=self.crops.driving,
            tracker=FaceTracker(self._detector, self._mesh) if tracks else None,
            whole_landmarks=whole_landmarks,
            on_progress=self.on_progress,
        )

    def _find_faces(self, photo: Picture) -> list[Landmarks]:
        return faces_in(photo, self._detector, self._mesh)

    def report(self, results: list[AnimationResult]) -> AnimationReport:
        """What was done."""
        return AnimationReport(
            device=str(self.compute.device),
            precision=self.compute.precision,
            why=self.compute.why,
            weights=self.weights.path,
            detector=self.detector_name,
            results=tuple(results),
        )

"""Where one pair after the other is made and measured."""

from collections.abc import Callable

from mcnet_cli.animation.pictures import Picture
from mcnet_cli.evaluation.measure import ClipMeter, Points
from mcnet_cli.evaluation.moving import Mover
from mcnet_cli.evaluation.pairs import Pair
from mcnet_cli.evaluation.report import ClipResult
from mcnet_cli.evaluation.sheet import Strips
from mcnet_cli.evaluation.suite import Suite
from mcnet_cli.face import Detector, FaceMesh, FaceTracker
from mcnet_cli.face.face_alignment import FaceAlignmentDetector

MESH_POINTS = "mean of |dx| and |dy| of the face mesh's 468 points"
LIBRARY_POINTS = "mean of |dx| and |dy| of face-alignment's 68 points"


class Bench:
    """All that measuring needs besides the pair. strips: keeps a picture of each, None for none."""

    def __init__(
        self,
        mover: Mover,
        detector: Detector,
        mesh: FaceMesh,
        suite: Suite,
        strips: Strips | None,
    ) -> None:
        self._mover, self._detector, self._mesh = mover, detector, mesh
        self._suite, self._strips = suite, strips

    @property
    def landmarks(self) -> str:
        """What `akd` compares."""
        return MESH_POINTS if self._points is None else LIBRARY_POINTS

    def measure(self, pair: Pair, number: int, on_batch: Callable[[], None]) -> ClipResult:
        """Makes and measures one pair, the `number`-th that succeeds; InputError if it can't be used."""
        on_batch()
        moved = self._mover.move(pair, on_batch)
        trackers = (FaceTracker(self._detector, self._mesh), FaceTracker(self._detector, self._mesh))
        meter = ClipMeter(self._suite, moved.source, trackers, self._points)
        middle, done = len(moved) // 2, 0
        for real, made in moved:
            meter.add(real, made)
            if self._strips is not None and done <= middle < done + len(made):
                self._strips.keep(number, moved.source, real[middle - done], made[middle - done])
            done += len(made)
            on_batch()
        return ClipResult(
            source=pair.source.name,
            driving=pair.driving.name,
            frames=done,
            no_face=moved.driving.no_face,
            faceless=meter.faceless,
            damaged=moved.driving.damaged,
            figures=meter.figures(),
        )

    @property
    def _points(self) -> Callable[[Picture], Points | None] | None:
        """What finds the points for `akd`; None for the meshes, which are found anyway."""
        return self._detector.points if isinstance(self._detector, FaceAlignmentDetector) else None

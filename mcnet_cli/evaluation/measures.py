"""The figures of one clip, gathered frame by frame; pictures are looked at and forgotten.

`Instruments` are what figures are measured with, loaded once; which can't be measured here, and why.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import Picture
from mcnet_cli.devices import Compute
from mcnet_cli.errors import McnetError, UsageError, WeightsError
from mcnet_cli.evaluation.movements import Expressions, Mean, Points, Trace
from mcnet_cli.evaluation.request import FIGURES, RECONSTRUCTION, EvaluationRequest
from mcnet_cli.face import (
    CAREFUL_LOOKS,
    FACE_SCORE,
    Detector,
    FaceMesh,
    FaceTracker,
    Landmarks,
    Region,
    make_detector,
    resample,
)
from mcnet_cli.face.face_alignment import FaceAlignmentDetector
from mcnet_cli.face.outer import after, similarity, upper_face
from mcnet_cli.face.sampling import box_transform
from mcnet_cli.installed import install_line
from mcnet_cli.metrics import (
    FACE_PX,
    LPIPS,
    TEMPLATE,
    PerceptualDistance,
    Recognizer,
    embedding_cosine,
    embedding_distance,
    error_within,
    five_points,
    flow_agreement,
    head_flow,
    inner_mouth_mask,
    l1,
    landmark_distance,
    load_lpips,
    load_perceptual,
    mouth_mask,
    psnr,
    relative_distance,
    sharpness,
    ssim,
    unlikeness,
)
from mcnet_cli.weights import resolve_file
from mcnet_cli.weights.registry import entry_of

BACKBONE = "alexnet"  # of LPIPS, by its name among the weights
AKD_OF_MESH = "mean of |dx| and |dy| of the face mesh's 468 points"
AKD_OF_LIBRARY = "mean of |dx| and |dy| of face-alignment's 68 points"
NO_TRUTH = UsageError(
    "it compares with real frames, and across people there are none",
    hint=f"take --protocol {RECONSTRUCTION}",
)
NO_PERCEPTUAL = WeightsError(
    "it needs a perceptual network, which is not installed", hint=install_line("train")
)
REFERENCE_PX = 256  # AKD is given for pictures of this size
IDENTITY_PX = 128  # side of the faces that the perceptual network compares
FACES_AT_ONCE = 8
PICTURES = {"l1", "psnr", "ssim", "lpips", "flow", "sharpness"}  # figures that need no mesh


@dataclass(frozen=True)
class Instruments:
    """What figures are measured with, loaded once.

    wanted: figures by protocol, without those that can't be measured here. skipped: those, and the error that
    says why. lpips, perceptual, recognizer: None where no figure needs them.
    """

    detector: Detector
    mesh: FaceMesh
    wanted: Mapping[str, tuple[str, ...]]
    skipped: Mapping[str, McnetError] = field(default_factory=dict)
    lpips: LPIPS | None = None
    perceptual: PerceptualDistance | None = None
    recognizer: Recognizer | None = None

    @property
    def find_points(self) -> Callable[[Picture], Points | None] | None:
        """What finds the points for `akd`; None for the meshes, which are found anyway."""
        return self.detector.points if isinstance(self.detector, FaceAlignmentDetector) else None

    @property
    def landmarks(self) -> str:
        """What `akd` compares."""
        return AKD_OF_MESH if self.find_points is None else AKD_OF_LIBRARY

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
    lpips, perceptual, recognizer = None, None, None
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
        perceptual = load_perceptual()
        if perceptual is None:
            skipped["identity"] = NO_PERCEPTUAL
        else:
            perceptual.to(compute.device)
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
    return Instruments(detector, FaceMesh(CAREFUL_LOOKS), wanted, skipped, lpips, perceptual, recognizer)


def _recognizer_file(request: EvaluationRequest) -> Path:
    """By a registered name or a hub address, else a path."""
    assert request.recognizer is not None
    if entry_of(request.recognizer) is not None:
        return resolve_file(request.recognizer, fetch=request.fetch)
    return Path(request.recognizer)


class FaceReader:
    """Meshes of one face in frames that may be far apart in time.

    The mesh always runs twice, the second time where the first has found the face: that is steadier than
    `FaceTracker`, which follows a face through every frame, and slower. start: the region in which the last
    frame was searched, None if all of it was.
    """

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._region: Region | None = None
        self.start: Region | None = None

    def __call__(self, picture: Picture, near: Region | None = None) -> Landmarks | None:
        """The face in the next frame; None without one. near: where it is looked for, else where it was."""
        self.start = near or self._region
        found = None if self.start is None else self._instruments.mesh(picture, self.start)
        if found is None or found.score <= FACE_SCORE:
            found = self._instruments.detected(picture)
        self._region = None if found is None else found.region
        return found


class ClipMeter:
    """Measures the frames of one clip against those of its driving.

    names: figures. source: (S, S, 3), what is moved. truth: whether the driving's frames are what made ones
    should be; then they have the same size, and faces are recognized by them, otherwise by the source.
    faceless: made frames without a face where the driving has one; figures from landmarks leave them out.
    """

    def __init__(
        self, instruments: Instruments, names: tuple[str, ...], source: Picture, *, truth: bool
    ) -> None:
        self._instruments, self._names, self._source, self._truth = instruments, names, source, truth
        self._readers = FaceReader(instruments), FaceReader(instruments)
        self._means: dict[str, tuple[Mean, Mean]] = {name: (Mean(), Mean()) for name in names}
        self._expressions = Expressions()
        self._traces = Trace(), Trace()
        self._faces: list[tuple[Picture, Picture]] = []
        needs_source = {"identity", *(() if truth else ("aed", "csim"))}
        own = instruments.detected(source) if needs_source.intersection(names) else None
        self._own = None if own is None else own.points
        self._embedding: NDArray[np.float32] | None = None
        self.faceless = 0

    def add(self, real: Picture, made: Picture) -> None:
        """The next frame of the driving, and the one made for it, (S, S, 3)."""
        self._compare_pictures(real, made)
        if not PICTURES.issuperset(self._names):
            self._compare_faces(real, made)

    def figures(self) -> dict[str, float]:
        """By name; NaN where nothing could be measured."""
        self._compare_identities()
        found: dict[str, float] = {}
        for name in self._names:
            result, other = self._means[name]
            found[name] = result.over(other) if other.weight else result.value
            if name == "l1":
                found["l1"], found["error_over_copy"] = result.value, result.over(other)
        made, real = self._traces
        series = {
            **self._expressions.figures(),
            "motion": made.reach / real.reach if real.reach else math.nan,
            "jitter": made.jitter / real.jitter if real.jitter else math.nan,
        }
        return found | {name: series[name] for name in self._names if name in series}

    def _note(self, name: str, made: float, other: float | None = None) -> None:
        """A frame's value; of ratios the other one, too, by which the mean is divided."""
        self._means[name][0].add(made)
        if other is not None:
            self._means[name][1].add(other)

    def _compare_pictures(self, real: Picture, made: Picture) -> None:
        for name in self._names:
            match name:
                case "l1":
                    self._note(name, l1(made, real), l1(self._source, real))
                case "psnr":
                    self._note(name, psnr(made, real))
                case "ssim":
                    self._note(name, ssim(made, real))
                case "lpips":
                    assert self._instruments.lpips is not None
                    (distance,) = self._instruments.lpips.compare(made[None], real[None])
                    self._note(name, distance)
                case "flow":
                    flows = head_flow(self._source, made), head_flow(self._source, real)
                    self._note(name, flow_agreement(*flows))
                case "sharpness":
                    self._note(name, sharpness(made), sharpness(real))

    def _compare_faces(self, real: Picture, made: Picture) -> None:
        read_made, read_real = self._readers
        goal = read_real(real)
        # where there is a truth, both are looked at alike, so that equal frames have equal meshes
        found = read_made(made, read_real.start if self._truth else None)
        ours, theirs = (None if face is None else face.points for face in (found, goal))
        if theirs is not None:
            self._compare_mouths(real, made, theirs)
        if found is not None and goal is not None:
            self._expressions.add(found, goal)
            self._compare_meshes(real, made, found.points, goal.points)
        else:
            for trace in self._traces:
                trace.gap()
        if self._instruments.find_points is not None and "akd" in self._names:
            ours, theirs = self._instruments.find_points(made), self._instruments.find_points(real)
        self.faceless += ours is None and theirs is not None
        if "akd" in self._names and ours is not None and theirs is not None:
            self._note("akd", landmark_distance(ours, theirs) * REFERENCE_PX / len(real))

    def _compare_mouths(self, real: Picture, made: Picture, points: Points) -> None:
        """Errors where the driving's mouth is; no face need be seen in the made frame."""
        regions = {"mouth_over_copy": mouth_mask, "inner_mouth_over_copy": inner_mouth_mask}
        for name, region in regions.items():
            if name in self._names and (mask := region(points, (len(real), len(real)))).any():
                self._note(name, error_within(made, real, mask), error_within(self._source, real, mask))

    def _compare_meshes(self, real: Picture, made: Picture, ours: Points, theirs: Points) -> None:
        """The figures that need (468, 2) meshes of the made and of the driving's face."""
        if "landmarks" in self._names:
            self._note("landmarks", relative_distance(ours, theirs))
        for trace, points in zip(self._traces, (ours, theirs), strict=True):
            trace.add(points)
        if "identity" in self._names and self._own is not None:
            self._faces.append((face_like(self._own, made, ours), face_like(self._own, real, theirs)))
            if len(self._faces) == FACES_AT_ONCE:
                self._compare_identities()
        if {"aed", "csim"}.intersection(self._names):
            self._recognize(aligned(made, ours), aligned(real, theirs))

    def _recognize(self, made: Picture, real: Picture) -> None:
        """Compares aligned faces: with the real one if there is a truth, otherwise with the source's."""
        recognizer = self._instruments.recognizer
        assert recognizer is not None
        if self._truth:
            expected = recognizer(real)
        elif self._own is None:
            return
        else:
            if self._embedding is None:
                self._embedding = recognizer(aligned(self._source, self._own))
            expected = self._embedding
        seen = recognizer(made)
        for name, measure in (("aed", embedding_distance), ("csim", embedding_cosine)):
            if name in self._names:
                self._note(name, measure(seen, expected))

    def _compare_identities(self) -> None:
        """Compares the faces kept in `_faces` with the source's, notes their distances, and drops them."""
        if not self._faces:
            return
        assert self._instruments.perceptual is not None and self._own is not None
        own = face_like(self._own, self._source, self._own)
        for mean, faces in zip(self._means["identity"], zip(*self._faces, strict=True), strict=True):
            mean.add(unlikeness(self._instruments.perceptual, np.stack(faces), own), len(faces))
        self._faces.clear()


def face_like(upright: Points, picture: Picture, points: Points) -> Picture:
    """(128, 128, 3): the face of a picture, its upper part laid on the (468, 2) mesh `upright`."""
    low, extent = upright.min(0).astype(np.float64), np.ptp(upright, axis=0).astype(np.float64)
    box = box_transform(low[0], low[1], extent[0], extent[1], (IDENTITY_PX, IDENTITY_PX))
    onto = similarity(*(mesh[upper_face()].astype(np.float64) for mesh in (points, upright)))
    return resample(picture, after(box, onto), (IDENTITY_PX, IDENTITY_PX))


def aligned(picture: Picture, points: Points) -> Picture:
    """(112, 112, 3): the face of a (468, 2) mesh, laid on the template of face recognition networks."""
    # whole numbers are corners of pixels here, and centres in the template
    onto = similarity(five_points(points), TEMPLATE + 0.5)
    return resample(picture, onto, (FACE_PX, FACE_PX), border="black")

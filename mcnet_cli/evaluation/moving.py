"""Making clips anew, by the steps of `mcnet animate`: frames out, one after the other."""

import functools
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from mcnet_cli.animation.engine import Engine
from mcnet_cli.animation.extraction import Driving, read_driving
from mcnet_cli.animation.pictures import Picture
from mcnet_cli.animation.pipeline import invertible
from mcnet_cli.animation.rendering import driving_pictures
from mcnet_cli.animation.request import AnimationRequest
from mcnet_cli.animation.retarget import PreparedMotion, keypoints_for, prepare_motion
from mcnet_cli.animation.sources import EncodedFace, Source, SourceFace, encode
from mcnet_cli.errors import InputError, shown
from mcnet_cli.evaluation.pairs import Pair
from mcnet_cli.evaluation.request import RECONSTRUCTION, EvaluationRequest
from mcnet_cli.face import Detector, FaceMesh, FaceTracker, Framing, choose_face, faces_in
from mcnet_cli.media import open_frames
from mcnet_cli.media.clips import ClipPath


class Mover:
    """Moves the first frames of clips by whole clips, nothing cropped.

    Reconstruction takes keypoints as they are, each frame by itself; reenactment carries relative motion
    over, as `mcnet animate` does by default, with the smoothing that the weights ask for.
    """

    def __init__(
        self,
        request: EvaluationRequest,
        engine: Engine,
        smooth: float | None,
        detector: Detector,
        mesh: FaceMesh,
    ) -> None:
        self._request = request
        self._engine = engine
        self._detector, self._mesh = detector, mesh
        self._is_reconstruction = request.protocol == RECONSTRUCTION
        self._smooth = None if self._is_reconstruction else smooth

    def move(self, pair: Pair, on_batch: Callable[[], None]) -> "Moved":
        """Reads both clips; InputError if one of them can't be used."""
        request = AnimationRequest(
            sources=(),
            driving=pair.driving.path,
            source_crop="none",
            driving_crop="none",
            motion="absolute" if self._is_reconstruction else "relative",
            max_frames=self._request.max_frames,
        )
        photo = first_frame(pair.source)
        if pair.driving != pair.source:
            first_frame(pair.driving)
        face = self._encoded(pair.source, photo)
        driving = read_driving(
            request,
            self._engine,
            Framing(),
            box=None,
            tracker=self._tracker(),
            whole_landmarks=False,
            on_progress=lambda _progress: on_batch(),
        )
        prepared = prepare_motion(driving.motion, request, self._smooth)
        rows = prepared.rows[:: self._request.every]
        if self._is_reconstruction:
            rows = rows[1:]  # the first frame is the source itself
        if not len(rows):
            count, every = len(prepared.rows), self._request.every
            raise InputError(f"{shown(pair.driving.path)} has {count} frames, too few with --every {every}")
        return Moved(self._engine, request, face, driving, replace(prepared, rows=rows))

    def _encoded(self, clip: ClipPath, photo: Picture) -> EncodedFace:
        """As a source with the crop `none`, its landmarks known if there is a face."""
        faces = faces_in(photo, self._detector, self._mesh) if self._tracks else []
        points = choose_face(faces, "largest").points if faces else None
        source = Source(clip.path, (photo.shape[1], photo.shape[0]), (SourceFace(None, points),))
        (face,) = encode(source, photo, self._engine)
        return face

    @property
    def _tracks(self) -> bool:
        """Whether landmarks matter: as keypoints, or to find the best reference for relative motion."""
        return self._engine.landmarks is not None or not self._is_reconstruction

    def _tracker(self) -> FaceTracker | None:
        return FaceTracker(self._detector, self._mesh) if self._tracks else None


@dataclass(frozen=True, slots=True)
class Moved:
    """A pair whose motion is known; the frames are made when they are iterated over."""

    engine: Engine
    request: AnimationRequest
    face: EncodedFace
    driving: Driving
    prepared: PreparedMotion

    def __len__(self) -> int:
        return len(self.prepared.rows)

    @property
    def source(self) -> Picture:
        """(S, S, 3), as the network saw it."""
        return self.face.picture

    def __iter__(self) -> Iterator[tuple[list[Picture], list[Picture]]]:
        """Batches of the driving's frames and of those made for them, (S, S, 3) each."""
        motion = keypoints_for(self.face, self.prepared, self.request, self.engine)
        rows, size = self.prepared.rows, self.engine.size
        render = functools.partial(self.engine.render, self.face.state)
        with (
            invertible(self.engine.path),
            closing(driving_pictures(self.request, self.driving, rows, size)) as real,
            closing(self.engine.in_order(render, motion)) as results,
        ):
            for made in results:
                yield [next(real) for _ in made], [*made]


def first_frame(clip: ClipPath) -> Picture:
    """A clip's first frame; InputError if there is none, or it isn't square."""
    with open_frames(clip.path, max_frames=1) as frames:
        if frames.width != frames.height:
            raise InputError(f"{shown(clip.path)} is {frames.width}x{frames.height}, not square")
        for frame in frames:
            return frame
    raise InputError(f"{shown(clip.path)}: there are no frames in it")

"""From a driving to its motion. Frames are looked at one by one and never kept."""

import logging
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mcnet_cli.animation.engine import Engine
from mcnet_cli.animation.landmark_track import LandmarkTrack
from mcnet_cli.animation.motion import Floats, Motion
from mcnet_cli.animation.motion_file import read_motion
from mcnet_cli.animation.pictures import Picture, on_square, resized
from mcnet_cli.animation.request import AnimationRequest, OnProgress, Progress, is_motion_file
from mcnet_cli.errors import InputError, shown
from mcnet_cli.face import CropBox, FaceTracker, Framing, clip_box, crop
from mcnet_cli.media import FrameSource, open_frames
from mcnet_cli.media.frames import Span
from mcnet_cli.model import ModelConfig

FINDING, READING = "finding the face in the driving", "reading the driving"
TRACKED_PX = 256  # a given crop is looked at for a face in this size

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Driving:
    """A driving that has been read.

    motion: raw, a row a frame. box: what was cropped from each frame, None for nothing. no_face: frames
    without a face. audio: a file with sound, which starts at audio_start_s; None for none.
    """

    motion: Motion
    box: CropBox | None
    no_face: int
    audio: Path | None
    audio_start_s: float
    damaged: bool


def open_driving(request: AnimationRequest) -> AbstractContextManager[FrameSource]:
    """The driving's frames, between --start and --end."""
    return open_frames(
        request.driving,
        fps=request.fps,
        start_s=request.start_s,
        end_s=request.end_s,
        max_frames=request.max_frames,
        strict=request.strict,
    )


def read_driving(
    request: AnimationRequest,
    engine: Engine,
    framing: Framing,
    *,
    box: CropBox | None,
    tracker: FaceTracker | None,
    whole_landmarks: bool,
    on_progress: OnProgress,
) -> Driving:
    """The motion of `request.driving`.

    box: a given crop. tracker: looks for the face; without a box it also says where to crop, with one it only
    tells frames with a face from others and gives the landmarks. None for neither: the frames as they are.
    Where the weights' keypoints are landmarks, tracked ones are taken: nearer than the network's own.
    whole_landmarks: as a motion file needs them.
    InputError for a driving that can't be read, or without a face where one is needed.
    """
    if is_motion_file(request.driving):
        return _from_file(request, engine)
    track = LandmarkTrack(whole=whole_landmarks, exact=engine.landmarks or ())
    finder = tracker if box is None and request.driving_crop != "none" else None
    if finder is not None:
        with open_driving(request) as frames:
            for frame in _counted(frames, FINDING, frames.frame_count_hint, on_progress):
                _follow(request, finder, track, frame)
        if not track.faces:
            raise _faceless(request)
        box = clip_box(track.samples, framing)
        tracker = None
    jacobians: Floats | None = None
    if finder is not None and engine.landmarks is not None:
        values = on_square(track.exact, box, (frames.width, frames.height), engine.size)
    else:
        with open_driving(request) as frames:
            values, jacobians = _detected(request, engine, frames, box, tracker, track, on_progress)
        if engine.landmarks is not None and track.faces:
            looked_at = (frames.width, frames.height) if box is None else (TRACKED_PX, TRACKED_PX)
            values = on_square(track.exact, None, looked_at, engine.size)
    if not frames.frames_read:
        raise InputError(f"{shown(request.driving)}: there are no frames in it")
    if len(track) not in (0, frames.frames_read):
        raise InputError(f"{shown(request.driving)} changed while it was read")
    for warning in frames.warnings:
        log.warning("%s", warning)
    motion = _motion(values, jacobians, track, frames, engine)
    no_face = int((~motion.found).sum())
    if not motion.found.any():
        # Who gives the crop knows where the face is, even if a detector doesn't (a drawing, an animal).
        log.warning("%s: no face was found; the crop is used as it is", shown(request.driving))
        motion = replace(motion, found=np.ones_like(motion.found))
    return Driving(motion, box, no_face, frames.audio, frames.audio_start_s, frames.damaged)


def face_picture(frame: Picture, box: CropBox | None, size: int) -> Picture:
    """(size, size, 3): the box of a frame, or the whole frame."""
    return resized(frame, size, size) if box is None else crop(frame, box, size)


def _detected(
    request: AnimationRequest,
    engine: Engine,
    frames: FrameSource,
    box: CropBox | None,
    tracker: FaceTracker | None,
    track: LandmarkTrack,
    on_progress: OnProgress,
) -> tuple[Floats, Floats | None]:
    """Values and jacobians that the network finds in all frames; `tracker`, if any, follows along."""
    values, jacobians = bytearray(), bytearray()
    batch: list[Picture] = []

    def detect() -> None:
        keypoints = engine.detect_keypoints(batch)
        values.extend(keypoints.values.numpy().tobytes())
        if keypoints.jacobians is not None:
            jacobians.extend(keypoints.jacobians.numpy().tobytes())
        batch.clear()

    total = len(track) or frames.frame_count_hint
    for frame in _counted(frames, READING, total, on_progress):
        if tracker is not None:
            _follow(request, tracker, track, frame if box is None else crop(frame, box, TRACKED_PX))
        batch.append(face_picture(frame, box, engine.size))
        if len(batch) == engine.batch_size:
            detect()
    if batch:
        detect()
    count = engine.config.keypoints.count
    return (
        np.frombuffer(values, np.float32).reshape(-1, count, 2),
        np.frombuffer(jacobians, np.float32).reshape(-1, count, 2, 2) if jacobians else None,
    )


def _motion(
    values: Floats, jacobians: Floats | None, track: LandmarkTrack, frames: FrameSource, engine: Engine
) -> Motion:
    tracked = len(track) > 0
    return Motion(
        values,
        jacobians,
        track.landmarks if tracked and track.faces else None,
        track.found if tracked else np.ones(len(values), np.bool_),
        frames.frame_rate,
        engine.digest,
    )


def _counted(
    frames: FrameSource, stage: str, total: int | None, on_progress: OnProgress
) -> Iterator[Picture]:
    for number, frame in enumerate(frames, 1):
        yield frame
        on_progress(Progress(stage, number, total))


def _follow(request: AnimationRequest, tracker: FaceTracker, track: LandmarkTrack, frame: Picture) -> None:
    landmarks = tracker(frame)
    if landmarks is None and request.on_no_face == "fail":
        raise InputError(
            f"{shown(request.driving)}: no face in frame {len(track)}",
            hint="--on-no-face hold goes on without",
        )
    track.add(None if landmarks is None else landmarks.points, frame)


def _faceless(request: AnimationRequest) -> InputError:
    return InputError(
        f"{shown(request.driving)}: no face was found in any frame",
        hint="say where it is with --driving-crop X,Y,W,H",
    )


def motion_for(request: AnimationRequest, config: ModelConfig, digest: str) -> Motion:
    """A motion file's frames between --start and --end, at --fps.

    digest: of the keypoint detector in use; InputError for a file that another one made.
    """
    path = request.driving
    motion = read_motion(path)
    if motion.digest != digest:
        raise InputError(
            f"{shown(path)} was made by another keypoint detector than these weights have",
            hint="take the weights that it was made with, or make it again from the video",
        )
    jacobians = motion.jacobians is not None
    if (motion.values.shape[1], jacobians) != (config.keypoints.count, config.keypoints.jacobians):
        raise InputError(f"{shown(path)}: its keypoints are not of the number or kind that the weights need")
    span = Span(request.start_s, request.end_s)
    motion = motion[span.first(motion.rate) :][: span.limit(motion.rate)]
    if not len(motion):
        raise InputError(f"{shown(path)}: nothing is left of it after --start {request.start_s:g}")
    if request.fps is not None:
        step = motion.rate / request.fps
        rows = np.array([int(row * step) for row in range(math.ceil(len(motion) / step))])
        motion = replace(motion[rows], rate=request.fps)
    return motion[: request.max_frames]


def _from_file(request: AnimationRequest, engine: Engine) -> Driving:
    motion = motion_for(request, engine.config, engine.digest)
    no_face = int((~motion.found).sum())
    if no_face == len(motion):
        raise _faceless(request)
    if no_face and request.on_no_face == "fail":
        raise InputError(f"{shown(request.driving)}: no face in frame {int((~motion.found).argmax())}")
    return Driving(motion, None, no_face, None, 0.0, False)

"""Reading a driving: its frames pass by one after the other, and what stays is its motion."""

import contextlib
import logging
import tempfile
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.animation.renderer import Renderer
from mcnet_cli.animation.source import face_picture, on_square
from mcnet_cli.arrays import Picture
from mcnet_cli.errors import InputError, shown
from mcnet_cli.face import (
    CropBox,
    FaceTracker,
    Framing,
    clip_box,
    crop,
    rolled_box,
    turned,
    turned_box,
    turned_size,
)
from mcnet_cli.media import FrameSource, SoundTrack, open_arrays
from mcnet_cli.motion.blending import bridged
from mcnet_cli.motion.following import (
    Followed,
    FollowingAhead,
    OpenFrames,
    counted_frames,
    face_in,
    follow_driving,
)
from mcnet_cli.motion.landmark_track import LandmarkTrack
from mcnet_cli.motion.motion import Floats, Motion
from mcnet_cli.motion.motion_file import no_face_in
from mcnet_cli.progress import OnProgress

READING = "reading the driving"
TRACKED_PX = 256  # side of the picture in which a face is looked for, where the crop is given

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Driving:
    """A driving that has been read.

    motion: one row for each frame, not smoothed. box: what was cropped from each frame; None: all of it.
    no_face: how many frames have no face. bridged: in how many it is hidden for a moment, such as by a hand,
    so that they move between the frames around. sound: that of the frames; None without any. damaged:
    whether only a part could be read. turns: how many quarter turns, counterclockwise, bring the face in the
    frames upright, as it is in the motion and for the network. roll_deg: by how much the face is still rolled
    clockwise then; the network sees `box` turned about its middle by as much.
    """

    motion: Motion
    box: CropBox | None
    no_face: int
    bridged: int = 0
    sound: SoundTrack | None = None
    damaged: bool = False
    turns: int = 0
    roll_deg: float = 0.0


def read_driving(
    opened: OpenFrames,
    renderer: Renderer,
    framing: Framing,
    *,
    crop_to: CropBox | Literal["auto", "none"],
    tracker: FaceTracker | None,
    whole_landmarks: bool,
    requires_face: bool,
    ahead: FollowingAhead | None = None,
    on_progress: OnProgress,
) -> Driving:
    """Reads the motion of a driving.

    One pass over the frames is enough where keypoints are landmarks, or the crop is given. Learned keypoints
    in an `auto` crop take two: the first finds the crop, in the second the network finds the keypoints.

    Args:
        opened: opens the frames anew with each call.
        renderer: the network. Where its keypoints are landmarks, those of the tracked face are taken, which
            are more exact than the network's own.
        framing: how the network wants faces cropped.
        crop_to: what the network sees of each frame.
        tracker: looks for the face, for `auto` to crop by, for landmarks, and to tell which frames have one.
            None: no face is looked for, and every frame counts as one with a face.
        whole_landmarks: keep all 468 landmarks, as a motion file needs them.
        requires_face: a frame without a face is an InputError.
        ahead: a process that follows this driving's face already, where a tracker is given.
        on_progress: called after each frame.

    Raises InputError for a driving that can't be read, or without any face if `auto` needs one.
    """
    numbers = renderer.landmarks
    track = LandmarkTrack(whole=whole_landmarks, exact=numbers)
    frames: FrameSource | Followed
    box = crop_to if isinstance(crop_to, CropBox) else None
    is_tracked = tracker is not None and crop_to == "auto"
    if is_tracked:
        assert tracker is not None
        is_ours = ahead is not None and ahead.order.exact == tuple(numbers)
        followed = ahead.result(on_progress) if ahead is not None and is_ours else None
        frames = followed or follow_driving(
            opened,
            tracker,
            whole=whole_landmarks,
            exact=numbers,
            requires_face=requires_face,
            on_progress=on_progress,
        )
        track = frames.track
        upright_size = turned_size((frames.width, frames.height), track.turns)
        upright_box = clip_box(track.samples, framing)
        turned_in_frame = rolled_box(upright_box, track.roll_deg, upright_size)
        box, tracker = turned_box(turned_in_frame, -track.turns, upright_size), None
    jacobians: Floats | None = None
    if is_tracked and numbers:
        values = on_square(track.exact, upright_box, upright_size, renderer.size)
    else:
        with opened() as frames:
            values, jacobians = _detected(renderer, frames, box, tracker, track, requires_face, on_progress)
        if numbers and track.faces:
            looked_at = (frames.width, frames.height) if box is None else (TRACKED_PX, TRACKED_PX)
            values = on_square(track.exact, None, turned_size(looked_at, track.turns), renderer.size)
    if not frames.frames_read:
        raise InputError(f"{shown(frames.path)}: there are no frames in it")
    if len(track) not in (0, frames.frames_read):
        raise InputError(f"{shown(frames.path)} changed while it was read")
    for warning in frames.warnings:
        log.warning("%s", warning)
    found = track.found if len(track) else np.ones(len(values), np.bool_)
    motion = Motion(values, jacobians, None, found, frames.frame_rate, renderer.digest)
    if not (is_tracked or numbers):
        motion = motion.rolled(-track.roll_deg)
    if track.faces:
        motion = replace(motion, landmarks=track.landmarks, irises=track.irises)
    hidden = track.hidden if len(track) else np.zeros(len(values), np.bool_)
    motion = bridged(motion, hidden)
    if requires_face and not motion.found.all():
        raise no_face_in(frames.path, int(motion.found.argmin()))
    no_face, bridged_count = int((~motion.found).sum()), int((hidden & motion.found).sum())
    if not motion.found.any():
        # A given crop is trusted: of a drawing or an animal the detector may see no face.
        log.warning("%s: no face was found; the crop is used as it is", shown(frames.path))
        motion = replace(motion, found=np.ones_like(motion.found))
    return Driving(
        motion,
        box,
        no_face,
        bridged_count,
        frames.sound,
        frames.damaged,
        track.turns,
        track.roll_deg if is_tracked else 0.0,
    )


def pictures_of(
    driving: Driving, opened: OpenFrames, rows: NDArray[np.intp], size: int
) -> Generator[Picture, None, None]:
    """What the network saw of the driving's frames `rows`, (size, size, 3) each, decoded once more."""
    wanted = iter(rows.tolist())
    row = next(wanted, None)
    with opened() as frames:
        for number, frame in enumerate(frames):
            if number == row:
                yield turned(face_picture(frame, driving.box, size, driving.roll_deg), driving.turns)
                row = next(wanted, None)
                if row is None:
                    return
    raise InputError(f"{shown(frames.path)} changed while it was read")


@contextlib.contextmanager
def reopenable_arrays(
    frames: Iterable[Picture], rate: Fraction, *, max_frames: int | None, twice: bool
) -> Iterator[OpenFrames]:
    """Opens arrays as a driving's frames, anew with each call; `twice`, even if they come from an iterator.

    An iterator's frames are kept in a temporary file until the block ends, so that memory stays bounded.
    """
    first = iter(frames)
    if first is not frames or not twice:
        yield lambda: open_arrays(iter(frames), rate, max_frames=max_frames)
        return
    with tempfile.TemporaryFile() as file:
        count = 0

        def again() -> Iterator[Picture]:
            nonlocal count
            if count:
                file.seek(0)
                for _ in range(count):
                    yield np.load(file)
                return
            for frame in first:
                np.save(file, frame)
                count += 1
                yield frame

        yield lambda: open_arrays(again(), rate, max_frames=max_frames)


def _detected(
    renderer: Renderer,
    frames: FrameSource,
    box: CropBox | None,
    tracker: FaceTracker | None,
    track: LandmarkTrack,
    requires_face: bool,
    on_progress: OnProgress,
) -> tuple[Floats, Floats | None]:
    """Values and jacobians that the network finds in all frames; `tracker`, if any, follows along."""
    values, jacobians = bytearray(), bytearray()
    batch: list[Picture] = []

    def detect() -> None:
        keypoints = renderer.detect_keypoints(batch)
        values.extend(keypoints.values.numpy().tobytes())
        if keypoints.jacobians is not None:
            jacobians.extend(keypoints.jacobians.numpy().tobytes())
        batch.clear()

    total = len(track) or frames.frame_count_hint
    roll_deg = track.roll_deg if tracker is None else 0.0  # known once all frames have been seen
    for frame in counted_frames(frames, READING, total, on_progress):
        if tracker is not None:
            looked_at = frame if box is None else crop(frame, box, TRACKED_PX)
            track.add(face_in(looked_at, len(track), frames, tracker, requires_face), looked_at)
        batch.append(turned(face_picture(frame, box, renderer.size, roll_deg), track.turns))
        if len(batch) == renderer.batch_size:
            detect()
    if batch:
        detect()
    count = renderer.config.keypoints.count
    return (
        np.frombuffer(values, np.float32).reshape(-1, count, 2),
        np.frombuffer(jacobians, np.float32).reshape(-1, count, 2, 2) if jacobians else None,
    )

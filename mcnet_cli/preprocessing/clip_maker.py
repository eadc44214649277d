"""The work on one input file, as every engine does it: decode it once, write its clips, then its record."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mcnet_cli.engines import MAX_ATTEMPTS, TICK_S, Tell, Work
from mcnet_cli.errors import InputError, McnetError, SystemFailure, shown
from mcnet_cli.face import BatchDetector, Detector, Face, FaceMesh, faces_in, make_detector
from mcnet_cli.files import SYSTEM_ERRNOS, system_failure
from mcnet_cli.media import FrameSource, is_picture, open_frames, read_image
from mcnet_cli.media.frames import frame_at
from mcnet_cli.preprocessing.inputs import InputFile, Segment
from mcnet_cli.preprocessing.records import Records, done_record, failed_record, unfinished_record
from mcnet_cli.preprocessing.request import Settings
from mcnet_cli.preprocessing.tracker import CutFinder, TubeTracker, with_faces
from mcnet_cli.preprocessing.tube import Tube
from mcnet_cli.preprocessing.video_frame import VideoFrame
from mcnet_cli.preprocessing.writer import Writer, sizes_of

OnFrames = Callable[
    [int, int | None], None
]  # gets the number of frames read so far, and of all if it is known

log = logging.getLogger(__name__)


class Networks:
    """The networks, loaded when they are first needed and then used for every file.

    device: where face-alignment computes, as torch calls it.
    """

    def __init__(self, settings: Settings, device: str = "cpu") -> None:
        self.settings, self.device = settings, device

    @cached_property
    def detector(self) -> Detector:
        """Finds faces. WeightsError if its weights can't be had."""
        return make_detector(self.settings.detector, self.device)

    @cached_property
    def mesh(self) -> FaceMesh:
        """Finds the landmarks of faces, and follows them."""
        return FaceMesh()


@dataclass(frozen=True, slots=True)
class ClipMaker(Work[InputFile, Networks, None]):
    """Makes the clips of input files: the work (see `engines.Work`) of a run."""

    output: Path
    settings: Settings
    device: str = "cpu"

    @property
    def uses_gpu(self) -> bool:
        """Whether the detector computes on a GPU."""
        return self.device.startswith("cuda")

    def prepare(self) -> Networks:
        """The networks of a process. It uses one thread: a run has as many processes as processors."""
        import cv2

        cv2.setNumThreads(1)
        os.environ["OMP_NUM_THREADS"] = "1"  # for torch, which face-alignment loads
        return Networks(self.settings, self.device)

    def do(self, item: InputFile, state: Networks, tell: Tell) -> None:
        """Makes the clips of a file, and tells how many frames of how many have been read."""
        last_told = 0.0

        def on_frames(frames: int, total: int | None) -> None:
            nonlocal last_told
            if time.monotonic() - last_told >= TICK_S:
                last_told = time.monotonic()
                tell((frames, total))

        self.make(item, state, on_frames)

    def make(self, file: InputFile, networks: Networks, on_frames: OnFrames) -> None:
        """Makes the clips of a file and writes its record, also if the file can't be used.

        Errors in mcnet and in libraries count as the file's failure too, so that the others go on. Raises
        SystemFailure and WeightsError, which concern all files.
        """
        records = Records(self.output)
        records.forget(file)

        def note_files(files: list[Path]) -> None:
            names = [path.relative_to(self.output).as_posix() for path in files]
            records.write(unfinished_record(file, names))

        writer = Writer(file, self.output, self.settings, note_files)
        try:
            warnings = make_clips(file, writer, networks, on_frames)
            files = dict(sizes_of(writer.files, self.output))
            records.write(done_record(file, self.settings, files, writer.rows, warnings))
        except InputError as error:
            records.write(failed_record(file, self.settings, str(error)))
        except McnetError:
            raise
        except MemoryError as error:
            raise SystemFailure(
                f"out of memory at {shown(file.path)}", hint="take fewer --workers"
            ) from error
        except OSError as error:
            if error.errno in SYSTEM_ERRNOS:
                raise system_failure(error, self.output / file.name) from error
            self.note_fault(file, error)
        except Exception as error:  # libraries may raise anything, and the other files must go on
            log.debug("%s", shown(file.path), exc_info=True)
            self.note_fault(file, error)

    def note_fault(self, item: InputFile, error: Exception) -> None:
        """Writes the record of a file at which the program failed."""
        reason = shown(str(error).split("\n")[0])
        self._give_up(item, f"mcnet failed at it ({type(error).__name__}: {reason})")

    def note_crash(self, item: InputFile) -> None:
        """Writes the record of a file whose process died in every attempt."""
        self._give_up(item, f"the process that worked on it died, {MAX_ATTEMPTS} times")

    def _give_up(self, file: InputFile, reason: str) -> None:
        """Writes the record of a file that can't be worked on, and removes what there is of its clips."""
        records = Records(self.output)
        records.forget(file)
        records.write(failed_record(file, self.settings, f"{shown(file.path)}: {reason}"))


def make_clips(file: InputFile, writer: Writer, networks: Networks, on_frames: OnFrames) -> list[str]:
    """Has the clips of a video, or the portraits of a picture, written; returns warnings.

    InputError for a file that can't be used, SystemFailure if the system fails; then nothing of it stays.
    """
    if file.problem:
        raise InputError(file.problem)
    warnings: list[str] = []
    try:
        if is_picture(file.path):
            rgb = read_image(file.path)
            for number, face in enumerate(faces_in(rgb, networks.detector, networks.mesh), 1):
                writer.write_portrait(number, rgb, face)
        else:
            warnings = _cut_up(file, writer, networks, on_frames)
    except BaseException:
        writer.undo()
        raise
    if not writer.rows:
        writer.note_no_face()
    return warnings


def _cut_up(file: InputFile, writer: Writer, networks: Networks, on_frames: OnFrames) -> list[str]:
    """Tracks the faces of a video and has their clips written as they end; returns the decoder's warnings."""
    segments, settings = file.segments, networks.settings
    start_s = float(min(segment.start_s for segment in segments)) if segments else 0.0
    end_s = float(max(segment.end_s for segment in segments)) if segments else None
    # PNGs are RGB, and so are the frames that detectors take several of.
    planar = settings.format == "mp4" and not isinstance(networks.detector, BatchDetector)
    with ExitStack() as stack:
        frames = stack.enter_context(
            open_frames(file.path, fps=settings.fps, start_s=start_s, end_s=end_s, planar=planar)
        )
        cutters = [_SegmentCutter(segment, frames, writer, networks) for segment in segments or (None,)]
        for cutter in cutters:
            stack.callback(cutter.tracker.close)
        begins_scene = CutFinder()
        first = frame_at(start_s, frames.frame_rate)
        searched = with_faces(
            ((number, VideoFrame(pixels, frames.matrix)) for number, pixels in enumerate(frames, first)),
            networks.detector,
            settings.detect_every,
            wanted=lambda number: any(cutter.wants(number) for cutter in cutters),
        )
        for number, frame, faces in searched:
            cut = begins_scene(frame)
            for cutter in cutters:
                cutter.take(number, frame, cut=cut, faces=faces)
            on_frames(frames.frames_read, frames.frame_count_hint)
        for cutter in cutters:
            cutter.write(cutter.tracker.finish())
    writer.rows.sort(key=lambda row: (row["first"], row["last"]))
    for row in writer.rows:
        row["damaged"] = frames.damaged
    return frames.warnings


class _SegmentCutter:
    """Tracks the faces in one segment of a video, or in all of it (None), and has their clips written."""

    def __init__(
        self, segment: Segment | None, frames: FrameSource, writer: Writer, networks: Networks
    ) -> None:
        self._segment, self._rate, self._writer = segment, frames.frame_rate, writer
        self._first, self._end = 0, None
        if segment is not None:
            self._first = frame_at(float(segment.start_s), self._rate)
            self._end = frame_at(float(segment.end_s), self._rate)
        target = segment.box if segment else None
        self.tracker = TubeTracker(networks.detector, networks.mesh, networks.settings, writer.output, target)

    def wants(self, number: int) -> bool:
        """Whether frame `number` belongs to the segment."""
        return number >= self._first and (self._end is None or number < self._end)

    def take(self, number: int, frame: VideoFrame, *, cut: bool, faces: list[Face] | None) -> None:
        """Tracks faces through the next frame of the video."""
        if number == self._end:
            self.write(self.tracker.finish())
        elif self.wants(number):
            self.write(self.tracker(number, frame, cut=cut, faces=faces))

    def write(self, tubes: list[Tube]) -> None:
        """Has the clips of tubes that have ended written, and deletes their pictures."""
        with ExitStack() as stack:
            for tube in tubes:
                stack.callback(tube.buffer.close)
            for tube in tubes:
                self._writer.write_clip(tube, self._rate, self._segment)
                tube.buffer.close()

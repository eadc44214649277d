"""One file's work: it is decoded once, and its faces become clips."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

from mcnet_cli.errors import InputError
from mcnet_cli.face import Detector, Face, FaceMesh, faces_in, make_detector
from mcnet_cli.media import FrameSource, is_picture, open_frames, read_image
from mcnet_cli.media.frames import Frame, frame_at
from mcnet_cli.preprocessing.cuts import CutFinder
from mcnet_cli.preprocessing.inputs import Source
from mcnet_cli.preprocessing.lookahead import with_faces
from mcnet_cli.preprocessing.metadata import Segment
from mcnet_cli.preprocessing.request import Settings
from mcnet_cli.preprocessing.tube import Tube
from mcnet_cli.preprocessing.watch import Watch
from mcnet_cli.preprocessing.writer import Writer

OnFrames = Callable[[int, int | None], None]


class Tools:
    """The networks, loaded when they are first needed and then used for every file.

    device: of face-alignment, as torch calls it.
    """

    def __init__(self, settings: Settings, device: str = "cpu") -> None:
        self.settings, self.device = settings, device

    @cached_property
    def detector(self) -> Detector:
        """Finds faces. WeightsError if its weights can't be had."""
        return make_detector(self.settings.detector, self.device)

    @cached_property
    def mesh(self) -> FaceMesh:
        """Follows faces."""
        return FaceMesh()


def process(source: Source, writer: Writer, tools: Tools, on_frames: OnFrames) -> list[str]:
    """Has the clips of a video, or the portraits of a picture, written; returns warnings.

    on_frames: told how many frames have been read, and of how many (None: nobody knows). InputError for a
    file that can't be used, SystemFailure if the system fails; then nothing of it stays.
    """
    if source.problem:
        raise InputError(source.problem)
    warnings: list[str] = []
    try:
        if is_picture(source.path):
            rgb = read_image(source.path)
            for number, face in enumerate(faces_in(rgb, tools.detector, tools.mesh), 1):
                writer.portrait(number, rgb, face)
        else:
            warnings = _cut_up(source, writer, tools, on_frames)
    except BaseException:
        writer.undo()
        raise
    if not writer.rows:
        writer.nothing_found()
    return warnings


def _cut_up(source: Source, writer: Writer, tools: Tools, on_frames: OnFrames) -> list[str]:
    """Follows the faces of a video and has them written as they end; returns the decoder's warnings."""
    segments = source.segments
    start_s = float(min(segment.start_s for segment in segments)) if segments else 0.0
    end_s = float(max(segment.end_s for segment in segments)) if segments else None
    with ExitStack() as stack:
        frames = stack.enter_context(
            open_frames(source.path, fps=tools.settings.fps, start_s=start_s, end_s=end_s)
        )
        views = [_View.of(segment, frames, writer, tools) for segment in segments or (None,)]
        for view in views:
            stack.callback(view.watch.close)
        cuts = CutFinder()
        searched = with_faces(
            enumerate(frames, frame_at(start_s, frames.frame_rate)),
            tools.detector,
            tools.settings.detect_every,
            wanted=lambda number: any(view.shows(number) for view in views),
        )
        for number, rgb, faces in searched:
            is_cut = cuts(rgb)
            for view in views:
                view.see(number, rgb, cut=is_cut, faces=faces)
            on_frames(frames.frames_read, frames.frame_count_hint)
        for view in views:
            view.write(view.watch.finish())
    writer.rows.sort(key=lambda row: (row["first"], row["last"]))
    for row in writer.rows:
        row["damaged"] = frames.damaged
    return frames.warnings


@dataclass
class _View:
    """The frames from `first` up to before `end` (None: all): what one segment wants of a video."""

    watch: Watch
    first: int
    end: int | None
    segment: Segment | None
    frames: FrameSource
    writer: Writer

    @classmethod
    def of(cls, segment: Segment | None, frames: FrameSource, writer: Writer, tools: Tools) -> "_View":
        target = segment.box if segment else None
        watch = Watch(tools.detector, tools.mesh, tools.settings, writer.output, target)
        if segment is None:
            return cls(watch, 0, None, None, frames, writer)
        first, end = (
            frame_at(float(moment), frames.frame_rate) for moment in (segment.start_s, segment.end_s)
        )
        return cls(watch, first, end, segment, frames, writer)

    def shows(self, number: int) -> bool:
        return number >= self.first and (self.end is None or number < self.end)

    def see(self, number: int, rgb: Frame, *, cut: bool, faces: list[Face] | None) -> None:
        if number == self.end:
            self.write(self.watch.finish())
        elif self.shows(number):
            self.write(self.watch(number, rgb, cut=cut, faces=faces))

    def write(self, tubes: list[Tube]) -> None:
        size = (self.frames.width, self.frames.height)
        with ExitStack() as stack:
            for tube in tubes:
                stack.callback(tube.spool.close)
            for tube in tubes:
                self.writer.tube(tube, size, self.frames.frame_rate, self.segment)
                tube.spool.close()

"""The work that visitors ask for, by the package's own API. It loads torch, so the server imports it late."""

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mcnet_cli.animation import AnimationRequest, Animator, read_motion, write_motion
from mcnet_cli.animation.animate import animate_with
from mcnet_cli.animation.bundled import bundled_motion, bundled_motions
from mcnet_cli.animation.kept import Kept, Recent
from mcnet_cli.animation.motion_file import is_motion_file
from mcnet_cli.animation.outputs import default_name, plan_outputs
from mcnet_cli.animation.request import open_driving
from mcnet_cli.arrays import Picture, resized, size_within
from mcnet_cli.batch.jobs import parse_options
from mcnet_cli.errors import InputError, McnetError, UsageError, shown
from mcnet_cli.media import is_picture, open_frames, read_photo
from mcnet_cli.media.kinds import is_video
from mcnet_cli.media.pictures import opened_picture
from mcnet_cli.options import require_between
from mcnet_cli.progress import OnProgress, Progress
from mcnet_cli.web.command_line import command_line
from mcnet_cli.web.jobs import Film, Work
from mcnet_cli.web.limits import LONGEST_SIDE_PX, MOST_FRAMES_PER_S, Limits
from mcnet_cli.web.posing import Posing
from mcnet_cli.web.settings import WebRequest
from mcnet_cli.web.storage import Upload

SHOWN_PX = 1024  # longer side of photos as the page shows them
JPEG_QUALITY = 90


@dataclass(frozen=True, kw_only=True)
class Order:
    """A film that a visitor asks for.

    Args:
        source, driving: files of the visitor.
        background: a picture of the visitor that replaces the background, or None.
        options: those of `VISITORS_OPTIONS`, by name, as typed.
        film_kind: the suffix of the film, such as `.mp4`.
    """

    source: Upload
    driving: Upload
    background: Upload | None
    options: Mapping[str, str]
    film_kind: str


class Studio:
    """Shows and moves photos. Films have a network of their own, so that they don't hold up what is shown.

    Loading takes seconds. WeightsError if the weights can't be had.
    """

    def __init__(self, request: WebRequest) -> None:
        self._request, self._limits = request, request.limits
        self._films = Kept(sources=Recent(2), drivings=Recent(2))
        self._animator = Animator.load(request.weights, device=request.device, precision=request.precision)
        self._posing = Posing(self._animator)
        self._one_at_a_time = threading.Lock()  # an Animator isn't safe to use from several threads

    def require_photo(self, upload: Upload) -> None:
        """InputError unless a file is a picture within the limits. Its header is read, not its pixels."""
        with _named(upload):
            if not is_picture(upload.path) and is_video(upload.path):
                raise InputError(f"{upload.path} is a video, and a portrait is a picture")
            with opened_picture(upload.path) as picture:
                self._require_size(upload.path, picture.width, picture.height)

    def require_driving(self, upload: Upload) -> None:
        """InputError unless a file is a driving within the limits, as far as its header tells."""
        with _named(upload):
            if is_motion_file(upload.path):
                read_motion(upload.path)
                return
            with open_frames(upload.path) as frames:
                self._require_size(upload.path, frames.width, frames.height)

    def picture(self, upload: Upload) -> bytes:
        """A photo as the page shows it: a JPEG, whatever the file is, that says nothing else of it."""
        photo = self._photo(upload)
        return _jpeg(resized(photo, *size_within((photo.shape[1], photo.shape[0]), SHOWN_PX)))

    def faces(self, upload: Upload) -> dict[str, Any]:
        """A photo's size, and the squares around its faces, which the network would see."""
        photo = self._photo(upload)
        with self._one_at_a_time:
            try:
                found = self._animator.faces(photo, face="all")
            except InputError:  # the visitor may say where the face is
                found = ()
        boxes = [face.box for face in found if face.box is not None]
        widest = max((box.width for box in boxes), default=0)
        return {
            "width": photo.shape[1],
            "height": photo.shape[0],
            "faces": [[round(side, 1) for side in (box.x, box.y, box.width, box.height)] for box in boxes],
            "largest": next((n for n, box in enumerate(boxes) if box.width == widest), None),
        }

    def posed(self, upload: Upload, values: Mapping[str, str]) -> bytes:
        """A photo as a JPEG, posed as sliders say; arguments and errors as for `Posing.posed`."""
        with self._one_at_a_time, _named(upload):
            return _jpeg(self._posing.posed(upload, values))

    def bundled(self) -> list[dict[str, Any]]:
        """The motions that come with the program."""
        return [
            {"name": each.name, "shows": each.shows, "seconds": each.seconds} for each in bundled_motions()
        ]

    def keep_bundled(self, name: str, path: Path) -> None:
        """Writes the motion of that name to a motion file. UsageError if there is none."""
        motion = bundled_motion(name)
        if motion is None:
            names = ", ".join(each.name for each in bundled_motions())
            raise UsageError(f"driving {shown(name[:40])}: is no motion", hint=f"there are {names}")
        write_motion(path, motion.motion())

    def prepare(self, order: Order, output: Path) -> tuple[str, Work]:
        """The command line that makes what is ordered, and the work that makes it as the file `output`.

        UsageError for options that make no sense, InputError for a driving that is too long.
        """
        name = Path(default_name(Path(order.source.name), Path(order.driving.name)))
        name = name.with_suffix(order.film_kind)
        files = [order.source, order.driving, Upload("", output, str(name))]
        if order.background is not None:
            files.append(order.background)
        with _named(*files):
            films = self._request_of(order, output)
            plan_outputs(films)
            self._require_length(films)
        background: Any = films.background if order.background is None else Path(order.background.name)
        by_name = replace(
            films,
            sources=(Path(order.source.name),),
            driving=Path(order.driving.name),
            background=background,
            output=None if order.film_kind == ".mp4" else str(name),
        )

        def work(tell: OnProgress) -> Film:
            with _named(*files), _warnings_kept() as warnings:
                report = animate_with(self._films, films, self._watching(tell))
            (result,) = report.results
            said = tuple(_in_visitors_words(warning, files) for warning in warnings)
            return Film(output, str(name), result.frames, float(result.rate), said)

        return command_line(by_name), work

    def _request_of(self, order: Order, output: Path) -> AnimationRequest:
        values = dict(parse_options(order.options))
        if isinstance(values.get("background"), Path):
            raise UsageError("background: must be a word or a colour", hint="a picture is sent as a file")
        if order.background is not None:
            values["background"] = order.background.path
        machine = self._request
        return AnimationRequest(
            sources=(order.source.path,),
            driving=order.driving.path,
            output=str(output),
            weights=machine.weights,
            device=machine.device,
            precision=machine.precision,
            **values,
        )

    def _photo(self, upload: Upload) -> Picture:
        with _named(upload):
            return read_photo(upload.path)[0]

    def _require_size(self, path: Path, width: int, height: int) -> None:
        if width * height > self._limits.megapixels * 1_000_000:
            raise InputError(
                f"{shown(path)} is too large: {width}x{height}, over {self._limits.megapixels} megapixels",
                hint="make it smaller",
            )

    def _require_length(self, request: AnimationRequest) -> None:
        """InputError if the part of the driving that is used is too long by its header."""
        require_between("--size", request.size, 1, LONGEST_SIDE_PX)
        require_between("--fps", request.fps, 0, MOST_FRAMES_PER_S)
        if is_motion_file(request.driving):
            return  # its frames are counted when they are rendered
        with open_driving(request) as frames:
            count = frames.frame_count_hint or 0
            if count > self._limits.frames or count > self._limits.seconds * frames.frame_rate + 1:
                raise _too_long(self._limits)

    def _watching(self, tell: OnProgress) -> OnProgress:
        """`tell`, which also raises InputError at the first frame too many: headers may lie."""

        def told(progress: Progress) -> None:
            if progress.done > self._limits.frames:
                raise _too_long(self._limits)
            tell(progress)

        return told


@contextlib.contextmanager
def _named(*uploads: Upload) -> Iterator[None]:
    """Errors of the block call files by their visitors' names."""
    try:
        yield
    except McnetError as error:
        hint = error.hint and _in_visitors_words(error.hint, uploads)
        raise type(error)(_in_visitors_words(str(error), uploads), hint=hint) from error


def _in_visitors_words(text: str, uploads: Sequence[Upload]) -> str:
    """A message with files called by their visitors' names."""
    for upload in uploads:
        text = text.replace(shown(upload.path), shown(upload.name))
    return text


@contextlib.contextmanager
def _warnings_kept() -> Iterator[list[str]]:
    """Collects what the package warns of in this thread while the block runs."""
    thread, kept = threading.get_ident(), list[str]()

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                kept.append(record.getMessage())

    handler, logger = Keeper(logging.WARNING), logging.getLogger("mcnet_cli")
    logger.addHandler(handler)
    try:
        yield kept
    finally:
        logger.removeHandler(handler)


def _too_long(limits: Limits) -> InputError:
    return InputError(
        f"the driving is too long: this server takes {limits.seconds} s, at most {limits.frames} frames",
        hint="take a part of it, by start and end",
    )


def _jpeg(picture: Picture) -> bytes:
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not done:
        raise ValueError(f"no JPEG can hold an array of shape {np.shape(picture)}")
    return bytes(data)

"""The work that visitors ask for, by the package's own API. It loads torch, so the server imports it late."""

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mcnet_cli.animation import AnimationRequest, Animator, Portrait, Transfer
from mcnet_cli.animation.command_line import command_line, parse_options
from mcnet_cli.animation.films import Caches, LruCache, animate_with
from mcnet_cli.animation.frames import MakeFrames, frames_of
from mcnet_cli.animation.paths import default_name, open_driving, plan_outputs
from mcnet_cli.animation.retarget import Retargeting
from mcnet_cli.arrays import Picture, resized, size_within
from mcnet_cli.errors import InputError, McnetError, UsageError, shown
from mcnet_cli.media import encode_picture, is_picture, open_frames, read_photo
from mcnet_cli.media.kinds import is_video
from mcnet_cli.media.pictures import opened_picture
from mcnet_cli.media.probe import probe_sound
from mcnet_cli.motion import Controls, Motion, read_motion
from mcnet_cli.motion.blending import part
from mcnet_cli.motion.bundled import bundled_motion, bundled_motions, names_of_motions
from mcnet_cli.motion.motion_file import is_motion_file
from mcnet_cli.options import require_between
from mcnet_cli.progress import OnProgress, Progress
from mcnet_cli.web.jobs import Film, Work
from mcnet_cli.web.settings import MAX_FRAMES_PER_S, MAX_SIDE_PX, WebRequest
from mcnet_cli.web.storage import Upload

POSED_PX = 512  # longer side; a frame of it takes about 0.1 s on one core
PHOTOS_KEPT = 4
SHOWN_PX = 1024  # longer side of photos as the page shows them
FRAME_S = 0.1  # by which a film may be longer, as lengths in headers are rounded


@dataclass(frozen=True, eq=False)
class _Posable:
    """An encoded photo, and what makes its frames."""

    portrait: Portrait
    make: MakeFrames


class Posing:
    """Poses photos by an animator, of which it keeps the last few. Not for several threads at once."""

    def __init__(self, animator: Animator) -> None:
        self._animator = animator
        self._photos: LruCache[_Posable] = LruCache(PHOTOS_KEPT)

    def posed(self, upload: Upload, request: AnimationRequest) -> Picture:
        """A photo with its face posed by a request's controls. InputError if there is no such face."""
        which = upload.id, request.face, str(request.source_crop)
        photo = self._photos.get(which, lambda: self._encoded(upload, request))
        # in the transfer, as the command has them: a motion of its own would turn some faces less
        transfer, still = Transfer(controls=request.controls.controls(1, 1)), Motion.of(Controls.none(1))
        poses = [
            Retargeting(still, transfer, face, self._animator.landmarks, 0.0).pose(np.array([0]))
            for face in photo.portrait.faces
        ]
        (picture,) = photo.make(poses)
        return picture

    def _encoded(self, upload: Upload, request: AnimationRequest) -> _Posable:
        portrait = self._animator.portrait(
            upload.path, face=request.face, crop=request.source_crop, longest=POSED_PX
        )
        return _Posable(portrait, frames_of(portrait, self._animator.renderer, "photo", "still", None))


@dataclass(frozen=True, kw_only=True)
class FilmOrder:
    """A film that a visitor asks for.

    Args:
        source: a photo of the visitor.
        driving: a file of the visitor, the name of a bundled motion, or None: the options for pose and
            expression move the photo, or else `idle` does.
        background, audio: files of the visitor that replace the background and the sound, or None.
        options: those of `PLACES`, by name, as typed.
        film_kind: the suffix of the film, such as `.mp4`.
    """

    source: Upload
    driving: Upload | str | None
    background: Upload | None
    audio: Upload | None
    options: Mapping[str, str]
    film_kind: str

    @property
    def uploads(self) -> tuple[Upload, ...]:
        """The files of the visitor."""
        given = (self.source, self.driving, self.background, self.audio)
        return tuple(each for each in given if isinstance(each, Upload))


class Studio:
    """Shows photos, poses them, and makes films of them.

    Films have a network of their own, so that showing and posing never waits for them.

    Loading takes seconds. WeightsError if the weights can't be had.
    """

    def __init__(self, request: WebRequest) -> None:
        self._request, self._limits = request, request.limits
        self._films = Caches(sources=LruCache(2), drivings=LruCache(2))
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

    def require_sound(self, upload: Upload) -> None:
        """InputError unless a file has sound."""
        with _named(upload):
            probe_sound(upload.path, None)

    def picture(self, upload: Upload) -> bytes:
        """A photo as the page shows it: a JPEG whatever the file is, without its metadata."""
        photo = self._photo(upload)
        small = resized(photo, *size_within((photo.shape[1], photo.shape[0]), SHOWN_PX))
        return encode_picture(small, ".jpg")

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

    def posed(self, upload: Upload, options: Mapping[str, str]) -> tuple[bytes, str]:
        """A photo as a JPEG with its face posed by options, and the command line that makes the same picture.

        UsageError for options that make no sense, InputError if there is no such face.
        """
        request = AnimationRequest(sources=(upload.path,), **_parsed(options))
        with self._one_at_a_time, _named(upload):
            picture = self._posing.posed(upload, request)
        name = Path(upload.name)
        by_name = replace(request, sources=(name,), output=f"{name.stem}-posed.png")
        return encode_picture(picture, ".jpg"), command_line(by_name)

    def bundled(self) -> list[dict[str, Any]]:
        """The motions that come with the program."""
        return [motion.as_json() for motion in bundled_motions()]

    def prepare(self, order: FilmOrder, output: Path) -> tuple[str, Work]:
        """The command line that makes what is ordered, and the work that makes it as the file `output`.

        UsageError for options that make no sense, InputError for a film that would be too long.
        """
        by_name, films = self._requests(order, output)
        name = Path(default_name(by_name.sources[0], by_name.performed)).with_suffix(order.film_kind)
        files = (*order.uploads, Upload("", output, str(name)))
        with _named(*files):
            plan_outputs(films)
            self._require_length(films)
        if order.film_kind != ".mp4":
            by_name = replace(by_name, output=str(name))

        def work(tell: OnProgress) -> Film:
            with _named(*files), _warnings_kept() as warnings:
                report = animate_with(self._films, films, self._watching(tell))
            (result,) = report.results
            said = tuple(_in_visitors_words(warning, files) for warning in warnings)
            return Film(output, str(name), result.frames, float(result.rate), said)

        return command_line(by_name), work

    def _requests(self, order: FilmOrder, output: Path) -> tuple[AnimationRequest, AnimationRequest]:
        """What is ordered, by the names that the visitor's files have, and by those they have here."""
        options = _parsed(order.options)
        machine = self._request
        options |= {"weights": machine.weights, "device": machine.device, "precision": machine.precision}
        driving = order.driving
        replaced = {"background": order.background, "audio": order.audio}
        sent = {name: upload for name, upload in replaced.items() if upload is not None}
        if isinstance(driving, str):
            _require_motion(driving)
        called = driving.name if isinstance(driving, Upload) else driving
        by_name = AnimationRequest(
            sources=(Path(order.source.name),),
            driving=None if called is None else Path(called),
            **options | {name: Path(upload.name) for name, upload in sent.items()},
        )
        here: dict[str, Any] = {name: upload.path for name, upload in sent.items()}
        films = replace(
            by_name,
            sources=(order.source.path,),
            driving=driving.path if isinstance(driving, Upload) else by_name.driving,
            output=str(output),
            **here,
        )
        return by_name, films

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
        """InputError if a film would be too long, as far as the driving's header tells that."""
        require_between("--size", request.size, 1, MAX_SIDE_PX)
        require_between("--fps", request.fps, 0, MAX_FRAMES_PER_S)
        edit = request.edit
        driving_s = _seconds_of(request) * edit.loop * (2 if edit.ping_pong else 1) / edit.speed
        seconds = max(request.controls.seconds, edit.duration_s or driving_s)
        if seconds > self._limits.seconds + FRAME_S:
            raise self._too_long()

    def _watching(self, tell: OnProgress) -> OnProgress:
        """`tell`, which also raises InputError if there are too many frames: headers may lie."""

        def tell_within_limits(progress: Progress) -> None:
            if max(progress.done, progress.total or 0) > self._limits.frames:
                raise self._too_long()
            tell(progress)

        return tell_within_limits

    def _too_long(self) -> InputError:
        return InputError(
            f"the film would be too long: this server takes {self._limits.seconds} s, "
            f"at most {self._limits.frames} frames",
            hint="take a part of the driving, by start and end",
        )


def _parsed(options: Mapping[str, str]) -> dict[str, Any]:
    """Options as fields of `AnimationRequest`. UsageError for text that names a file, which would be ours."""
    for name, text in options.items():
        if _holds_path(parse_options({name: text})):
            raise UsageError(f"{name} {shown(text)}: names a file", hint="files have to be sent")
    return parse_options(options)


def _holds_path(value: Any) -> bool:
    """Whether a value is a path or contains one, at any depth."""
    if isinstance(value, Mapping):
        return any(map(_holds_path, value.values()))
    return isinstance(value, Path) or (isinstance(value, tuple | list) and any(map(_holds_path, value)))


def _seconds_of(request: AnimationRequest) -> float:
    """How long the part of the driving is that is used; 0 where that isn't known before it is read."""
    if request.bundled is not None:
        return request.bundled.seconds
    if request.driving is None:
        return 0.0
    if is_motion_file(request.driving):
        motion = part(read_motion(request.driving), request.span)
        return len(motion) / float(motion.rate)
    with open_driving(request) as frames:
        return (frames.frame_count_hint or 0) / float(frames.frame_rate)


def _require_motion(name: str) -> None:
    """UsageError unless a bundled motion has that name, and no file of the server's."""
    if bundled_motion(name) is None:
        raise UsageError(f"driving {shown(name[:40])}: is no motion", hint=f"there are {names_of_motions()}")


@contextlib.contextmanager
def _named(*uploads: Upload) -> Iterator[None]:
    """Errors of the block call files by their visitors' names."""
    try:
        yield
    except McnetError as error:
        hint = error.hint and _in_visitors_words(error.hint, uploads)
        raise type(error)(_in_visitors_words(str(error), uploads), hint=hint) from error


def _in_visitors_words(text: str, uploads: Sequence[Upload]) -> str:
    """A message in which files have the names that their visitors gave them."""
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

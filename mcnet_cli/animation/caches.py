"""Caches that several runs of `animate` share: the network, drivings that were read, encoded sources."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from mcnet_cli.animation.animator import Animator
from mcnet_cli.animation.driving import Driving
from mcnet_cli.animation.paths import Crops
from mcnet_cli.animation.request import AnimationRequest
from mcnet_cli.animation.source import Portrait, SourceFace, encode
from mcnet_cli.files import stamp_of
from mcnet_cli.media import read_still

Value = TypeVar("Value")
DRIVINGS_KEPT = 4  # about 0.7 kB a frame each
SOURCES_KEPT = 16  # 21 MB each for photos of 1920 x 1080 pixels, measured with `lite`


class LruCache(Generic[Value]):
    """A cache of the `limit` values that were used last, by keys that say what they depend on."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key, made if it isn't there."""
        if key not in self._values:
            while len(self._values) >= self._limit:  # before the new one is made, so that memory is bounded
                self._values.popitem(last=False)
            self._values[key] = make()
        self._values.move_to_end(key)
        return self._values[key]


@dataclass(frozen=True, eq=False)
class Source:
    """A source that has been encoded. size: (width, height) of its picture as it was read."""

    portrait: Portrait
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Caches:
    """The caches of `animate`. A file counts as another one when its size or its time has changed."""

    animators: LruCache[Animator] = field(default_factory=lambda: LruCache(1))
    drivings: LruCache[Driving] = field(default_factory=lambda: LruCache(DRIVINGS_KEPT))
    faces: LruCache[tuple[SourceFace, ...]] = field(default_factory=lambda: LruCache(SOURCES_KEPT))
    sources: LruCache[Source] = field(default_factory=lambda: LruCache(SOURCES_KEPT))

    def animator(self, request: AnimationRequest) -> Animator:
        """The network that a request asks for, on its device."""
        return self.animators.get(
            _network_of(request),
            lambda: Animator.load(
                request.weights,
                device=request.device,
                precision=request.precision,
                detector=request.detector if request.uses_detector else None,
                batch_size=request.batch_size,
                compiled=request.compile,
                fetch=request.fetch,
            ),
        )

    def driving(self, request: AnimationRequest, crops: Crops, read: Callable[[], Driving]) -> Driving:
        """The request's driving; `read` is called if it isn't in the cache."""
        who = request.driving_face, request.on_no_face == "fail"
        how = request.fps, request.span, request.strict, request.driving_track
        key = (
            _network_of(request),
            request.performed,
            None if request.driving is None else stamp_of(request.driving),
            who,
            how,
            str(crops.driving),
            request.save_motion is None,
        )
        return self.drivings.get(key, read)

    def source_faces(self, request: AnimationRequest, path: Path, crops: Crops) -> tuple[SourceFace, ...]:
        """The faces of a source that move."""
        animator, crop = self.animator(request), crops.source(path)
        key = _network_of(request), _file_as_it_is(path), request.source_frame_s, request.moved, str(crop)
        return self.faces.get(
            key,
            lambda: animator.faces(
                path, face=request.moved, crop=crop, source_frame_s=request.source_frame_s
            ),
        )

    def source(
        self, request: AnimationRequest, path: Path, faces: tuple[SourceFace, ...], longest: int
    ) -> Source:
        """A source, encoded with the faces that were found in it."""
        animator = self.animator(request)

        def encoded() -> Source:
            photo, alpha = read_still(path, request.source_frame_s)
            portrait = encode(photo, faces, animator.renderer, longest=longest, alpha=alpha)
            return Source(portrait, (photo.shape[1], photo.shape[0]))

        boxes = str([face.box for face in faces])
        key = _network_of(request), _file_as_it_is(path), request.source_frame_s, boxes, longest
        return self.sources.get(key, encoded)


def _network_of(request: AnimationRequest) -> Hashable:
    """What the network and all that it has seen depend on."""
    detector = request.detector if request.uses_detector else None
    return (
        request.weights,
        request.device,
        request.precision,
        detector,
        request.batch_size,
        request.compile,
    )


def _file_as_it_is(path: Path) -> Hashable:
    return path, stamp_of(path)

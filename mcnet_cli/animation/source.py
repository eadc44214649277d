"""Sources: the faces of a photo that move, what the network sees of them, and what it makes of that."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.animation.renderer import EncodedSource, Renderer
from mcnet_cli.arrays import Picture, resized, size_within
from mcnet_cli.checkpoint import Weights
from mcnet_cli.compositing import Person, Square
from mcnet_cli.errors import InputError
from mcnet_cli.face import (
    ROLL_POINTS,
    STEADY_LOOKS,
    CropBox,
    Detector,
    FaceMesh,
    FaceTracker,
    Framing,
    Landmarks,
    choose_face,
    crop,
    crop_box,
    faces_in,
    make_detector,
    numbered,
    person_matte,
    roll_deg,
    turned,
    turned_box,
    turned_points,
    turned_size,
    upright_turns,
)
from mcnet_cli.media import as_photo, read_still
from mcnet_cli.options import DrivingFace, FaceChoice

if TYPE_CHECKING:
    from PIL import Image

Photo: TypeAlias = "Path | str | Picture | Image.Image"
MAX_SIDE_PX = 1920  # longer side of the photo in results, if nothing else is asked for


class FaceFinder:
    """Finds faces in photos and follows one through a clip; loads its networks when they are first needed.

    name: `blazeface` or `face-alignment`. device: where the latter runs, as torch calls it.
    """

    def __init__(self, name: str, device: str = "cpu") -> None:
        self.name, self._device = name, device

    @cached_property
    def detector(self) -> Detector:
        """Finds faces in a picture. WeightsError if its weights can't be had."""
        return make_detector(self.name, self._device)

    @cached_property
    def _mesh(self) -> FaceMesh:
        return FaceMesh(STEADY_LOOKS)

    def faces(self, photo: Picture) -> list[Landmarks]:
        """Landmarks of all faces in a picture, from left to right."""
        return faces_in(photo, self.detector, self._mesh)

    def tracker(self, which: DrivingFace = "largest") -> FaceTracker:
        """Follows one face through a clip; which one: see `FaceTracker`."""
        return FaceTracker(self.detector, self._mesh, which=which)


@dataclass(frozen=True, slots=True)
class SourceFace:
    """A face that is to be moved.

    box: what is cropped, None for the whole picture. landmarks: (468, 2) in pixels, None if unknown; irises:
    (10, 2) likewise, in the order of `Landmarks`. turned_by: quarter turns, counterclockwise, that its photo
    has been turned by.
    """

    box: CropBox | None
    landmarks: NDArray[np.float32] | None
    irises: NDArray[np.float32] | None = None
    turned_by: int = 0

    @property
    def roll_deg(self) -> float | None:
        """By how many degrees it is rolled clockwise; None if that is unknown."""
        return None if self.landmarks is None else roll_deg(self.landmarks[list(ROLL_POINTS)])

    @property
    def turns(self) -> int:
        """How many quarter turns of the photo, counterclockwise, bring the face upright; 0 if unknown."""
        return 0 if self.landmarks is None else upright_turns(self.landmarks)

    def turned(self, turns: int, size: tuple[int, int]) -> "SourceFace":
        """The face after so many quarter turns of its photo, which is of (width, height) `size`."""
        return SourceFace(
            None if self.box is None else turned_box(self.box, turns, size),
            None if self.landmarks is None else turned_points(self.landmarks, turns, size),
            None if self.irises is None else turned_points(self.irises, turns, size),
            self.turned_by + turns,
        )


@dataclass(frozen=True, slots=True, eq=False)
class EncodedFace:
    """A face ready to be moved.

    source: what rendering needs of it. picture: (S, S, 3), what the network saw.
    """

    face: SourceFace
    source: EncodedSource
    picture: Picture


@dataclass(frozen=True, eq=False)
class Portrait:
    """A photo whose faces have been encoded once; `Animator.render` moves it any number of times.

    Attributes:
        photo: (H, W, 3) uint8 RGB, as large as results show it, and turned so that its faces stand upright.
        faces: those that move, at least one; from left to right in the picture that was given.
        scale: size of `photo` over that of the picture that was given, in which boxes and landmarks are.
        alpha: (H, W) uint8 of a photo that has transparency, else None.
        turns: by how many quarter turns, counterclockwise, `photo` was turned; results are turned back.

    Example:
        >>> from mcnet_cli import Animator
        >>> portrait = Animator.load("lite").portrait("portrait.jpg")
        >>> portrait.photo.shape, len(portrait.faces), portrait.faces[0].picture.shape
        ((512, 512, 3), 1, (256, 256, 3))
    """

    photo: Picture
    faces: tuple[EncodedFace, ...]
    scale: float = 1.0
    alpha: NDArray[np.uint8] | None = None
    turns: int = 0

    @property
    def shown(self) -> Picture:
        """The photo as it was given, and as results show it."""
        return turned(self.photo, -self.turns)

    def within(self, longest: int) -> "Portrait":
        """The same with a photo whose longer side has at most so many pixels; faces stay encoded."""
        height, width = self.photo.shape[:2]
        size = size_within((width, height), longest)
        return replace(
            self,
            photo=resized(self.photo, *size),
            scale=self.scale * size[0] / width,
            alpha=None if self.alpha is None else resized(self.alpha, *size),
        )

    @cached_property
    def people(self) -> tuple[Person, ...]:
        """Where those who move are in `photo`; looked for when this is first needed."""
        return tuple(map(self._person, self.faces, self.shown_boxes))

    def _person(self, encoded: EncodedFace, box: CropBox | None) -> Person:
        if box is None:
            square = Square(0, 0, self.photo.shape[1], self.photo.shape[0])
        else:
            square = Square(box.x, box.y, box.width, box.height)
        landmarks = encoded.face.landmarks
        outline = None if landmarks is None else self.scale * landmarks
        if self.alpha is None:
            matte = person_matte(self.photo, square.centre, square.width, outline)
        else:
            matte = self.alpha / np.float32(255)
        return Person(square, matte, outline)

    @property
    def shown_boxes(self) -> tuple[CropBox | None, ...]:
        """The faces' squares in pixels of `photo`; None for all of it."""
        boxes = (face.face.box for face in self.faces)
        return tuple(None if box is None else box.scaled(self.scale) for box in boxes)

    @property
    def boxes(self) -> tuple[CropBox, ...]:
        """What was cropped, in pixels of the picture that was given; empty if that was all of it."""
        width, height = self.photo.shape[1] / self.scale, self.photo.shape[0] / self.scale
        size = round(width), round(height)
        boxes = (face.face.box for face in self.faces)
        return tuple(turned_box(box, -self.turns, size) for box in boxes if box is not None)


def read_source(photo: Photo, at_s: float | None) -> tuple[Picture, NDArray[np.uint8] | None]:
    """A photo and its transparency, as `as_photo` returns them; of a video's file the frame at that time."""
    return read_still(Path(photo), at_s) if isinstance(photo, Path | str) else as_photo(photo)


def framing_of(weights: Weights) -> Framing:
    """How weights want faces cropped: as they say, else by the paper's rule."""
    return Framing.PAPER if weights.framing is None else Framing(**weights.framing)


def face_picture(frame: Picture, box: CropBox | None, size: int, roll_deg: float = 0.0) -> Picture:
    """(size, size, 3): what the network gets to see of a frame: the box, turned upright, or all of it."""
    return resized(frame, size, size) if box is None else crop(frame, box, size, roll_deg=roll_deg)


def on_square(
    points: NDArray[np.float32], box: CropBox | None, picture: tuple[int, int], size: int
) -> NDArray[np.float32]:
    """(..., 2) pixels of a picture as keypoints, in [-1, 1] of the network's square.

    box: what the square shows of the picture of (width, height) `picture`; None for all of it.
    """
    corner, extent = ((box.x, box.y), (box.width, box.height)) if box else ((0, 0), picture)
    inside = (points.astype(np.float64) - corner) / extent * size
    keypoints: NDArray[np.float32] = (inside * (2 / (size - 1)) - 1).astype(np.float32)
    return keypoints


def find_faces(
    photo: Picture,
    finder: FaceFinder | None,
    framing: Framing,
    *,
    name: str,
    face: FaceChoice | tuple[int, ...],
    crop_to: Sequence[CropBox] | Literal["auto", "none"],
) -> tuple[SourceFace, ...]:
    """The faces of a photo that are to be moved.

    finder: None if no face may be looked for; then their landmarks are unknown, and `auto` isn't possible.
    face: which ones, for `auto`; numbers count from 0, left to right.
    crop_to: `auto` crops around faces as `framing` says, `none` takes the whole photo, boxes are taken as
    they are.

    InputError, which calls the photo `name`, if a face is needed and there is none.
    """
    found = finder.faces(photo) if finder is not None else []
    if crop_to == "none":
        return (_source_face(None, found),)
    if crop_to != "auto":
        return tuple(_source_face(box, _inside(box, found)) for box in crop_to)
    if not found:
        raise InputError(f"{name}: no face was found", hint="say where it is with --source-crop X,Y,W,H")
    if face != "all":
        wanted = face if isinstance(face, tuple) else (face,)
        for number in wanted:
            if isinstance(number, int) and number >= len(found):
                raise InputError(f"{name}: there is no face {number}; {len(found)} found, counted from 0")
        found = [choose_face(found, each) for each in wanted]
    size = photo.shape[1], photo.shape[0]
    return tuple(_source_face(_upright_box(each, framing, size), [each]) for each in found)


def _upright_box(face: Landmarks, framing: Framing, size: tuple[int, int]) -> CropBox:
    """The square for a face, in a photo of (width, height) `size`, placed as for one that stands upright."""
    turns = upright_turns(face.points)
    box = crop_box(turned_points(face.points, turns, size), framing)
    return turned_box(box, -turns, turned_size(size, turns))


def encode(
    photo: Picture,
    faces: Sequence[SourceFace],
    renderer: Renderer,
    *,
    longest: int = MAX_SIDE_PX,
    alpha: NDArray[np.uint8] | None = None,
) -> Portrait:
    """All that depends on the source alone, computed once.

    A photo whose (largest) face lies on its side, or stands on its head, is turned upright.

    longest: bounds the longer side of the photo that results show, in pixels. alpha: (H, W) of the photo.
    """
    largest = max(faces, key=lambda face: 0.0 if face.box is None else face.box.width)
    turns, size = largest.turns, (photo.shape[1], photo.shape[0])
    photo = turned(photo, turns)
    encoded = tuple(_encoded(photo, face.turned(turns, size), renderer) for face in faces)
    width, height = size_within((photo.shape[1], photo.shape[0]), longest)
    if alpha is not None:
        alpha = resized(turned(alpha, turns), width, height)
    return Portrait(resized(photo, width, height), encoded, width / photo.shape[1], alpha, turns)


def _encoded(photo: Picture, face: SourceFace, renderer: Renderer) -> EncodedFace:
    picture = face_picture(photo, face.box, renderer.size)
    keypoints = None
    if renderer.landmarks and face.landmarks is not None:
        points = numbered(face.landmarks, renderer.landmarks)
        keypoints = on_square(points, face.box, (photo.shape[1], photo.shape[0]), renderer.size)
    surroundings, rows_above = None, 0
    if face.box is not None:
        surroundings = crop(photo, face.box, renderer.size, renderer.margin)
        rows_above = max(0, round(renderer.margin - face.box.y * renderer.size / face.box.height))
    return EncodedFace(face, renderer.encode_source(picture, keypoints, surroundings, rows_above), picture)


def _source_face(box: CropBox | None, faces: list[Landmarks]) -> SourceFace:
    """The largest of the faces, of which there may be none."""
    if not faces:
        return SourceFace(box, None)
    face = choose_face(faces, "largest")
    return SourceFace(box, face.points, face.irises)


def _inside(box: CropBox, faces: list[Landmarks]) -> list[Landmarks]:
    """Faces whose middle is in the box."""
    corner, extent = np.array([box.x, box.y]), np.array([box.width, box.height])
    return [
        face
        for face in faces
        if ((face.points.mean(0) >= corner) & (face.points.mean(0) <= corner + extent)).all()
    ]

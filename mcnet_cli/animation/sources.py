"""Sources: which faces of a photo are animated, and what the network gets to see of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.animation.engine import EncodedSource, Engine
from mcnet_cli.animation.extraction import face_picture
from mcnet_cli.animation.pictures import Picture, on_square
from mcnet_cli.animation.request import AnimationRequest
from mcnet_cli.errors import InputError, shown
from mcnet_cli.face import CropBox, Framing, Landmarks, choose_face, crop, crop_box, numbered
from mcnet_cli.media import read_image

FindFaces = Callable[[Picture], list[Landmarks]]


@dataclass(frozen=True, slots=True)
class SourceFace:
    """box: what is cropped, None for the whole picture. landmarks: (468, 2) in pixels, None if unknown."""

    box: CropBox | None
    landmarks: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class Source:
    """A photo that has been looked at. size: (width, height)."""

    path: Path
    size: tuple[int, int]
    faces: tuple[SourceFace, ...]

    @property
    def boxes(self) -> tuple[CropBox, ...]:
        """What is cropped; empty for the whole picture."""
        return tuple(face.box for face in self.faces if face.box is not None)

    def read(self) -> Picture:
        """The photo's pixels."""
        return read_image(self.path)


@dataclass(frozen=True, slots=True)
class EncodedFace:
    """A face ready to be moved: what the network knows of it, and the picture that it saw."""

    face: SourceFace
    state: EncodedSource
    picture: Picture


def look_at(
    path: Path,
    request: AnimationRequest,
    framing: Framing,
    *,
    boxes: tuple[CropBox, ...] | None,
    find_faces: FindFaces | None,
) -> Source:
    """Finds the faces that `--face` asks for, or takes the given boxes.

    find_faces: None if no detector may run. InputError without a face where one is needed.
    """
    photo = read_image(path)
    size = photo.shape[1], photo.shape[0]
    if boxes is None and request.source_crop == "auto":
        assert find_faces is not None
        return Source(path, size, tuple(_found(path, photo, request.face, framing, find_faces)))
    faces = find_faces(photo) if find_faces is not None else []
    if boxes is None:
        points = choose_face(faces, "largest").points if faces else None
        return Source(path, size, (SourceFace(None, points),))
    return Source(path, size, tuple(SourceFace(box, _inside(box, faces)) for box in boxes))


def encode(source: Source, photo: Picture, engine: Engine) -> list[EncodedFace]:
    """All that depends on the source alone, computed once."""
    return [_encoded(face, source, photo, engine) for face in source.faces]


def _encoded(face: SourceFace, source: Source, photo: Picture, engine: Engine) -> EncodedFace:
    picture = face_picture(photo, face.box, engine.size)
    surroundings, top = None, 0
    if face.box is not None:
        surroundings = crop(photo, face.box, engine.size, engine.margin)
        top = max(0, round(engine.margin - face.box.y * engine.size / face.box.height))
    state = engine.encode_source(picture, _keypoints(face, source, engine), surroundings, top)
    return EncodedFace(face, state, picture)


def _keypoints(face: SourceFace, source: Source, engine: Engine) -> NDArray[np.float32] | None:
    """The face's landmarks as keypoints, if the weights' keypoints are landmarks and there are any."""
    if engine.landmarks is None or face.landmarks is None:
        return None
    return on_square(numbered(face.landmarks, engine.landmarks), face.box, source.size, engine.size)


def _found(
    path: Path, photo: Picture, which: str, framing: Framing, find_faces: FindFaces
) -> list[SourceFace]:
    faces = find_faces(photo)
    if not faces:
        raise InputError(
            f"{shown(path)}: no face was found", hint="say where it is with --source-crop X,Y,W,H"
        )
    if which != "all":
        if which != "largest" and int(which) >= len(faces):
            raise InputError(f"{shown(path)}: there is no face {which}; {len(faces)} found, counted from 0")
        faces = [choose_face(faces, which if which == "largest" else int(which))]
    return [SourceFace(crop_box(face.points, framing), face.points) for face in faces]


def _inside(box: CropBox, faces: list[Landmarks]) -> NDArray[np.float32] | None:
    """Landmarks of the largest face whose middle is in the box."""
    corner, extent = np.array([box.x, box.y]), np.array([box.width, box.height])
    inside = [
        face
        for face in faces
        if ((face.points.mean(0) >= corner) & (face.points.mean(0) <= corner + extent)).all()
    ]
    return choose_face(inside, "largest").points if inside else None

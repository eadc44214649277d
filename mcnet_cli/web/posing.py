"""Photos whose pose and expression sliders change: encoded once, so that each look takes a moment."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mcnet_cli.animation import Animator, Controls, Motion, Portrait, Transfer
from mcnet_cli.animation.frames import MakeFrames, frames_of
from mcnet_cli.animation.kept import Recent
from mcnet_cli.animation.retarget import Retargeting
from mcnet_cli.arrays import Picture
from mcnet_cli.errors import UsageError, shown
from mcnet_cli.face import parse_crop
from mcnet_cli.options import parse_face
from mcnet_cli.web.options import SLIDERS
from mcnet_cli.web.storage import Upload

POSED_PX = 512  # longer side; a frame of it takes about 0.1 s on one core
PHOTOS_KEPT = 4


@dataclass(frozen=True, eq=False)
class _Posable:
    """An encoded photo, and what makes its frames."""

    portrait: Portrait
    make: MakeFrames


class Posing:
    """Poses photos by an animator, of which it keeps the last few. Not for several threads at once."""

    def __init__(self, animator: Animator) -> None:
        self._animator = animator
        self._photos: Recent[_Posable] = Recent(PHOTOS_KEPT)

    def posed(self, upload: Upload, values: Mapping[str, str]) -> Picture:
        """A photo with its face posed by `SLIDERS`, numbers by name; `face` and `source-crop` say which face.

        UsageError for what is no number or out of range, InputError if there is no such face.
        """
        face, crop = values.get("face", "largest"), values.get("source-crop", "auto")
        controls = Controls.of(**{name: _number(name, values[name]) for name in SLIDERS if name in values})
        photo = self._photos.get((upload.id, face, crop), lambda: self._encoded(upload, face, crop))
        motion, numbers = Motion.of(controls), self._animator.landmarks
        poses = [
            Retargeting(motion, Transfer(), face, numbers, 0.0).pose(np.array([0]))
            for face in photo.portrait.faces
        ]
        (picture,) = photo.make(poses)
        return picture

    def _encoded(self, upload: Upload, face: str, crop: str) -> _Posable:
        portrait = self._animator.portrait(
            upload.path, face=parse_face(face), crop=parse_crop("--source-crop", crop), longest=POSED_PX
        )
        return _Posable(portrait, frames_of(portrait, self._animator.renderer, "photo", "still", None))


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{name} {shown(text[:40])}: must be a number") from error

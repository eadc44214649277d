"""Photos whose pose and expression sliders change: encoded once, so that each look takes a moment."""

from dataclasses import dataclass

import numpy as np

from mcnet_cli.animation import AnimationRequest, Animator, Portrait, Transfer
from mcnet_cli.animation.frames import MakeFrames, frames_of
from mcnet_cli.animation.kept import Recent
from mcnet_cli.animation.retarget import Retargeting
from mcnet_cli.arrays import Picture
from mcnet_cli.motion import Controls, Motion
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

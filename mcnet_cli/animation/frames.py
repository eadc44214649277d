"""The frames of a result, and their sizes: the whole photo, the square around a face, or the network's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from mcnet_cli.animation.renderer import Renderer
from mcnet_cli.animation.request import AnimationRequest, Background, PictureKind
from mcnet_cli.animation.retarget import Pose
from mcnet_cli.animation.source import LONGEST_PX, EncodedFace, Portrait, face_picture
from mcnet_cli.arrays import Picture, filling, resized, size_within
from mcnet_cli.compositing import photo_layers
from mcnet_cli.errors import InputError
from mcnet_cli.face import CropBox, turned
from mcnet_cli.transfers import Later

LONGEST_OF_KIND_PX = {"gif": 480, "webp": 720}  # longer side by kind of output, without --size


@dataclass(frozen=True, slots=True)
class MakeFrames:
    """Makes the frames of a batch from the poses of all faces of a portrait, which are its argument.

    begin: starts the network; what it returns waits for that, and starts drawing. So a GPU is kept busy.
    """

    begin: Callable[[Sequence[Pose]], Later[list[Later[Picture]]]]

    def __call__(self, poses: Sequence[Pose]) -> list[Picture]:
        """All frames, finished."""
        return [frame() for frame in self.begin(poses)()]

    def then(self, change: Callable[[Picture], Picture]) -> "MakeFrames":
        """The same with something done to each finished frame."""

        def begin(poses: Sequence[Pose]) -> Later[list[Later[Picture]]]:
            begun = self.begin(poses)
            return lambda: [partial(_changed, frame, change) for frame in begun()]

        return MakeFrames(begin)


def _changed(frame: Later[Picture], change: Callable[[Picture], Picture]) -> Picture:
    return change(frame())


def frames_of(
    portrait: Portrait, renderer: Renderer, picture: PictureKind, background: Background, size: int | None
) -> MakeFrames:
    """What makes the frames of a portrait; arguments and errors as for `Animator.render`."""
    if picture == "network":
        return _network_squares(portrait.faces[0], renderer, size or renderer.size)
    if picture == "face":
        return _face_squares(portrait, renderer, background, size)
    return _photos(portrait, renderer, background).then(lambda frame: turned(frame, -portrait.turns))


def _network_squares(face: EncodedFace, renderer: Renderer, side: int) -> MakeFrames:
    """Makes the network's own squares, (side, side, 3)."""

    def begin(poses: Sequence[Pose]) -> Later[list[Later[Picture]]]:
        squares = renderer.render_soon(face.source, poses[0].keypoints)
        return lambda: [partial(resized, square, side, side) for square in squares()]

    return MakeFrames(begin)


def _photos(portrait: Portrait, renderer: Renderer, background: Background) -> MakeFrames:
    """Makes whole photos, (H, W, 3), or (H, W, 4) without a background, turned as `Portrait.photo` is.

    InputError if there is no person that could be put before another background.
    """
    height, width = portrait.shown.shape[:2]
    backdrop = _backdrop(background, width, height)
    if backdrop is not None:
        backdrop = turned(backdrop, portrait.turns)
    layers = photo_layers(
        portrait.photo,
        portrait.people,
        renderer.size,
        moving=isinstance(background, str) and background == "moving",
        backdrop=backdrop,
    )
    if backdrop is not None and all(front.whole for front in layers.fronts):
        raise InputError(
            "no person stands out from the photo, to be put before another background",
            hint="take --background still, or a photo with transparency",
        )
    compositor = renderer.photo_compositor(layers)

    def begin(poses: Sequence[Pose]) -> Later[list[Later[Picture]]]:
        begun = [
            renderer.draw_soon(face.source, pose.keypoints, pose.gaze)
            for face, pose in zip(portrait.faces, poses, strict=True)
        ]

        def drawn() -> list[Later[Picture]]:
            drawings = [drawing() for drawing in begun]
            count = len(poses[0].keypoints)
            return [
                compositor.frame_soon([drawing[number] for drawing in drawings]) for number in range(count)
            ]

        return drawn

    return MakeFrames(begin)


def _face_squares(
    portrait: Portrait, renderer: Renderer, background: Background, side: int | None
) -> MakeFrames:
    """Makes squares around the face, at the photo's own size unless a `side` is given."""
    box = portrait.shown_boxes[0]
    size = side or face_side(box, portrait.photo.shape[1::-1])
    whole = _photos(portrait, renderer, background)
    return whole.then(lambda frame: face_picture(frame, box, size))


def face_side(box: CropBox | None, photo: tuple[int, ...]) -> int:
    """Side in pixels of the square around a face at its own size, even, at most LONGEST_PX.

    box: None for the whole photo of (width, height) `photo`.
    """
    longest = max(photo) if box is None else max(box.width, box.height)
    return min(max(2, 2 * round(longest / 2)), LONGEST_PX)


def film_size(
    request: AnimationRequest,
    kind: str,
    photo: tuple[int, ...],
    box: CropBox | None,
    network_size: int,
) -> tuple[int, int]:
    """(width, height) of a film's frames in pixels.

    kind: of the output. photo: (width, height). box: around the face that moves, None for the whole photo.
    """
    longest = longest_side(request, kind)
    width, height = size_within((photo[0], photo[1]), longest)
    if request.picture == "face":
        shown = None if box is None else box.scaled(width / photo[0])
        width = height = request.size or min(face_side(shown, (width, height)), longest)
    elif request.picture == "network":
        width = height = request.size or network_size
    return (2 * width + height, height) if request.compare else (width, height)


def longest_side(request: AnimationRequest, kind: str) -> int:
    """At most how many pixels the longer side of the photo in a film has; a gif of a large photo is huge."""
    if request.size is not None and request.picture == "photo":
        return request.size
    return LONGEST_OF_KIND_PX.get(kind, LONGEST_PX)


def _backdrop(background: Background, width: int, height: int) -> Picture | None:
    """(H, W, 3) or (H, W, 4): what replaces the photo's background; None where the photo's own is shown."""
    if isinstance(background, np.ndarray):
        return filling(background, width, height)
    if background == "transparent":
        return np.zeros((height, width, 4), np.uint8)
    if isinstance(background, tuple):
        return np.full((height, width, 3), background, np.uint8)
    return None

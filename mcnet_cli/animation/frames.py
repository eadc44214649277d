"""The frames of a result and their sizes: the whole photo, the square around a face, or the network's own."""

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mcnet_cli.animation.renderer import Renderer
from mcnet_cli.animation.request import AnimationRequest, Background, PictureKind
from mcnet_cli.animation.retarget import Retargeting, SourcePose
from mcnet_cli.animation.source import MAX_SIDE_PX, EncodedFace, Portrait, face_picture
from mcnet_cli.arrays import Picture, filling, resized, size_within
from mcnet_cli.compositing import photo_layers
from mcnet_cli.errors import InputError, UsageError, WeightsError, counted, shown
from mcnet_cli.face import CropBox, turned
from mcnet_cli.motion.blending import in_step
from mcnet_cli.motion.motion import Motion
from mcnet_cli.motion.motion_file import require_fit
from mcnet_cli.motion.transfer import Transfer
from mcnet_cli.transfers import Later

POSED_AT_ONCE = 64  # frames whose poses are found together; a few take as long as one
MAX_SIDE_OF_KIND_PX = {"gif": 480, "webp": 720}  # longer side by kind of output, without --size


@dataclass(frozen=True, slots=True)
class MakeFrames:
    """Makes the frames of a batch from the poses of all faces of a portrait, which are its argument.

    begin: starts the network; what it returns waits for that, and starts drawing. So a GPU is kept busy.
    """

    begin: Callable[[Sequence[SourcePose]], Later[list[Later[Picture]]]]

    def __call__(self, poses: Sequence[SourcePose]) -> list[Picture]:
        """All frames, finished."""
        return [frame() for frame in self.begin(poses)()]

    def then(self, change: Callable[[Picture], Picture]) -> "MakeFrames":
        """The same with something done to each finished frame."""

        def begin(poses: Sequence[SourcePose]) -> Later[list[Later[Picture]]]:
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

    def begin(poses: Sequence[SourcePose]) -> Later[list[Later[Picture]]]:
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

    def begin(poses: Sequence[SourcePose]) -> Later[list[Later[Picture]]]:
        begun = [
            renderer.draw_soon(face.source, pose.keypoints, pose.gaze)
            for face, pose in zip(portrait.faces, poses, strict=True)
        ]

        return lambda: compositor.frames_soon([drawing() for drawing in begun])

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
    """Side in pixels of the square around a face at its own size, even, at most MAX_SIDE_PX.

    box: None for the whole photo of (width, height) `photo`.
    """
    longest = max(photo) if box is None else max(box.width, box.height)
    return min(max(2, 2 * round(longest / 2)), MAX_SIDE_PX)


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
    return MAX_SIDE_OF_KIND_PX.get(kind, MAX_SIDE_PX)


def _backdrop(background: Background, width: int, height: int) -> Picture | None:
    """(H, W, 3) or (H, W, 4): what replaces the photo's background; None where the photo's own is shown."""
    if isinstance(background, np.ndarray):
        return filling(background, width, height)
    if background == "transparent":
        return np.zeros((height, width, 4), np.uint8)
    if isinstance(background, tuple):
        return np.full((height, width, 3), background, np.uint8)
    return None


def motions_of_faces(
    motion: Motion | Sequence[Motion], portrait: Portrait, renderer: Renderer
) -> tuple[Motion, ...]:
    """A motion for each face of a portrait, all of one length; errors as for `Animator.render`."""
    count = len(portrait.faces)
    motions = [motion] * count if isinstance(motion, Motion) else list(motion)
    if len(motions) != count:
        raise UsageError(
            f"{counted(len(motions), 'motion')} for {counted(count, 'face')}",
            hint="give one motion for all faces, or one for each",
        )
    for each in motions:
        require_fit(each, renderer.config, renderer.digest, "the motion")
    return in_step(motions)


def rendered(
    portrait: Portrait,
    motions: Sequence[Motion],
    transfer: Transfer,
    renderer: Renderer,
    make: MakeFrames,
    *,
    rows: NDArray[np.intp],
    smooth: float,
) -> Generator[Picture, None, None]:
    """The frames `rows` of a portrait that is moved by a motion for each face.

    smooth: as for `Retargeting`. make: makes the frames of a batch. Raises what `Retargeting` raises.
    """
    with naming_weights(renderer.path):
        retargetings = [
            Retargeting(each, transfer, face, renderer.landmarks, smooth)
            for each, face in zip(motions, portrait.faces, strict=True)
        ]
    return _in_batches(renderer, retargetings, rows, make)


def _in_batches(
    renderer: Renderer, retargetings: Sequence[Retargeting], rows: NDArray[np.intp], make: MakeFrames
) -> Generator[Picture, None, None]:
    """The frames of all `rows`, several batches at once where there are threads for them."""
    count = renderer.batch_size
    many = count * max(1, POSED_AT_ONCE // count)

    def batches() -> Iterator[list[SourcePose]]:
        for start in range(0, len(rows), many):
            poses = [each.pose(rows[start : start + many]) for each in retargetings]
            for first in range(0, len(poses[0].keypoints), count):
                yield [pose[first : first + count] for pose in poses]

    frames = renderer.frames_in_order(make.begin, batches())
    with naming_weights(renderer.path), contextlib.closing(frames):
        yield from frames


@contextlib.contextmanager
def naming_weights(path: Path) -> Iterator[None]:
    """Jacobians that can't be inverted are the fault of the weights in the file `path`: WeightsError."""
    try:
        yield
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise WeightsError(f"{shown(path)} gives jacobians that can't be inverted") from error

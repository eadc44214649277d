"""`Animator`, the core: photos and frames in, frames out, all in memory. `animate` wraps it with files."""

from collections.abc import Generator, Iterable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.animation.driving import Driving, read_driving, reopenable_arrays
from mcnet_cli.animation.frames import frames_of, motions_of_faces, rendered
from mcnet_cli.animation.renderer import Renderer
from mcnet_cli.animation.request import Background, Crop, PictureKind, require_shown
from mcnet_cli.animation.source import (
    MAX_SIDE_PX,
    FaceFinder,
    Photo,
    Portrait,
    SourceFace,
    encode,
    find_faces,
    framing_of,
    read_source,
)
from mcnet_cli.arrays import Picture
from mcnet_cli.checkpoint import Weights, read_weights
from mcnet_cli.devices import Compute, choose
from mcnet_cli.errors import UsageError, shown
from mcnet_cli.face import CropBox, Framing
from mcnet_cli.media import Span, decoded_rate, open_frames
from mcnet_cli.motion.following import FollowingAhead, OpenFrames
from mcnet_cli.motion.motion import Motion
from mcnet_cli.motion.motion_file import known_motion
from mcnet_cli.motion.timing import MotionEdit
from mcnet_cli.motion.transfer import Transfer
from mcnet_cli.options import DrivingFace, FaceChoice
from mcnet_cli.progress import OnProgress, silent
from mcnet_cli.weights import NEVER, Fetch, resolve_weights


class Animator:
    """A network on its device, with what finds faces for it.

    Encode a portrait once, read a driving's motion once, and render any portrait with any motion:

    Example:
        >>> from mcnet_cli import Animator
        >>> animator = Animator.load("lite")
        >>> portrait = animator.portrait("portrait.jpg")
        >>> motion = animator.motion("driving.mp4", max_frames=5)
        >>> frames = [frame for frame in animator.render(portrait, motion)]
        >>> len(frames), frames[0].shape, frames[0].dtype
        (5, (512, 512, 3), dtype('uint8'))

    Not safe to use from several threads at once; a process may hold several.
    """

    def __init__(
        self,
        weights: Weights,
        compute: Compute,
        *,
        detector: str | None = "blazeface",
        batch_size: int | None = None,
        compiled: bool = False,
        paints: bool = True,
    ) -> None:
        """Args: as for `load`, with weights that have been read and a device that has been chosen.

        paints: False shows photos and faces warped alone, without what the network paints: a baseline.
        """
        self.weights, self.compute = weights, compute
        self.finder = None if detector is None else FaceFinder(detector, str(compute.device))
        self.renderer = Renderer(weights, compute, batch_size=batch_size, compiled=compiled, paints=paints)

    @classmethod
    def load(
        cls,
        weights: str | Path | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        detector: str | None = "blazeface",
        batch_size: int | None = None,
        compiled: bool = False,
        fetch: Fetch = NEVER,
    ) -> "Animator":
        """Reads weights and brings the network to its device.

        Args:
            weights: a name (`lite`), a file (official .pth.tar files work), or `hf:OWNER/REPO[@REV]/FILE`.
                None: the environment's MCNET_WEIGHTS, else the bundled default.
            device: `auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:N` or `mps`.
            precision: `auto` (bf16 where the device gains by it), `fp32`, `bf16` or `fp16`.
            detector: what finds faces, `blazeface` or `face-alignment`. None: nothing does, so that every
                crop has to be given.
            batch_size: frames computed at once; None chooses by the memory there is.
            compiled: compile the network first, about a minute; worth it for long clips.
            fetch: whether weights that are missing may be downloaded; by default they may not.

        Raises:
            UsageError: a device or precision that isn't there.
            WeightsError: weights that can't be found or used.

        Example:
            >>> from mcnet_cli import Animator
            >>> animator = Animator.load("lite", device="cpu", precision="fp32")
            >>> animator.size
            256
        """
        compute = choose(device, precision)
        read = read_weights(resolve_weights(None if weights is None else str(weights), fetch=fetch))
        return cls(read, compute, detector=detector, batch_size=batch_size, compiled=compiled)

    @property
    def size(self) -> int:
        """Side in pixels of the network's square."""
        return self.renderer.size

    @property
    def landmarks(self) -> tuple[int, ...]:
        """The face mesh's points that the network's keypoints are; empty for learned keypoints."""
        return self.renderer.landmarks

    @property
    def framing(self) -> Framing:
        """How the weights want faces cropped."""
        return framing_of(self.weights)

    def faces(
        self,
        photo: Photo,
        *,
        face: FaceChoice | tuple[int, ...] = "largest",
        crop: Crop | Sequence[CropBox] = "auto",
        source_frame_s: float | None = None,
    ) -> tuple[SourceFace, ...]:
        """Where a photo's faces are, without encoding them; arguments and errors as for `portrait`.

        Example:
            >>> from mcnet_cli import Animator
            >>> (face,) = Animator.load("lite").faces("portrait.jpg", face="all")
            >>> face.landmarks.shape
            (468, 2)
        """
        return self._found(photo, read_source(photo, source_frame_s)[0], face, crop)

    def portrait(
        self,
        photo: Photo,
        *,
        face: FaceChoice | tuple[int, ...] = "largest",
        crop: Crop | Sequence[CropBox] = "auto",
        faces: Sequence[SourceFace] | None = None,
        longest: int = MAX_SIDE_PX,
        source_frame_s: float | None = None,
    ) -> Portrait:
        """Finds a photo's faces and encodes them, once for any number of renderings.

        Args:
            photo: a picture's file, an (H, W, 3) uint8 RGB or (H, W, 4) RGBA array, or a PIL image.
            face: which face moves: the largest, all of them, or one or several numbers from 0, left to right.
            crop: `auto` crops around the faces as the weights want it; `none` shows the network the whole
                photo; or boxes in pixels of the photo, one for each face.
            faces: what `Animator.faces` has found in this photo, so that it isn't looked for again.
            longest: bounds the longer side of the photo that results show, in pixels.
            source_frame_s: makes a frame of a video's file the photo: its time in seconds.

        Raises:
            InputError: the photo can't be read, or there is no such face in it.
            UsageError: `auto` without a detector.

        Example:
            >>> import numpy as np
            >>> from PIL import Image
            >>> from mcnet_cli import Animator, CropBox
            >>> photo = np.array(Image.open("portrait.jpg"))
            >>> portrait = Animator.load("lite").portrait(photo, crop=CropBox(100, 50, 300, 300))
            >>> portrait.boxes
            (CropBox(x=100, y=50, width=300, height=300),)
        """
        picture, alpha = read_source(photo, source_frame_s)
        if faces is None:
            faces = self._found(photo, picture, face, crop)
        return encode(picture, faces, self.renderer, longest=longest, alpha=alpha)

    def motion(
        self,
        frames: Path | str | Iterable[Picture],
        *,
        rate: Fraction | float = 25,
        fps: Fraction | None = None,
        start_s: float = 0.0,
        end_s: float | None = None,
        max_frames: int | None = None,
        crop: Crop = "auto",
        face: DrivingFace = "largest",
        strict: bool = False,
        on_progress: OnProgress = silent,
    ) -> Motion:
        """Reads a driving's motion: keypoints, landmarks and which frames have a face, but no picture.

        Args:
            frames: a video, gif, folder of pictures, picture or .motion file, or the name of a bundled
                motion if no file has it; or any iterable of (H, W, 3) uint8 RGB arrays of one size.
            rate: frames a second of arrays.
            fps: of files: what they are resampled to, by interpolating the motion if that is more than
                they have; None: their own rate, exactly. Of bundled motions: None is 25.
            start_s: of files: where reading begins, in seconds.
            end_s: of files: where it ends, in seconds; None: with the file.
            max_frames: at most so many frames.
            crop: what the network sees: the face, found and followed; `none`: whole frames; or a box in
                pixels, the same for all frames.
            face: who is followed, if there are several. `largest`: the largest face, and after a cut whoever
                is there. `first`: the same, but another person after a cut is no face. A number: that face,
                from 0, left to right, of the first frame with so many, likewise.
            strict: a damaged file is an InputError, instead of being read as far as it goes.
            on_progress: called after each frame.

        Raises:
            InputError: a driving that can't be read, or in which no face is found.
            UsageError: `auto` without a detector, or times that contradict themselves.

        Example:
            >>> import numpy as np
            >>> from mcnet_cli import Animator
            >>> frames = [np.zeros((128, 128, 3), np.uint8)] * 3
            >>> motion = Animator.load("lite", detector=None).motion(frames, rate=12.5, crop="none")
            >>> motion.values.shape, motion.rate
            ((3, 35, 2), Fraction(25, 2))
        """
        if not isinstance(frames, Path | str):
            exact = Fraction(rate).limit_denominator(1_000_000)
            # Learned keypoints are found in the crop, and all frames have to be read once to know that.
            twice = crop == "auto" and not self.landmarks
            with reopenable_arrays(frames, exact, max_frames=max_frames, twice=twice) as opened:
                return self.read_driving(opened, crop=crop, face=face, on_progress=on_progress).motion
        path, span = Path(frames), Span(start_s, end_s, max_frames)
        known = known_motion(path, self.renderer.config, self.renderer.digest, span=span, fps=fps)
        if known is not None:
            return known
        opened = partial(
            open_frames,
            path,
            fps=decoded_rate(path, fps),
            start_s=start_s,
            end_s=end_s,
            max_frames=max_frames,
            strict=strict,
        )
        motion = self.read_driving(opened, crop=crop, face=face, on_progress=on_progress).motion
        return motion if fps is None else MotionEdit(rate=fps).applied(motion)

    def render(
        self,
        portrait: Portrait,
        motion: Motion | Sequence[Motion],
        transfer: Transfer | None = None,
        *,
        rows: NDArray[np.intp] | Sequence[int] | None = None,
        picture: PictureKind = "photo",
        background: Background = "still",
        size: int | None = None,
    ) -> Generator[Picture, None, None]:
        """Moves a portrait: its frames one after the other, each when it is asked for.

        Args:
            portrait: from `portrait`, of this animator.
            motion: from `motion`, of an animator with the same keypoint detector. Or a motion for each of the
                portrait's faces: at the rate of the first, as long as the longest, and the others hold their
                last pose.
            transfer: how the motion is carried over; by default relative to the frame most like the source.
            rows: which frames of the motion are made, numbers from 0 in any order; None: all that are shown.
            picture: `photo`: the whole photo at its own size. `face`: the square around the face, at the
                photo's size. `network`: the square as the network makes it, for comparisons with the paper.
            background: of photo and face. `still`: the photo's own, which stands still. `moving`: as the
                network moves it. `transparent`: none, frames are RGBA. Or another picture, an (H, W, 3)
                array that is enlarged to cover all, or a colour (red, green, blue), 0 to 255.
            size: side in pixels of `face` and `network`; None: the photo's own, and the network's.

        Returns:
            (H, W, 3) uint8 RGB arrays, or (H, W, 4) RGBA, in the order of the rows. Each may be changed by
            whoever takes it. Closing the generator ends the work.

        Raises:
            InputError: a motion of another keypoint detector, or nobody to put before another background.
            UsageError: a reference frame that the motion doesn't have, squares of several faces, not as many
                motions as faces, or a picture or background that doesn't exist.
            WeightsError: weights that give no numbers; while iterating.

        Example:
            >>> from mcnet_cli import Animator, Transfer
            >>> animator = Animator.load("lite")
            >>> portrait, motion = animator.portrait("portrait.jpg"), animator.motion("portrait.jpg")
            >>> (still,) = animator.render(portrait, motion, Transfer(strength=0))
            >>> still.shape
            (512, 512, 3)
            >>> next(animator.render(portrait, motion, picture="network")).shape
            (256, 256, 3)
        """
        transfer = transfer or Transfer()
        require_shown(picture, background)
        motions = motions_of_faces(motion, portrait, self.renderer)
        shown_rows = transfer.shown_frames(*motions) if rows is None else np.asarray(rows, np.intp)
        if picture != "photo" and len(portrait.faces) > 1:
            raise UsageError(f"--picture {picture}: several faces have no one square", hint="take photo")
        smooth = self.weights.smooth or 0.0
        make = frames_of(portrait, self.renderer, picture, background, size)
        return rendered(portrait, motions, transfer, self.renderer, make, rows=shown_rows, smooth=smooth)

    def read_driving(
        self,
        opened: OpenFrames,
        *,
        crop: Crop,
        face: DrivingFace = "largest",
        whole_landmarks: bool = True,
        requires_face: bool = False,
        ahead: FollowingAhead | None = None,
        on_progress: OnProgress = silent,
    ) -> Driving:
        """As `motion`, with crop, sound and damage. ahead: follows the face in these frames already."""
        if crop == "auto" and self.finder is None:
            raise UsageError("without a detector no face is found", hint="give crop=CropBox(x, y, w, h)")
        return read_driving(
            opened,
            self.renderer,
            self.framing,
            crop_to=crop,
            tracker=None if self.finder is None else self.finder.tracker(face),
            whole_landmarks=whole_landmarks,
            requires_face=requires_face,
            ahead=ahead,
            on_progress=on_progress,
        )

    def _found(
        self,
        photo: Photo,
        picture: Picture,
        face: FaceChoice | tuple[int, ...],
        crop: Crop | Sequence[CropBox],
    ) -> tuple[SourceFace, ...]:
        name = shown(photo) if isinstance(photo, Path | str) else "the photo"
        boxes = [crop] if isinstance(crop, CropBox) else crop
        if boxes == "auto" and self.finder is None:
            raise UsageError("without a detector no face is found", hint="give crop=CropBox(x, y, w, h)")
        return find_faces(picture, self.finder, self.framing, name=name, face=face, crop_to=boxes)

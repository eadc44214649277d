"""What is asked of `mcnet animate`: its options."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.errors import UsageError, shown
from mcnet_cli.face import CropBox
from mcnet_cli.media import CODECS, DEFAULT_QUALITY, HWACCELS, QUALITIES, Codec, Hwaccel, Quality, Span
from mcnet_cli.motion.bundled import DEFAULT, BundledMotion, bundled_motion
from mcnet_cli.motion.controls import Keyframes
from mcnet_cli.motion.motion_file import MOTION_SUFFIX, is_motion_file
from mcnet_cli.motion.timing import MotionEdit
from mcnet_cli.motion.transfer import GazeKind, Mode, Reference, Transfer
from mcnet_cli.options import (
    DETECTORS,
    RATE_LIMITS,
    SIZE_LIMITS_PX,
    BackgroundChoice,
    BackgroundName,
    DetectorName,
    DrivingFace,
    FaceChoice,
    require_among,
    require_between,
)
from mcnet_cli.weights import NEVER, Fetch

Crop = CropBox | Literal["auto", "none"]
NoFacePolicy = Literal["hold", "skip", "source", "fail"]
PictureKind = Literal["photo", "face", "network"]
Background = BackgroundName | tuple[int, int, int] | NDArray[np.uint8]
BATCH_LIMIT = 1024
MAX_VOLUME = 10.0


@dataclass(frozen=True, kw_only=True)
class AnimationRequest:
    """What to animate, and how: the options of `mcnet animate`. UsageError where they make no sense.

    Args:
        sources: portraits, paths of pictures; with `source_frame_s` also of videos.
        driving: a video, gif, folder of pictures, picture or .motion file; or the name of a bundled motion,
            if no file has it. None: `controls` alone move the sources; without them `idle` does.
        output: as typed: a file, a pattern of PNGs, a folder (ends with a slash, or exists), or `-` for
            stdout. None: `SOURCE--DRIVING.mp4` in the current folder.
        weights: a name, path or hub address; None: the environment's, else the bundled default.
        fetch: whether weights that are missing may be downloaded; by default they may not.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        motion, adapt_scale, reference, strength, smooth, gaze, region: as in `Transfer`.
        controls: pose and expression by numbers, added to the motion.
        speed, ping_pong, loop, duration_s, fade_in_s, returns: as in `MotionEdit`. The driving's sound is
            heard once, and not at all at another speed.
        save_motion: a file to keep the motion in, as edited and with what `controls` add; region and strength
            are left to whoever uses it.
        detector: what finds faces.
        source_crop, driving_crop: what the network sees. `auto`: the face. `none`: the whole picture. Or a
            box in pixels. With both `none` no face is looked for.
        source_frame_s: of sources that are videos or animations: the time in seconds of the frame that is the
            portrait. None: a video is no source, and of an animation it is the first frame.
        face: which face of a source; numbers count from 0, left to right. `all`: each of them.
        face_drivings: faces by number, each with a driving of its own, instead of `driving` and `face`. The
            film has the rate of the first and lasts as long as the longest, others hold their last pose, and
            their sounds are mixed.
        crop_json: a file that crops are saved to; if it exists, they are read from it.
        driving_face: who is followed in the driving: `largest`, `first` or a number, as in `Animator.motion`.
        on_no_face: what is shown for driving frames without a face. `hold`: the last pose, which goes over
            into the next one within a second. `skip`: nothing. `source`: the source unmoved. `fail`:
            InputError.
        picture: `photo`: the whole photo at its own size. `face`: the square around the face at the photo's
            size. `network`: the square as the network makes it.
        background: `still`: the photo's own stands still. `moving`: as the network moves it.
            `transparent`: none. Or a colour (red, green, blue), or a picture's file.
        compare: show source, driving and result side by side.
        size: bounds the longer side of a photo in pixels (None: 1920, less for gif and webp); sets the side
            of `face` and `network` (None: the photo's own, and the network's).
        start_s, end_s: the part of the driving that is used, in seconds.
        max_frames: at most so many driving frames.
        fps: frames a second: of a folder of pictures and of motions without a driving (None: 25), or what a
            video is resampled to (None: its own). Beyond its own, the motion is interpolated.
        audio: whether the film has the driving's sound; or a file whose sound it has instead, from the
            beginning on, cut at the film's end.
        audio_track: which of its sound tracks, from 0; None: the one that players take.
        volume: a factor on the sound. Above 1 a limiter lowers the loudest moments, so that nothing clips.
        codec: `h264`, `h265`, `av1`, `vp9`, `prores`, or `lossless` for frames as they are, bit for bit.
            None: what such files usually hold.
        quality: `draft`, `good`, `high` or `best`: from small files to little loss.
        hwaccel: what decodes the driving and encodes h264, h265 and av1. `none`: the processor. `auto`: a GPU
            if ffmpeg can use one. `cuda`, `videotoolbox`, `qsv` or `vaapi`: that, with a warning if it can't.
        metadata: whether the film says that this tool made it, which version, and with which weights.
        batch_size: frames computed at once; None: by the memory there is.
        compile: compile the network first.
        strict: InputError if the driving is damaged, instead of a warning.
        overwrite: replace existing outputs.

    Example:
        >>> from pathlib import Path
        >>> from mcnet_cli import AnimationRequest
        >>> request = AnimationRequest(sources=(Path("portrait.jpg"),), driving=Path("driving.mp4"))
        >>> request.reference
        'best'
    """

    sources: tuple[Path, ...]
    driving: Path | None = None
    output: str | Path | None = None
    weights: str | None = None
    fetch: Fetch = NEVER
    device: str = "auto"
    precision: str = "auto"
    motion: Mode = "relative"
    adapt_scale: bool = True
    reference: Reference = "best"
    strength: float | Mapping[str, float] = 1.0
    smooth: float | None = None
    gaze: GazeKind = "driving"
    region: tuple[str, ...] = ("all",)
    controls: Keyframes = field(default_factory=Keyframes)
    speed: float = 1.0
    ping_pong: bool = False
    loop: int = 1
    duration_s: float | None = None
    fade_in_s: float = 0.0
    returns: bool = False
    save_motion: Path | None = None
    detector: DetectorName = "blazeface"
    source_crop: Crop = "auto"
    driving_crop: Crop = "auto"
    source_frame_s: float | None = None
    face: FaceChoice = "largest"
    face_drivings: tuple[tuple[int, Path], ...] = ()
    driving_face: DrivingFace = "largest"
    crop_json: Path | None = None
    on_no_face: NoFacePolicy = "hold"
    picture: PictureKind = "photo"
    background: BackgroundChoice = "still"
    compare: bool = False
    size: int | None = None
    start_s: float = 0.0
    end_s: float | None = None
    max_frames: int | None = None
    fps: Fraction | None = None
    audio: bool | Path = True
    audio_track: int | None = None
    volume: float = 1.0
    codec: Codec | None = None
    quality: Quality = DEFAULT_QUALITY
    hwaccel: Hwaccel = "none"
    metadata: bool = True
    batch_size: int | None = None
    compile: bool = False
    strict: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        require_among("--detector", self.detector, DETECTORS)
        require_among("--on-no-face", self.on_no_face, get_args(NoFacePolicy))
        _ = self.transfer, self.edit, self.span  # which check their own
        if isinstance(self.face, int):
            require_between("--face", self.face, 0, None)
        else:
            require_among("--face", self.face, ("largest", "all"))
        for name, crop in (("--source-crop", self.source_crop), ("--driving-crop", self.driving_crop)):
            if not isinstance(crop, CropBox):
                require_among(name, crop, ("auto", "none"))
        require_shown(self.picture, self.background)
        if self.compare and self.background == "transparent":
            raise UsageError("--compare: what lies beside the result isn't transparent")
        if isinstance(self.driving_face, int):
            require_between("--driving-face", self.driving_face, 0, None)
        else:
            require_among("--driving-face", self.driving_face, ("largest", "first"))
        if self.face_drivings:
            self._require_drivings_apart()
        if (self.face == "all" or len(self.face_drivings) > 1) and self.picture != "photo":
            raise UsageError(
                f"--picture {self.picture}: there is no one square of all faces", hint="take photo"
            )
        require_between("--size", self.size, *SIZE_LIMITS_PX)
        require_between("--batch-size", self.batch_size, 1, BATCH_LIMIT)
        require_between("--max-frames", self.max_frames, 1, None)
        require_between("--source-frame", self.source_frame_s, 0, None)
        require_between("--fps", self.fps, *RATE_LIMITS)
        require_between("--audio-track", self.audio_track, 0, None)
        if self.save_motion is not None and not is_motion_file(self.save_motion):
            raise UsageError(f"--save-motion: the file's name must end with {MOTION_SUFFIX}")
        asked = {"--audio-track": self.audio_track is not None, "--volume": self.volume != 1}
        of_sound = next((name for name, is_asked in asked.items() if is_asked), None)
        if not self.face_drivings and (
            self.driving is None or is_motion_file(self.driving) or self.bundled is not None
        ):
            if self.compare:
                raise UsageError("--compare: there is no driving whose pictures could be shown")
            if self.audio is True and of_sound is not None:
                raise UsageError(
                    f"{of_sound}: there is no driving with a sound", hint="--audio FILE gives the film some"
                )
        if self.compare and replace(self.edit, fade_in_s=0, returns=False) != MotionEdit():
            raise UsageError(
                "--compare shows the driving at its own pace",
                hint="leave out --speed, --loop, --ping-pong and --duration",
            )
        require_between("--volume", self.volume, 0, MAX_VOLUME)
        if not self.audio and of_sound is not None:
            raise UsageError(f"{of_sound} and --no-audio contradict each other")
        require_among("--quality", self.quality, QUALITIES)
        require_among("--hwaccel", self.hwaccel, HWACCELS)
        if self.codec is not None:
            require_among("--codec", self.codec, CODECS)

    @property
    def transfer(self) -> Transfer:
        """How the driving's motion is carried over."""
        return Transfer(
            motion=self.motion,
            adapt_scale=self.adapt_scale,
            reference=self.reference,
            strength=self.strength,
            smooth=self.smooth,
            gaze=self.gaze,
            region=self.region,
            no_face="hold" if self.on_no_face == "fail" else self.on_no_face,
        )

    @property
    def edit(self) -> MotionEdit:
        """What happens to the motion in time."""
        return MotionEdit(
            speed=self.speed,
            ping_pong=self.ping_pong,
            loop=self.loop,
            duration_s=self.duration_s,
            fade_in_s=self.fade_in_s,
            returns=self.returns,
        )

    @property
    def bundled(self) -> BundledMotion | None:
        """The bundled motion that is asked for, by its name where no file has it; `idle` if nothing is."""
        if self.face_drivings:
            return None
        if self.driving is None:
            return None if self.controls else bundled_motion(DEFAULT)
        return bundled_motion(self.driving)

    def _require_drivings_apart(self) -> None:
        """UsageError for options that faces with drivings of their own can't have."""
        if self.driving is not None:
            raise UsageError(
                f"--face N=DRIVING takes the place of the driving {shown(self.driving)}",
                hint="leave that out, or name a face for it",
            )
        if self.face != "largest" or self.source_crop != "auto" or self.driving_crop != "auto":
            raise UsageError("--face N=DRIVING counts the faces that are found: no crop can be given")
        for name, value in (
            ("--save-motion", self.save_motion),
            ("--crop-json", self.crop_json),
            ("--compare", self.compare),
            ("--yaw and the like", self.controls),
            (f"--reference {self.reference}", isinstance(self.reference, int)),
        ):
            if value:
                raise UsageError(f"--face N=DRIVING and {name}: there are several drivings")

    @property
    def by_driving(self) -> "tuple[AnimationRequest, ...]":
        """A request for each driving: this one, unless faces have drivings of their own."""
        if not self.face_drivings:
            return (self,)
        return tuple(
            replace(self, driving=driving, face=number, face_drivings=())
            for number, driving in self.face_drivings
        )

    @property
    def moved(self) -> FaceChoice | tuple[int, ...]:
        """Which faces of a source move."""
        return tuple(number for number, _ in self.face_drivings) or self.face

    @property
    def performed(self) -> Path:
        """What moves the sources: the driving, the name of a bundled motion, or `controls`."""
        if self.driving is not None:
            return self.driving
        if self.face_drivings:
            return Path("+".join(driving.stem for _, driving in self.face_drivings))
        return Path("controls" if self.bundled is None else self.bundled.name)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that are read: sources, driving, the picture of the background, and the sound."""
        files = (each.driving for each in self.by_driving if each.bundled is None)
        drivings = [driving for driving in files if driving is not None]
        others = (path for path in (self.background, self.audio) if isinstance(path, Path))
        return (*self.sources, *drivings, *others)

    @property
    def driving_track(self) -> int | None:
        """Which of the driving's sound tracks is wanted; None: the usual one, or a file's sound instead."""
        return None if isinstance(self.audio, Path) else self.audio_track

    @property
    def span(self) -> Span:
        """The part of the driving that is used."""
        return Span(self.start_s, self.end_s, self.max_frames)

    @property
    def uses_detector(self) -> bool:
        """Whether faces are looked for at all."""
        return not self.source_crop == self.driving_crop == "none"


def require_shown(picture: str, background: object) -> None:
    """UsageError for a picture or a background that doesn't exist, or for two that don't go together."""
    require_among("--picture", picture, get_args(PictureKind))
    if isinstance(background, str):
        require_among("--background", background, get_args(BackgroundName))
    elif isinstance(background, tuple) and not (
        len(background) == 3 and all(isinstance(level, int) and 0 <= level <= 255 for level in background)
    ):
        raise UsageError(f"--background {background}: a colour has three levels from 0 to 255")
    if picture == "network" and not (isinstance(background, str) and background == "still"):
        raise UsageError("--background: the network's own square has the network's background")

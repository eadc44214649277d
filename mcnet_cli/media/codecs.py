"""How films are encoded: the codecs that each kind of file can hold, and what qualities mean to each."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from mcnet_cli.errors import UsageError, shown
from mcnet_cli.media.ffmpeg import has_encoder, require_encoder
from mcnet_cli.media.frames import Matrix
from mcnet_cli.options import listed, require_among

Codec = Literal["h264", "h265", "av1", "vp9", "prores", "lossless"]
Quality = Literal["draft", "good", "high", "best"]
CODECS: tuple[Codec, ...] = get_args(Codec)
QUALITIES: tuple[Quality, ...] = get_args(Quality)
DEFAULT_QUALITY: Quality = "high"


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """One of ffmpeg's encoders, with the options that it gets.

    name: ffmpeg's. pixels: the pixel format; None lets ffmpeg choose. alpha: whether frames are stored with
    transparency. uploaded: what ffmpeg calls the format of frames in the memory of a device, if they have to
    be brought there. levels: more options for each quality; empty if there is only one quality. quick:
    options by which it takes less time, for files that are somewhat larger.
    """

    name: str
    pixels: str | None
    alpha: bool = False
    uploaded: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    levels: Mapping[Quality, Mapping[str, Any]] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Coding:
    """How the frames of one film are stored.

    codec: a `Codec`, or what the file always holds: `vp8`, `webp`, `gif`, `png`, `jpeg` or `y4m`. quality:
    None if there is only one. encoder: None for the last four. quick: whether time counts more than size.
    matrix: of frames that come as brightness and chroma; None if they come as RGB.
    """

    codec: str
    quality: Quality | None = None
    encoder: Encoder | None = None
    alpha: bool = False
    quick: bool = False
    matrix: Matrix | None = None

    @property
    def is_rgb(self) -> bool:
        """Whether a video stores frames in their own colours, instead of as brightness and chroma."""
        return self.codec == "lossless"

    @property
    def options(self) -> dict[str, Any]:
        """What ffmpeg is told: the encoder and its options."""
        assert self.encoder is not None
        level = {} if self.quality is None else self.encoder.levels[self.quality]
        pixels = {} if self.encoder.pixels is None else {"pix_fmt": self.encoder.pixels}
        quick = self.encoder.quick if self.quick else {}
        return {"vcodec": self.encoder.name, **pixels, **self.encoder.options, **level, **quick}

    @property
    def input_pixels(self) -> str:
        """What ffmpeg calls the pixels of the frames that come."""
        if self.matrix is not None:
            return "yuv420p"
        return "rgba" if self.alpha else "rgb24"


def levels(option: str, *values: Any) -> dict[Quality, dict[str, Any]]:
    """An option's value for each quality, from `draft` to `best`."""
    return {quality: {option: value} for quality, value in zip(QUALITIES, values, strict=True)}


# Compared with preset `fast` and crf 18, files in H.264 of `high` are 13 to 34 % larger, but the SSIM of
# faces is no lower (on two photos 0.990 and 0.974 against 0.990 and 0.970), and encoding takes less than half
# the time. Other codecs have about the SSIM of h264 at the same quality: on a photo and a drawing that move,
# within 0.01 from `good` on, up to 0.026 more for drafts. `quick` takes half of the encoder's time: files of
# eight people's clips are 26 % larger, at a PSNR 0.2 dB higher.
_X264 = Encoder(
    name="libx264",
    pixels="yuv420p",
    options={"preset": "veryfast"},
    levels=levels("crf", 28, 21, 16, 10),
    quick={"x264-params": "me=dia:subme=1:partitions=i8x8:weightp=0:bframes=1:b-adapt=0:scenecut=0"},
)
_X265 = Encoder(
    name="libx265",
    pixels="yuv420p",
    options={"preset": "fast", "x265-params": "log-level=error"},
    levels=levels("crf", 30, 23, 17, 12),
)
_X265_FOR_APPLE = replace(_X265, options={**_X265.options, "tag:v": "hvc1"})  # they don't play `hev1`
_SVT_AV1 = Encoder(
    name="libsvtav1", pixels="yuv420p", options={"preset": 8}, levels=levels("crf", 52, 42, 28, 16)
)
_AOM_AV1 = Encoder(
    name="libaom-av1",
    pixels="yuv420p",
    options={"video_bitrate": 0, "cpu-used": 6, "row-mt": 1},
    levels=levels("crf", 46, 36, 24, 13),
)
_VPX: dict[str, Any] = {"deadline": "good", "cpu-used": 4, "row-mt": 1}
_VP9 = Encoder(
    name="libvpx-vp9",
    pixels="yuv420p",
    options={"video_bitrate": 0, **_VPX},
    levels=levels("crf", 42, 33, 24, 14),
)
_VP9_ALPHA = replace(_VP9, pixels="yuva420p", alpha=True)
_VP8 = Encoder(
    name="libvpx",
    pixels="yuv420p",
    options={"video_bitrate": "6M", "deadline": "good", "cpu-used": 2},
    levels=levels("crf", 30, 16, 8, 4),
)
# libvpx refuses VP8 with both transparency and alternate reference frames.
_VP8_ALPHA = replace(_VP8, pixels="yuva420p", alpha=True, options={**_VP8.options, "auto-alt-ref": 0})
_PRORES = Encoder(
    name="prores_ks",
    pixels="yuv422p10le",
    options={"vendor": "apl0"},
    levels={
        "draft": {"profile:v": "proxy"},
        "good": {"profile:v": "standard"},
        "high": {"profile:v": "hq"},
        "best": {"profile:v": "4444", "pix_fmt": "yuv444p10le"},
    },
)
_PRORES_ALPHA = Encoder(
    name="prores_ks",
    pixels="yuva444p10le",
    alpha=True,
    options={"vendor": "apl0"},
    levels={
        "draft": {"profile:v": "4444", "qscale:v": 24},
        "good": {"profile:v": "4444", "qscale:v": 9},
        "high": {"profile:v": "4444"},
        "best": {"profile:v": "4444xq"},
    },
)
_WEBP = Encoder(name="libwebp_anim", pixels=None, levels=levels("quality", 50, 75, 85, 95))
# ffmpeg's conversion to yuva420p would round alpha.
_WEBP_ALPHA = replace(_WEBP, pixels="bgra", alpha=True)

_X264_RGB = Encoder(name="libx264rgb", pixels="rgb24", options={"preset": "veryfast", "crf": 0})
_VP9_RGB = Encoder(name="libvpx-vp9", pixels="gbrp", options={"lossless": 1, **_VPX})
_FFV1 = Encoder(name="ffv1", pixels="bgr0", options={"level": 3})
_FFV1_ALPHA = replace(_FFV1, pixels="bgra", alpha=True)
_ANIMATION = Encoder(name="qtrle", pixels="rgb24")  # QuickTime Animation, which editors know
_ANIMATION_ALPHA = replace(_ANIMATION, pixels="argb", alpha=True)
_WEBP_LOSSLESS = Encoder(name="libwebp_anim", pixels="bgra", options={"lossless": 1})
_WEBP_LOSSLESS_ALPHA = replace(_WEBP_LOSSLESS, alpha=True)

# By suffix and codec; the first that ffmpeg has is taken.
_ENCODERS: dict[str, dict[str, tuple[Encoder, ...]]] = {
    ".mp4": {
        "h264": (_X264,),
        "h265": (_X265_FOR_APPLE,),
        "av1": (_SVT_AV1, _AOM_AV1),
        "vp9": (_VP9,),
        "lossless": (_X264_RGB,),
    },
    ".mov": {
        "h264": (_X264,),
        "h265": (_X265_FOR_APPLE,),
        "prores": (_PRORES, _PRORES_ALPHA),
        "lossless": (_ANIMATION, _ANIMATION_ALPHA),
    },
    ".mkv": {
        "h264": (_X264,),
        "h265": (_X265,),
        "av1": (_SVT_AV1, _AOM_AV1),
        "vp9": (_VP9, _VP9_ALPHA),
        "prores": (_PRORES, _PRORES_ALPHA),
        "lossless": (_FFV1, _FFV1_ALPHA),
    },
    ".webm": {
        "vp9": (_VP9, _VP9_ALPHA),
        "vp8": (_VP8, _VP8_ALPHA),
        "av1": (_SVT_AV1, _AOM_AV1),
        "lossless": (_VP9_RGB,),
    },
    ".webp": {"webp": (_WEBP, _WEBP_ALPHA), "lossless": (_WEBP_LOSSLESS, _WEBP_LOSSLESS_ALPHA)},
}
# What is taken unless a codec is asked for: the first that fits and that ffmpeg has.
_DEFAULTS: dict[str, tuple[str, ...]] = {
    ".mp4": ("h264",),
    ".mov": ("h264", "prores"),
    ".mkv": ("h264",),
    ".webm": ("vp9", "vp8"),
    ".webp": ("webp",),
}
_FIXED = {
    ".gif": "gif",
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    "-": "y4m",
}  # what nothing can be chosen for
_TRANSPARENT = ".webp, .webm, .mov, or a pattern like frames/%05d.png"  # without a codec being chosen


def choose_coding(
    path_text: str,
    *,
    codec: Codec | None = None,
    quality: Quality = DEFAULT_QUALITY,
    alpha: bool = False,
) -> Coding:
    """How the output of that name, which `output_kind` has to know, is encoded.

    Args:
        path_text: the output's name; its suffix matters, and `-` is stdout.
        codec: None takes what files of this kind usually hold.
        quality: from the smallest file to the least loss.
        alpha: whether frames have transparency.

    Raises:
        UsageError: the file can't hold what is asked for, or ffmpeg lacks the codec that is asked for.
        SystemFailure: ffmpeg lacks the codec that such files usually hold.
    """
    require_among("--quality", quality, QUALITIES)
    if codec is not None:
        require_among("--codec", codec, CODECS)
    suffix = "-" if path_text == "-" else Path(path_text).suffix.lower()
    if suffix in _FIXED:
        coding = _fixed(path_text, _FIXED[suffix], codec, alpha)
    else:
        coding = _chosen(path_text, suffix, codec, alpha)
    if coding.encoder is not None and coding.encoder.levels:
        return replace(coding, quality=quality)
    if quality != DEFAULT_QUALITY:
        of = "--codec lossless" if codec == "lossless" else _name(path_text)
        raise UsageError(f"--quality {quality}: {of} has only one quality", hint="leave --quality out")
    return coding


def usable_codecs() -> list[str]:
    """The codecs for which this ffmpeg has an encoder, whatever file it takes for them."""
    found = {
        codec
        for encoders in _ENCODERS.values()
        for codec, choices in encoders.items()
        if any(has_encoder(encoder.name) for encoder in choices)
    }
    return [codec for codec in CODECS if codec in found]


def _fixed(path_text: str, name: str, codec: Codec | None, alpha: bool) -> Coding:
    """The coding of files that are all coded alike. PNGs are lossless."""
    if codec is not None and not (codec == "lossless" and name == "png"):
        raise UsageError(
            f"--codec {codec}: for {_name(path_text)} there is none to choose",
            hint="take .mp4, .mov, .mkv or .webm, or leave --codec out",
        )
    if alpha and name != "png":
        raise _opaque(path_text)
    return Coding(codec=name, alpha=alpha)


def _chosen(path_text: str, suffix: str, codec: Codec | None, alpha: bool) -> Coding:
    """The coding of a file that can hold several, by the first encoder that fits and that ffmpeg has."""
    encoders = _ENCODERS[suffix]
    fitting = [
        Coding(codec=name, encoder=encoder, alpha=alpha)
        for name in (_DEFAULTS[suffix] if codec is None else (codec,))
        for encoder in encoders.get(name, ())
        if encoder.alpha == alpha
    ]
    for coding in fitting:
        if has_encoder(coding.options["vcodec"]):
            return coding
    names = [coding.options["vcodec"] for coding in fitting]
    if codec is None:
        if not names:
            raise _opaque(path_text)
        require_encoder(names[-1], Path(path_text))
    if codec not in encoders:
        wrong = f"{_name(path_text)} can't hold it"
    elif not names:
        wrong = f"with it {_name(path_text)} can't hold the transparency of --background transparent"
    else:
        wrong = f"this ffmpeg has no encoder for it ({listed(names)})"
    usable = [
        name
        for name in CODECS
        if any(encoder.alpha == alpha and has_encoder(encoder.name) for encoder in encoders.get(name, ()))
    ]
    hint = listed(usable) if usable else _TRANSPARENT if alpha else "another kind of file"
    raise UsageError(f"--codec {codec}: {wrong}", hint=f"take {hint}")


def _opaque(path_text: str) -> UsageError:
    return UsageError(
        f"--background transparent: {_name(path_text)} can't hold transparency", hint=f"take {_TRANSPARENT}"
    )


def _name(path_text: str) -> str:
    return "stdout" if path_text == "-" else shown(path_text)

"""Video hardware: encoders and decoders of GPUs, which ffmpeg may know without being able to use them here.

So what counts is a trial: a device is opened, and an encoder gets one frame of the film's size.
"""

import contextlib
import functools
import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE
from typing import Any, Literal, get_args

import ffmpeg

from mcnet_cli.media.codecs import Coding, Encoder, levels
from mcnet_cli.media.ffmpeg import compiled, ffmpeg_binary, has_encoder, has_hwaccel, open_input
from mcnet_cli.media.process import running
from mcnet_cli.options import require_among

log = logging.getLogger(__name__)

Hwaccel = Literal["auto", "none", "cuda", "videotoolbox", "qsv", "vaapi"]
HWACCELS: tuple[Hwaccel, ...] = get_args(Hwaccel)
DEVICES = HWACCELS[2:]  # ffmpeg's names, in the order in which `auto` tries them

TRIAL_LIMIT_S = 20  # a driver that answers later than this is taken for broken
_TRIAL_SIZE = (640, 480)  # of the frame by which `mcnet doctor` tries encoders; they refuse very small ones

_NVENC: dict[str, Any] = {"preset": "p5", "tune": "hq", "rc": "vbr", "video_bitrate": 0}
_VAAPI: dict[str, Any] = {"init_hw_device": "vaapi", "rc_mode": "CQP"}
_QSV: dict[str, Any] = {"preset": "medium"}


def _nvenc(name: str, *cq: int) -> Encoder:
    return Encoder(name=name, pixels="yuv420p", options=_NVENC, levels=levels("cq", *cq))


def _vaapi(name: str, *qp: int) -> Encoder:
    return Encoder(
        name=name, pixels="nv12", uploaded="vaapi", options=_VAAPI, levels=levels("global_quality", *qp)
    )


def _qsv(name: str, *quality: int) -> Encoder:
    return Encoder(name=name, pixels="nv12", options=_QSV, levels=levels("global_quality", *quality))


def _videotoolbox(name: str, *quality: int) -> Encoder:
    return Encoder(name=name, pixels="yuv420p", levels=levels("q:v", *quality))


# By device and codec. The levels are rough equivalents of the software encoders' in `codecs`: no such
# hardware was at hand to compare films by.
_ENCODERS: dict[str, dict[str, Encoder]] = {
    "cuda": {
        "h264": _nvenc("h264_nvenc", 31, 24, 19, 13),
        "h265": _nvenc("hevc_nvenc", 32, 26, 20, 15),
        "av1": _nvenc("av1_nvenc", 45, 35, 25, 16),
    },
    "videotoolbox": {
        "h264": _videotoolbox("h264_videotoolbox", 40, 55, 68, 82),
        "h265": _videotoolbox("hevc_videotoolbox", 40, 55, 68, 82),
    },
    "qsv": {
        "h264": _qsv("h264_qsv", 30, 23, 18, 12),
        "h265": _qsv("hevc_qsv", 31, 24, 18, 13),
        "av1": _qsv("av1_qsv", 34, 27, 20, 14),
    },
    "vaapi": {
        "h264": _vaapi("h264_vaapi", 30, 24, 19, 14),
        "h265": _vaapi("hevc_vaapi", 30, 24, 19, 14),
        "av1": _vaapi("av1_vaapi", 150, 110, 70, 40),  # of 255, the others of 52
    },
}


def hardware_coding(coding: Coding, hwaccel: Hwaccel, size: tuple[int, int]) -> tuple[Coding, list[str]]:
    """A film of that size by a hardware encoder, if there is one that works; else the coding as it is.

    Also warnings, if a device was asked for by name and can be opened, but not encode this. Codecs that
    hardware isn't used for here (all but h264, h265 and av1) give none.
    """
    device = working_device(hwaccel)
    encoder = _ENCODERS.get(device or "", {}).get(coding.codec)
    if encoder is None or coding.alpha:
        return coding, []
    tag = coding.encoder and coding.encoder.options.get("tag:v")
    options = {**encoder.options, "tag:v": tag} if tag else encoder.options
    found = replace(coding, encoder=replace(encoder, options=options))
    trouble = _encoder_trouble(found, size)
    if trouble is None:
        log.debug("%s encodes", encoder.name)
        return found, []
    if hwaccel == "auto":
        return coding, []
    return coding, [f"--hwaccel {hwaccel}: {encoder.name} can't encode it ({trouble}): encoded without"]


def decoding_device(hwaccel: Hwaccel, path: Path) -> str | None:
    """The device that decodes the video at `path`, whose first frame is tried; None without such a one."""
    device = working_device(hwaccel)
    if device is None:
        return None
    frame = open_input(path, hwaccel=device)["V:0"].output("pipe:", format="null", vframes=1)
    trouble = _failure(compiled(frame))
    log.debug("%s %s", device, "decodes" if trouble is None else f"can't decode the driving ({trouble})")
    return device if trouble is None else None


def working_device(hwaccel: Hwaccel) -> str | None:
    """The device that is used; None if none can be, or none is asked for.

    A device that is asked for by name and can't be opened is warned of, once.
    """
    require_among("--hwaccel", hwaccel, HWACCELS)
    return _working_device(ffmpeg_binary(), hwaccel)


@functools.cache
def _working_device(binary: str, hwaccel: Hwaccel) -> str | None:
    if hwaccel == "auto":
        return next((device for device in DEVICES if device_trouble(device) is None), None)
    if hwaccel == "none":
        return None
    trouble = device_trouble(hwaccel)
    if trouble is None:
        return hwaccel
    log.warning("--hwaccel %s: it can't be used here (%s), going on without", hwaccel, trouble)
    return None


def device_trouble(device: str) -> str | None:
    """Why ffmpeg can't open a device here; None if it can."""
    return _device_trouble(ffmpeg_binary(), device)


@functools.cache
def _device_trouble(binary: str, device: str) -> str | None:
    if not has_hwaccel(device):
        return "this ffmpeg is built without it"
    size = (16, 16)
    return _failure(compiled(_blank(size).output("pipe:", format="null", init_hw_device=device)), size)


def working_encoders(device: str) -> list[str]:
    """The encoders of a device that encode a frame, by ffmpeg's names."""
    codings = (
        Coding(codec=codec, quality="good", encoder=encoder) for codec, encoder in _ENCODERS[device].items()
    )
    return [coding.options["vcodec"] for coding in codings if _encoder_trouble(coding, _TRIAL_SIZE) is None]


def _encoder_trouble(coding: Coding, size: tuple[int, int]) -> str | None:
    """Why a hardware encoder can't encode films of (width, height); None if it can."""
    encoder, options = coding.encoder, coding.options
    assert encoder is not None
    if not has_encoder(encoder.name):
        return "this ffmpeg is built without it"
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    stream = _blank(even).filter("format", options["pix_fmt"])
    if encoder.uploaded is not None:
        stream, options["pix_fmt"] = stream.filter("hwupload"), encoder.uploaded
    return _tried(tuple(compiled(stream.output("pipe:", format="null", **options))), even)


@functools.cache
def _tried(command: tuple[str, ...], size: tuple[int, int]) -> str | None:
    return _failure(command, size)


def _blank(size: tuple[int, int]) -> Any:
    """The input of a command line that gets one frame from a pipe."""
    return ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s="{}x{}".format(*size), framerate=25)


def _failure(command: Sequence[str], size: tuple[int, int] | None = None) -> str | None:
    """Why an ffmpeg doesn't do all of its command; None if it does. It gets a black frame of that size."""
    with running(command, stdin=PIPE) as child:
        timer = threading.Timer(TRIAL_LIMIT_S, child.process.kill)
        timer.start()
        try:
            if size is not None:
                with contextlib.suppress(BrokenPipeError):
                    child.write_all(memoryview(bytes(3 * size[0] * size[1])))
            status = child.finish()
        finally:
            timer.cancel()
        if child.log.error_count:
            return child.log.reason
        return f"ffmpeg ends with status {status}" if status else None

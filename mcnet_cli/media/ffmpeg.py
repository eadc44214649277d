"""The ffmpeg that is used, what it can encode, and the command lines that it gets.

Every command line reads local files only, bounds the size of frames, and writes the same bytes each time.
"""

import errno
import functools
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

from mcnet_cli.errors import SystemFailure, shown
from mcnet_cli.files import system_failure
from mcnet_cli.installed import pip_install, require_unhidden
from mcnet_cli.media.frames import MAX_FRAME_PIXELS
from mcnet_cli.media.process import running
from mcnet_cli.system import exceeded_size_limit

# `mcnet_cli.media` imports this module first. Scripts named ffmpeg.py are common, and so are two packages of
# other people that have a module of this name.
require_unhidden("ffmpeg", "ffmpeg-python")
import ffmpeg  # noqa: E402

if not hasattr(ffmpeg, "input"):
    raise SystemFailure(
        f"another package has overwritten {shown(str(ffmpeg.__file__))}, which is to be ffmpeg-python's",
        hint="uninstall ffmpeg and python-ffmpeg, then "
        + pip_install(["ffmpeg-python"], "--force-reinstall"),
    )

# Demuxers that read one file and nothing else. A whitelist of protocols alone is not enough: a playlist of
# local files would pass. `mov` and `matroska` include mp4 and webm.
_DEMUXERS = ("mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "asf", "ogg", "dv", "mxf", "ivf")
DEMUXERS = ",".join((*_DEMUXERS, "obu", "h264", "hevc", "gif", "apng", "yuv4mpegpipe", "webp_pipe"))
_SOUND_DEMUXERS = ("mp3", "wav", "w64", "aiff", "au", "caf", "flac", "wv", "ape", "tta", "aac", "ac3", "eac3")
SOUND_DEMUXERS = ",".join((*_DEMUXERS, *_SOUND_DEMUXERS, "dts", "amr"))

# `level` marks each line of the log with its severity. `verbose` reports size changes, which old versions
# mention nowhere else.
GLOBAL_OPTIONS = ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+verbose"]

_HEX = "file-in-hex:"
_DISK_ERRORS = {
    "No space left": errno.ENOSPC,
    "File too large": errno.EFBIG,
    "quota exceeded": errno.EDQUOT,
    "Input/output error": errno.EIO,
    "Read-only file system": errno.EROFS,
    "Cannot allocate memory": errno.ENOMEM,
}


def ffmpeg_binary() -> str:
    """The ffmpeg to run: $MCNET_FFMPEG, else the one on PATH, else the imageio-ffmpeg wheel's."""
    if chosen := os.environ.get("MCNET_FFMPEG") or shutil.which("ffmpeg"):
        return chosen
    try:
        import imageio_ffmpeg

        return cast(str, imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise SystemFailure(
            "no ffmpeg found", hint=f"{pip_install(['imageio-ffmpeg'])}, or set MCNET_FFMPEG"
        ) from error


def ffmpeg_version() -> str:
    """The version of the ffmpeg that is used, such as `5.1.9`."""
    found = re.search(r"version (\S+)", _answer(ffmpeg_binary(), "-version"))
    return found[1] if found else "unknown"


def has_encoder(name: str) -> bool:
    """Whether ffmpeg has the encoder `name`."""
    return name in re.findall(r"^ [VAS][A-Z.]{5} (\S+)", _answer(ffmpeg_binary(), "-encoders"), re.M)


def has_hwaccel(name: str) -> bool:
    """Whether ffmpeg is built with support for the hardware `name`, which may not be there."""
    return name in _answer(ffmpeg_binary(), "-hwaccels").split()


def has_filter(name: str) -> bool:
    """Whether ffmpeg has the filter `name`."""
    return name in re.findall(r"^ [A-Z.]{2,3} (\S+)", _answer(ffmpeg_binary(), "-filters"), re.M)


def require_encoder(name: str, target: Path) -> None:
    """Raises SystemFailure if ffmpeg lacks the encoder `name`, which `target` needs."""
    if not has_encoder(name):
        raise SystemFailure(
            f"can't write {shown(target)}: this ffmpeg has no encoder {name}",
            hint="set MCNET_FFMPEG to another ffmpeg; the one of the imageio-ffmpeg wheel has it",
        )


@functools.cache
def _answer(binary: str, question: str) -> str:
    """What an ffmpeg prints when it is run with a single option."""
    with running([binary, "-hide_banner", "-nostdin", question], stdout=subprocess.PIPE) as child:
        assert child.process.stdout
        answer = child.process.stdout.read().decode("utf-8", "replace")
        child.finish()
    return answer


def file_name(path: Path) -> str:
    """`path` as a name in a graph of ffmpeg-python: in hexadecimal, because graphs take UTF-8 only.

    `compiled` turns it into `file:` and the absolute path, so that no name is read as a protocol, a pattern
    or an option.
    """
    return _HEX + os.fsencode(os.path.abspath(path)).hex()  # noqa: PTH100 - symbolic links must stay


def open_input(path: Path, *, demuxers: str = DEMUXERS, **options: Any) -> Any:
    """An input node of ffmpeg-python for the local file `path`; `options` have ffmpeg's names."""
    return ffmpeg.input(
        file_name(path),
        protocol_whitelist="file,pipe",
        format_whitelist=demuxers,
        max_pixels=MAX_FRAME_PIXELS,
        **options,
    )


def compiled(output: Any) -> list[str]:
    """The command line of a graph's output node, with the binary and the options that every run has."""
    arguments: list[str] = output.global_args(*GLOBAL_OPTIONS).compile(cmd=ffmpeg_binary())
    return [
        "file:" + os.fsdecode(bytes.fromhex(word.removeprefix(_HEX))) if word.startswith(_HEX) else word
        for word in arguments
    ]


def disk_failure(text: str, status: int, target: Path) -> SystemFailure | None:
    """The failure of the disk that ffmpeg's messages `text` or its exit `status` report, if they do."""
    for words, number in _DISK_ERRORS.items():
        if words.lower() in text.lower():
            return system_failure(OSError(number, os.strerror(number)), target)
    if exceeded_size_limit(status):
        return system_failure(OSError(errno.EFBIG, os.strerror(errno.EFBIG)), target)
    return None

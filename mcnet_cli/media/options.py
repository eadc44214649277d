"""Options that every ffmpeg of ours gets: local files only, sizes bounded, output reproducible."""

import errno
import os
import re
from pathlib import Path
from typing import Any

import ffmpeg

from mcnet_cli.errors import InputError, SystemFailure, shown
from mcnet_cli.files import require_regular_file, system_failure
from mcnet_cli.media.process import ffmpeg_binary
from mcnet_cli.system import exceeded_size_limit

# Demuxers that read one file and nothing else. Protocols alone are not enough: a playlist of local files
# would pass. `mov` and `matroska` stand for mp4 and webm.
FORMATS = "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,h264,hevc,gif,apng,yuv4mpegpipe,webp_pipe"
LARGEST_FRAME_PIXELS = 64 * 1024 * 1024

# `level` marks each line of the log with its severity. `verbose` tells of size changes, which old versions
# mention nowhere else.
LOG = ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+verbose"]

_HEX = "file-in-hex:"
_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+[:,]")
_DISK = {
    "No space left": errno.ENOSPC,
    "File too large": errno.EFBIG,
    "quota exceeded": errno.EDQUOT,
    "Input/output error": errno.EIO,
    "Read-only file system": errno.EROFS,
    "Cannot allocate memory": errno.ENOMEM,
}


def file_name(path: Path) -> str:
    """`path` as a name in a graph of ffmpeg-python, which takes no bytes that aren't UTF-8: in hexadecimal.

    `compiled` turns it into `file:` and the absolute path; with these no name is read as a protocol, a
    pattern or an option.
    """
    return _HEX + os.fsencode(os.path.abspath(path)).hex()  # noqa: PTH100 - links must stay as they are


def open_input(path: Path, **options: Any) -> Any:
    """An input node of ffmpeg-python for the local file `path`; `options` as ffmpeg names them."""
    return ffmpeg.input(
        file_name(path),
        protocol_whitelist="file,pipe",
        format_whitelist=FORMATS,
        max_pixels=LARGEST_FRAME_PIXELS,
        **options,
    )


def compiled(output: Any) -> list[str]:
    """The command line of a graph's output node, with the binary and the options that every run has."""
    arguments: list[str] = output.global_args(*LOG).compile(cmd=ffmpeg_binary())
    return [
        "file:" + os.fsdecode(bytes.fromhex(word.removeprefix(_HEX))) if word.startswith(_HEX) else word
        for word in arguments
    ]


def require_local_file(path: Path) -> os.stat_result:
    """Raises InputError unless `path` is a readable, non-empty regular file on this machine."""
    if not os.path.lexists(path) and _ADDRESS.match(str(path)):
        raise InputError(
            f"{shown(path)} is not a local file",
            hint="mcnet reads files only: download it first, then give its name",
        )
    status = require_regular_file(path)
    if status.st_size == 0:
        raise InputError(f"{shown(path)} is empty (0 bytes)")
    return status


def disk_failure(text: str, status: int, target: Path) -> SystemFailure | None:
    """The failure that ffmpeg's messages `text` or its exit `status` tell of, if it is the disk's."""
    for words, number in _DISK.items():
        if words.lower() in text.lower():
            return system_failure(OSError(number, os.strerror(number)), target)
    if exceeded_size_limit(status):
        return system_failure(OSError(errno.EFBIG, os.strerror(errno.EFBIG)), target)
    return None

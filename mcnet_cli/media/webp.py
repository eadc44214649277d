"""Animated WebP: what its container says. ffmpeg reads it from version 8 on only; Pillow always does."""

import struct
from pathlib import Path

_ANMF_HEADER = 16


def is_animated_webp(head: bytes) -> bool:
    """Whether a file that starts with `head` (32 bytes) is a WebP with the animation flag."""
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 2)


def frame_durations_ms(path: Path) -> list[int]:
    """How long each frame of an animated WebP is shown; empty if there are no whole frames.

    Only the headers of the RIFF chunks are read.
    """
    durations = []
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 12
        while at + 8 <= size:
            file.seek(at)
            kind, length = struct.unpack("<4sI", file.read(8))
            if kind == b"ANMF" and at + 8 + length <= size:
                header = file.read(_ANMF_HEADER)
                if len(header) == _ANMF_HEADER:
                    durations.append(int.from_bytes(header[12:15], "little"))
            at += 8 + length + length % 2
    return durations

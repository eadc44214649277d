"""How long the frames of an animated WebP or GIF are shown, read from the container alone."""

import struct
from pathlib import Path
from typing import BinaryIO

_ANMF_HEADER = 16
_GIF_DEFAULT_MS = 100  # what every browser takes where a GIF asks for 0 or 10 ms
_GIF_SHORTEST_MS = 20


def is_animated_webp(head: bytes) -> bool:
    """Whether a file that starts with `head` (21 bytes or more) is a WebP with the animation flag."""
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 2)


def is_gif(head: bytes) -> bool:
    """Whether a file that starts with `head` is a GIF."""
    return head[:6] in (b"GIF87a", b"GIF89a")


def webp_durations_ms(path: Path) -> list[int]:
    """How long each whole frame of an animated WebP is shown."""
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


def is_whole_still_webp(path: Path) -> bool:
    """Whether a file is a WebP of one picture, as long as its header says."""
    with path.open("rb") as file:
        head = file.read(32)
    whole = len(head) == 32 and int.from_bytes(head[4:8], "little") + 8 == path.stat().st_size
    return whole and head[8:12] == b"WEBP" and not is_animated_webp(head)


def gif_durations_ms(path: Path) -> list[int]:
    """How long each frame of a GIF is shown; frames after damage are left out."""
    durations: list[int] = []
    with path.open("rb") as file:
        header = file.read(13)
        if len(header) < 13:
            return durations
        _skip_colours(file, header[10])
        delay_ms = _GIF_DEFAULT_MS
        while kind := file.read(1):
            if kind == b"\x21":
                label = file.read(1)
                block = _skip_blocks(file)
                if label == b"\xf9" and len(block) >= 4:
                    asked = int.from_bytes(block[1:3], "little") * 10
                    delay_ms = asked if asked >= _GIF_SHORTEST_MS else _GIF_DEFAULT_MS
            elif kind == b"\x2c":
                description = file.read(9)
                if len(description) < 9:
                    break
                _skip_colours(file, description[8])
                file.read(1)  # the smallest code size
                _skip_blocks(file)
                durations.append(delay_ms)
                delay_ms = _GIF_DEFAULT_MS
            else:
                break
    return durations


def _skip_colours(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        file.seek(3 << (flags & 7) + 1, 1)


def _skip_blocks(file: BinaryIO) -> bytes:
    """Reads a chain of sub-blocks to its end and returns the first."""
    first: bytes | None = None
    while (length := file.read(1)) and length != b"\0":
        block = file.read(length[0])
        first = block if first is None else first
    return first or b""

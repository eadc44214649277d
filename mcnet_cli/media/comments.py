"""Comments in pictures and animations: a text in the file, for which ffmpeg and OpenCV have no option.

Comments are ASCII. Pillow shows them as the `comment` of a GIF, the EXIF image description of a WebP and the
text `Comment` of a PNG; of a JPEG the `comment`, too.
"""

import shutil
import struct
import zlib
from pathlib import Path

from mcnet_cli.files import system_failure
from mcnet_cli.system import set_aside

_EXIF_FLAG, _ALPHA_FLAG = 0x08, 0x10  # of a WebP's VP8X chunk
_PNG_HEADER_BYTES = 33  # signature and IHDR
_IMAGE_DESCRIPTION = 0x010E


def add_comment(part: Path, comment: str, target: Path) -> None:
    """Writes a comment into the finished GIF or WebP `part`. SystemFailure if the disk fails.

    target: the name that the file is going to have, which tells the format.
    """
    try:
        if target.suffix.lower() == ".gif":
            _comment_gif(part, comment.encode("ascii"))
        else:
            _comment_webp(part, comment)
    except OSError as error:
        raise system_failure(error, target) from error


def commented_png(png: bytes, comment: str) -> bytes:
    """The PNG with a comment before its pixels."""
    body = b"tEXtComment\0" + comment.encode("ascii")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:_PNG_HEADER_BYTES] + chunk + png[_PNG_HEADER_BYTES:]


def commented_jpeg(jpeg: bytes, comment: str) -> bytes:
    """The JPEG with a comment after its JFIF header, which has to come first."""
    body = comment.encode("ascii")
    at = 4 + struct.unpack_from(">H", jpeg, 4)[0]
    return jpeg[:at] + b"\xff\xfe" + struct.pack(">H", len(body) + 2) + body + jpeg[at:]


def _comment_gif(part: Path, comment: bytes) -> None:
    """Copies the file, because readers look for a comment before the first picture."""
    blocks = [comment[start : start + 255] for start in range(0, len(comment), 255)]
    with set_aside(part) as bare, bare.path.open("rb") as source, part.open("xb") as film:
        source.seek(0)  # some systems share the position with whoever read it before
        header = source.read(13)
        colours = 3 << (header[10] & 7) + 1 if header[10] & 0x80 else 0
        film.write(header + source.read(colours))
        film.write(b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0")
        shutil.copyfileobj(source, film)


def _comment_webp(part: Path, comment: str) -> None:
    """Appends EXIF, and says so in the header. A film without changes is a bare picture: it gets a header."""
    from PIL import Image

    exif = Image.Exif()
    exif[_IMAGE_DESCRIPTION] = comment
    with part.open("r+b") as film:
        film.seek(12)
        if film.read(4) != b"VP8X":
            film.seek(12)
            picture = film.read()
            film.seek(12)
            film.write(_extended_header(part, picture) + picture)
        film.seek(20)
        flags = film.read(1)[0]
        film.seek(20)
        film.write(bytes([flags | _EXIF_FLAG]))
        film.seek(0, 2)
        data = exif.tobytes().removeprefix(b"Exif\0\0")  # what JPEGs put before it
        film.write(b"EXIF" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2))
        size = film.tell() - 8
        film.seek(4)
        film.write(struct.pack("<I", size))


def _extended_header(part: Path, picture: bytes) -> bytes:
    """The VP8X chunk for a WebP that consists of the chunk `picture` alone."""
    from PIL import Image

    with Image.open(part) as opened:
        width, height, mode = *opened.size, opened.mode
    flags = _ALPHA_FLAG if mode == "RGBA" else 0
    sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"VP8X" + struct.pack("<IB3x", 10, flags) + sides

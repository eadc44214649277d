"""What a file is, told by its first bytes: suffixes are often wrong, as of an AVIF saved as `.jpg`."""

import re
import struct
from pathlib import Path
from typing import Literal

from mcnet_cli.media.frames import require_local_file

# How a file is opened: as a single picture, as a kind of animation, or by ffmpeg, also where it is unknown.
Kind = Literal["picture", "gif", "webp", "apng", "avif", "video"]
_HEAD_BYTES = 512
_PNG = b"\x89PNG\r\n\x1a\n"
_STILLS = (_PNG, b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_HEIF_BRANDS = {b"mif1", b"msf1"}  # what is in it, the brands after the first say
_VIDEO = re.compile(
    rb"\x1aE\xdf\xa3"  # Matroska and WebM
    rb"|RIFF....AVI |OggS|FLV\x01|\0\0\x01[\xba\xb3]|YUV4MPEG2 |0&\xb2u\x8ef\xcf\x11"
    rb"|....(ftyp|moov|mdat|wide|pnot|styp)"
    rb"|G.{187}G|....G.{191}G",  # MPEG transport streams; camcorders put the time before each packet
    re.S,
)
_A_VIDEO = ("a video", None)
_AS_PICTURE = "save it as png or jpg"
_OTHERS = tuple(
    (re.compile(pattern, re.S | re.I), name, hint)
    for pattern, name, hint in (
        (
            rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)",
            "a web page (HTML)",
            "the address was of a page or needs a login; save the file itself with a browser",
        ),
        # `(?>...)` never tries a comment twice, which would take for ever in a file made for it.
        (rb"\s*(?><\?xml.*?\?>\s*)?(?><!--.*?-->\s*)*<(!doctype svg|svg)", "a drawing (SVG)", _AS_PICTURE),
        (rb"%PDF-", "a document (PDF)", _AS_PICTURE),
        (rb"8BPS", "a Photoshop file (PSD)", _AS_PICTURE),
        (rb"gimp xcf", "a GIMP file (XCF)", _AS_PICTURE),
        (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture", _AS_PICTURE),
        (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  ", "a JPEG 2000 picture", _AS_PICTURE),
        (rb"FUJIFILMCCD-RAW|IIU\0|....ftypcrx ", "a camera's raw file", _AS_PICTURE),
        (
            rb"ID3|\xff[\xe2-\xfb][\x10-\xeb]|fLaC|RIFF....WAVE|FORM....AIF[FC]|#!AMR|caff",
            "a sound file",
            "faces are moved by what a video shows of another face, not by sound",
        ),
        (rb"PK\x03\x04", "an archive (ZIP)", "unpack it first"),
        (rb"version https://git-lfs", "a Git LFS pointer", "git lfs pull fetches the file itself"),
    )
)


def read_head(path: Path) -> bytes:
    """The first bytes of a file. InputError if it is no readable regular file."""
    require_local_file(path)
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def kind_of(path: Path) -> Kind:
    """How the file is to be opened. InputError if it is no readable regular file."""
    head = read_head(path)
    if head.startswith(_PNG):
        return "apng" if _is_animated_png(path) else "picture"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp" if is_animated_webp(head) else "picture"
    if _is_avif(head):
        return "avif" if b"avis" in _brands(head) else "picture"
    return "picture" if is_still(head) else "video"


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its first bytes. InputError if it is no readable regular file."""
    return kind_of(path) == "video" and described(read_head(path)) == _A_VIDEO


def described(head: bytes) -> tuple[str, str | None] | None:
    """What a file is that can't be what it was taken for, and what to do with it; None if that is unknown."""
    for pattern, name, hint in _OTHERS:
        if pattern.match(head):
            return name, hint
    return _A_VIDEO if _VIDEO.match(head) and not (_is_avif(head) or is_heic(head)) else None


def is_animated_webp(head: bytes) -> bool:
    """Whether a file that starts with `head` (21 bytes or more) is a WebP with the animation flag."""
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 2)


def is_still(head: bytes) -> bool:
    """Whether a file that starts with `head` is a picture of a common format."""
    return head.startswith(_STILLS) or is_heic(head)


def is_heic(head: bytes) -> bool:
    """Whether a file that starts with `head` is a picture as iPhones store it."""
    brands = _brands(head)
    return bool(brands) and brands[0] in _HEIC_BRANDS | _HEIF_BRANDS and not _is_avif(head)


def _is_avif(head: bytes) -> bool:
    brands = _brands(head)
    if brands and brands[0] in _HEIF_BRANDS:
        return bool(_AVIF_BRANDS.intersection(brands))
    return bool(brands) and brands[0] in _AVIF_BRANDS


def _brands(head: bytes) -> list[bytes]:
    """The brands of an ISO media file (mp4, AVIF, HEIC): the main one, then those that it fits as well."""
    if head[4:8] != b"ftyp":
        return []
    end = min(len(head), struct.unpack(">I", head[:4])[0])
    return [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]


def _is_animated_png(path: Path) -> bool:
    """Whether a PNG has an animation's header, which any number of chunks may precede."""
    with path.open("rb") as file:
        at, size = len(_PNG), path.stat().st_size
        while at + 8 <= size:
            file.seek(at)
            length, kind = struct.unpack(">I4s", file.read(8))
            if kind in (b"acTL", b"IDAT", b"IEND"):
                return bool(kind == b"acTL")
            at += 12 + length
    return False

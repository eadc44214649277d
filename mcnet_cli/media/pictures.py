"""Reading pictures of cameras, phones and editors, writing PNG, and folders of pictures as frames."""

import contextlib
import functools
import re
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.files import SYSTEM_ERRNOS, atomic_output
from mcnet_cli.installed import install_line
from mcnet_cli.media.frames import MAX_FRAME_PIXELS, Frame, FrameSource, Span
from mcnet_cli.media.kinds import described, is_heic, is_still, read_head
from mcnet_cli.media.picture_colours import to_rgb_and_alpha, turn_upright

if TYPE_CHECKING:
    from PIL import Image

JPEG_QUALITY = 95
CAPTION_COLOURS = (24, 24, 24), (230, 230, 230)  # behind the text, and its own
MAX_PICTURE_PIXELS = 128 * 1024 * 1024
# Pillow knows more formats; some of them start other programs or read other files.
PILLOW_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "GIF", "PPM")
PICTURE_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".webp", ".avif", ".heic", ".heif", ".bmp", ".tif", ".tiff", ".gif", ".ppm"),
}
_TIFF_REDUCED, _TIFF_DNG_VERSION = 254, 50706
DEFAULT_RATE = Fraction(25)


@contextmanager
def opened_picture(path: Path) -> Iterator["Image.Image"]:
    """Opens a picture after its header's size has been checked. What a decoder raises becomes InputError."""
    from PIL import Image, UnidentifiedImageError

    head = read_head(path)
    formats = readable_formats()
    if is_heic(head) and "HEIF" not in formats:
        raise InputError(
            f"{shown(path)} is a HEIC picture, which needs pillow-heif",
            hint=f"{install_line('heic')}, or save it as jpg",
        )
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # about sizes within the limit above, and damaged EXIF
            with Image.open(file, formats=formats) as picture:
                if picture.width * picture.height > MAX_PICTURE_PIXELS:
                    raise _too_large(path, f" ({picture.width}x{picture.height})")
                if picture.format == "TIFF":
                    _refuse_raw(path, head, picture)
                yield picture
    except (InputError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise _refusal(path, head, formats) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path, "") from error
    except Exception as error:  # decoders raise many kinds of errors at damaged files
        if isinstance(error, OSError) and error.errno in SYSTEM_ERRNOS:
            raise
        reason = str(error).split("\n")[0] or type(error).__name__
        raise InputError(f"{shown(path)} is damaged or incomplete: {shown(reason)}") from error


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """The formats that can be read here, as Pillow calls them."""
    from PIL import features

    optional = [name for name in ("webp", "avif") if features.check(name)]
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
        optional.append("heif")
    return (*PILLOW_FORMATS, *(name.upper() for name in optional))


def _refusal(path: Path, head: bytes, formats: tuple[str, ...]) -> InputError:
    """What a file is that isn't a picture, as far as that is known."""
    if found := described(head):
        what, hint = found
        return InputError(f"{shown(path)} is not an image but {what}", hint=hint)
    if is_still(head):
        return InputError(
            f"{shown(path)} is an incomplete picture, or of a rare kind that can't be read",
            hint="save it anew as png or jpg",
        )
    names = [name.lower().replace("jpeg", "jpg").replace("heif", "heic") for name in formats if name != "DIB"]
    return InputError(f"{shown(path)} is not an image", hint=f"{', '.join(names)} can be read")


def _refuse_raw(path: Path, head: bytes, picture: "Image.Image") -> None:
    """InputError for the raw file of a camera: it looks like a TIFF, whose first picture is a thumbnail."""
    tags = getattr(picture, "tag_v2", {})
    is_reduced = bool(int(tags.get(_TIFF_REDUCED, 0)) & 1)
    if is_reduced or _TIFF_DNG_VERSION in tags or head[8:10] == b"CR":
        raise InputError(
            f"{shown(path)} is a camera's raw file, which can't be read", hint="save it as png or jpg"
        )


def _too_large(path: Path, size: str) -> InputError:
    return InputError(f"{shown(path)} is too large{size}: over {MAX_PICTURE_PIXELS >> 20} megapixels")


def read_image(path: Path) -> NDArray[np.uint8]:
    """Reads the picture `path` as it is meant to be seen: (H, W, 3) uint8 RGB.

    EXIF orientation is applied, transparency is blended with white, and any colour mode and depth becomes
    8-bit RGB. Of an animation the first frame is read. The content decides about the format, not the suffix.

    Raises InputError if it is no regular file or no picture, damaged, or over 128 megapixels.
    """
    return read_photo(path)[0]


def read_photo(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Reads the picture `path` as `read_image` does, and its transparency.

    Returns the picture, (H, W, 3) uint8 RGB on white, and its alpha, (H, W) uint8 with 0 for transparent;
    None instead of the alpha if the whole picture is opaque. Raises as `read_image`.
    """
    with opened_picture(path) as picture:
        picture.load()
        turn_upright(picture)
        return to_rgb_and_alpha(picture)


def as_picture(photo: "Path | str | NDArray[np.uint8] | Image.Image") -> NDArray[np.uint8]:
    """A photo as (H, W, 3) uint8 RGB, from a file (see `read_image`), an array of that kind, or a PIL image.

    Raises InputError for a file or an array that is no such picture.
    """
    if isinstance(photo, np.ndarray) and not _has_channels(photo, 3):
        raise InputError(f"a picture must be (H, W, 3) uint8 RGB, not {photo.shape} {photo.dtype}")
    return as_photo(photo)[0]


def as_photo(
    photo: "Path | str | NDArray[np.uint8] | Image.Image",
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """A photo with its transparency, as `read_photo` returns them: RGB on white, and alpha or None.

    The photo is a file, a PIL image, or an array: (H, W, 3) uint8 RGB, or (H, W, 4) uint8 RGBA whose colours
    are not multiplied by their alpha.

    Raises InputError for a file or an array that is no such picture.
    """
    if isinstance(photo, Path | str):
        return read_photo(Path(photo))
    if not isinstance(photo, np.ndarray):
        own = photo.copy()
        turn_upright(own)
        return to_rgb_and_alpha(own)
    if _has_channels(photo, 3):
        return photo, None
    if _has_channels(photo, 4):
        from PIL import Image

        return to_rgb_and_alpha(Image.fromarray(photo))
    raise InputError(
        f"a photo must be (H, W, 3) uint8 RGB or (H, W, 4) uint8 RGBA, not {photo.shape} {photo.dtype}"
    )


def _has_channels(array: NDArray[np.generic], channels: int) -> bool:
    return array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == channels and array.size > 0


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) uint8 RGB or (H, W, 4) uint8 RGBA as a lossless PNG."""
    return encode_picture(picture, ".png")


def encode_picture(picture: NDArray[np.uint8], suffix: str) -> bytes:
    """(H, W, 3) uint8 RGB or (H, W, 4) uint8 RGBA as a PNG, or without alpha as a JPEG of high quality."""
    import cv2

    how = [cv2.IMWRITE_PNG_COMPRESSION, 3]
    if suffix != ".png":
        how = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        how += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    order = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, data = cv2.imencode(suffix, cv2.cvtColor(picture, order), how)
    if not done:
        raise ValueError(f"no {suffix} can hold an array of shape {picture.shape} and type {picture.dtype}")
    return bytes(data)


def write_image(path: Path, rgb: NDArray[np.uint8], *, overwrite: bool = False) -> None:
    """Writes (H, W, 3) uint8 RGB as a PNG, whole or not at all.

    Raises UsageError if the name doesn't end in .png or is taken, SystemFailure if the disk fails.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"can't write {shown(path)}: pictures are written as .png")
    with atomic_output(path, overwrite=overwrite) as part:
        part.write_bytes(encode_png(rgb))


def caption(text: str, width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3): a line of text, light on dark, for sheets of pictures; what isn't ASCII is `?`."""
    from PIL import Image, ImageDraw

    line = Image.new("RGB", (width, height), CAPTION_COLOURS[0])
    printable = text.encode("ascii", "replace").decode()
    ImageDraw.Draw(line).text((4, (height - 12) // 2), printable, fill=CAPTION_COLOURS[1])
    return np.asarray(line, np.uint8)


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A key for sorting that puts `frame9` before `frame10`."""
    parts = re.split(r"([0-9]+)", name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part.casefold()) for part in parts], name


def open_folder(folder: Path, *, fps: Fraction | None, span: Span, strict: bool) -> FrameSource:
    """The pictures in `folder`, in natural order, scaled to the first one's size."""
    try:
        names = sorted((path.name for path in folder.iterdir()), key=natural_key)
    except OSError as error:
        raise InputError(f"can't open the folder {shown(folder)}: {error.strerror}") from error
    paths = [
        folder / name
        for name in names
        if Path(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith(".")
    ]
    if not paths:
        raise InputError(f"there are no pictures in the folder {shown(folder)}")
    return _open_pictures(folder, paths, fps or DEFAULT_RATE, span, strict)


def open_picture(path: Path, *, fps: Fraction | None, span: Span, strict: bool) -> FrameSource:
    """One picture as a clip of one frame."""
    return _open_pictures(path, [path], fps or DEFAULT_RATE, span, strict)


def _open_pictures(path: Path, paths: list[Path], rate: Fraction, span: Span, strict: bool) -> FrameSource:
    limit = span.limit(rate)
    chosen = paths[span.first(rate) :][:limit]
    if not chosen and limit != 0:
        raise span.nothing_left(path)
    size = _first_size(path, paths)
    return FrameSource(
        lambda source: _read_pictures(source, chosen),
        path=path,
        size=size,
        frame_rate=rate,
        frame_count_hint=len(chosen),
        strict=strict,
    )


def _first_size(path: Path, paths: list[Path]) -> tuple[int, int]:
    """The width and height of the first picture that can be read."""
    failure: InputError | None = None
    for candidate in paths:
        try:
            height, width, _ = read_image(candidate).shape
        except InputError as error:
            failure = failure or error
            continue
        if width * height > MAX_FRAME_PIXELS:
            raise InputError(f"{shown(candidate)} is too large for a frame: {width}x{height}")
        return width, height
    if failure and paths != [path]:
        raise InputError(f"no picture in {shown(path)} can be read: {failure}") from failure
    raise failure or InputError(f"there are no pictures in {shown(path)}")


def _read_pictures(source: FrameSource, paths: list[Path]) -> Generator[Frame, None, None]:
    """Yields the pictures; one that can't be read is replaced by the one before, to keep the timing."""
    from mcnet_cli.arrays import resized  # OpenCV loads here

    sizes: set[tuple[int, int]] = set()
    unreadable: list[str] = []
    previous: Frame | None = None
    for path in paths:
        try:
            frame = read_image(path)
            sizes.add((frame.shape[1], frame.shape[0]))
            previous = resized(frame, source.width, source.height)
        except InputError as error:
            unreadable.append(str(error))
            if source.strict:
                raise
        if previous is not None:
            yield previous
    if previous is None:
        raise InputError(f"no picture in {shown(source.path)} can be read: {unreadable[0]}")
    if len(sizes) > 1:
        source.warnings.append(
            f"the pictures in {shown(source.path)} have {len(sizes)} sizes: all are scaled to the first"
        )
    if unreadable:
        counts = f"{len(unreadable)} of {len(paths)} pictures in {shown(source.path)}"
        source.note_damage(f"{counts} can't be read: {unreadable[0]}")

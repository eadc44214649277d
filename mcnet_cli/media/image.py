"""Pictures: an own reader for what cameras, phones and editors write, and a lossless writer."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.files import SYSTEM_ERRNOS, atomic_output
from mcnet_cli.media.options import require_local_file

if TYPE_CHECKING:
    from PIL import Image

LARGEST_PICTURE_PIXELS = 128 * 1024 * 1024
# Pillow knows more formats; some of them start other programs, or read other files.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM")


@contextmanager
def opened_picture(path: Path) -> Iterator["Image.Image"]:
    """Opens a picture, its size checked from the header; whatever a decoder raises becomes InputError."""
    from PIL import Image, UnidentifiedImageError

    require_local_file(path)
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # of sizes that are within our limit, and of damaged EXIF
            with Image.open(file, formats=FORMATS) as picture:
                if picture.width * picture.height > LARGEST_PICTURE_PIXELS:
                    raise _too_large(path, f" ({picture.width}x{picture.height})")
                yield picture
    except (InputError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise InputError(
            f"{shown(path)} is not an image", hint="png, jpg, webp, bmp, tiff and gif can be read"
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path, "") from error
    except Exception as error:  # decoders meet damage in many ways, and not only as OSError
        if isinstance(error, OSError) and error.errno in SYSTEM_ERRNOS:
            raise
        reason = str(error).split("\n")[0] or type(error).__name__
        raise InputError(f"{shown(path)} is damaged or incomplete: {shown(reason)}") from error


def _too_large(path: Path, size: str) -> InputError:
    return InputError(f"{shown(path)} is too large{size}: over {LARGEST_PICTURE_PIXELS >> 20} megapixels")


def read_image(path: Path) -> NDArray[np.uint8]:
    """Reads the picture `path` as it is meant to be seen: (H, W, 3) uint8 RGB.

    EXIF orientation is applied, transparency lies on white, any colour mode and depth is brought to 8 bits,
    of an animation the first frame counts. The content decides about the format, not the suffix.

    Raises InputError: no regular file, not an image, damaged, or over 128 megapixels.
    """
    return read_photo(path)[0]


def read_photo(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Reads the picture `path` as `read_image` does, and its transparency.

    Returns the picture, (H, W, 3) uint8 RGB on white, and its alpha, (H, W) uint8 with 0 where it is wholly
    transparent; None for the alpha of a picture that is opaque everywhere. Raises as `read_image`.
    """
    with opened_picture(path) as picture:
        picture.load()
        return _to_rgb_and_alpha(_upright(picture))


def as_picture(photo: "Path | str | NDArray[np.uint8] | Image.Image") -> NDArray[np.uint8]:
    """A photo of any kind as (H, W, 3) uint8 RGB: a file as `read_image` has it, an array, a PIL image.

    Raises InputError for a file or an array that is no such picture.
    """
    if isinstance(photo, np.ndarray) and not _has_channels(photo, 3):
        raise InputError(f"a picture must be (H, W, 3) uint8 RGB, not {photo.shape} {photo.dtype}")
    return as_photo(photo)[0]


def as_photo(
    photo: "Path | str | NDArray[np.uint8] | Image.Image",
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """A photo of any kind with its transparency, as `read_photo` has them: RGB on white, and alpha or None.

    The photo is a file, a PIL image, or an array: (H, W, 3) uint8 RGB, or (H, W, 4) uint8 RGBA whose colours
    are not multiplied by their alpha.

    Raises InputError for a file or an array that is no such picture.
    """
    if isinstance(photo, Path | str):
        return read_photo(Path(photo))
    if not isinstance(photo, np.ndarray):
        return _to_rgb_and_alpha(_upright(photo))
    if _has_channels(photo, 3):
        return photo, None
    if _has_channels(photo, 4):
        from PIL import Image

        return _to_rgb_and_alpha(Image.fromarray(photo))
    raise InputError(
        f"a photo must be (H, W, 3) uint8 RGB or (H, W, 4) uint8 RGBA, not {photo.shape} {photo.dtype}"
    )


def _has_channels(array: NDArray[np.generic], channels: int) -> bool:
    return array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == channels and array.size > 0


def _upright(picture: "Image.Image") -> "Image.Image":
    """Applies the EXIF orientation; one that can't be read is as none."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except MemoryError:
        raise
    except Exception:  # EXIF is often damaged where the picture is not, and parsing it fails in many ways
        return picture


def to_rgb(picture: "Image.Image") -> NDArray[np.uint8]:
    """A loaded picture of any mode as (H, W, 3) uint8 RGB, transparency on white."""
    return _to_rgb_and_alpha(picture)[0]


def _to_rgb_and_alpha(picture: "Image.Image") -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """A loaded picture of any mode as RGB on white, and its alpha, or None where all of it is opaque."""
    from PIL import Image

    if picture.mode.startswith("I") or picture.mode == "F":
        grey = _to_8_bits(np.asarray(picture))
        return np.repeat(grey[:, :, None], 3, axis=2), None
    alpha = None
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        alpha = np.asarray(layer.getchannel("A"), np.uint8).copy()
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    rgb = np.asarray(picture.convert("RGB"), np.uint8).copy()
    return rgb, None if alpha is None or alpha.min() == 255 else alpha


def _to_8_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Grey values of more than 8 bits: 16-bit integers, or floats in [0, 1] or [0, 255]."""
    if values.dtype.kind == "f":
        finite = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=255.0, neginf=0.0)
        scale = 255.0 if finite.size and finite.max() <= 1.0 else 1.0
        rounded: NDArray[np.float32] = np.rint(finite * scale)
        return np.clip(rounded, 0, 255).astype(np.uint8)
    if values.dtype.itemsize == 2 or (values.size and values.max() > 255):
        values = values.astype(np.int64) >> 8
    return np.clip(values.astype(np.int64), 0, 255).astype(np.uint8)


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) uint8 RGB or (H, W, 4) uint8 RGBA as a lossless PNG."""
    import cv2

    order = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, data = cv2.imencode(".png", cv2.cvtColor(picture, order), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise ValueError(f"no PNG can hold an array of shape {picture.shape} and type {picture.dtype}")
    return bytes(data)


def write_image(path: Path, rgb: NDArray[np.uint8], *, overwrite: bool = False) -> None:
    """Writes (H, W, 3) uint8 RGB as a PNG, whole or not at all.

    Raises UsageError if the name doesn't end in .png or is taken, SystemFailure if the disk fails.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"can't write {shown(path)}: pictures are written as .png")
    with atomic_output(path, overwrite=overwrite) as part:
        part.write_bytes(encode_png(rgb))

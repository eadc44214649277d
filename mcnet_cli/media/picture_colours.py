"""Pictures of every colour mode, depth and profile as 8-bit sRGB, and the transparency that they have."""

import io
import logging
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)


def turn_upright(picture: "Image.Image") -> None:
    """Applies the EXIF orientation, unless it can't be read."""
    from PIL import ImageOps

    try:
        ImageOps.exif_transpose(picture, in_place=True)  # else a copy is made of each picture
    except MemoryError:
        raise
    except Exception:  # EXIF may be damaged although the picture is not, and parsing raises many kinds
        return


def to_rgb(picture: "Image.Image") -> NDArray[np.uint8]:
    """A loaded picture of any mode as (H, W, 3) uint8 RGB, blended with white where it is transparent."""
    return to_rgb_and_alpha(picture)[0]


def to_rgb_and_alpha(picture: "Image.Image") -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """A loaded picture of any mode as RGB on white, with its alpha, or None if all of it is opaque."""
    from PIL import Image

    if picture.mode.startswith("I") or picture.mode == "F":
        grey = _to_8_bits(np.asarray(picture))
        return np.repeat(grey[:, :, None], 3, axis=2), None
    alpha = None
    if picture.has_transparency_data:
        layer = _to_srgb(picture.convert("RGBA"), picture.info.get("icc_profile"))
        alpha = np.asarray(layer.getchannel("A"), np.uint8).copy()
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    else:
        if picture.mode in ("P", "1"):
            picture = picture.convert("RGB")
        picture = _to_srgb(picture, picture.info.get("icc_profile"))
    rgb = np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))
    return rgb, None if alpha is None or alpha.min() == 255 else alpha


def _to_srgb(picture: "Image.Image", profile: bytes | None) -> "Image.Image":
    """Converts colours that an ICC profile describes, such as a phone's Display P3; else they look paler.

    A profile that is damaged, or of another kind of colours than the picture's, is left aside.
    """
    if not profile and picture.mode != "LAB":
        return picture
    from PIL import ImageCms

    mode = "RGBA" if picture.mode == "RGBA" else "RGB"
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
        if "sRGB" in ImageCms.getProfileDescription(own):
            return picture
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, own, srgb, outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError, ImportError) as error:
        log.debug("a colour profile that can't be used: %s", error)
        return picture
    return converted or picture


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

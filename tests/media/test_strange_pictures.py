"""Pictures as people really have them, and what becomes of each: a table of what was tried."""

import io
import struct
import sys
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media_tools import number_of, numbered_frames, read, write_clip
from PIL import Image, ImageCms, features

from mcnet_cli.errors import InputError
from mcnet_cli.media import is_picture, read_image, read_photo
from mcnet_cli.media.pictures import readable_formats

SKIN = (224, 172, 140)
OPAQUE = Image.new("L", (64, 48), 254)


def skin(mode: str = "RGB") -> Image.Image:
    return Image.new("RGB", (64, 48), SKIN).convert(mode)


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def swapping_profile() -> bytes:
    """A colour profile in which red and blue are exchanged: without it the picture is a blue one."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for old, new in ((b"rXYZ", b"-XYZ"), (b"bXYZ", b"rXYZ"), (b"-XYZ", b"bXYZ")):
        profile = profile.replace(old, new, 1)
    return profile.replace("sRGB".encode("utf-16-be"), "BGRs".encode("utf-16-be"))


def blue(*extra: Image.Image) -> Image.Image:
    red, green, blue = skin().split()
    return Image.merge("RGBA" if extra else "RGB", (blue, green, red, *extra))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def turned(kind: str, **options: object) -> bytes:
    """Stored on its side, with the note that it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = skin()
    picture.paste("white", (0, 0, 32, 48))
    return saved(picture.transpose(Image.Transpose.ROTATE_90), kind, exif=exif.tobytes(), **options)


def sixteen_bits() -> bytes:
    pixels = (np.asarray(skin(), np.uint16) * 257).astype(">u2").tobytes()
    rows = b"".join(b"\0" + pixels[at : at + 384] for at in range(0, len(pixels), 384))
    header = struct.pack(">IIBBBBB", 64, 48, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def phone_jpeg() -> bytes:
    """A photo with a second picture behind it (MPO), as phones and 3D cameras store depth and gain maps."""
    return saved(skin(), "MPO", save_all=True, append_images=[Image.new("L", (16, 12))])


def palette_png() -> bytes:
    return saved(skin().quantize(4), "PNG", transparency=255)


READ: dict[str, Callable[[], bytes]] = {
    "avif": lambda: saved(skin(), "AVIF", quality=95),
    "mpo-of-a-phone.jpg": phone_jpeg,
    "progressive.jpg": lambda: saved(skin(), "JPEG", progressive=True, quality=95),
    "profile-that-is-none.jpg": lambda: saved(skin(), "JPEG", icc_profile=b"no profile" * 20, quality=95),
    "cmyk.jpg": lambda: saved(skin("CMYK"), "JPEG", quality=95),
    "cmyk.tiff": lambda: saved(skin("CMYK"), "TIFF"),
    "lab.tiff": lambda: saved(
        ImageCms.profileToProfile(
            skin(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        ),
        "TIFF",
    ),
    "ycbcr.tiff": lambda: saved(skin("YCbCr"), "TIFF"),
    "16-bit.png": sixteen_bits,
    "palette-with-transparency.png": palette_png,
    "interlaced.gif": lambda: saved(skin().quantize(4), "GIF", interlace=1),
    "icc.jpg": lambda: saved(blue(), "JPEG", icc_profile=swapping_profile(), quality=95),
    "icc.png": lambda: saved(blue(), "PNG", icc_profile=swapping_profile()),
    "icc-palette.png": lambda: saved(blue().quantize(4), "PNG", icc_profile=swapping_profile()),
    "icc-alpha.png": lambda: saved(
        blue(Image.new("L", (64, 48), 254)), "PNG", icc_profile=swapping_profile()
    ),
    "icc.webp": lambda: saved(blue(), "WEBP", lossless=True, icc_profile=swapping_profile()),
    "icc.tiff": lambda: saved(blue(), "TIFF", icc_profile=swapping_profile()),
    "icc.avif": lambda: saved(blue(), "AVIF", quality=95, icc_profile=swapping_profile()),
}


@pytest.mark.parametrize("case", READ)
@pytest.mark.parametrize("name", ["photo.jpg", "photo"])
def test_a_picture_is_read_in_its_colours_whatever_its_name(tmp_path: Path, case: str, name: str) -> None:
    if "avif" in case and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    path = tmp_path / name
    path.write_bytes(READ[case]())
    assert is_picture(path) or case.endswith(".gif")
    assert np.abs(read_image(path).astype(int) - SKIN).max() <= 6
    _, frames = read(path)
    assert len(frames) == 1
    assert np.abs(frames[0].astype(int) - SKIN).max() <= 6


def test_a_grey_picture_with_a_profile_of_colours_stays_grey(tmp_path: Path) -> None:
    (tmp_path / "grey.png").write_bytes(saved(skin("L"), "PNG", icc_profile=swapping_profile()))
    assert np.unique(read_image(tmp_path / "grey.png")).tolist() == [skin("L").getpixel((0, 0))]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_picture_on_its_side_comes_upright(tmp_path: Path, kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    (tmp_path / "turned").write_bytes(turned(kind))
    picture = read_image(tmp_path / "turned")
    assert picture.shape == (48, 64, 3)
    assert picture[24, 8].min() > 240 > picture[24, 56].min()


HALF = Image.merge("RGBA", (*skin().split(), Image.new("L", (64, 48), 128)))


@pytest.mark.parametrize(
    ("stored", "kind"),
    [(HALF, "PNG"), (HALF, "WEBP"), (HALF, "TIFF"), (HALF.convert("LA"), "PNG"), (HALF.quantize(4), "PNG")],
    ids=["png", "webp", "tiff", "grey.png", "palette.png"],
)
def test_half_transparent_pictures_lie_on_white(tmp_path: Path, stored: Image.Image, kind: str) -> None:
    (tmp_path / "half").write_bytes(saved(stored, kind))
    rgb, alpha = read_photo(tmp_path / "half")
    assert alpha is not None
    assert np.abs(alpha.astype(int) - 128).max() <= 1
    colour = np.array(SKIN if stored.mode != "LA" else (stored.getpixel((0, 0))[0],) * 3)
    assert np.abs(rgb - (colour + 255) / 2).max() <= 4


def animation(kind: str, durations: list[int], **options: object) -> bytes:
    first, *others = [Image.fromarray(frame) for frame in numbered_frames(len(durations))]
    extra = {"lossless": True} if kind == "WEBP" else {}
    return saved(first, kind, save_all=True, append_images=others, duration=durations, **extra, **options)


ANIMATIONS: dict[str, tuple[Callable[[], bytes], Fraction, list[int]]] = {
    "apng": (lambda: animation("PNG", [40] * 25), Fraction(25), list(range(25))),
    "apng-of-unequal-times": (lambda: animation("PNG", [40, 120, 40]), Fraction(25), [0, 1, 1, 1, 2]),
    "apng-with-a-profile": (
        lambda: animation("PNG", [100] * 3, icc_profile=bytes(9000)),
        Fraction(10),
        [0, 1, 2],
    ),
    "apng-whose-first-picture-is-no-frame": (
        lambda: animation("PNG", [100] * 4, default_image=True),
        Fraction(10),
        [1, 2, 3],
    ),
    "gif-without-times": (lambda: animation("GIF", [0] * 3), Fraction(10), [0, 1, 2]),
    "webp": (lambda: animation("WEBP", [40, 80]), Fraction(25), [0, 1, 1]),
    "avif": (lambda: animation("AVIF", [40, 80, 40]), Fraction(25), [0, 1, 1, 2]),
}


@pytest.mark.parametrize("case", ANIMATIONS)
@pytest.mark.parametrize("name", ["loop.png", "loop.mp4"])
def test_an_animation_is_read_whole_whatever_its_name(tmp_path: Path, case: str, name: str) -> None:
    if case == "avif" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    make, rate, numbers = ANIMATIONS[case]
    (tmp_path / name).write_bytes(make())
    source, frames = read(tmp_path / name)
    assert source.frame_rate == rate
    assert [number_of(frame) for frame in frames] == numbers
    assert not source.warnings


def test_an_apng_of_a_television_rate_keeps_it_exactly(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "ntsc.png", 6, rate="30000/1001", options=["-f", "apng"])
    source, frames = read(path)
    assert (source.frame_rate, len(frames)) == (Fraction(30000, 1001), 6)


def test_a_cut_apng_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = animation("PNG", [40] * 12)
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) * 7 // 10])
    source, frames = read(tmp_path / "cut.png")
    assert 4 <= len(frames) < 12
    assert source.damaged


HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(400)
REFUSED: dict[str, tuple[bytes, str]] = {
    "zero-bytes": (b"", "is empty"),
    "web-page": (b"\n<!DOCTYPE html><html><title>404</title></html>", "web page"),
    "web-page-with-a-mark": (b"\xef\xbb\xbf<html>", "web page"),
    "svg": (b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg width="9">', "drawing"),
    "svg-that-never-begins": (b"<!---->" * 99, "not an image"),
    "pdf": (b"%PDF-1.7\n", "PDF"),
    "psd": (b"8BPS\0\1" + bytes(40), "Photoshop"),
    "jxl": (b"\xff\x0a" + bytes(40), "JPEG XL"),
    "zip": (b"PK\3\4" + bytes(40), "archive"),
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
    "canon-cr3": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "raw file"),
    "dng": (saved(skin(), "TIFF", tiffinfo={254: 1}), "raw file"),
    "half-a-jpeg": (saved(skin(), "JPEG")[:-300], "incomplete"),
    "half-a-png": (saved(HALF, "PNG")[:90], "incomplete"),
    "a-jpeg's-first-bytes": (saved(skin(), "JPEG")[:80], "incomplete"),
    "rare-tiff": (saved(skin(), "TIFF").replace(b"\x02\x01\x03", b"\x02\x01\x0b"), "rare kind"),
    "sound": (b"ID3\3\0" + bytes(40), "sound file"),
    "text": (b"my portrait\n", "not an image"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_picture_is_called_what_it_is(tmp_path: Path, case: str) -> None:
    data, what = REFUSED[case]
    (tmp_path / "portrait.jpg").write_bytes(data)
    with pytest.raises(InputError, match=what) as refused:
        read_image(tmp_path / "portrait.jpg")
    assert "portrait.jpg" in str(refused.value)


def test_the_formats_that_are_named_are_those_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "portrait.jpg").write_bytes(b"nothing that is known")
    with pytest.raises(InputError) as refused:
        read_image(tmp_path / "portrait.jpg")
    named = str(refused.value.hint).removesuffix(" can be read").split(", ")
    assert {"png", "jpg", "tiff", "gif"} <= set(named)
    assert ("avif" in named) == features.check("avif")


def test_heic_is_refused_by_name_without_the_library_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "portrait.jpg").write_bytes(HEIC)
    with monkeypatch.context() as here:
        here.setitem(sys.modules, "pillow_heif", None)  # importing it fails, as where it isn't installed
        readable_formats.cache_clear()
        for use in (read_image, read):
            with pytest.raises(InputError, match="HEIC") as refused:
                use(tmp_path / "portrait.jpg")
            assert "install" in str(refused.value.hint)
    readable_formats.cache_clear()


def test_heic_is_read_with_the_library_for_it(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    (tmp_path / "portrait.jpg").write_bytes(turned("HEIF", quality=95))
    picture = read_image(tmp_path / "portrait.jpg")
    assert picture.shape == (48, 64, 3)
    assert np.abs(picture[24, 56].astype(int) - SKIN).max() <= 6
    assert picture[24, 8].min() > 240

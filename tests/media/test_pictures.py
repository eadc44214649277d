"""Pictures of every kind, folders of them, and animations."""

import io
import os
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media_tools import number_of, numbered_frames, read
from PIL import Image

from mcnet_cli.errors import InputError, UsageError
from mcnet_cli.media import read_image, write_image

TURNS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90"} | {
    7: "TRANSVERSE",
    8: "ROTATE_270",
}


@pytest.fixture
def photo() -> Image.Image:
    """Every corner has another colour."""
    corners = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [240, 240, 240]]], np.uint8)
    return Image.fromarray(corners.repeat(24, axis=0).repeat(32, axis=1))


def close(picture: np.ndarray, to: Image.Image, tolerance: float = 4) -> bool:
    expected = np.asarray(to.convert("RGB"), np.float32)
    return picture.shape == expected.shape and float(np.abs(picture - expected).mean()) < tolerance


@pytest.mark.parametrize(
    ("mode", "suffix", "options"),
    [
        ("RGB", ".png", {}),
        ("RGB", ".jpg", {"quality": 95, "subsampling": 0}),
        ("RGB", ".webp", {"lossless": True}),
        ("RGB", ".bmp", {}),
        ("RGB", ".tiff", {"compression": "tiff_lzw"}),
        ("CMYK", ".jpg", {"quality": 95}),
        ("P", ".png", {}),
        ("P", ".gif", {}),
    ],
)
def test_formats_and_colour_modes_come_out_as_rgb(
    tmp_path: Path, photo: Image.Image, mode: str, suffix: str, options: dict[str, object]
) -> None:
    path = tmp_path / f"photo{suffix}"
    stored = photo.quantize(16) if mode == "P" else photo.convert(mode)
    stored.save(path, **options)
    picture = read_image(path)
    assert picture.dtype == np.uint8
    assert close(picture, photo)
    picture[0, 0] = 0  # it can be drawn on


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_pictures_have_three_equal_channels(tmp_path: Path, photo: Image.Image, mode: str) -> None:
    photo.convert(mode).save(tmp_path / "grey.png")
    picture = read_image(tmp_path / "grey.png")
    assert picture.shape == (48, 64, 3)
    assert np.array_equal(picture[..., 0], picture[..., 2])
    assert picture.max() > 200


def test_sixteen_bits_are_neither_white_nor_black(tmp_path: Path, photo: Image.Image) -> None:
    import cv2

    wide = np.asarray(photo, np.uint16) * 257
    cv2.imwrite(str(tmp_path / "colour.png"), wide[:, :, ::-1])
    cv2.imwrite(str(tmp_path / "grey.png"), wide[:, :, 0])
    cv2.imwrite(str(tmp_path / "grey.tiff"), wide[:, :, 0])
    assert close(read_image(tmp_path / "colour.png"), photo, 1)
    for name in ("grey.png", "grey.tiff"):
        assert close(read_image(tmp_path / name), Image.fromarray(np.asarray(photo)[:, :, 0]), 1)


def test_floats_are_taken_as_zero_to_one_or_to_255(tmp_path: Path) -> None:
    grey = np.linspace(0, 1, 64, dtype=np.float32)[None].repeat(8, 0)
    Image.fromarray(grey).save(tmp_path / "unit.tiff")
    Image.fromarray(grey * 255).save(tmp_path / "bytes.tiff")
    assert (
        np.abs(read_image(tmp_path / "unit.tiff").astype(int) - read_image(tmp_path / "bytes.tiff")).max()
        <= 1
    )
    assert read_image(tmp_path / "unit.tiff").max() == 255


def test_transparency_lies_on_white(tmp_path: Path, photo: Image.Image) -> None:
    photo.putalpha(Image.new("L", photo.size, 0))
    photo.save(tmp_path / "clear.png")
    assert read_image(tmp_path / "clear.png").min() == 255


@pytest.mark.parametrize("tag", [1, 2, 3, 4, 5, 6, 7, 8, 77])
def test_exif_orientation_is_applied(tmp_path: Path, photo: Image.Image, tag: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    stored = photo.transpose(Image.Transpose[TURNS[tag]]) if tag in TURNS else photo
    stored.save(tmp_path / "photo.jpg", exif=exif, quality=95, subsampling=0)
    assert close(read_image(tmp_path / "photo.jpg"), photo)


def test_the_content_decides_not_the_suffix(tmp_path: Path, photo: Image.Image) -> None:
    for name in ("photo.png", "photo"):
        photo.save(tmp_path / name, format="BMP")
        assert close(read_image(tmp_path / name), photo)


def test_of_an_animation_the_first_frame_counts(tmp_path: Path, photo: Image.Image) -> None:
    black = Image.new("RGB", photo.size)
    photo.save(tmp_path / "a.webp", save_all=True, append_images=[black], duration=100, lossless=True)
    assert close(read_image(tmp_path / "a.webp"), photo)


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


def encoded(picture: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: b"", "empty"),
        (lambda _: b"this is not a picture\n" * 20, "not an image"),
        (lambda _: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (lambda photo: encoded(photo, "PNG")[:90], "incomplete"),
        (lambda photo: encoded(photo, "JPEG")[:-200], "incomplete"),
        (lambda _: png_that_claims(60000, 60000), "too large"),
        (lambda _: png_that_claims(12000, 12000), "too large.*12000x12000"),
    ],
)
def test_what_is_no_whole_picture_is_refused_by_name(
    tmp_path: Path, photo: Image.Image, make: object, message: str
) -> None:
    (tmp_path / "bad.png").write_bytes(make(photo))  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as refused:
        read_image(tmp_path / "bad.png")
    assert "bad.png" in str(refused.value)


def test_pipes_devices_folders_and_loops_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("fifo.png", "endless.png", "loop.png", "folder.png", "missing.png"):
        with pytest.raises(InputError, match=name):
            read_image(tmp_path / name)


def test_a_written_picture_is_lossless_and_whole_or_absent(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (31, 17, 3), np.uint8)
    write_image(tmp_path / "a.png", rgb)
    assert np.array_equal(read_image(tmp_path / "a.png"), rgb)
    with pytest.raises(UsageError, match="exists"):
        write_image(tmp_path / "a.png", rgb)
    with pytest.raises(UsageError, match="pictures are written as"):
        write_image(tmp_path / "a.jpg", rgb)
    assert os.listdir(tmp_path) == ["a.png"]


def folder_of(folder: Path, sizes: list[tuple[int, int]], first: int = 8) -> Path:
    folder.mkdir()
    for number, (size, frame) in enumerate(zip(sizes, numbered_frames(len(sizes)), strict=True), first):
        Image.fromarray(frame).resize(size).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("not a frame")
    (folder / ".hidden.png").write_text("not a frame either")
    return folder


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    source, frames = read(folder_of(tmp_path / "frames", [(64, 48)] * 4))  # 8 9 10 11
    assert [number_of(frame) for frame in frames] == [0, 1, 2, 3]
    assert (source.frame_rate, source.frame_count_hint, source.audio) == (25, 4, None)
    source, frames = read(tmp_path / "frames", fps=Fraction(10), start_s=0.1, end_s=0.3)
    assert [number_of(frame) for frame in frames] == [1, 2]
    assert source.frame_rate == 10


def test_pictures_of_other_sizes_are_scaled_to_the_first(tmp_path: Path) -> None:
    source, frames = read(folder_of(tmp_path / "frames", [(64, 48), (32, 24), (64, 48)]))
    assert {frame.shape for frame in frames} == {(48, 64, 3)}
    assert "2 sizes" in source.warnings[0]
    assert not source.damaged


def test_a_picture_that_cannot_be_read_is_replaced_by_its_predecessor(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "frames", [(64, 48)] * 4)
    (folder / "10.png").write_bytes(b"damaged")
    source, frames = read(folder)
    assert [number_of(frame) for frame in frames] == [0, 1, 1, 3]
    assert source.damaged
    assert "1 of 4" in source.warnings[0]
    with pytest.raises(InputError, match=r"10\.png"):
        read(folder, strict=True)


def test_a_folder_without_pictures_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="no pictures"):
        read(tmp_path)


def test_one_picture_is_one_frame(tmp_path: Path, photo: Image.Image) -> None:
    photo.save(tmp_path / "a.png")
    source, frames = read(tmp_path / "a.png")
    assert len(frames) == 1
    assert source.frame_rate == 25
    assert close(frames[0], photo)


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
@pytest.mark.parametrize(
    ("durations", "rate", "numbers"),
    [
        ([80] * 4, Fraction(25, 2), [0, 1, 2, 3]),
        ([100, 200, 50, 100], Fraction(20), [0, 0, 1, 1, 1, 1, 2, 3, 3]),
        ([1000, 500], Fraction(2), [0, 0, 1]),
    ],
)
def test_animations_keep_the_time_of_every_frame(
    tmp_path: Path, suffix: str, durations: list[int], rate: Fraction, numbers: list[int]
) -> None:
    pictures = [Image.fromarray(frame) for frame in numbered_frames(len(durations))]
    path = tmp_path / f"animated{suffix}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations)
    source, frames = read(path)
    assert source.frame_rate == rate
    assert [number_of(frame) for frame in frames] == numbers
    assert len(read(path, max_frames=2)[1]) == 2
    assert len(read(path, start_s=float(1 / rate))[1]) == len(numbers) - 1


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_a_cut_animation_is_used_as_far_as_it_goes(tmp_path: Path, suffix: str) -> None:
    pictures = [Image.fromarray(frame) for frame in numbered_frames(12)]
    path = tmp_path / f"cut{suffix}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    try:
        source, frames = read(path)
    except InputError as refused:
        assert suffix == ".webp"  # its decoder takes whole files only
        assert "cut.webp" in str(refused)
    else:
        assert 4 <= len(frames) < 12
        assert source.damaged
        with pytest.raises(InputError, match="cut"):
            read(path, strict=True)

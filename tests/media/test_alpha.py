"""Transparency: of photos that are read, and of films, whose formats keep it or say that they can't."""

import os
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media_tools import (
    BOTTOM,
    TOP,
    assert_alike,
    ffmpeg_without,
    read_film,
    see_through_frames,
    sound_of,
    tone,
    write_clip,
    write_film,
)
from PIL import Image

from mcnet_cli.errors import InputError, SystemFailure, UsageError
from mcnet_cli.media import (
    FrameSink,
    SoundTrack,
    as_photo,
    as_picture,
    open_output,
    probe,
    read_image,
    read_photo,
)
from mcnet_cli.media.ffmpeg import has_encoder

FILMS = [".webp", ".webm", ".mov"]


@pytest.mark.parametrize("suffix", FILMS)
def test_a_film_keeps_alpha_and_colours(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"film{suffix}"
    frames = see_through_frames(12)
    assert write_film(target, frames) == []
    assert_alike(read_film(target), frames)
    assert os.listdir(tmp_path) == [target.name]


def test_what_is_opaque_stays_wholly_opaque(tmp_path: Path) -> None:
    frames = see_through_frames(4)
    for suffix in FILMS:
        write_film(tmp_path / f"film{suffix}", frames)
        assert read_film(tmp_path / f"film{suffix}")[1, 4:12, 4:12, 3].min() == 255, suffix


def test_pictures_keep_alpha_and_colours_exactly(tmp_path: Path) -> None:
    frames = see_through_frames(3, 63, 49)
    write_film(tmp_path / "frames" / "%05d.png", frames)
    for number, frame in enumerate(frames, 1):
        with Image.open(tmp_path / "frames" / f"{number:05d}.png") as picture:
            assert np.array_equal(np.asarray(picture), frame)


@pytest.mark.parametrize("suffix", [".webm", ".mov"])
def test_a_film_has_sound_and_alpha(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 12, sound=tone(0.48))
    frames = see_through_frames(12)
    target = tmp_path / f"film{suffix}"
    assert write_film(target, frames, sounds=[SoundTrack(clip)]) == []
    assert_alike(read_film(target), frames)
    assert np.abs(sound_of(target).astype(int)).max() > 1000


def test_a_webm_says_that_it_has_transparency_with_sound_and_without(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 4, sound=tone(0.16))
    for name, sounds in (("silent.webm", []), ("loud.webm", [SoundTrack(clip)])):
        write_film(tmp_path / name, see_through_frames(4), sounds=sounds)
        assert b"\x53\xc0\x81\x01" in (tmp_path / name).read_bytes(), name  # Matroska's AlphaMode: 1


@pytest.mark.parametrize("suffix", [".webm", ".mov"])
def test_a_video_with_alpha_keeps_an_exact_rate_and_has_even_sides(tmp_path: Path, suffix: str) -> None:
    frames = see_through_frames(5, 63, 49)
    target = tmp_path / f"film{suffix}"
    write_film(target, frames, rate=Fraction(24000, 1001))
    info = probe(target)
    assert (info.frame_rate, info.width, info.height) == (Fraction(24000, 1001), 64, 50)
    assert_alike(read_film(target)[:, :49, :63], frames)


def test_a_webp_with_alpha_keeps_odd_sides(tmp_path: Path) -> None:
    frames = see_through_frames(3, 63, 49)
    write_film(tmp_path / "film.webp", frames)
    assert_alike(read_film(tmp_path / "film.webp"), frames)


def test_frames_that_are_wholly_transparent_are_all_there(tmp_path: Path) -> None:
    for suffix in FILMS:
        frames = [np.zeros((48, 64, 4), np.uint8)] * 6
        write_film(tmp_path / f"film{suffix}", frames)
        found = read_film(tmp_path / f"film{suffix}")
        assert len(found) == (6 if suffix != ".webp" else 1)  # equal frames of a WebP become one still
        assert found[..., 3].max() <= 1, suffix


@pytest.mark.parametrize("suffix", FILMS)
def test_the_same_frames_give_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 12, sound=tone(0.48))
    for name in ("a", "b"):
        write_film(tmp_path / f"{name}{suffix}", see_through_frames(12), sounds=[SoundTrack(clip)], threads=2)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("name", ["film.mp4", "film.MKV", "film.gif", "-"])
def test_other_formats_say_which_ones_hold_transparency(tmp_path: Path, name: str) -> None:
    target = name if name == "-" else str(tmp_path / name)
    with (
        pytest.raises(UsageError, match="--background transparent") as error,
        open_output(target, size=(64, 48), frame_rate=Fraction(25), alpha=True),
    ):
        pass
    assert error.value.hint is not None
    assert all(suffix in error.value.hint for suffix in (*FILMS, "%05d.png"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["film.webp", "film.webm", "film.mov", "%d.png"])
def test_nothing_is_left_after_an_exception_or_without_frames(tmp_path: Path, name: str) -> None:
    with pytest.raises(RuntimeError), _opened(tmp_path / name) as sink:
        sink.write(see_through_frames(1)[0])
        raise RuntimeError
    with pytest.raises(InputError, match="no frames"), _opened(tmp_path / name):
        pass
    assert os.listdir(tmp_path) == []


def _opened(target: Path) -> AbstractContextManager[FrameSink]:
    return open_output(target, size=(64, 48), frame_rate=Fraction(25), alpha=True)


def test_a_frame_without_alpha_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="64x48"), _opened(tmp_path / "film.webm") as sink:
        sink.write(np.zeros((48, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ("suffix", "missing"),
    [(".webp", ["libwebp_anim"]), (".mov", ["prores_ks"]), (".webm", ["libvpx-vp9", "libvpx"])],
)
def test_a_missing_encoder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, missing: list[str]
) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.setenv("MCNET_FFMPEG", str(ffmpeg_without(tmp_path, *missing)))
    assert not has_encoder(missing[0])
    with pytest.raises(SystemFailure, match=f"no encoder {missing[-1]}"):
        write_film(tmp_path / "out" / f"film{suffix}", see_through_frames(2))
    assert os.listdir(tmp_path / "out") == []


def test_without_vp9_a_webm_is_vp8_and_keeps_alpha(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = see_through_frames(12)
    with monkeypatch.context() as patched:
        patched.setenv("MCNET_FFMPEG", str(ffmpeg_without(tmp_path, "libvpx-vp9")))
        write_film(tmp_path / "film.webm", frames)
    found = read_film(tmp_path / "film.webm", decoder="libvpx")
    assert np.abs(found[..., 3].astype(int) - np.stack(frames)[..., 3]).max() <= 3


@pytest.fixture
def cut_out() -> Image.Image:
    """A picture in two colours whose alpha rises from left to right."""
    return Image.fromarray(see_through_frames(1)[0])


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
def test_a_photo_has_its_alpha_and_lies_on_white(tmp_path: Path, cut_out: Image.Image, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    cut_out.save(path, **({"lossless": True} if suffix == ".webp" else {}))
    rgb, alpha = read_photo(path)
    assert alpha is not None
    assert (alpha.shape, alpha.dtype) == ((48, 64), np.uint8)
    assert np.array_equal(alpha, np.asarray(cut_out)[:, :, 3])
    share = alpha[:, :, None] / 255
    on_white = np.asarray(cut_out)[:, :, :3] * share + 255 * (1 - share)
    assert np.abs(rgb - on_white).max() <= 1
    assert np.array_equal(rgb, read_image(path))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "I;16", "F"])
def test_an_opaque_photo_has_no_alpha(tmp_path: Path, cut_out: Image.Image, mode: str) -> None:
    path = tmp_path / ("photo.tiff" if mode in ("CMYK", "F") else "photo.png")
    cut_out.putalpha(255)
    opaque = cut_out.convert("L") if mode == "I;16" else cut_out
    opaque.convert(mode).save(path)
    rgb, alpha = read_photo(path)
    assert alpha is None
    assert np.array_equal(rgb, read_image(path))


def test_a_colour_that_stands_for_transparency_is_alpha(tmp_path: Path, cut_out: Image.Image) -> None:
    flat = cut_out.convert("RGB")
    flat.save(tmp_path / "key.png", transparency=TOP)
    flat.quantize(4).save(tmp_path / "palette.gif", transparency=flat.quantize(4).getpixel((0, 0)))
    for name in ("key.png", "palette.gif"):
        rgb, alpha = read_photo(tmp_path / name)
        assert alpha is not None, name
        assert (alpha[:24].max(), alpha[24:].min()) == (0, 255), name
        assert (rgb[:24].min(), tuple(rgb[40, 40])) == (255, BOTTOM), name


def test_exif_turns_alpha_with_the_photo(tmp_path: Path, cut_out: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    cut_out.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photo.png", exif=exif)
    rgb, alpha = read_photo(tmp_path / "photo.png")
    assert rgb.shape == (48, 64, 3)
    assert np.array_equal(alpha, np.asarray(cut_out)[:, :, 3])


def test_a_photo_is_a_file_an_array_or_a_pil_image(tmp_path: Path, cut_out: Image.Image) -> None:
    cut_out.save(tmp_path / "photo.png")
    rgb, alpha = read_photo(tmp_path / "photo.png")
    pixels = np.asarray(cut_out)
    for photo in (
        tmp_path / "photo.png",
        str(tmp_path / "photo.png"),
        cut_out,
        pixels,
        np.asfortranarray(pixels),
    ):
        found, its_alpha = as_photo(photo)
        assert np.array_equal(found, rgb)
        assert np.array_equal(its_alpha, alpha)
    opaque, no_alpha = as_photo(rgb)
    assert np.array_equal(opaque, rgb)
    assert no_alpha is None
    assert as_photo(np.dstack([rgb, np.full((48, 64), 255, np.uint8)]))[1] is None


def test_an_array_of_another_kind_is_no_photo() -> None:
    for shape, kind in (((4, 4), np.uint8), ((4, 4, 2), np.uint8), ((0, 4, 4), np.uint8), ((4, 4, 4), float)):
        with pytest.raises(InputError, match="RGBA"):
            as_photo(np.zeros(shape, kind))


def test_a_frame_has_no_alpha(cut_out: Image.Image) -> None:
    with pytest.raises(InputError, match=r"\(H, W, 3\) uint8 RGB, not \(48, 64, 4\)"):
        as_picture(np.asarray(cut_out))
    assert as_picture(cut_out).shape == (48, 64, 3)

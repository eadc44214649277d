"""What the films of `animate` are made of: sound from elsewhere, codecs, and what they say of themselves."""

import hashlib
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from animation_tools import NO_CROP, frames_of, has_sound, run
from media_tools import ffmpeg, sound_of
from PIL import Image

from mcnet_cli import __version__
from mcnet_cli.animation import AnimationReport
from mcnet_cli.errors import InputError
from mcnet_cli.media import ffmpeg_binary, read_image

CLIP_HZ, LOW_HZ, HIGH_HZ = 440, 200, 1500


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two sound tracks, of different tones."""
    path = tmp_path_factory.mktemp("sounds") / "two.mka"
    tones = [word for hz in (LOW_HZ, HIGH_HZ) for word in ("-f", "lavfi", "-i", f"sine={hz}:duration=1")]
    ffmpeg(*tones, "-map", "0", "-map", "1", path)
    return path


@pytest.fixture
def film(place: Path, tmp_path: Path) -> Any:
    """Makes a film of the photo, and gives its file and the report."""

    def make(name: str = "film.mp4", **options: Any) -> tuple[Path, AnimationReport]:
        settings = {"weights": str(place / "tiny.safetensors"), **NO_CROP, **options}
        driving = settings.pop("driving", place / "clip.mp4")
        report = run(place / "photo.png", driving, output=tmp_path / name, **settings)
        return tmp_path / name, report

    return make


def pitch_hz(path: Path) -> float:
    """The frequency of a film's tone."""
    samples = sound_of(path)[:3000].astype(float)
    return float(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * 16000 / len(samples))


def comment_of(path: Path) -> str:
    """What ffmpeg shows as the comment of a video."""
    said = subprocess.run([ffmpeg_binary(), "-i", path], capture_output=True, text=True).stderr
    return "".join(re.findall(r"comment +: (.*)", said, re.IGNORECASE))


def test_a_file_s_sound_replaces_the_driving_s(film: Any, sounds: Path) -> None:
    assert pitch_hz(film("own.mp4")[0]) == pytest.approx(CLIP_HZ, abs=20)
    assert pitch_hz(film("low.mp4", audio=sounds)[0]) == pytest.approx(LOW_HZ, abs=20)
    high, _ = film("high.mkv", audio=sounds, audio_track=1, start_s=0.1)
    assert pitch_hz(high) == pytest.approx(HIGH_HZ, abs=20)
    assert len(sound_of(high)) / 16000 == pytest.approx(len(frames_of(high)) * 1001 / 30000, abs=0.04)


@pytest.mark.parametrize("driving", ["clip.motion", "photo.png"])
def test_drivings_without_sound_of_their_own_get_a_file_s(
    film: Any, place: Path, sounds: Path, tmp_path: Path, driving: str
) -> None:
    if driving == "clip.motion":
        film("first.mp4", save_motion=tmp_path / driving)
    path = tmp_path / driving if driving == "clip.motion" else place / driving
    assert not has_sound(film("silent.mp4", driving=path)[0])
    assert has_sound(film("loud.mp4", driving=path, audio=sounds, volume=2)[0])


def test_volume_is_for_the_driving_s_sound_too(film: Any) -> None:
    loud, quiet = (sound_of(film(f"{v}.mp4", volume=v)[0]).astype(float).std() for v in (1.0, 0.25))
    assert quiet == pytest.approx(loud / 4, rel=0.1)


def test_a_file_without_sound_is_refused_before_the_work(film: Any, place: Path, tmp_path: Path) -> None:
    def see(_: object) -> None:
        raise AssertionError("the work has begun")

    with pytest.raises(InputError, match=r"photo\.png has no sound"):
        film(audio=place / "photo.png", see=see)
    with pytest.raises(InputError, match=r"gone\.wav"):
        film(audio=tmp_path / "gone.wav", see=see)


def test_codec_and_quality_reach_the_film_and_the_report(film: Any, tmp_path: Path) -> None:
    films, told = {}, {}
    for name, options in (
        ("a.mkv", {"codec": "lossless"}),
        ("b.mp4", {"quality": "draft"}),
        ("c.mp4", {}),
        ("frames/%d.png", {}),
    ):
        films[name], report = film(name, **options)
        told[name] = report.results[0].codec, report.results[0].quality
    assert [*told.values()] == [("lossless", None), ("h264", "draft"), ("h264", "high"), ("png", None)]
    exact = [read_image(tmp_path / "frames" / f"{number}.png") for number in range(1, 7)]
    assert np.array_equal(frames_of(films["a.mkv"]), np.stack(exact))
    assert films["b.mp4"].stat().st_size < films["c.mp4"].stat().st_size


def test_a_film_says_what_made_it(film: Any, place: Path) -> None:
    digest = hashlib.sha256((place / "tiny.safetensors").read_bytes()).hexdigest()
    text = f"mcnet {__version__} with the weights tiny.safetensors (SHA-256 {digest[:12]})"
    assert comment_of(film()[0]).endswith(text)
    with Image.open(film("film.gif")[0]) as gif:
        assert gif.info["comment"].decode().endswith(text)
    bare = film("bare.mp4", metadata=False)[0]
    assert comment_of(bare) == ""
    assert b"mcnet" not in bare.read_bytes()


def test_the_same_request_gives_the_same_bytes(film: Any, sounds: Path) -> None:
    one, two = (film(name, audio=sounds, volume=2)[0] for name in ("one.mp4", "two.mp4"))
    assert one.read_bytes() == two.read_bytes()


def test_weights_with_an_odd_name_are_named_in_ascii(film: Any, place: Path, tmp_path: Path) -> None:
    odd = tmp_path / "größe\n.safetensors"
    odd.write_bytes((place / "tiny.safetensors").read_bytes())
    assert r"gr\xf6\xdfe\n.safetensors" in comment_of(film(weights=str(odd))[0])

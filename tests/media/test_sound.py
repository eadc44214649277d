"""Sound from files of their own: found, chosen, made louder and quieter, and in time."""

from pathlib import Path

import numpy as np
import pytest
from media_tools import X264, ffmpeg, read, sound_of, tone, write, write_clip

from mcnet_cli.errors import InputError
from mcnet_cli.media import SoundTrack, probe_sound, write_image

RATE = 16000
CLICK_S = 0.2


def write_sound(path: Path, source: str = "") -> Path:
    ffmpeg("-f", "lavfi", "-i", source or tone(0.48), "-bitexact", path)
    return path


def loudness(film: Path) -> float:
    """The root mean square of the middle of a film's sound."""
    samples = sound_of(film).astype(float)
    return float(np.sqrt((samples[RATE // 8 : RATE // 4] ** 2).mean()))


@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".flac", ".m4a", ".ogg", ".aiff"])
def test_a_sound_file_becomes_the_sound_of_a_film(tmp_path: Path, suffix: str) -> None:
    sound = write_sound(tmp_path / f"sound{suffix}")
    assert probe_sound(sound) == 0
    assert write(tmp_path / "film.mp4", sounds=[SoundTrack(sound)]) == []
    assert loudness(tmp_path / "film.mp4") > 1000


def test_a_film_that_is_longer_than_its_sound_goes_on_in_silence_and_a_shorter_one_cuts_it(
    tmp_path: Path,
) -> None:
    sound = write_sound(tmp_path / "sound.wav", tone(0.3))
    for count in (5, 20):
        film = tmp_path / f"{count}.mkv"
        write(film, count, sounds=[SoundTrack(sound)])
        samples = np.abs(sound_of(film).astype(int))
        assert abs(len(samples) / RATE - count / 25) <= 1 / 25
        assert len(read(film)[1]) == count
    assert samples[: RATE // 4].max() > 1000
    assert samples[RATE * 2 // 5 :].max() < 300


@pytest.mark.parametrize("factor", [0.25, 0.5, 2.0])
def test_volume_is_a_factor(tmp_path: Path, factor: float) -> None:
    sound = write_sound(tmp_path / "sound.wav")
    write(tmp_path / "plain.mp4", sounds=[SoundTrack(sound)])
    write(tmp_path / "film.mp4", sounds=[SoundTrack(sound)], volume=factor)
    assert loudness(tmp_path / "film.mp4") == pytest.approx(
        factor * loudness(tmp_path / "plain.mp4"), rel=0.1
    )


def test_tracks_are_heard_together_each_as_loud_as_alone(tmp_path: Path) -> None:
    low, high = (
        write_sound(tmp_path / f"{pitch}.wav", f"sine=frequency={pitch}:duration={seconds}")
        for pitch, seconds in ((500, 0.2), (2000, 0.48))
    )
    write(tmp_path / "film.mkv", sounds=[SoundTrack(low), SoundTrack(high)])
    spectra = []
    for start in (RATE // 16, RATE // 4):
        samples = sound_of(tmp_path / "film.mkv")[start : start + RATE // 10].astype(float)
        spectra.append(np.abs(np.fft.rfft(samples))[[50, 200]])  # of 10 Hz each
    both, alone = spectra
    assert both[0] == pytest.approx(both[1], rel=0.2)
    assert alone[1] == pytest.approx(both[1], rel=0.2) and alone[0] < 0.05 * both[0]


def test_tracks_that_would_clip_together_are_limited(tmp_path: Path) -> None:
    loud = [
        write_sound(tmp_path / f"{number}.wav", "sine=frequency=330:duration=0.48,volume=6")
        for number in range(2)
    ]
    write(tmp_path / "film.mkv", sounds=[*map(SoundTrack, loud)])
    samples = np.abs(sound_of(tmp_path / "film.mkv").astype(int))[RATE // 8 : RATE // 4]
    assert 25_000 < samples.max() < 32_767
    assert (samples > 32_000).mean() < 0.05


def test_a_track_that_is_there_twice_is_heard_once(tmp_path: Path) -> None:
    sound = write_sound(tmp_path / "sound.wav")
    write(tmp_path / "once.mkv", sounds=[SoundTrack(sound)])
    write(tmp_path / "twice.mkv", sounds=[SoundTrack(sound), SoundTrack(sound)])
    assert loudness(tmp_path / "twice.mkv") == pytest.approx(loudness(tmp_path / "once.mkv"), rel=0.02)


def test_without_volume_a_film_is_silent(tmp_path: Path) -> None:
    write(tmp_path / "film.mp4", sounds=[SoundTrack(write_sound(tmp_path / "sound.wav"))], volume=0)
    assert np.abs(sound_of(tmp_path / "film.mp4").astype(int)).max() <= 1


def test_what_would_clip_is_limited(tmp_path: Path) -> None:
    sound = write_sound(tmp_path / "sound.wav", "sine=frequency=330:duration=0.48,volume=6")
    write(tmp_path / "film.mkv", sounds=[SoundTrack(sound)], volume=10)
    samples = np.abs(sound_of(tmp_path / "film.mkv").astype(int))[RATE // 8 : RATE // 4]
    assert 25_000 < samples.max() < 32_767
    assert (samples > 32_000).mean() < 0.05  # clipped tones stay at full scale for most of the time


def test_louder_sound_stays_in_time(tmp_path: Path) -> None:
    click = f"aevalsrc='0.4*between(t,{CLICK_S},{CLICK_S}+0.05)*sin(6000*t)':d=0.48:s={RATE}"
    sound = write_sound(tmp_path / "sound.wav", click)
    starts = []
    for name, volume in (("plain", 1), ("louder", 2)):
        write(tmp_path / f"{name}.mkv", sounds=[SoundTrack(sound)], volume=volume)
        samples = np.abs(sound_of(tmp_path / f"{name}.mkv").astype(int))
        starts.append(int((samples > samples.max() / 2).argmax()) / RATE)
    assert starts[0] == pytest.approx(CLICK_S, abs=0.002)
    assert starts[1] == pytest.approx(starts[0], abs=0.002)


def test_a_track_is_chosen_by_its_number(tmp_path: Path) -> None:
    two = ["-f", "lavfi", "-i", tone(0.4), "-f", "lavfi", "-i", "anullsrc=d=0.4", "-map", "0", "-map", "1"]
    ffmpeg(*two, tmp_path / "two.mka")
    assert (probe_sound(tmp_path / "two.mka"), probe_sound(tmp_path / "two.mka", 1)) == (0, 1)
    with pytest.raises(InputError, match="has 2 sound tracks, and no track 2"):
        probe_sound(tmp_path / "two.mka", 2)


def test_a_file_without_sound_that_can_be_decoded_is_an_input_error(tmp_path: Path) -> None:
    write_clip(tmp_path / "silent.mp4", 3)
    write_image(tmp_path / "picture.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "text.wav").write_text("no sound at all\n" * 100)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nsilent.mp4\n")
    for name in ("silent.mp4", "picture.png", "text.wav", "list.m3u8"):
        with pytest.raises(InputError, match=f"{name} has no sound"):
            probe_sound(tmp_path / name)
    flac = write_clip(tmp_path / "good.mkv", 12, sound=tone(0.5), options=[*X264[:8], "-c:a", "flac"])
    (tmp_path / "odd.mkv").write_bytes(flac.read_bytes().replace(b"A_FLAC", b"A_XXXX"))
    with pytest.raises(InputError, match=r"odd\.mkv has no sound"):
        probe_sound(tmp_path / "odd.mkv")
    with pytest.raises(InputError, match=r"gone\.wav"):
        probe_sound(tmp_path / "gone.wav")

"""Video hardware: it is used where a trial shows that it works; everywhere else films are made without."""

import logging
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_tools import ffmpeg_with_cuda, number_of, read, write, write_clip

from mcnet_cli.errors import UsageError
from mcnet_cli.media import Coding, hardware
from mcnet_cli.media.ffmpeg import has_encoder


@pytest.fixture(autouse=True)
def nothing_tried() -> None:
    """What an earlier test has found out, and has warned of, is forgotten."""
    for tried in (hardware._working_device, hardware._device_trouble, hardware._tried):
        tried.cache_clear()


def numbers(path: Path, **options: Any) -> list[int]:
    return [number_of(frame) for frame in read(path, **options)[1]]


def test_hardware_that_is_asked_for_and_is_not_there_gives_one_warning_and_the_same_film(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # no machine has NVIDIA's and Apple's
    absent = next(name for name in ("cuda", "videotoolbox") if hardware.device_trouble(name) is not None)
    for name, hwaccel in [("plain", "none"), ("asked", absent), ("again", absent)]:
        assert write(tmp_path / f"{name}.mp4", hwaccel=hwaccel) == []
    assert numbers(tmp_path / "asked.mp4", hwaccel=absent) == [*range(12)]
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert warning.getMessage().startswith(f"--hwaccel {absent}: it can't be used here (")
    films = {(tmp_path / f"{name}.mp4").read_bytes() for name in ("plain", "asked", "again")}
    assert len(films) == 1


def test_auto_says_nothing_where_there_is_no_hardware(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "plain.mp4")
    monkeypatch.setenv("MCNET_FFMPEG", str(ffmpeg_with_cuda(tmp_path, refuses="-init_hw_device")))
    assert write(tmp_path / "film.mp4", hwaccel="auto") == []
    assert numbers(tmp_path / "film.mp4", hwaccel="auto") == [*range(12)]
    assert caplog.records == []
    assert (tmp_path / "film.mp4").read_bytes() == (tmp_path / "plain.mp4").read_bytes()


@pytest.mark.parametrize("hwaccel", ["auto", "cuda"])
def test_hardware_that_works_decodes_and_encodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hwaccel: Any
) -> None:
    monkeypatch.setenv("MCNET_FFMPEG", str(ffmpeg_with_cuda(tmp_path)))
    clip = write_clip(tmp_path / "clip.mp4")
    assert write(tmp_path / "film.mp4", hwaccel=hwaccel, quality="good") == []
    assert numbers(tmp_path / "film.mp4") == [*range(12)]
    assert numbers(clip, hwaccel=hwaccel) == [*range(12)]
    commands = (tmp_path / "commands").read_text().splitlines()
    (encoding,) = (line for line in commands if "h264_nvenc" in line and ".part" in line)
    assert "-cq 24" in encoding
    (decoding,) = (line for line in commands if "-hwaccel cuda" in line and "rgb24" in line)
    assert str(clip) in decoding


def test_each_encoder_is_tried_once_for_each_size_of_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCNET_FFMPEG", str(ffmpeg_with_cuda(tmp_path)))
    for number, size in enumerate([(64, 48), (64, 48), (63, 47), (128, 96)]):  # the third is made even
        write(tmp_path / f"{number}.mp4", count=2, size=size, hwaccel="cuda")
    commands = (tmp_path / "commands").read_text().splitlines()
    trials = [line for line in commands if "h264_nvenc" in line and "-f null" in line]
    assert [re.findall(r"-s (\S+)", line) for line in trials] == [["64x48"], ["128x96"]]


def test_an_encoder_that_refuses_a_film_is_named_and_the_film_is_made_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCNET_FFMPEG", str(ffmpeg_with_cuda(tmp_path, refuses="h264_nvenc")))
    assert write(tmp_path / "silently.mp4", hwaccel="auto") == []
    (warning,) = write(tmp_path / "asked.mp4", hwaccel="cuda")
    says = "--hwaccel cuda: h264_nvenc can't encode it (No capable devices found): encoded without"
    assert warning == says
    assert numbers(tmp_path / "asked.mp4") == [*range(12)]


def test_a_video_that_hardware_can_not_decode_is_decoded_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCNET_FFMPEG", str(ffmpeg_with_cuda(tmp_path, refuses="-hwaccel")))
    clip = write_clip(tmp_path / "clip.mp4")
    source, frames = read(clip, hwaccel="cuda")
    assert [number_of(frame) for frame in frames] == [*range(12)]
    assert (source.damaged, source.warnings) == (False, [])


def test_codecs_that_no_hardware_is_used_for_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCNET_FFMPEG", str(ffmpeg_with_cuda(tmp_path)))
    assert write(tmp_path / "film.mkv", codec="lossless", hwaccel="cuda") == []
    assert np.array_equal(read(tmp_path / "film.mkv")[1], read(tmp_path / "film.mkv", hwaccel="auto")[1])
    assert write(tmp_path / "film.gif", hwaccel="cuda") == []


def test_unknown_hardware_is_a_usage_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--hwaccel nvidia: must be auto, none, cuda"):
        write(tmp_path / "film.mp4", hwaccel="nvidia")
    assert os.listdir(tmp_path) == []


def test_ffmpeg_knows_the_options_of_its_hardware_encoders() -> None:
    encoders = [encoder for each in hardware._ENCODERS.values() for encoder in each.values()]
    for encoder in encoders:
        for quality in encoder.levels if has_encoder(encoder.name) else ():
            coding = Coding(codec="h264", quality=quality, encoder=encoder)
            trouble = hardware._encoder_trouble(coding, (640, 480)) or ""
            assert not re.search("(?i)option|undefined|not found", trouble), (encoder.name, trouble)

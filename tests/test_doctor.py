"""`mcnet doctor`: it names what is wrong with a machine, and what to do."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from media_tools import ffmpeg_with_cuda
from places import SHIPPED

import mcnet_cli.files
from mcnet_cli import doctor
from mcnet_cli.cli import main
from mcnet_cli.doctor import Diagnosis, Finding, examine
from mcnet_cli.media import hardware
from mcnet_cli.weights import Cache
from mcnet_cli.weights.store import Record


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installation with an empty cache and an empty torch hub."""
    (tmp_path / "assets").mkdir()
    for name in ("face", "registry.toml"):
        (tmp_path / "assets" / name).symlink_to(SHIPPED / name)
    shutil.copy(SHIPPED / "mcnet-lite.safetensors", tmp_path / "assets")
    monkeypatch.setattr(mcnet_cli.files, "PACKAGE", tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("MCNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MCNET_FFMPEG", raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield tmp_path
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def no_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what doesn't concern it."""
    monkeypatch.setattr(doctor, "run_self_test", lambda: iter(()))


def problems(diagnosis: Diagnosis) -> list[Finding]:
    return [finding for finding in diagnosis.findings if finding.state == "problem"]


def test_a_whole_installation_is_well_and_its_self_test_renders(machine: Path) -> None:
    diagnosis = examine(Cache())
    assert problems(diagnosis) == []
    assert diagnosis.exit_code == 0
    text = diagnosis.as_text()
    for words in (
        "mcnet 0.1.0",
        "auto takes ",
        "libx264",
        "blazeface",
        "lite: present",
        "MB free",
        "4 frames rendered",
    ):
        assert words in text
    assert text.endswith("all is well")


def test_json_has_every_finding(
    machine: Path, no_self_test: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {*report} == {"version", "code", "findings"}
    assert {finding["topic"] for finding in report["findings"]} == {
        "version", "device", "ffmpeg", "video", "faces", "live", "weights", "disk",
    }  # fmt: skip
    (ffmpeg,) = (f for f in report["findings"] if f["topic"] == "ffmpeg" and f["state"] == "ok")
    assert {"path", "origin", "version", "encoders", "codecs"} == {*ffmpeg["details"]}
    assert f"for --codec {', '.join(ffmpeg['details']['codecs'])}" in ffmpeg["text"]


def test_optional_things_that_are_absent_are_notes(
    machine: Path, no_self_test: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import imageio_ffmpeg

    monkeypatch.setenv("PATH", str(machine))  # neither ffmpeg nor ffprobe
    diagnosis = examine(Cache())
    assert problems(diagnosis) == []
    notes = "\n".join(finding.as_text() for finding in diagnosis.findings if finding.state == "note")
    for words in ("no ffprobe", "face-alignment lacks", "mcnet fetch-weights vgg19", "alexnet"):
        assert words in notes
    assert imageio_ffmpeg.get_ffmpeg_exe() in diagnosis.as_text()
    assert "from imageio-ffmpeg" in diagnosis.as_text()


def test_a_missing_default_is_two_problems_with_their_fix(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (machine / "assets" / "mcnet-lite.safetensors").unlink()
    assert main(["doctor"]) == 4
    said = capsys.readouterr().out
    assert said.count("mcnet-lite.safetensors is missing") == 2
    assert "install mcnet-cli again" in said
    assert said.endswith("2 problems\n")


def test_a_damaged_default_fails_the_self_test(machine: Path) -> None:
    (machine / "assets" / "mcnet-lite.safetensors").write_bytes(b"<html>")
    (found,) = problems(examine(Cache()))
    assert (found.topic, found.code) == ("test", 4)
    assert "is damaged" in found.text


def test_an_ffmpeg_that_does_not_work_is_a_problem(
    machine: Path, no_self_test: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program, says in [("/bin/true", "is not an ffmpeg"), ("/no/such/ffmpeg", "can't run ffmpeg")]:
        monkeypatch.setenv("MCNET_FFMPEG", program)
        (found,) = problems(examine(Cache()))
        assert (found.topic, found.code) == ("ffmpeg", 5)
        assert says in found.text
        assert "MCNET_FFMPEG" in str(found.fix)


def test_an_ffmpeg_without_x264_is_a_problem_and_without_vp9_a_note(
    machine: Path, no_self_test: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    poor = machine / "ffmpeg"
    poor.write_text(
        "#!/bin/sh\necho 'ffmpeg version 1.0'\necho ' A..... aac  AAC'\necho ' V..... ffv1  FFV1'\n"
    )
    poor.chmod(0o755)
    monkeypatch.setenv("MCNET_FFMPEG", str(poor))
    diagnosis = examine(Cache())
    (found,) = problems(diagnosis)
    assert "no encoder libx264" in found.text
    assert "with aac; for --codec lossless" in diagnosis.as_text()
    assert any("libvpx-vp9" in f.text for f in diagnosis.findings if f.state == "note")


def test_damaged_weights_in_the_cache_are_a_problem(machine: Path, no_self_test: None) -> None:
    cache = Cache()
    with cache.locked("mine") as folder:
        (folder / "net").write_bytes(b"short")
        cache.keep("mine", Record("mine", "mine/net", "0" * 64, 1000, "net.pth", "none", False))
    (found,) = problems(examine(cache))
    assert "5 bytes, not 1000" in found.text
    assert "--from-file" in str(found.fix)


def test_little_room_is_a_problem(machine: Path, no_self_test: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "TOO_LITTLE_MB", 10**9)
    found = problems(examine(Cache()))
    assert {(finding.topic, finding.fix) for finding in found} == {("disk", "make room there")}


def test_a_missing_library_is_named_with_the_command(
    machine: Path, no_self_test: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "required", lambda: ["torch", "no-such-library"])
    (found,) = problems(examine(Cache()))
    assert found.text == "not installed: no-such-library"
    assert str(found.fix).endswith("-m pip install no-such-library")


@pytest.mark.parametrize(
    ("error", "code"),
    [(RuntimeError("one\ntwo"), 1), (OSError(28, os.strerror(28)), 5), (ImportError("x.so"), 5)],
)
def test_whatever_breaks_in_the_self_test_becomes_a_finding(
    machine: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def broken() -> Iterator[Finding]:
        raise error
        yield

    monkeypatch.setattr(doctor, "run_self_test", broken)
    diagnosis = examine(Cache())
    (found,) = problems(diagnosis)
    assert (found.code, diagnosis.exit_code) == (code, code)
    assert "two" not in found.text


def test_the_worst_problem_gives_the_code() -> None:
    def code(*codes: int) -> int:
        return Diagnosis([Finding("x", "problem", "x", code=c) for c in codes]).exit_code

    assert [code(), code(4), code(4, 5), code(5, 1, 4)] == [0, 4, 5, 1]
    assert Diagnosis([Finding("x", "note", "x")]).exit_code == 0


def test_it_says_whether_a_window_can_be_opened(
    machine: Path, no_self_test: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    (window,) = (found for found in doctor.check_live() if "window" in found.details)
    assert window.state == "note" and "no display" in window.text
    assert window.fix is not None and "-o FILE" in window.fix


def test_hardware_for_video_is_named_if_it_works(
    machine: Path, no_self_test: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for refuses, says, encoders in [
        ("-init_hw_device", "no hardware works for --hwaccel", None),
        ("av1_nvenc", "--hwaccel can use cuda (h264_nvenc)", ["h264_nvenc"]),
    ]:
        monkeypatch.delenv("MCNET_FFMPEG", raising=False)
        monkeypatch.setenv("MCNET_FFMPEG", str(ffmpeg_with_cuda(machine, refuses=refuses)))
        hardware._device_trouble.cache_clear()
        (found,) = doctor.check_video_hardware()
        assert found.state == "ok"
        assert found.text.startswith(says)
        assert found.details["hwaccel"].get("cuda") == encoders

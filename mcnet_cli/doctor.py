"""What `mcnet doctor` reports: what is installed, what works, and what to do about the rest."""

import dataclasses
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mcnet_cli import __version__
from mcnet_cli.errors import McnetError, SystemFailure, WeightsError, counted, shown
from mcnet_cli.files import system_failure
from mcnet_cli.installed import failure_behind, install_line, pip_install, required
from mcnet_cli.weights import Cache, find, registry, survey

LITTLE_MB, TOO_LITTLE_MB = 2000, 100
TEST_FRAMES = 4
ENCODERS = {
    "libx264": "mp4, mov and mkv",
    "aac": "their sound",
    "libvpx-vp9": "webm",
    "libopus": "its sound",
    "libwebp_anim": "animated webp",
}

ANOTHER_FFMPEG = (
    "export MCNET_FFMPEG=\"$(python -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')\""
)

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    state: `note` if an optional thing is absent, `problem` if something is wrong. fix: what to do about it.
    code: the exit code of the commands that a problem stops. details: values for programs, in `--json`.
    """

    topic: str
    state: State
    text: str
    fix: str | None = None
    code: int = 0
    details: dict[str, Any] = field(default_factory=dict)

    def as_text(self) -> str:
        """A line, and one more with the fix."""
        mark = {"ok": "ok  ", "note": "note", "problem": "FAIL"}[self.state]
        fix = f"\n{'':14}  {self.fix}" if self.fix else ""
        return f"{mark}  {self.topic:8}  {self.text}{fix}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, in the order in which things depend on each other."""

    findings: list[Finding]

    @property
    def exit_code(self) -> int:
        """0, or the code of the worst problem; a bug is the worst, then what the system lacks."""
        codes = [finding.code for finding in self.findings if finding.state == "problem"]
        return max(codes, key=lambda code: (code == 1, code), default=0)

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "version": __version__,
            "code": self.exit_code,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
        }

    def as_text(self) -> str:
        """For people."""
        problems = sum(finding.state == "problem" for finding in self.findings)
        end = counted(problems, "problem") if problems else "all is well"
        return "\n".join([*(finding.as_text() for finding in self.findings), end])


def examine(cache: Cache) -> Diagnosis:
    """Runs all checks. A check that fails becomes a finding, so the others still run."""
    findings: list[Finding] = []
    for topic, checks in (
        ("version", check_versions()),
        ("device", check_devices()),
        ("ffmpeg", check_ffmpeg()),
        ("faces", check_detectors(cache)),
        ("live", check_live()),
        ("weights", check_weights(cache)),
        ("disk", check_disk(cache)),
        ("test", run_self_test()),
    ):
        try:
            findings += checks
        except McnetError as error:
            findings.append(Finding(topic, "problem", str(error), error.hint, error.exit_code))
        except Exception as error:  # the report must appear whatever is broken
            findings.append(_unexpected(topic, error))
    return Diagnosis(findings)


def _unexpected(topic: str, error: Exception) -> Finding:
    if failure := failure_behind(error):
        return Finding(topic, "problem", str(failure), failure.hint, failure.exit_code)
    if isinstance(error, ImportError | OSError | MemoryError):
        return Finding(topic, "problem", _first_line(error), code=SystemFailure.exit_code)
    fix = "this is a bug in mcnet: please report it"
    return Finding(topic, "problem", _first_line(error), fix, code=1)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {shown(str(error).partition(chr(10))[0][:200])}"


def check_versions() -> Iterator[Finding]:
    """The versions of mcnet, Python and the libraries."""
    found: dict[str, str | None] = {}
    for name in required() or ["torch"]:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    python = platform.python_version()
    yield Finding(
        "version",
        "ok",
        f"mcnet {__version__}, Python {python}, {platform.platform(terse=True)}, torch {found['torch']}",
        details={"mcnet": __version__, "python": python, "platform": platform.platform(), **found},
    )
    if missing := [name for name, version in found.items() if version is None]:
        fix = pip_install(missing)
        yield Finding(
            "version", "problem", f"not installed: {', '.join(missing)}", fix, SystemFailure.exit_code
        )
    if importlib.util.find_spec("uvicorn") is None:
        yield Finding("version", "note", "no uvicorn: mcnet web can't be started", install_line("web"))


def check_devices() -> Iterator[Finding]:
    """The device and precision that `auto` takes, and why."""
    import torch

    from mcnet_cli.devices import choose

    compute = choose()
    details = {
        "device": str(compute.device),
        "precision": compute.precision,
        "threads": torch.get_num_threads(),
    }
    device = str(compute.device)
    if device == "cuda":
        device = f"cuda ({torch.cuda.get_device_name(compute.device)})"
    text = f"auto takes {device} in {compute.precision}: {compute.why}"
    yield Finding("device", "ok", text, details=details)
    if compute.device.type == "cpu":
        built = (
            "this torch is built without CUDA" if torch.version.cuda is None else "no usable NVIDIA driver"
        )
        yield Finding("device", "note", f"no GPU: {built}; {details['threads']} CPU threads")


def check_ffmpeg() -> Iterator[Finding]:
    """Which ffmpeg is used, where it comes from, and which of mcnet's encoders it has."""
    from mcnet_cli.media import ffmpeg_binary, ffmpeg_version
    from mcnet_cli.media.codecs import usable_codecs
    from mcnet_cli.media.ffmpeg import has_encoder

    binary, version = ffmpeg_binary(), ffmpeg_version()
    origin = "imageio-ffmpeg"
    if os.environ.get("MCNET_FFMPEG"):
        origin = "$MCNET_FFMPEG"
    elif shutil.which("ffmpeg"):
        origin = "PATH"
    if version == "unknown":
        raise SystemFailure(
            f"{shown(binary)} (from {origin}) is not an ffmpeg that works",
            hint="set MCNET_FFMPEG to one that does, or unset it",
        )
    encoders = {name: has_encoder(name) for name in ENCODERS}
    codecs = usable_codecs()
    details = {"path": binary, "origin": origin, "version": version, "encoders": encoders, "codecs": codecs}
    able = ", ".join(name for name in ENCODERS if encoders[name]) or "no encoder of mcnet's"
    text = f"{shown(binary)} {shown(version)}, from {origin}, with {able}"
    if codecs:
        text += f"; for --codec {', '.join(codecs)}"
    yield Finding("ffmpeg", "ok", text, details=details)
    for name, what in ENCODERS.items():
        if not encoders[name]:
            text = f"no encoder {name}: {what} can't be written"
            if name == "libx264":
                yield Finding("ffmpeg", "problem", text, ANOTHER_FFMPEG, SystemFailure.exit_code)
            else:
                yield Finding("ffmpeg", "note", text, ANOTHER_FFMPEG)
    if not shutil.which("ffprobe"):
        yield Finding("ffmpeg", "note", "no ffprobe on PATH; mcnet does without")
    yield from check_video_hardware()


def check_video_hardware() -> Iterator[Finding]:
    """What `--hwaccel` can use: devices that ffmpeg opens, and their encoders that encode a frame."""
    from mcnet_cli.media.hardware import DEVICES, device_trouble, working_encoders

    troubles = {device: device_trouble(device) for device in DEVICES}
    usable = {device: working_encoders(device) for device, trouble in troubles.items() if trouble is None}
    details = {"hwaccel": usable, "unusable": {name: why for name, why in troubles.items() if why}}
    if not usable:
        yield Finding("video", "ok", "no hardware works for --hwaccel", details=details)
        return
    listed = "; ".join(f"{name} ({', '.join(able) or 'decodes only'})" for name, able in usable.items())
    yield Finding("video", "ok", f"--hwaccel can use {listed}", details=details)


def check_detectors(cache: Cache) -> Iterator[Finding]:
    """Whether the face detector that ships can be loaded, and whether the other one has its weights."""
    from mcnet_cli.face import FaceMesh, make_detector

    make_detector("blazeface")
    FaceMesh()
    yield Finding("faces", "ok", "the detector blazeface and the face mesh are available")
    if all(find(registry()[name], cache) for name in ("s3fd", "2dfan4")):
        yield Finding("faces", "ok", "the detector face-alignment has its weights")
    else:
        text = "the detector face-alignment lacks its weights; it asks its authors' server when first used"
        yield Finding("faces", "note", text)


def check_live() -> Iterator[Finding]:
    """Whether `mcnet live` can open a window here, and be a camera for other programs."""
    from mcnet_cli.live.window import require_display

    try:
        require_display()
    except SystemFailure as error:
        yield Finding("live", "note", f"mcnet live: {error}", error.hint, details={"window": False})
    else:
        yield Finding("live", "ok", "mcnet live can open a window", details={"window": True})
    if importlib.util.find_spec("pyvirtualcam") is None:
        text = "no pyvirtualcam: mcnet live --virtual-camera needs it"
        yield Finding("live", "note", text, install_line("live"))


def check_weights(cache: Cache) -> Iterator[Finding]:
    """The registered weights and all others in the cache."""
    for status in survey(cache):
        text = f"{status.name}: {status.state}, {status.size}, for {status.purpose}"
        details = status.as_json()
        if status.problem:
            code = WeightsError.exit_code
            yield Finding("weights", "problem", status.problem, status.fix, code, details)
        elif status.state == "absent":
            yield Finding("weights", "note", text, f"mcnet fetch-weights {status.name}", details=details)
        else:
            yield Finding("weights", "ok", text, details=details)


def check_disk(cache: Cache) -> Iterator[Finding]:
    """The free space in the folders where mcnet writes."""
    for what, folder in {
        "the cache": cache.root,
        "temporary files": Path(tempfile.gettempdir()),
        "this folder": Path.cwd(),
    }.items():
        there = next(path for path in (folder, *folder.parents) if path.exists())
        try:
            free_mb = shutil.disk_usage(there).free // 10**6
        except OSError as error:
            raise system_failure(error, folder) from error
        text = f"{free_mb} MB free for {what}, {shown(folder)}"
        details = {"folder": str(folder), "free_mb": free_mb}
        if free_mb < TOO_LITTLE_MB:
            yield Finding("disk", "problem", text, "make room there", SystemFailure.exit_code, details)
        else:
            yield Finding("disk", "note" if free_mb < LITTLE_MB else "ok", text, details=details)


def run_self_test() -> Iterator[Finding]:
    """Renders some frames of a drawn face with the embedded weights, and reads the film."""
    import numpy as np

    from mcnet_cli.animation import Animator
    from mcnet_cli.media import open_frames, open_output

    y, x = np.mgrid[0:256, 0:256] / 256
    frames = []
    for number in range(TEST_FRAMES):
        disk = np.hypot(x - 0.5 - 0.02 * number, 1.3 * (y - 0.5)) < 0.3
        pixels = np.where(disk[..., None], (224, 180, 150), np.stack([x, y, 1 - x], -1) * 120)
        frames.append(pixels.astype(np.uint8))
    with tempfile.TemporaryDirectory(prefix="mcnet-doctor-") as folder:
        film, began = Path(folder, "film.mp4"), time.monotonic()
        animator = Animator.load("lite", detector=None)
        portrait, motion = animator.portrait(frames[0], crop="none"), animator.motion(frames, crop="none")
        with open_output(film, size=(animator.size, animator.size), frame_rate=motion.rate) as sink:
            for frame in animator.render(portrait, motion, picture="network"):
                sink.write(frame)
        seconds = time.monotonic() - began
        with open_frames(film) as made:
            count = sum(1 for _ in made)
    if count != TEST_FRAMES:
        raise SystemFailure(
            f"the self-test's film has {count} frames, not {TEST_FRAMES}", hint="try another ffmpeg"
        )
    compute = animator.compute
    text = (
        f"{count} frames rendered on {compute.device} in {compute.precision} and encoded in {seconds:.1f} s"
    )
    yield Finding("test", "ok", text, details={"frames": count, "seconds": round(seconds, 2)})

"""Small clips for the media tests, made by a real ffmpeg; every frame tells its number by its brightness."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from mcnet_cli.media import FrameSource, ffmpeg_binary, open_frames, open_output, probe

X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "4", "-pix_fmt", "yuv420p", "-c:a", "aac"]
TOP, BOTTOM = (200, 40, 90), (30, 160, 220)


def ffmpeg(*arguments: object, data: bytes | None = None) -> bytes:
    words = [str(word) for word in arguments]
    quiet = ["-v", "error", "-y", *(["-nostdin"] if data is None else [])]
    done = subprocess.run([ffmpeg_binary(), *quiet, *words], input=data, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def numbered_frames(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Frame i: brightness 30 + 8 i, a white block top left (to see rotations), noise along the bottom."""
    noise = np.random.default_rng(7).integers(0, 255, (count, height // 4, width, 3), np.uint8)
    frames = []
    for number in range(count):
        frame = np.full((height, width, 3), 30 + 8 * number % 200, np.uint8)
        frame[: height // 4, : width // 4] = 255
        frame[-(height // 4) :] = noise[number]
        frames.append(frame)
    return frames


def number_of(frame: np.ndarray) -> int:
    """Which of `numbered_frames` this is, after lossy coding."""
    height, width = frame.shape[:2]
    middle = frame[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
    return round((float(middle.mean()) - 30) / 8)


def write_clip(
    path: Path,
    count: int = 12,
    *,
    rate: str = "25",
    size: tuple[int, int] = (64, 48),
    sound: str | None = None,
    before_sound: tuple[str, ...] = (),
    options: list[str] | None = None,
) -> Path:
    """A clip of `count` numbered frames; `sound`: a lavfi source."""
    width, height = size
    raw = b"".join(frame.tobytes() for frame in numbered_frames(count, width, height))
    heard = ["-f", "lavfi", *before_sound, "-i", sound] if sound else []
    video = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate, "-i", "-"]
    ffmpeg(*video, *heard, *(options or X264), "-bitexact", f"file:{path}", data=raw)
    return path


def tone(seconds: float) -> str:
    return f"sine=frequency=330:duration={seconds}:sample_rate=16000"


def read(path: Path, **options: object) -> tuple[FrameSource, list[np.ndarray]]:
    with open_frames(path, **options) as source:  # type: ignore[arg-type]
        return source, list(source)


def write(
    target: Path | str, count: int = 12, size: tuple[int, int] = (64, 48), **options: object
) -> list[str]:
    """Writes numbered frames to `target`; returns the warnings."""
    options = {"frame_rate": Fraction(25), **options}
    with open_output(target, size=size, **options) as sink:  # type: ignore[arg-type]
        for frame in numbered_frames(count, *size):
            sink.write(frame)
    assert sink.frames_written == count
    return sink.warnings


def sound_of(path: Path) -> np.ndarray:
    """The sound as a player would play it from the start of the film: mono samples, 16 kHz."""
    raw = ffmpeg("-i", f"file:{path}", "-map", "0:a:0", "-ac", 1, "-ar", 16000, "-f", "s16le", "-")
    return np.frombuffer(raw, np.int16)


def see_through_frames(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Two colours one above the other; alpha rises from left to right. Top left a square comes and goes.

    The square of an even frame is wholly transparent, that of an odd one wholly opaque.
    """
    frame = np.empty((height, width, 4), np.uint8)
    frame[: height // 2, :, :3], frame[height // 2 :, :, :3] = TOP, BOTTOM
    frame[:, :, 3] = np.linspace(0, 255, width).round()
    frames = [frame.copy() for _ in range(count)]
    for number, changed in enumerate(frames):
        changed[:16, :16, 3] = 255 * (number % 2)
    return frames


def write_film(
    target: Path, frames: list[np.ndarray], *, rate: Fraction = Fraction(25), **options: object
) -> list[str]:
    height, width = frames[0].shape[:2]
    with open_output(target, size=(width, height), frame_rate=rate, alpha=True, **options) as sink:  # type: ignore[arg-type]
        for frame in frames:
            sink.write(frame)
    assert sink.frames_written == len(frames)
    return sink.warnings


def read_film(path: Path, decoder: str | None = None) -> np.ndarray:
    """The frames with their alpha, (N, H, W, 4). decoder: ffmpeg's own ones of VP8 and VP9 drop alpha."""
    if path.suffix == ".webp":
        with Image.open(path) as film:
            return np.stack([_shown(film, number) for number in range(film.n_frames)])  # type: ignore[attr-defined]
    info = probe(path)
    decoder = decoder or ("libvpx-vp9" if path.suffix == ".webm" else None)
    chosen = [] if decoder is None else ["-c:v", decoder]
    raw = ffmpeg(*chosen, "-i", f"file:{path}", "-map", "0:v", "-f", "rawvideo", "-pix_fmt", "rgba", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, info.height, info.width, 4)


def _shown(film: Image.Image, number: int) -> np.ndarray:
    film.seek(number)
    return np.asarray(film.convert("RGBA"))


def assert_alike(found: np.ndarray, frames: list[np.ndarray]) -> None:
    """Alpha within 3 of 255, colours within 4 in the mean wherever they are seen well."""
    wanted = np.stack(frames).astype(int)
    assert found.shape == wanted.shape
    assert np.abs(found[..., 3] - wanted[..., 3]).max() <= 3
    seen = wanted[..., 3] > 100
    assert np.abs(found[seen].astype(int) - wanted[seen]).mean() <= 4


def ffmpeg_without(folder: Path, *encoders: str) -> Path:
    """The real ffmpeg behind a script that leaves `encoders` out of its list."""
    hidden = "|".join(encoders)
    script = folder / "ffmpeg-with-less"
    real = ffmpeg_binary()
    script.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *-encoders*) "{real}" "$@" | grep -Ev " ({hidden}) ";;\n'
        f'*) exec "{real}" "$@";; esac\n'
    )
    script.chmod(0o755)
    return script


def ffmpeg_with_cuda(folder: Path, *, refuses: str = "no such word") -> Path:
    """The real ffmpeg behind a script that poses as one with NVIDIA hardware, whose work the processor does.

    It writes its command lines, one each, to `commands` beside it. refuses: a word for which it fails.
    """
    script = folder / "ffmpeg-with-cuda"
    script.write_text(f"""#!{sys.executable}
import os, subprocess, sys

real, words = {ffmpeg_binary()!r}, sys.argv[1:]
with open({str(folder / "commands")!r}, "a") as file:
    print(*words, file=file)
if {refuses!r} in words:
    sys.exit("[error] No capable devices found")
options = ("-hwaccel", "-init_hw_device", "-preset", "-tune", "-rc")
for place in reversed(range(len(words) - 1)):
    if words[place] == "-cq" or (words[place] in options and words[place + 1] in ("cuda", "p5", "hq", "vbr")):
        del words[place : place + 2]
words = ["libx264" if word == "h264_nvenc" else word for word in words]
if "-encoders" in words or "-hwaccels" in words:
    said = subprocess.run([real, *words], capture_output=True, text=True).stdout
    print(said, " V....D h264_nvenc  NVENC" if "-encoders" in words else "cuda", sep="\\n")
else:
    os.execv(real, [real, *words])
""")
    script.chmod(0o755)
    return script

"""Small clips for the media tests, made by a real ffmpeg; every frame tells its number by its brightness."""

import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np

from mcnet_cli.media import FrameSource, ffmpeg_binary, open_frames, open_output

X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "4", "-pix_fmt", "yuv420p", "-c:a", "aac"]


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

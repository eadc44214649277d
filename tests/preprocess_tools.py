"""Short films in which the example portrait's head moves, and what `preprocess` makes of them."""

import functools
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from face_tools import detector, mesh, scene
from places import EXAMPLES
from safetensors.numpy import load_file

from mcnet_cli.media import ffmpeg_binary, open_frames
from mcnet_cli.preprocessing import PreprocessReport, PreprocessRequest, Settings, preprocess
from mcnet_cli.preprocessing.clip_maker import Networks, make_clips
from mcnet_cli.preprocessing.inputs import InputFile
from mcnet_cli.preprocessing.writer import Writer

DRIVING = EXAMPLES / "driving.mp4"
WIDTH, HEIGHT, HEAD = 320, 240, 150
EMPTY = scene(WIDTH, HEIGHT, [])


@functools.cache
def frame(*faces: tuple[int, int, int]) -> np.ndarray:
    """Heads at (x, y, side) each, before smooth colours."""
    return scene(WIDTH, HEIGHT, list(faces))


def moving(count: int, *, x: int = 60, y: int = 40, dx: int = 2, side: int = HEAD) -> list[np.ndarray]:
    """A head that goes to the right."""
    return [frame((x + dx * step, y, side)) for step in range(count)]


def write_film(path: Path, frames: Sequence[np.ndarray], *, rate: str = "25") -> Path:
    """A video of these frames."""
    height, width = frames[0].shape[:2]
    command = [
        ffmpeg_binary(),
        "-v",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        f"{width}x{height}",
    ]
    command += ["-framerate", rate, "-i", "pipe:", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "12"]
    command += ["-pix_fmt", "yuv420p", "-y", f"file:{path}"]
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(command, input=b"".join(f.tobytes() for f in frames), check=True, timeout=60)
    return path


def networks(settings: Settings) -> Networks:
    """The networks that all tests share."""
    made = Networks(settings)
    made.__dict__.update(detector=detector(), mesh=mesh())
    return made


def cut_up(film: Path, output: Path, *, segments: Any = (), **settings: Any) -> Writer:
    """Processes one file here and now; ten frames are enough for a clip."""
    wanted = Settings(**{"min_frames": 10, **settings})
    output.mkdir(exist_ok=True)
    file = InputFile(film, film.stem, segments)
    writer = Writer(file, output, wanted, before_files=lambda files: None)
    make_clips(file, writer, networks(wanted), lambda done, total: None)
    return writer


def run(output: Path, *inputs: Path | str, settings: Any = None, **options: Any) -> PreprocessReport:
    """`preprocess` with one worker; ten frames are enough for a clip."""
    wanted = Settings(**{"min_frames": 10, **(settings or {})})
    options = {"workers": 1, **options}
    request = PreprocessRequest(
        inputs=tuple(str(path) for path in inputs), output=output, settings=wanted, **options
    )
    report = preprocess(request)
    assert isinstance(report, PreprocessReport)
    return report


def index(output: Path) -> list[dict[str, Any]]:
    """The rows of clips.jsonl."""
    return [json.loads(line) for line in (output / "clips.jsonl").read_text().splitlines()]


def frames_of(path: Path) -> np.ndarray:
    """(T, H, W, 3) of a video."""
    with open_frames(path) as frames:
        return np.stack([*frames])


def landmarks_of(clip: Path) -> dict[str, np.ndarray]:
    """What lies beside a clip."""
    name = clip.name.removesuffix(".mp4").removesuffix(".png")
    return load_file(clip.with_name(f"{name}.landmarks.safetensors"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but the records of the run, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "clips.records" not in path.parts
    }

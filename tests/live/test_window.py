"""Sessions in a real window, on a virtual display, with keys that are really pressed."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from animation_tools import frames_of, has_sound, write_clip
from places import EXAMPLES

from mcnet_cli.live.window import TITLE
from mcnet_cli.media import ffmpeg_binary, open_frames, read_image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.display,
    pytest.mark.skipif(
        not (shutil.which("Xvfb") and shutil.which("xdotool")), reason="needs Xvfb and xdotool"
    ),
]
SIZE = "1024x900"
PORTRAIT, OTHER = EXAMPLES / "portrait.jpg", EXAMPLES / "drawn.jpg"
PATIENCE_S = 60


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A display of its own; the server chooses a number that is free."""
    number, given = os.pipe()
    command = ["Xvfb", "-displayfd", str(given), "-screen", "0", f"{SIZE}x24", "-noreset"]
    server = subprocess.Popen(command, pass_fds=(given,), stderr=subprocess.DEVNULL)
    os.close(given)
    with os.fdopen(number) as said:
        name = f":{said.readline().strip()}"
    yield name
    server.terminate()
    server.wait(timeout=10)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face at rest for two seconds, then moving for a minute, with sound."""
    with open_frames(EXAMPLES / "driving.mp4") as opened:
        frames = [*opened][::2]
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_clip(path, frames[:1] * 25 + frames * 14, rate="12.5", sound=True, lossless=False)


class NeverSeenError(AssertionError):
    """What was waited for didn't come to the screen."""


class Session:
    """`mcnet live` in a process of its own."""

    def __init__(self, display: str, folder: Path, *words: str | Path) -> None:
        self.folder, self.environment = folder, os.environ | {"DISPLAY": display}
        command = [sys.executable, "-m", "mcnet_cli", "live", *map(str, words), "--json"]
        environment = self.environment | {"PYTHONPATH": str(EXAMPLES.parent)}
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def press(self, key: str) -> None:
        window = subprocess.run(
            ["xdotool", "search", "--name", TITLE],
            env=self.environment, capture_output=True, text=True, check=True,
        ).stdout.split()[-1]  # fmt: skip
        command = ["xdotool", "windowfocus", "--sync", window, "key", "--clearmodifiers", key]
        subprocess.run(command, env=self.environment, check=True, timeout=30)

    def screen(self) -> np.ndarray:
        picture = self.folder / "screen.png"
        command = [ffmpeg_binary(), "-v", "error", "-f", "x11grab", "-video_size", SIZE]
        command += ["-i", self.environment["DISPLAY"], "-frames:v", "1", "-y", str(picture)]
        subprocess.run(command, check=True, timeout=30)
        screen = read_image(picture)
        picture.unlink()
        return screen

    def press_until(self, key: str, is_so: Callable[[np.ndarray], bool]) -> None:
        """Presses a key, once more if it was lost: a virtual display gives no window the focus."""
        for patience_s in (PATIENCE_S / 3, PATIENCE_S / 3, PATIENCE_S):
            self.press(key)
            with contextlib.suppress(NeverSeenError):
                self.wait_until(is_so, patience_s)
                return
        raise NeverSeenError

    def wait_until(self, is_so: Callable[[np.ndarray], bool], patience_s: float = PATIENCE_S) -> np.ndarray:
        """The first screen of which that is so."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.communicate()
            screen = self.screen()
            if is_so(screen):
                return screen
            time.sleep(0.1)
        raise NeverSeenError

    def quit(self) -> dict[str, object]:
        self.press("q")
        out, errors = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, errors
        report: dict[str, object] = json.loads(out)
        return report


def is_calibrating(screen: np.ndarray) -> bool:
    """Whether the green bar of a calibration is shown."""
    levels = screen.astype(int)
    green = (levels[..., 1] - levels[..., 0] > 60) & (levels[..., 1] - levels[..., 2] > 40)
    return bool(green.sum(1).max() > 8)


def shows(photo: Path) -> Callable[[np.ndarray], bool]:
    """Whether a portrait is shown in the window, moved or not, and nothing over it."""
    small = cv2.resize(read_image(photo), (256, 256), interpolation=cv2.INTER_AREA).astype(np.float32)

    def is_shown(screen: np.ndarray) -> bool:
        side = 512 if photo == PORTRAIT else 720
        part = cv2.resize(screen[:side, :side], (256, 256), interpolation=cv2.INTER_AREA)
        still = (slice(0, 150), slice(0, 40))  # no head moves there, and the camera isn't shown there
        return bool(np.abs(part[still] - small[still]).mean() < 12)

    return is_shown


def test_a_session_calibrates_follows_records_and_quits_by_keys(
    display: str, clip: Path, tmp_path: Path
) -> None:
    session = Session(display, tmp_path, PORTRAIT, OTHER, "--input", clip)
    session.wait_until(is_calibrating)
    session.wait_until(shows(PORTRAIT))
    session.press("r")
    time.sleep(1)
    session.press("r")
    session.press_until("c", is_calibrating)
    session.wait_until(shows(PORTRAIT))
    session.press_until("n", shows(OTHER))
    report = session.quit()
    assert report["recordings"] == ["portrait--live.mp4"]
    assert len(frames_of(tmp_path / "portrait--live.mp4")) > 1
    assert has_sound(tmp_path / "portrait--live.mp4")
    assert report["latency_ms"]["median"] > 0  # type: ignore[index]


def test_the_camera_is_shown_beside_and_mirrored_by_keys(display: str, clip: Path, tmp_path: Path) -> None:
    session = Session(display, tmp_path, PORTRAIT, "--input", clip)
    session.wait_until(shows(PORTRAIT))
    corner = (slice(360, 500), slice(358, 500))
    before = session.screen()[corner].astype(int)
    session.press_until("s", lambda screen: np.abs(screen[corner] - before).mean() > 25)
    session.press("m")
    session.wait_until(shows(PORTRAIT))
    session.quit()


def test_closing_the_window_ends_the_session(display: str, clip: Path, tmp_path: Path) -> None:
    session = Session(display, tmp_path, PORTRAIT, "--input", clip, "--record", "film.mp4")
    session.wait_until(shows(PORTRAIT))
    time.sleep(0.5)
    session.press("Escape")
    session.process.communicate(timeout=PATIENCE_S)
    assert session.process.returncode == 0
    assert len(frames_of(tmp_path / "film.mp4")) > 1

"""The command line that a request becomes makes the same request."""

import shlex
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from mcnet_cli import AnimationRequest, CropBox, Keyframes, animation
from mcnet_cli.animation.command_line import command_line
from mcnet_cli.cli import main


def parsed(line: str, monkeypatch: pytest.MonkeyPatch) -> AnimationRequest:
    """The request that `mcnet animate` makes of a line; the run itself is left out."""
    seen: list[AnimationRequest] = []

    def keep(request: AnimationRequest, *_: object) -> None:
        seen.append(request)
        raise KeyboardInterrupt

    monkeypatch.setattr(animation, "animate", keep)
    program, *words = shlex.split(line)
    assert program == "mcnet"
    assert main(words) == 130
    (request,) = seen
    return request


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strength": 1.3, "smooth": 0.0, "reference": 3, "gaze": "source"},
        {"strength": {"lips": 1.3, "pose": 0.6}, "region": ("lips", "eyes")},
        {"controls": Keyframes.of(yaw=-12.5, eyes=-1, gaze_x=0.5, gaze_y=-0.25, brows=1)},
        {"controls": Keyframes.of(roll=[(0, 0), (1.25, 8), (2, 0)], gaze_x=[(1, 0.5)], gaze_y=[(1, 0)])},
        {"driving": None, "controls": Keyframes.of(mouth=0.5), "output": "still.png"},
        {"driving": None, "face_drivings": ((0, Path("a.mp4")), (2, Path("b, c.mp4")))},
        {"speed": 0.5, "loop": 3, "ping_pong": True, "fade_in_s": 0.25, "returns": True},
        {"duration_s": 83.5, "strength": 0.0},
        {"motion": "absolute", "reference": "first"},
        {"source_crop": CropBox(-1.5, 20.25, 300.125, 300.125), "driving_crop": "none"},
        {"face": "all", "driving_face": 1, "on_no_face": "skip", "adapt_scale": False},
        {"background": (32, 192, 255), "picture": "face", "size": 512, "compare": True},
        {"background": Path("red"), "output": "out.mp4", "overwrite": True},
        {"background": Path("a wall.jpg")},
        {"start_s": 0.00001, "end_s": 83.5, "max_frames": 7, "fps": Fraction(30000, 1001)},
        {"audio": Path("song.mp3"), "audio_track": 0, "volume": 0.25},
        {"codec": "h265", "quality": "best", "metadata": False, "hwaccel": "auto"},
        {"audio": False, "strict": True, "compile": True, "batch_size": 2, "device": "cpu"},
        {"audio_track": 1, "precision": "fp32", "weights": "lite", "source_frame_s": 2.0},
        {"save_motion": Path("wave.motion"), "crop_json": Path("crops.json"), "detector": "face-alignment"},
    ],
)
def test_parsing_the_line_gives_the_same_request(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = AnimationRequest(**{"sources": (Path("photo.png"),), "driving": Path("clip.mp4")} | options)
    again = parsed(command_line(request), monkeypatch)
    for name in AnimationRequest.__dataclass_fields__:
        if name != "fetch":  # a function of the command's own
            assert getattr(again, name) == getattr(request, name), name


@pytest.mark.parametrize(
    "name", ["-q", "--help", "with space.png", "$(reboot).png", "it's.png", "#fff", "é;ls.png", "a\nb.png"]
)
def test_names_of_files_are_only_names(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    request = AnimationRequest(sources=(Path(name),), driving=Path(name), background=Path(name))
    again = parsed(command_line(request), monkeypatch)
    assert (again.sources, again.driving, again.background) == ((Path(name),), Path(name), Path(name))


def test_what_is_as_by_default_is_not_said() -> None:
    request = AnimationRequest(sources=(Path("a.png"), Path("b.png")), driving=Path("c.mp4"), output="films/")
    assert command_line(request) == "mcnet animate a.png b.png c.mp4 --output films/"


def test_what_the_command_line_cannot_say_is_an_error() -> None:
    controls = Keyframes.of(left_eye=-1)
    with pytest.raises(ValueError, match="left_eye"):
        command_line(AnimationRequest(sources=(Path("a.png"),), controls=controls))

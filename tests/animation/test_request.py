"""Requests that make no sense, and where results go: found out before any work starts."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from media_tools import write_clip
from PIL import Image

from mcnet_cli.animation import AnimationRequest
from mcnet_cli.animation.paths import default_name, plan_outputs, require_inputs
from mcnet_cli.errors import InputError, UsageError


def request(folder: Path, *sources: str, **options: Any) -> AnimationRequest:
    names = sources or ("photo.png",)
    options.setdefault("driving", folder / "clip.mp4")
    return AnimationRequest(sources=tuple(folder / name for name in names), **options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("motion", "sideways"),
        ("detector", "haar"),
        ("on_no_face", "pray"),
        ("reference", "worst"),
        ("reference", -1),
        ("face", "second"),
        ("face", -1),
        ("driving_face", "all"),
        ("driving_face", -1),
        ("picture", "square"),
        ("background", "blurred"),
        ("background", (0, 0, 256)),
        ("background", (1, 2)),
        ("source_crop", "face"),
        ("driving_crop", "1,2,3,4"),
        ("strength", -0.1),
        ("strength", float("nan")),
        ("smooth", -1.0),
        ("smooth", float("inf")),
        ("size", 0),
        ("size", 100_000),
        ("batch_size", 0),
        ("max_frames", 0),
        ("start_s", -1.0),
        ("audio_track", -1),
        ("source_frame_s", -1.0),
        ("end_s", 0.0),
        ("fps", Fraction(0)),
        ("fps", Fraction(10**6)),
        ("save_motion", Path("motion.pkl")),
        ("volume", -0.5),
        ("volume", 10.5),
        ("volume", float("nan")),
        ("codec", "h266"),
        ("quality", "worst"),
        ("hwaccel", "nvenc"),
    ],
)
def test_a_value_that_makes_no_sense_is_a_usage_error(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"--{name.removesuffix('_s').replace('_', '-')}"):
        request(tmp_path, **{name: value})


@pytest.mark.parametrize(
    "options",
    [
        {"face": "all", "picture": "network"},
        {"picture": "network", "background": "moving"},
        {"compare": True, "background": "transparent"},
    ],
)
def test_pictures_that_can_not_be_are_usage_errors(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--"):
        request(tmp_path, **options)


@pytest.mark.parametrize("options", [{"compare": True}, {"audio_track": 0}, {"volume": 2.0}])
def test_a_motion_without_a_driving_has_neither_picture_nor_sound(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    for driving in (tmp_path / "clip.motion", Path("nod"), None):
        with pytest.raises(UsageError, match="there is no driving"):
            request(tmp_path, driving=driving, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"driving": Path("c.mp4")}, r"the place of the driving c\.mp4"),
        ({"face": "all"}, "counts the faces"),
        ({"source_crop": "none"}, "no crop"),
        ({"save_motion": Path("m.motion")}, "--save-motion"),
        ({"compare": True}, "--compare"),
        ({"reference": 3}, "--reference 3"),
        ({"picture": "face"}, "no one square"),
    ],
)
def test_what_faces_with_drivings_of_their_own_can_not_have_is_a_usage_error(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    drivings = ((0, Path("a.mp4")), (1, Path("b.mp4")))
    with pytest.raises(UsageError, match=message):
        request(tmp_path, **{"driving": None, "face_drivings": drivings, **options})


def test_a_motion_file_may_get_the_sound_of_another_file(tmp_path: Path) -> None:
    options = {"audio": tmp_path / "a.wav", "audio_track": 1, "volume": 2.0}
    assert request(tmp_path, driving=tmp_path / "clip.motion", **options).driving_track is None


@pytest.mark.parametrize("options", [{"audio_track": 1}, {"volume": 0.5}])
def test_what_is_said_of_sound_and_no_sound_contradict_each_other(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=r"--(audio-track|volume) and --no-audio"):
        request(tmp_path, audio=False, **options)


@pytest.mark.parametrize("output", ["a.gif", "a.webp", "a%d.png", "-"])
@pytest.mark.parametrize("options", [{"audio": Path("a.wav")}, {"volume": 0.5}])
def test_sound_that_an_output_can_not_hold_is_a_usage_error(
    tmp_path: Path, output: str, options: dict[str, Any]
) -> None:
    target = output if output == "-" else f"{tmp_path}/{output}"
    with pytest.raises(UsageError, match=r"--(audio|volume): .* holds no sound") as refused:
        plan_outputs(request(tmp_path, output=target, **options))
    assert ".mp4" in (refused.value.hint or "")


def test_a_codec_that_an_output_can_not_hold_is_found_out_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--codec prores: .*a\.mp4 can't hold it") as refused:
        plan_outputs(request(tmp_path, output=f"{tmp_path}/a.mp4", codec="prores"))
    assert "h264" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("source", "driving", "message"),
    [
        (
            "film.mp4",
            "photo.png",
            r"film\.mp4 is a video and .* a picture: the portrait comes first",
        ),
        ("film.mp4", "film.mp4", r"film\.mp4 is a video, and a source is a picture"),
    ],
    ids=["swapped", "video-as-source"],
)
def test_a_video_in_the_place_of_a_portrait_is_told(
    tmp_path: Path, source: str, driving: str, message: str
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    write_clip(tmp_path / "film.mp4")
    with pytest.raises(InputError, match=message):
        require_inputs(request(tmp_path, source, driving=tmp_path / driving))
    require_inputs(request(tmp_path, "film.mp4", driving=tmp_path / driving, source_frame_s=0))


def test_a_driving_after_the_sources_where_faces_have_their_own_is_told(tmp_path: Path) -> None:
    write_clip(tmp_path / "film.mp4")
    with pytest.raises(InputError, match=r"film\.mp4 is a video") as refused:
        drivings = ((0, tmp_path / "film.mp4"),)
        require_inputs(request(tmp_path, "film.mp4", driving=None, face_drivings=drivings))
    assert "leave that out" in (refused.value.hint or "")


def test_the_frame_of_a_source_that_has_none_is_a_usage_error(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    write_clip(tmp_path / "clip.mp4")
    with pytest.raises(UsageError, match="--source-frame"):
        require_inputs(request(tmp_path, source_frame_s=1.0))


def test_an_address_is_shown_as_it_was_typed(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    with pytest.raises(InputError, match=r"https://host/film\.mp4 is not a local file") as refused:
        require_inputs(request(tmp_path, driving=Path("https://host/film.mp4")))
    assert "download" in str(refused.value.hint)
    with pytest.raises(InputError, match=r"file:///home/film\.mp4 is not a local file") as refused:
        require_inputs(request(tmp_path, driving=Path("file:///home/film.mp4")))
    assert refused.value.hint == "leave out file://"


def test_the_default_output_is_named_after_both_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (output,) = plan_outputs(request(tmp_path / "pictures")).films
    assert (output.target, output.kind) == ("photo--clip.mp4", "video")


@pytest.mark.parametrize("output", ["made/", "there"])
def test_a_folder_takes_the_default_name(tmp_path: Path, output: str) -> None:
    (tmp_path / "there").mkdir()
    text = f"{tmp_path}/{output}"
    (planned,) = plan_outputs(request(tmp_path, output=text)).films
    assert Path(planned.target) == Path(text) / "photo--clip.mp4"


def test_several_sources_fill_a_folder(tmp_path: Path) -> None:
    planned = plan_outputs(request(tmp_path, "a.png", "b.png", output=f"{tmp_path}/")).films
    assert [Path(output.target).name for output in planned] == ["a--clip.mp4", "b--clip.mp4"]


@pytest.mark.parametrize("output", ["out.mp4", "out/%05d.png", "-", "results"])
def test_several_sources_into_one_file_are_a_usage_error(tmp_path: Path, output: str) -> None:
    with pytest.raises(UsageError, match="several sources"):
        plan_outputs(request(tmp_path, "a.png", "b.png", output=output))


def test_sources_that_would_take_the_same_name_are_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two sources"):
        plan_outputs(request(tmp_path, "a.png", "a.jpg", output=f"{tmp_path}/"))


def test_no_source_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="source"):
        plan_outputs(AnimationRequest(sources=(), driving=tmp_path / "clip.mp4"))


@pytest.mark.parametrize("output", ["", "out.xyz", "no/such/folder/out.mp4"])
def test_an_output_that_can_not_be_is_a_usage_error(tmp_path: Path, output: str) -> None:
    with pytest.raises(UsageError):
        plan_outputs(request(tmp_path, output=output and f"{tmp_path}/{output}"))


def test_a_taken_output_needs_overwrite(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        plan_outputs(request(tmp_path, output=f"{tmp_path}/out.mp4"))
    plan_outputs(request(tmp_path, output=f"{tmp_path}/out.mp4", overwrite=True))


@pytest.mark.parametrize("name", ["photo.png", "clip.mp4", "link.mp4", "sound.mp4"])
def test_an_input_is_never_the_output_even_with_overwrite(tmp_path: Path, name: str) -> None:
    for file in ("photo.png", "clip.mp4", "sound.mp4"):
        (tmp_path / file).write_text(file)
    (tmp_path / "link.mp4").hardlink_to(tmp_path / "clip.mp4")
    sound = tmp_path / "sound.mp4"
    options: dict[str, Any] = {} if name == "photo.png" else {"audio": sound}  # which pictures can't hold
    with pytest.raises(UsageError, match="same file"):
        plan_outputs(request(tmp_path, output=f"{tmp_path}/{name}", overwrite=True, **options))


def test_the_picture_of_the_background_is_an_input(tmp_path: Path) -> None:
    for file in ("photo.png", "clip.mp4", "wall.gif"):
        (tmp_path / file).write_text(file)
    asked = request(tmp_path, background=tmp_path / "wall.gif", output=f"{tmp_path}/wall.gif", overwrite=True)
    with pytest.raises(UsageError, match="same file"):
        plan_outputs(asked)
    (tmp_path / "wall.gif").unlink()
    with pytest.raises(InputError, match=r"wall\.gif"):
        require_inputs(asked)


@pytest.mark.parametrize("source", ["7.png", "clip/7.png"])
def test_a_pattern_never_replaces_an_input(tmp_path: Path, source: str) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / source).touch()
    driving = tmp_path / ("clip" if source.startswith("clip") else "clip.mp4")
    pattern = f"{(tmp_path / source).parent}/%d.png"
    with pytest.raises(UsageError, match="would replace the input"):
        plan_outputs(request(tmp_path, source, driving=driving, output=pattern, overwrite=True))


def test_a_taken_pattern_needs_overwrite(tmp_path: Path) -> None:
    (tmp_path / "00001.png").touch()
    with pytest.raises(UsageError, match="exists already"):
        plan_outputs(request(tmp_path, output=f"{tmp_path}/%05d.png"))
    plan_outputs(request(tmp_path, output=f"{tmp_path}/%05d.png", overwrite=True))


def test_the_motion_file_may_not_be_taken_nor_be_the_output(tmp_path: Path) -> None:
    (tmp_path / "a.motion").write_text("mine")
    with pytest.raises(UsageError, match=r"a.motion exists already"):
        plan_outputs(request(tmp_path, output=f"{tmp_path}/o.mp4", save_motion=tmp_path / "a.motion"))


@pytest.mark.parametrize(("source", "driving"), [("x" * 250, "y"), ("x", "y" * 250), ("é" * 120, "y" * 240)])
def test_a_long_default_name_is_cut_to_what_file_systems_take(source: str, driving: str) -> None:
    name = default_name(Path(source + ".png"), Path(driving + ".mp4"))
    assert 200 < len(os.fsencode(name)) <= 255
    assert name.endswith(".mp4") and "--" in name and name.isprintable()


def test_a_name_that_is_not_utf8_is_kept() -> None:
    name = default_name(Path(os.fsdecode(b"caf\xe9.png")), Path("folder/"))
    assert os.fsencode(name) == b"caf\xe9--folder.mp4"


def test_the_public_api_loads_torch_only_when_used() -> None:
    code = """
import sys, mcnet_cli
assert not {"torch", "cv2", "numpy"} & {*sys.modules}
assert issubclass(mcnet_cli.InputError, mcnet_cli.McnetError)
assert not {"torch", "cv2", "numpy"} & {*sys.modules}
for name in mcnet_cli.__all__:
    getattr(mcnet_cli, name)
assert "torch" in sys.modules
try:
    mcnet_cli.nonsense
except AttributeError:
    sys.exit(0)
sys.exit(1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr

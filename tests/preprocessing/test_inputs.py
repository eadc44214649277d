"""What was typed becomes files, names and segments; what makes no sense is refused."""

import os
from fractions import Fraction
from pathlib import Path

import pytest

from mcnet_cli.errors import InputError, UsageError
from mcnet_cli.preprocessing import PreprocessRequest, Settings
from mcnet_cli.preprocessing.inputs import InputFile, Segment, find_inputs, safe_name

HEADER = "video_id,start,end,bbox,fps,width,height,partition,person_id\n"


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def found(tmp_path: Path, *inputs: Path | str, **options: object) -> list[InputFile]:
    options = {"output": tmp_path / "out", "settings": Settings(), **options}
    return find_inputs(PreprocessRequest(inputs=tuple(map(str, inputs)), **options))  # type: ignore[arg-type]


def names(files: list[InputFile]) -> list[str]:
    return [file.name for file in files]


def test_folders_are_searched_through_in_natural_order_for_videos_and_pictures(tmp_path: Path) -> None:
    touch(tmp_path / "in", "b10.mp4", "b9.MOV", "a/z.png", "notes.txt", ".hidden.mp4", ".cache/c.mp4")
    assert names(found(tmp_path, tmp_path / "in")) == ["b9", "b10", "z"]


def test_our_own_output_is_no_input(tmp_path: Path) -> None:
    touch(tmp_path, "talk.mp4", "out/talk-1/talk#000000-000099.mp4")
    assert names(found(tmp_path, tmp_path)) == ["talk"]


def test_the_output_is_no_input_itself(tmp_path: Path) -> None:
    touch(tmp_path, "talk.mp4")
    with pytest.raises(UsageError, match="is an input"):
        found(tmp_path, tmp_path, output=tmp_path)


def test_links_to_folders_are_not_followed_and_no_file_comes_twice(tmp_path: Path) -> None:
    touch(tmp_path / "in", "a.mp4")
    (tmp_path / "in" / "again").symlink_to("..", target_is_directory=True)
    (tmp_path / "in" / "b.mp4").symlink_to("a.mp4")
    assert names(found(tmp_path, tmp_path / "in", tmp_path / "in" / "a.mp4")) == ["a"]


def test_a_pattern_becomes_what_it_matches_and_a_name_with_brackets_is_no_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "a1.mp4", "a2.mp4", "b.mp4", "odd [1].mp4", "sub/deep/a3.mp4")
    assert names(found(tmp_path, f"{tmp_path}/a*.mp4")) == ["a1", "a2"]
    assert names(found(tmp_path, f"{tmp_path}/**/a*.mp4")) == ["a1", "a2", "a3"]
    assert names(found(tmp_path, f"{tmp_path}/odd [1].mp4")) == ["odd [1]"]
    with pytest.raises(InputError, match="nothing matches"):
        found(tmp_path, f"{tmp_path}/c*.mp4")


def test_a_file_that_is_named_counts_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "film.bin")
    assert names(found(tmp_path, tmp_path / "film.bin", tmp_path / "missing.mp4")) == ["film", "missing"]


def test_an_empty_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        found(tmp_path, tmp_path / "empty")


def test_videos_with_the_same_name_are_told_apart(tmp_path: Path) -> None:
    touch(tmp_path / "in", "x/talk.mp4", "y/Talk.mkv", "z/talk.mov")
    assert names(found(tmp_path, tmp_path / "in")) == ["talk", "Talk~2", "talk~3"]


def identities(files: list[InputFile]) -> list[str | None]:
    return [file.identity for file in files]


def test_folders_below_the_input_name_the_person(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    touch(tree, "0.mp4", "anna/1.mp4", "anna/2.mp4", "berta/1.mp4", "c/videos/1.mp4")
    expected = [None, "anna", "anna", "berta", "c/videos"]
    assert identities(found(tmp_path, tree)) == expected
    assert identities(found(tmp_path, f"{tree}/**/*.mp4")) == expected, "files of one pattern share a folder"
    assert identities(found(tmp_path, tree / "anna" / "1.mp4", tree / "berta" / "1.mp4")) == ["anna", "berta"]
    assert identities(found(tmp_path, tree / "anna", tree / "berta")) == ["anna", "anna", "berta"]
    assert identities(found(tmp_path, tree / "anna")) == [None, None], "one folder of clips is no person"


def test_parts_of_a_split_are_no_people(tmp_path: Path) -> None:
    touch(tmp_path / "data", "train/1.mp4", "train/anna/2.mp4", "test/3.mp4")
    by_name = {file.name: file.identity for file in found(tmp_path, tmp_path / "data")}
    assert by_name == {"1": None, "2": "anna", "3": None}


def test_another_person_is_another_request(tmp_path: Path) -> None:
    digests = {InputFile(tmp_path, "a", identity=identity).digest for identity in (None, "a", "b")}
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("plain name-1", "plain name-1"),
        ("../../etc/passwd", "_._.._etc_passwd"),
        ("..", "_."),
        ("", "_"),
        ("line\nbreak", "line_break"),
        ("a#b", "a_b"),
        ("-dash", "-dash"),
        ("é" * 100, "é" * 60),
    ],
)
def test_names_are_made_safe(stem: str, name: str) -> None:
    assert safe_name(stem) == name


def test_a_name_that_is_not_utf8_still_names_files(tmp_path: Path) -> None:
    name = safe_name(os.fsdecode(b"caf\xe9"))
    (tmp_path / name).write_bytes(b"")


def test_a_table_names_people_moments_and_places(tmp_path: Path) -> None:
    touch(tmp_path / "videos", "deep/vid1.mkv")
    table = tmp_path / "vox.csv"
    table.write_text(
        HEADER
        + "vid2,0,99,10-20-110-220,25,1280,720,test,id2\n"
        + "vid1,4557,4656,128-72-640-360,25,1280,720,train,id1\n"
        + "vid1,0,24,128-72-640-360,25,1280,720,train,id1\n"
        + "vid1,0,24,128-72-640-360,25,1280,720,train,id1\n"
    )
    first, second = found(tmp_path, table, videos=tmp_path / "videos")
    assert (first.path, first.name) == (tmp_path / "videos" / "deep" / "vid1.mkv", "vid1")
    assert first.segments == (
        Segment("id1", Fraction(4557, 25), Fraction(4657, 25), (0.1, 0.1, 0.5, 0.5), "train"),
        Segment("id1", Fraction(0), Fraction(1), (0.1, 0.1, 0.5, 0.5), "train"),
    )
    assert second.path == tmp_path / "videos" / "vid2.mp4", "it isn't there: that will be its failure"


def test_a_table_without_people_has_them_in_the_videos_names(tmp_path: Path) -> None:
    table = tmp_path / "vox.csv"
    table.write_text("video_id,start,end,bbox,fps,width,height\nvid#id7,0,9,0-0-50-50,25,100,100\n")
    (file,) = found(tmp_path, table, videos=tmp_path)
    assert (file.name, file.segments[0].identity, file.segments[0].partition) == ("vid", "id7", None)


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ("-3-10-400-420", (0.0, 0.1, 1.0, 1.0)),
        ("-3--10-40-42", (0.0, 0.0, 0.4, 0.42)),
        ("90-90.5-101-99", (0.9, 0.905, 1.0, 0.99)),
    ],
)
def test_a_box_that_reaches_beyond_the_picture_is_clipped(
    tmp_path: Path, box: str, clipped: tuple[float, ...]
) -> None:
    table = tmp_path / "vox.csv"
    table.write_text(HEADER + f"v,0,9,{box},25,100,100,,p\n")
    (file,) = found(tmp_path, table, videos=tmp_path)
    assert file.segments[0].box == pytest.approx(clipped)


@pytest.mark.parametrize(
    "line",
    [
        "v,0,9,-90-10--20-50,25,100,100,,p",
        "v,9,0,0-0-50-50,25,100,100,,p",
        "v,0,9,0-0-50,25,100,100,,p",
        "v,0,9,50-0-0-50,25,100,100,,p",
        "v,x,9,0-0-50-50,25,100,100,,p",
        "v,0,9,0-0-50-50,0,100,100,,p",
        "v,0,9,0-0-50-50,25,0,100,,p",
        "v,0,9,0-0-inf-50,25,10,100,,p",
        "v,0",
    ],
)
def test_a_line_that_makes_no_sense_is_a_problem_of_its_own(tmp_path: Path, line: str) -> None:
    table = tmp_path / "vox.csv"
    table.write_text(HEADER + line + "\nw,0,9,0-0-50-50,25,100,100,,p\n")
    bad, good = found(tmp_path, table, videos=tmp_path)
    assert bad.problem is not None
    assert "vox.csv, line 2" in bad.problem
    assert good.problem is None


@pytest.mark.parametrize("text", ["video_id,start\nv,0\n", "", "\x00\xff"])
def test_what_is_no_table_of_this_kind_is_refused(tmp_path: Path, text: str) -> None:
    table = tmp_path / "vox.csv"
    table.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"vox\.csv"):
        found(tmp_path, table, videos=tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {"rule": "golden"},
        {"size": 0},
        {"size": 255},
        {"format": "gif"},
        {"align": "nose"},
        {"follow": True},
        {"fps": Fraction(0)},
        {"min_frames": 0},
        {"min_frames": 1025},
        {"min_score": float("nan")},
        {"min_face": 0},
        {"detect_every": 0},
        {"detector": "eyes"},
    ],
)
def test_settings_that_make_no_sense_are_usage_errors_that_name_the_option(settings: dict) -> None:
    with pytest.raises(UsageError, match="--"):
        Settings(**settings)


@pytest.mark.parametrize(
    "options",
    [
        {"engine": "dask"},
        {"workers": 0},
        {"inputs": ()},
        {"inputs": ("",)},
        {"inputs": ("a.csv",)},
        {"videos": Path()},
        {"device": "cuda"},
    ],
)
def test_requests_that_make_no_sense_are_usage_errors(tmp_path: Path, options: dict) -> None:
    with pytest.raises(UsageError):
        PreprocessRequest(**{"inputs": ("a.mp4",), "output": tmp_path, "settings": Settings(), **options})


def test_every_setting_changes_the_digest() -> None:
    changes = [{"rule": "paper"}, {"size": 128}, {"fps": Fraction(25)}, {"min_face": 64}, {"align": "eyes"}]
    assert len({Settings(**change).digest for change in [{}, *changes]}) == 6
    assert Settings().digest == Settings(size=256).digest

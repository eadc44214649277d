"""What people type for options that need parsing."""

from fractions import Fraction
from pathlib import Path

import pytest

from mcnet_cli.errors import UsageError, counted
from mcnet_cli.options import (
    listed,
    parse_audio,
    parse_background,
    parse_batch_size,
    parse_driving_face,
    parse_face,
    parse_faces,
    parse_names,
    parse_rate,
    parse_reference,
    parse_shard,
    parse_time,
    parse_volume,
)


@pytest.mark.parametrize("word", ["still", "moving", "transparent"])
def test_a_background_is_one_of_three_words(word: str) -> None:
    assert parse_background(word) == word


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("#fff", (255, 255, 255)),
        ("#1aF", (17, 170, 255)),
        ("#20C0ff", (32, 192, 255)),
        ("red", (255, 0, 0)),
        ("RebeccaPurple", (102, 51, 153)),
    ],
)
def test_a_background_is_a_colour(text: str, colour: tuple[int, int, int]) -> None:
    assert parse_background(text) == colour


@pytest.mark.parametrize(
    "text", ["beach.jpg", "./red", "./still", "./#fff", "../fff", "Still", "rgb(1,2,3)", "/no/such/file"]
)
def test_any_other_background_is_a_path_that_need_not_exist(text: str) -> None:
    assert parse_background(text) == Path(text)


@pytest.mark.parametrize("text", ["#", "#ff", "#ffff", "#20c0fg", "#20c0ff80", "#fff\n", "#beach.jpg", ""])
def test_what_looks_like_a_colour_and_is_none_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--background"):
        parse_background(text)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("25", Fraction(25)), ("29.97", Fraction(2997, 100)), ("30000/1001", Fraction(30000, 1001))],
)
def test_a_rate_is_a_number_or_a_fraction(text: str, rate: Fraction) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "-5", "1/0", "1e3", "inf", "25/1.5", "٣"])
def test_anything_else_is_no_rate(text: str) -> None:
    with pytest.raises(UsageError, match="--fps"):
        parse_rate(text)


@pytest.mark.parametrize(("text", "seconds"), [("83.5", 83.5), ("1:23.5", 83.5), ("1:01:01", 3661)])
def test_a_time_is_seconds_or_minutes_or_hours(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1:2:3:4", "soon", "1:", "nan"])
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(UsageError):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "factor"), [("0", 0), ("0.5", 0.5), ("2", 2), ("0dB", 1), ("-20 dB", 0.1), ("+6db", 1.9953)]
)
def test_a_volume_is_a_factor_or_decibels(text: str, factor: float) -> None:
    assert parse_volume(text) == pytest.approx(factor, abs=1e-4)


@pytest.mark.parametrize("text", ["", "loud", "-1", "50%", "nan", "dB", "1e3", "٣"])
def test_anything_else_is_no_volume(text: str) -> None:
    with pytest.raises(UsageError, match="--volume"):
        parse_volume(text)


def test_audio_is_a_switch_or_a_file() -> None:
    found = [parse_audio(text) for text in ("true", "False", "voice.wav", "./true")]
    assert found == [True, False, Path("voice.wav"), Path("./true")]


def test_choices_are_listed_as_one_says_them() -> None:
    assert [listed(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a or b", "a, b or c"]


def test_a_batch_size_is_auto_or_a_number() -> None:
    assert (parse_batch_size("auto"), parse_batch_size("8")) == (None, 8)
    with pytest.raises(UsageError, match="--batch-size"):
        parse_batch_size("many")


@pytest.mark.parametrize("texts", [["1=b.mp4,0=a,b.mp4"], ["1=b.mp4", "0=a,b.mp4"]])
def test_faces_may_have_drivings_whose_names_hold_commas(texts: list[str]) -> None:
    assert parse_faces(texts) == ("largest", ((1, Path("b.mp4")), (0, Path("a,b.mp4"))))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["largest", "1=b.mp4"], "such as --face 0=a.mp4"),
        (["0="], "such as --face 0=a.mp4"),
        (["x=a.mp4"], "such as --face 0=a.mp4"),
        (["0=a.mp4,0=b.mp4"], "two drivings"),
        (["left"], "largest, all or a number"),
    ],
)
def test_other_faces_are_usage_errors(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_faces(texts)


def test_a_reference_and_a_face_are_names_or_numbers() -> None:
    assert [parse_reference(text) for text in ("best", "first", "12")] == ["best", "first", 12]
    assert [parse_face(text) for text in ("largest", "all", "1")] == ["largest", "all", 1]
    assert [parse_driving_face(text) for text in ("largest", "first", "1")] == ["largest", "first", 1]
    wrong = (
        (parse_reference, "worst"),
        (parse_reference, "-1"),
        (parse_face, "1.5"),
        (parse_driving_face, "all"),
    )
    for parse, text in wrong:
        with pytest.raises(UsageError, match=text):
            parse(text)


def test_shards_are_read_exactly() -> None:
    assert parse_shard("2/8") == (1, 8)
    for text in ("0/8", "9/8", "1", "a/b", "-1/2", "1/0"):
        with pytest.raises(UsageError, match="--shard"):
            parse_shard(text)


def test_names_are_parted_by_commas_and_count_once() -> None:
    assert parse_names("psnr, l1,psnr,,") == ("psnr", "l1")


@pytest.mark.parametrize(("number", "words"), [(0, "0 frames"), (1, "1 frame"), (2, "2 frames")])
def test_one_thing_is_not_many(number: int, words: str) -> None:
    assert counted(number, "frame") == words

"""What people type for `--background`."""

from pathlib import Path

import pytest

from mcnet_cli.errors import UsageError
from mcnet_cli.options import parse_background


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

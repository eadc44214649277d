"""Several portraits, of which one is drawn at a time, as large as there is time for."""

import logging
from pathlib import Path

import pytest
from animation_tools import write_photo
from face_tools import portrait

from mcnet_cli.live.pace import IGNORED_FRAMES, JUDGED_FRAMES
from mcnet_cli.live.request import LiveRequest
from mcnet_cli.live.stage import Stage
from mcnet_cli.media import write_image


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Of three sources the second shows no face."""
    names = tmp_path / "large.png", tmp_path / "empty.png", tmp_path / "small.png"
    write_image(names[0], portrait())
    write_photo(names[1])
    write_image(names[2], portrait()[:300, 80:380].copy())
    return Stage(LiveRequest(sources=names, device="cpu"))


def test_a_source_without_a_face_is_left_out(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        stage.next_source()
    assert (stage.number, stage.size, stage.whole_size) == (2, 300, (300, 300))
    assert "empty.png: no face was found" in caplog.text
    stage.next_source()
    assert (stage.number, stage.size) == (0, 512)


def test_the_next_source_is_drawn_no_larger_than_there_was_time_for(stage: Stage) -> None:
    stage.begin(rate=25)
    for seconds in (0.2, 0.1):
        for _ in range(IGNORED_FRAMES + JUDGED_FRAMES):
            stage.took(seconds)
    assert (stage.size, stage.asked_size, stage.whole_size) == (256, 512, (512, 512))
    stage.next_source()
    assert (stage.size, stage.whole_size) == (256, (300, 300))

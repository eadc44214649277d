"""What the window shows, as a picture."""

import numpy as np
import pytest

from mcnet_cli.live.window import BAR_PX, Message, Status, canvas_size, composed

GREY = np.full((100, 200, 3), 120, np.uint8)
STATUS = Status("24.0 frames/s")


@pytest.mark.parametrize(
    ("photo", "size"),
    [((512, 512), (512, 512)), ((1600, 1600), (720, 720)), ((64, 64), (480, 480)), ((300, 900), (480, 720))],
)
def test_a_window_is_large_enough_for_its_text_and_small_enough_for_a_screen(
    photo: tuple[int, int], size: tuple[int, int]
) -> None:
    assert canvas_size(photo) == size


def test_the_picture_is_whole_above_a_bar_with_text() -> None:
    canvas = composed(GREY, (480, 240), STATUS)
    assert canvas.shape == (240 + BAR_PX, 480, 3)
    assert (canvas[:240] == 120).all()
    assert canvas[240:].max() > 200 > 60 > canvas[240:].min()


def test_a_message_leaves_the_upper_part_of_the_picture_free_and_fills_its_bar() -> None:
    def bar(share: float) -> np.ndarray:
        canvas = composed(GREY, (480, 240), STATUS, message=Message("Look", "ahead", share))
        assert (canvas[:120] == 120).all() and canvas[150:200, 4].max() < 60
        green: np.ndarray = canvas[..., 1].astype(int) - canvas[..., 0] > 60
        return green.any(0)

    assert not bar(0).any()
    assert 1.8 < bar(0.9).sum() / bar(0.45).sum() < 2.2


def test_the_camera_is_shown_in_a_corner_without_touching_the_picture_itself() -> None:
    picture = np.zeros((240, 480, 3), np.uint8)
    canvas = composed(picture, (480, 240), STATUS, inset=np.full((50, 50, 3), 77, np.uint8))
    assert (canvas[:240] == 77).any() and not picture.any()


def test_a_red_dot_says_that_it_records() -> None:
    def is_red(status: Status) -> bool:
        canvas = composed(GREY, (480, 240), status).astype(int)
        return bool((canvas[..., 0] - canvas[..., 1] > 100).any())

    assert is_red(Status("24.0 frames/s", True, "0:12")) and not is_red(STATUS)

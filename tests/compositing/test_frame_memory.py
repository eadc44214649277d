"""Frames are their holders' own, though their memory is used again."""

import numpy as np

from mcnet_cli.compositing.frame_memory import KEPT, FrameMemory

PLATE = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


def test_memory_is_used_again_once_nobody_holds_the_frame() -> None:
    memory = FrameMemory(PLATE)
    first = memory.frame()
    place = first.ctypes.data
    first[:] = 0
    del first
    again = memory.frame()
    assert again.ctypes.data == place
    assert np.array_equal(again, PLATE)


def test_frames_that_somebody_holds_stay_as_they_are() -> None:
    memory = FrameMemory(PLATE)
    held = [memory.frame() for _ in range(KEPT + 3)]
    for number, frame in enumerate(held):
        frame[:] = number
    assert all((frame == number).all() for number, frame in enumerate(held))


def test_a_view_or_a_buffer_holds_a_frame_too() -> None:
    memory = FrameMemory(PLATE)
    view, buffer = memory.frame()[1:3, ::2].transpose(1, 0, 2), memoryview(memory.frame())
    for _ in range(3):
        memory.frame()[:] = 0
    assert np.array_equal(view, PLATE[1:3, ::2].transpose(1, 0, 2))
    assert np.array_equal(np.asarray(buffer), PLATE)

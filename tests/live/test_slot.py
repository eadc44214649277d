"""A slot hands items from one thread to another: the newest alone, or every one."""

import threading

import pytest

from mcnet_cli.live.feed import Slot


def test_only_the_newest_item_is_handed_over() -> None:
    slot: Slot[int] = Slot()
    for number in range(5):
        slot.put(number)
    assert slot.take(0) == 4
    assert slot.dropped == 4
    assert slot.take(0) is None and not slot.is_over


def test_all_items_are_handed_over_where_none_may_be_left_out() -> None:
    slot: Slot[int] = Slot(keeps_all=True)

    def fill() -> None:
        for number in range(50):
            slot.put(number)
        slot.close()

    filling = threading.Thread(target=fill)
    filling.start()
    taken = []
    while not slot.is_over:
        item = slot.take(1)
        taken += [] if item is None else [item]
    filling.join()
    assert taken == [*range(50)] and slot.dropped == 0


def test_who_waits_for_room_is_let_go_when_nobody_takes_any_more() -> None:
    slot: Slot[int] = Slot(keeps_all=True)
    slot.put(0)
    left: list[bool] = []
    waiting = threading.Thread(target=lambda: left.append(slot.put(1)))
    waiting.start()
    slot.close()
    waiting.join(timeout=10)
    assert left == [False]


def test_an_error_comes_after_the_last_item() -> None:
    slot: Slot[int] = Slot()
    slot.put(1)
    slot.close(ValueError("gone"))
    slot.close()
    assert slot.take(0) == 1
    assert not slot.is_over
    with pytest.raises(ValueError, match="gone"):
        slot.take(0)
    assert not slot.put(2)

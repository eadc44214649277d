"""Handing items from one thread to another: the newest alone, as a camera wants it, or every one."""

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Slot(Generic[Item]):
    """A place for one item, which one thread fills and another empties. Nothing is ever queued.

    keeps_all: whether who fills it waits until it is empty; otherwise a newer item replaces one that nobody
    took. dropped: how many were replaced.
    """

    def __init__(self, *, keeps_all: bool = False) -> None:
        self.dropped = 0
        self._keeps_all = keeps_all
        self._item: Item | None = None
        self._is_closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def put(self, item: Item) -> bool:
        """Leaves an item; False if nobody will take it."""
        with self._changed:
            if self._keeps_all:
                self._changed.wait_for(lambda: self._item is None or self._is_closed)
            if self._is_closed:
                return False
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify_all()
            return True

    def take(self, timeout_s: float) -> Item | None:
        """The item, for which it waits a while; None if there is none yet, or none any more: see `is_over`.

        Raises the error with which the slot was closed, once the last item was taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._is_closed, timeout_s)
            item, self._item = self._item, None
            self._changed.notify_all()
            if item is None and self._error is not None:
                raise self._error
            return item

    def close(self, error: BaseException | None = None) -> None:
        """Ends the handing over, from either side. An item that is there can still be taken."""
        with self._changed:
            if not self._is_closed:
                self._is_closed, self._error = True, error
            self._changed.notify_all()

    @property
    def is_over(self) -> bool:
        """Whether all items were taken and no other will come, nor an error."""
        with self._changed:
            return self._is_closed and self._item is None and self._error is None

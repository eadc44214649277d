"""What engines work on (`Work`), and how they report it (`Event`)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

MAX_ATTEMPTS = 3  # at an item whose process dies
TICK_S = 0.5  # longest time without an event
GRACE_S = 1.2  # in which processes clean up before they are killed

Item = TypeVar("Item")
State = TypeVar("State")
Result = TypeVar("Result")
Tell = Callable[[Any], None]  # called by work with partial results of an item that it hasn't finished


class Work(ABC, Generic[Item, State, Result]):
    """What is done with every item. It holds what all items share, can be hashed and travels to processes.

    What `do` raises ends the whole run, so it keeps an item's own faults to that item.
    """

    @property
    @abstractmethod
    def uses_gpu(self) -> bool:
        """Whether each process needs a GPU: Ray hides them from tasks that don't ask for one."""

    @abstractmethod
    def prepare(self) -> State:
        """What a process keeps from item to item, such as networks. Called once in each process."""

    @abstractmethod
    def do(self, item: Item, state: State, tell: Tell) -> Result:
        """Works on an item; what it returns and tells must be picklable. Ray passes no news on."""

    @abstractmethod
    def note_crash(self, item: Item) -> Result:
        """The result of an item whose process died in every attempt."""

    @abstractmethod
    def note_fault(self, item: Item, error: Exception) -> Result:
        """The result of an item at which mcnet or a library failed where `do` could not catch it."""


@dataclass(frozen=True, slots=True)
class Event(Generic[Item, Result]):
    """How a run goes on. Without any of these it is a sign of life, at least every half second.

    finished: the item that is done, with or without success, and its result. news: a partial result that the
    work has told of an item.
    """

    finished: Item | None = None
    result: Result | None = None
    news: Any = None


# Events end when all items are done. Closing the generator ends what runs.
Events = Generator[Event[Item, Result], None, None]

"""Work on a sequence of items in threads of its own, with its results in the items' order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")


def in_order(
    work: Callable[[Item], Done],
    items: Iterable[Item],
    workers: int = 1,
    *,
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
) -> Generator[Done, None, None]:
    """`work` on each of the items, in their order.

    Items are made in the caller's thread, while `workers` threads work on those before: at most one more than
    there are threads is under way. An error comes out where its result would have. However the generator
    ends, no thread is left.

    initializer, initargs: what each thread calls first.
    """
    under_way: deque[Future[Done]] = deque()
    with ThreadPoolExecutor(workers, initializer=initializer, initargs=initargs) as pool:
        try:
            for item in items:
                under_way.append(pool.submit(work, item))
                if len(under_way) > workers:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()

"""Work done ahead by threads, handed out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import cv2

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int
) -> Iterator[Result]:
    """`map(function, items)`, made ahead by threads.

    An error in a thread is raised where its result would have come. Closing the iterator stops
    the threads: items not begun are dropped, and the ones under way are waited for.

    Args:
        function: Called in threads; OpenCV and decoders let go of Python's lock.
        items: What to call it on.
        workers: Threads; with 0 the results are made when asked for.
        ahead: Results that are made ahead at the most.

    Example:

    >>> list(ordered_map(abs, [-1, -2, 3], workers=2, ahead=2))
    [1, 2, 3]
    """
    items = iter(items)
    if workers == 0:
        yield from map(function, items)
        return
    # OpenCV's own threads would only compete with these.
    pool = ThreadPoolExecutor(workers, "reader", initializer=cv2.setNumThreads, initargs=(0,))
    try:
        pending: deque[Future] = deque(pool.submit(function, item) for item in islice(items, ahead))
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(function, item) for item in islice(items, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)

"""Reading ahead with threads, results in order; and decoded files kept in memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

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


class ArrayCache:
    """Keeps the arrays that were read from files, up to a number of bytes; safe between threads.

    What was kept first stays: with every epoch in another order, throwing out the oldest would
    throw out what is needed soonest as often as not, and hits would be fewer.

    Args:
        limit_bytes: Sum of the sizes of the arrays that are kept; 0 keeps none.

    Attributes:
        size_bytes: Sum of the sizes of the arrays kept now.
    """

    def __init__(self, limit_bytes: int):
        self.limit_bytes = limit_bytes
        self.size_bytes = 0
        self._arrays: dict[Path, np.ndarray] = {}
        self._lock = threading.Lock()

    def get(self, path: Path, read: Callable[[Path], np.ndarray]) -> np.ndarray:
        """The array of a file, read-only; `read(path)` is called when it is not kept."""
        kept = self._arrays.get(path)
        if kept is not None:
            return kept
        array = read(path)
        array.flags.writeable = False
        with self._lock:
            # Another thread may have read the same file meanwhile.
            if path not in self._arrays and self.size_bytes + array.nbytes <= self.limit_bytes:
                self._arrays[path] = array
                self.size_bytes += array.nbytes
        return array

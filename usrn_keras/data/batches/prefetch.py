"""Prefetch results in order with threads, and cache decoded files in memory."""

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


class ByteBudget:
    """Bytes that items in flight may take together; one larger item is in flight alone. Thread-safe.

    Args:
        limit: Number of bytes.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self._taken = 0
        self._freed = threading.Condition()

    def take(self, size: int, *, wait: bool) -> bool:
        """Take bytes if they are left; returns whether it has taken them.

        Args:
            size: Number of bytes.
            wait: Whether to wait until enough of them are given back.
        """
        with self._freed:
            if wait:
                self._freed.wait_for(lambda: self._fits(size))
            elif not self._fits(size):
                return False
            self._taken += size
        return True

    def give_back(self, size: int) -> None:
        """Give bytes back that were taken."""
        with self._freed:
            self._taken -= size
            self._freed.notify_all()

    def _fits(self, size: int) -> bool:
        return not self._taken or self._taken + size <= self.limit


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    ahead: int,
    budget: ByteBudget | None = None,
    cost: Callable[[Item], int] = lambda item: 0,
) -> Iterator[Result]:
    """Compute `map(function, items)` ahead with threads.

    An error in a thread is raised at the position of its result. Closing the iterator stops the threads:
    pending items are cancelled, and running ones are awaited.

    Args:
        function: Function to call in threads; OpenCV and the decoders release the GIL.
        items: Items to call the function with.
        workers: Number of threads; with 0 the results are computed on demand.
        ahead: Largest number of results that are computed ahead.
        budget: Budget that the bytes of an item are taken from before the item is begun. The caller gives
            them back: before it asks for the next result, or in another thread, which does not wait for it.
        cost: Function that counts the bytes of an item.

    Yields:
        The results in the order of `items`.

    Example:

    >>> list(ordered_map(abs, [-1, -2, 3], workers=2, ahead=2))
    [1, 2, 3]
    """
    if workers == 0:
        for item in items:
            if budget is not None:
                budget.take(cost(item), wait=True)
            yield function(item)
        return
    # The threads of OpenCV would compete with these.
    pool = ThreadPoolExecutor(workers, "reader", initializer=cv2.setNumThreads, initargs=(0,))
    pending: deque[Future] = deque()
    remaining, waiting = iter(items), []  # the next item, if the budget has no room for it

    def submit(*, wait: bool) -> bool:
        waiting.extend(islice(remaining, not waiting))
        if not waiting or (budget is not None and not budget.take(cost(waiting[0]), wait=wait)):
            return False
        pending.append(pool.submit(function, waiting.pop()))
        return True

    try:
        while True:
            while len(pending) < ahead and submit(wait=not pending):
                pass
            if not pending:
                return
            result = pending.popleft().result()
            submit(wait=False)
            yield result
            del result  # it would be held while the next one is awaited
    finally:
        pool.shutdown(cancel_futures=True)


class ArrayCache:
    """Caches arrays that were read from files, up to a number of bytes. Thread-safe.

    Arrays are never evicted: the order changes with every epoch, so evicting the oldest array would give
    fewer hits.

    Args:
        limit_bytes: Largest total size of the cached arrays in bytes; 0 disables the cache.

    Attributes:
        size_bytes: Total size of the cached arrays in bytes.
    """

    def __init__(self, limit_bytes: int):
        self.limit_bytes = limit_bytes
        self.size_bytes = 0
        self._arrays: dict[Path, np.ndarray] = {}
        self._lock = threading.Lock()

    def get(self, path: Path, read: Callable[[Path], np.ndarray]) -> np.ndarray:
        """Get the array of a file, read-only.

        Args:
            path: Path of the file.
            read: Function that reads the file if it is not cached.
        """
        kept = self._arrays.get(path)
        if kept is not None:
            return kept
        array = read(path)
        array.flags.writeable = False
        with self._lock:
            # Another thread may have read the same file in the meantime.
            if path not in self._arrays and self.size_bytes + array.nbytes <= self.limit_bytes:
                self._arrays[path] = array
                self.size_bytes += array.nbytes
        return array

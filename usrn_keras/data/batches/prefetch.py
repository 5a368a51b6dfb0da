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


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int
) -> Iterator[Result]:
    """Compute `map(function, items)` ahead with threads.

    An error in a thread is raised at the position of its result. Closing the iterator stops the threads:
    pending items are cancelled, and running ones are awaited.

    Args:
        function: Function to call in threads; OpenCV and the decoders release the GIL.
        items: Items to call the function with.
        workers: Number of threads; with 0 the results are computed on demand.
        ahead: Largest number of results that are computed ahead.

    Yields:
        The results in the order of `items`.

    Example:

    >>> list(ordered_map(abs, [-1, -2, 3], workers=2, ahead=2))
    [1, 2, 3]
    """
    items = iter(items)
    if workers == 0:
        yield from map(function, items)
        return
    # The threads of OpenCV would compete with these.
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

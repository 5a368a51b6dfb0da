"""Decoded files kept in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np


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

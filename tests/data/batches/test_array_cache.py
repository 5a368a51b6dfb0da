from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from usrn_keras.data.batches.prefetch import ArrayCache


class Reader:
    def __init__(self):
        self.read = []

    def __call__(self, path):
        self.read.append(path)
        return np.zeros(10, np.uint8)


def test_a_file_is_read_once():
    cache, reader = ArrayCache(100), Reader()
    assert cache.get(Path("a"), reader) is cache.get(Path("a"), reader)
    assert reader.read == [Path("a")] and cache.size_bytes == 10


def test_no_more_than_the_limit_is_kept():
    cache, reader = ArrayCache(25), Reader()
    for name in "abcabc":
        cache.get(Path(name), reader)
    assert cache.size_bytes == 20
    assert [path.name for path in reader.read] == ["a", "b", "c", "c"]


def test_limit_zero_keeps_nothing():
    cache, reader = ArrayCache(0), Reader()
    cache.get(Path("a"), reader)
    cache.get(Path("a"), reader)
    assert len(reader.read) == 2 and cache.size_bytes == 0


def test_arrays_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        ArrayCache(100).get(Path("a"), Reader())[0] = 1


def test_threads_that_read_the_same_file_count_it_once():
    cache, barrier = ArrayCache(100), threading.Barrier(4)

    def read(path):
        barrier.wait(10)
        return np.zeros(10, np.uint8)

    threads = [threading.Thread(target=cache.get, args=(Path("a"), read)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.size_bytes == 10

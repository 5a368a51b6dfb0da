"""Compute a list chunk by chunk with worker processes, and keep the answers until the list is complete."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from usrn_keras.chunks.chunk_answers import ChunkAnswers
from usrn_keras.chunks.chunk_worker import Order
from usrn_keras.chunks.dask_pool import DaskPool

Item = TypeVar("Item")
USUAL_CHUNKS = 64  # of a list that is not long
MOST_ITEMS = 64  # of a chunk


@dataclass(frozen=True)
class Work:
    """What is to be computed.

    Args:
        target: Function as `module:function`, called in a worker process with `common` and the items of a
            chunk, that returns bytes.
        common: What all chunks share, picklable without a backend.
        chunks: Items of each chunk, picklable without a backend.
        key: JSON value that identifies `common`: a chunk with another key is computed again.
        files: Function that returns the files which an item is read from.
        valid: Whether an answer of an earlier call is still what it was, such as written files.
    """

    target: str
    common: Mapping[str, Any]
    chunks: Sequence[Sequence[Any]]
    key: Any
    files: Callable[[Any], Sequence[Path]]
    valid: Callable[[bytes], bool] = field(default=lambda answer: True)

    def key_of(self, number: int) -> str:
        """Identity of a chunk: its target, `key`, items, and the size and time of the files of its items."""
        facts = [[str(item), *map(_stamp, self.files(item))] for item in self.chunks[number]]
        text = json.dumps([self.target, self.key, facts], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def map_chunks(
    pool: DaskPool,
    work: Work,
    answers: ChunkAnswers,
    backend: str,
    *,
    computed: Callable[[int], None] = lambda items: None,
    keep: bool = True,
) -> Iterator[bytes]:
    """Compute the chunks that have no valid answer yet, and yield all answers in the order of the chunks.

    Args:
        pool: Worker processes.
        work: What is to be computed.
        answers: Where answers are kept. The caller clears them when it has used all.
        backend: Keras backend of the workers.
        computed: Called with the number of items of each chunk as soon as its answer is there.
        keep: Whether to keep answers that were yielded, for a caller that needs all of them.

    Raises:
        USRNError: As `DaskPool.compute` raises.
    """
    keys = [work.key_of(number) for number in range(len(work.chunks))]
    ready = {
        number
        for number, key in enumerate(keys)
        if (answer := answers.read(key)) is not None and work.valid(answer)
    }
    known = frozenset(ready)
    for number in known:
        computed(len(work.chunks[number]))
    orders = (
        (number, Order(work.target, work.common, work.chunks[number], backend))
        for number in range(len(work.chunks))
        if number not in known
    )
    arriving = pool.compute(orders)
    try:
        for place, key in enumerate(keys):
            while place not in ready:
                number, answer = next(arriving)
                answers.write(keys[number], answer)
                ready.add(number)
                computed(len(work.chunks[number]))
            yield answers.read(key)
            if not keep:
                answers.drop(key)
    finally:
        arriving.close()


def cut(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Cut a list into chunks of `size` items; the last one may be shorter.

    Example:

    >>> cut("abcde", 2)
    ['ab', 'cd', 'e']
    """
    return [items[start : start + size] for start in range(0, len(items), size)]


def chunk_size(items: int, multiple: int = 1) -> int:
    """Size of chunks that keeps many workers busy, and none for longer than minutes.

    It depends on the list alone, so that a call with other workers finds the chunks of an interrupted one.

    Args:
        items: Number of items of the list.
        multiple: Number that the size is a multiple of, such as the size of a batch.

    Example:

    >>> chunk_size(6), chunk_size(1449, multiple=4), chunk_size(1_000_000)
    (1, 24, 64)
    """
    size = min(MOST_ITEMS, max(1, -(-items // USUAL_CHUNKS)))
    return -(-size // multiple) * multiple


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of change; zeros for a file that is not there."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns

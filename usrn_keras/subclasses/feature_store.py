"""The feature store: rows of features on disk, grouped by class, that survive a killed process."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.errors import StorageError
from usrn_keras.files import storage_errors

BYTES_PER_NUMBER = 2  # float16


class FeatureStore:
    """Float16 rows in one growing raw file per class; the rows of an image lie together, a block.

        features/index.jsonl     the key of the store, then a line for each batch of images
        features/class-0.f16     rows of class 0, in the order of images, then of pixels
        features/ignored.f16     rows of ignored feature pixels that sublabel maps need

    A batch counts once its line is in the index, and the line is written after the rows have
    reached the disk. Opening a store cuts off what no line speaks for. A store of another key, or
    one with less than its index says, is deleted.

    Args:
        folder: The folder `features`; made by the first `append`.
        channels: Numbers in a row.
        classes: Number of classes C.
        key: What the features are of, any JSON; a store of another key is of no use.

    Attributes:
        counts: `(images, C + 1)` int64, rows of each image in each file; the last is `ignored.f16`.

    Example:

    >>> import tempfile
    >>> store = FeatureStore(Path(tempfile.mkdtemp()) / "features", channels=2, classes=1, key="sky")
    >>> store.append(["a"], [[np.ones((3, 2), np.float16), np.zeros((0, 2), np.float16)]])
    >>> store.rows(0).shape, store.block(0, 0), store.images
    ((3, 2), slice(0, 3, None), 1)
    """

    def __init__(self, folder: Path, *, channels: int, classes: int, key: Any):
        self.folder = folder
        self.channels = channels
        self.classes = classes
        self.key = json.dumps(key, sort_keys=True)
        self.counts = self._committed()
        with storage_errors(folder):
            if not self._recovers():
                self.counts = self.counts[:0]
                if folder.exists():
                    shutil.rmtree(folder)

    @property
    def images(self) -> int:
        """Images that are stored."""
        return len(self.counts)

    def file(self, number: int) -> Path:
        """The file of a class; number C is that of ignored feature pixels."""
        return self.folder / ("ignored.f16" if number == self.classes else f"class-{number}.f16")

    def rows(self, number: int) -> np.ndarray:
        """All rows of a file, `(rows, channels)` float16, memory-mapped."""
        shape = (int(self.counts[:, number].sum()), self.channels)
        if not shape[0]:  # an empty file cannot be mapped
            return np.zeros(shape, np.float16)
        return np.memmap(self.file(number), np.float16, "r", shape=shape)

    def block(self, image: int, number: int) -> slice:
        """The rows of an image within a file."""
        start = int(self.counts[:image, number].sum())
        return slice(start, start + int(self.counts[image, number]))

    def append(self, names: Sequence[str], blocks: Sequence[Sequence[np.ndarray]]) -> None:
        """Store a batch of images, all or none of it.

        Args:
            names: Of the images.
            blocks: Of each image its rows in each of the C + 1 files, `(rows, channels)` float16.

        Raises:
            StorageError: The disk is full; what was stored before stays.
        """
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for number, parts in enumerate(zip(*blocks, strict=True)):
                if any(map(len, parts)):
                    _append(self.file(number), *(np.ascontiguousarray(part).data for part in parts))
            counts = [[len(part) for part in image] for image in blocks]
            line = json.dumps({"images": list(names), "rows": counts})
            header = [] if self.images else [self.key]
            _append(self._index, "".join(f"{text}\n" for text in [*header, line]).encode())
        self.counts = np.concatenate([self.counts, np.array(counts, np.int64)])

    @property
    def _index(self) -> Path:
        return self.folder / "index.jsonl"

    def _lines(self) -> list[str]:
        """The whole lines of the index."""
        text = self._index.read_text(encoding="utf-8") if self._index.exists() else ""
        return text.split("\n")[:-1]  # behind the last line end is nothing, or a torn line

    def _committed(self) -> np.ndarray:
        lines = self._lines()
        known = lines[1:] if lines and lines[0] == self.key else []
        counts = [image for line in known for image in json.loads(line)["rows"]]
        return np.array(counts, np.int64).reshape(-1, self.classes + 1)

    def _recovers(self) -> bool:
        """Cut all files to what the index says; False where there is less, or nothing of use."""
        if not self.images:
            return False
        wanted = {self._index: sum(len(line.encode()) + 1 for line in self._lines())}
        for number, rows in enumerate(self.counts.sum(axis=0)):
            wanted[self.file(number)] = int(rows) * self.channels * BYTES_PER_NUMBER
        sizes = {path: path.stat().st_size if path.exists() else 0 for path in wanted}
        if any(sizes[path] < size for path, size in wanted.items()):
            return False
        for path, size in wanted.items():
            if sizes[path] > size:
                os.truncate(path, size)
        return True


def check_space(folder: Path, rows: int, channels: int, stored: int) -> str:
    """What a store of `rows` rows needs, in words.

    Args:
        folder: Where it will be.
        rows: Rows in all.
        channels: Numbers in a row.
        stored: Rows of them that are on disk already.

    Raises:
        StorageError: The disk has less free than the rows that are missing need.
    """
    need = rows * channels * BYTES_PER_NUMBER
    missing = need - stored * channels * BYTES_PER_NUMBER
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if missing > free:
        raise StorageError(
            f"the features need {in_words(missing)} in {folder}, {in_words(free)} are free",
            hint="Free space, use another folder, or keep fewer: subclasses.rows_per_image is the most "
            "feature pixels of a class kept of one image (sublabel maps stay complete).",
        )
    return in_words(need)


def in_words(size: int) -> str:
    """A number of bytes in decimal units.

    Example:

    >>> in_words(512), in_words(24_600_000_000)
    ('512 bytes', '24.6 GB')
    """
    if size < 1000:
        return f"{size} bytes"
    power = min(4, next(power for power in range(1, 9) if size < 999.95 * 1000**power))
    return f"{size / 1000**power:.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def _append(path: Path, *parts: bytes | memoryview) -> None:
    with open(path, "ab") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())

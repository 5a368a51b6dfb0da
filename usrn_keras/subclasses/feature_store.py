"""The feature store: rows of features on disk, grouped by class, safe against a killed process."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.errors import StorageError
from usrn_keras.files import damage_reported, storage_errors

BYTES_PER_NUMBER = 2  # float16


class FeatureStore:
    """Float16 rows in one growing raw file per class. The rows of an image form a contiguous block.

        features/index.jsonl     key of the store, then one line per batch of images
        features/class-0.f16     rows of class 0, in the order of images, then of pixels
        features/ignored.f16     rows of ignored feature pixels that sublabel maps need

    A batch is complete when its line is in the index. The line is written after the rows have been flushed to
    disk. Opening a store truncates rows without a line in the index. A store with another key, or with fewer
    rows than its index lists, is deleted.

    Args:
        folder: Folder `features`, created by the first `append`.
        channels: Number of channels of a row.
        classes: Number of classes C.
        key: Identity of the features, any JSON value. A store with another key is deleted.

    Attributes:
        counts: Number of rows of each image in each file, `(images, C + 1)` int64. The last column is
            `ignored.f16`.

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
        self._set_counts(self._committed())
        with storage_errors(folder):
            if not self._truncate_to_index():
                self._set_counts(self.counts[:0])
                if folder.exists():
                    shutil.rmtree(folder)

    @property
    def counts(self) -> np.ndarray:
        if len(self._parts) > 1:
            self._set_counts(np.concatenate(self._parts))
        return self._parts[0]

    @property
    def images(self) -> int:
        """Number of stored images."""
        return self._images

    def file(self, number: int) -> Path:
        """File of a class; number C is the file of ignored feature pixels."""
        return self.folder / ("ignored.f16" if number == self.classes else f"class-{number}.f16")

    def rows(self, number: int) -> np.ndarray:
        """Read all rows of a file, `(rows, channels)` float16, memory-mapped."""
        shape = (int(self.counts[:, number].sum()), self.channels)
        if not shape[0]:  # an empty file cannot be mapped
            return np.zeros(shape, np.float16)
        return np.memmap(self.file(number), np.float16, "r", shape=shape)

    def block(self, image: int, number: int) -> slice:
        """Rows of an image within a file, as a slice."""
        counts = self.counts
        if self._stops is None:  # once for all images
            self._stops = counts.cumsum(axis=0)
        stop = int(self._stops[image, number])
        return slice(stop - int(counts[image, number]), stop)

    def append(self, names: Sequence[str], blocks: Sequence[Sequence[np.ndarray]]) -> None:
        """Store a batch of images atomically.

        Args:
            names: Names of the images.
            blocks: Rows of each image for each of the C + 1 files, `(rows, channels)` float16.

        Raises:
            StorageError: The disk is full. Complete batches are kept.
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
        # Joined when they are read: a copy for every batch would take time that grows with the square.
        self._parts.append(np.array(counts, np.int64))
        self._images += len(counts)
        self._stops = None

    def _set_counts(self, counts: np.ndarray) -> None:
        self._parts, self._images, self._stops = [counts], len(counts), None

    @property
    def _index(self) -> Path:
        return self.folder / "index.jsonl"

    def _lines(self) -> list[str]:
        """Complete lines of the index."""
        text = self._index.read_text(encoding="utf-8") if self._index.exists() else ""
        return text.split("\n")[:-1]  # the text after the last line end is empty or an incomplete line

    def _committed(self) -> np.ndarray:
        lines = self._lines()
        known = lines[1:] if lines and lines[0] == self.key else []
        with damage_reported(self._index):
            counts = [image for line in known for image in json.loads(line)["rows"]]
            return np.array(counts, np.int64).reshape(-1, self.classes + 1)

    def _truncate_to_index(self) -> bool:
        """Truncate all files to their sizes in the index; False if one is too short or the store is empty."""
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
    """Check the free disk space for a store.

    Args:
        folder: Folder of the store.
        rows: Total number of rows.
        channels: Number of channels of a row.
        stored: Number of rows on disk already.

    Returns:
        The size of the store as text.

    Raises:
        StorageError: The free space is less than the missing rows need.
    """
    need = rows * channels * BYTES_PER_NUMBER
    missing = need - stored * channels * BYTES_PER_NUMBER
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if missing > free:
        raise StorageError(
            f"the features need {format_bytes(missing)} in {folder}, {format_bytes(free)} are free",
            hint="Free disk space, use another folder, or store fewer features: "
            "subclasses.rows_per_image limits the feature pixels of a class per image "
            "(sublabel maps stay complete).",
        )
    return format_bytes(need)


def format_bytes(size: int) -> str:
    """Format a number of bytes in decimal units.

    Example:

    >>> format_bytes(512), format_bytes(24_600_000_000)
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

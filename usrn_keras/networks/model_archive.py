"""What a `.keras` file may contain, checked before it is unpacked and before its weights are read."""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py

from usrn_keras.errors import WeightsError

WEIGHTS = "model.weights.h5"
LARGEST = {"config.json": 16 * 2**20, "metadata.json": 2**20, WEIGHTS: 8 * 2**30}
"""Members of a model, each with its largest size in bytes."""

SMALL, RATIO = 64 * 2**20, 4
"""What takes more than `SMALL` bytes must not be more than `RATIO` times as large as in the file: Keras does
not compress weights, and floating point numbers hardly shrink."""


def check_members(path: Path | str) -> None:
    """Check names and sizes of the members of a `.keras` file before any of them is unpacked.

    Args:
        path: Path of the file.

    Raises:
        WeightsError: There are other members than those of a model, or one is of excessive size.
        OSError, zipfile.BadZipFile: The file cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if sorted(member.filename for member in members) != sorted(LARGEST):
        shown = ", ".join(sorted(member.filename for member in members)[:5]) or "nothing"
        raise WeightsError(f"it must contain {', '.join(LARGEST)} and nothing else, but contains {shown}")
    for member in members:
        name, size, packed = member.filename, member.file_size, member.compress_size
        if size > LARGEST[name] or _is_blown_up(size, packed):
            raise WeightsError(f"{name} would take {size:,} bytes unpacked, and has {packed:,} in the file")


def check_weights(path: Path | str) -> None:
    """Check the arrays of a `.weights.h5` file before they are read.

    Args:
        path: Path of the file.

    Raises:
        WeightsError: An array is in another file, or all of them take far more memory than the file.
        OSError: The file cannot be read.
    """
    with h5py.File(path, "r") as weights:
        total = _bytes_below(weights)
    if _is_blown_up(total, Path(path).stat().st_size):
        raise WeightsError(f"its weights would take {total:,} bytes, far more than the file has")


def _bytes_below(group: h5py.Group) -> int:
    total = 0
    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
            raise WeightsError(f"{group.name}/{name} links to another file")
        item = group[name]
        if isinstance(item, h5py.Group):
            total += _bytes_below(item)
        elif item.external or item.is_virtual:
            raise WeightsError(f"{item.name} is stored in another file")
        else:
            total += item.nbytes
    return total


def _is_blown_up(size: int, packed: int) -> bool:
    return size > SMALL and size > RATIO * packed

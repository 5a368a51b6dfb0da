"""A data set: named samples in four lists, and the meaning of their masks; and a list of its errors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.data.decoding.content_hashes import content_hash
from usrn_keras.errors import DataError
from usrn_keras.recipe.bands import Bands

SHOWN = 20


class ErrorList:
    """Errors of a data set, one line each. The raised error lists the first 20 and counts the others.

    Example:

    >>> errors = ErrorList()
    >>> errors.raise_if_any("the data set `x` cannot be used")   # no error was added
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._notes: list[str] = []

    def add(self, line: str) -> None:
        """Add one error."""
        self._lines.append(line)

    def note(self, line: str) -> None:
        """Add a note, which raises no error."""
        self._notes.append(line)

    @property
    def notes(self) -> tuple[str, ...]:
        """All notes."""
        return tuple(self._notes)

    @property
    def lines(self) -> tuple[str, ...]:
        """All errors."""
        return tuple(self._lines)

    def raise_if_any(self, message: str, *, hint: str = "") -> None:
        """Raise a `DataError` with all errors, if there are any.

        Args:
            message: Message of the error.
            hint: Next step for the user.
        """
        if not self._lines:
            return
        shown = self._lines[:SHOWN]
        if len(self._lines) > SHOWN:
            shown.append(f"and {len(self._lines) - SHOWN} more")
        raise DataError(message, errors=shown, hint=hint)


PARTS = ("labelled", "unlabelled", "val", "test")  # names of the lists of a data set


@dataclass(frozen=True)
class Sample:
    """One image and its masks.

    Args:
        name: Unique name in its data set, such as `0001TP_006690` or `aachen/aachen_000000_000019`.
        image: Path of the image file.
        mask: Path of the file of class ids, or None.
        sublabels: Path of the file of subclass ids, or None before the subclasses are built.
        value_range: Values of a 16-bit image that become 0 and 255; None keeps the upper eight bits.
        bands: Bands of the image to read; None for red, green and blue.
    """

    name: str
    image: Path
    mask: Path | None = None
    sublabels: Path | None = None
    value_range: tuple[int, int] | None = None
    bands: Bands | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """Lists of samples and the meaning of their masks.

    Args:
        name: Name of the data set, for tables.
        classes: Class names by id.
        palette: Colour of each class, `(classes, 3)` uint8.
        labelled: Training samples, all with masks.
        unlabelled: Training samples whose masks are never used in training. Existing masks are listed
            nevertheless, for the Oracle, which trains on all masks.
        val, test: Samples with masks for evaluation; `test` may be empty.
        ignore_index: Label of pixels without a class, in the masks that `read_mask` returns.
        id_map: Class id or `ignore_index` by mask value, -1 for a value that is not allowed, `(values,)`
            int32; None if masks contain class ids.
        colour_map: Rows of red, green, blue and class id or `ignore_index`, `(colours, 4)` int32; None if
            masks contain no colours.
        mask_threshold: Largest grey value of class 0 in masks of two classes; None for other masks.
    """

    name: str
    classes: tuple[str, ...]
    palette: np.ndarray
    labelled: tuple[Sample, ...]
    unlabelled: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...] = ()
    ignore_index: int = 255
    id_map: np.ndarray | None = None
    colour_map: np.ndarray | None = None
    mask_threshold: int | None = None

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def fingerprint(self) -> str:
        """Compute a hash of the names in each list, 16 hexadecimal digits.

        It identifies the split: two results are comparable only if their fingerprints are equal.
        """
        names = {part: [sample.name for sample in getattr(self, part)] for part in PARTS}
        return _hash(names)

    def contents(self, part: str) -> str:
        """Compute a hash of the meaning of masks and of each file, hexadecimal digits.

        Of labelled images and their masks the contents are hashed, of other files the sizes: the same names
        with other images or corrected masks usually change the size of compressed files. A copy of the files
        gives the same hash. Masks of unlabelled images are excluded, because training does not use them.

        Args:
            part: Name of a list, such as `labelled`.
        """
        return self._hash_of_files(part, content_hash) if part == "labelled" else self.sizes(part)

    def sizes(self, part: str) -> str:
        """Compute the hash that `contents` of the first versions was: of the sizes of all files.

        Args:
            part: Name of a list, such as `labelled`.
        """
        return self._hash_of_files(part, _bytes)

    def _hash_of_files(self, part: str, fact: Callable[[Path], int | str | None]) -> str:
        maps = [None if found is None else found.tolist() for found in (self.id_map, self.colour_map)]
        samples, masked = getattr(self, part), part != "unlabelled"
        files = [(fact(one.image), fact(one.mask) if masked and one.mask else 0) for one in samples]
        # Only what is set, so that the hash of other data sets is that of the first versions.
        bands = {(*one.bands.names, *one.bands.numbers) for one in samples if one.bands}
        more = [self.mask_threshold, *{one.value_range for one in samples}, *bands]
        more = [value for value in more if value is not None]
        return _hash([self.ignore_index, maps, files, *([more] if more else [])])


def _bytes(file: Path) -> int | None:
    return file.stat().st_size if file.exists() else None


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]

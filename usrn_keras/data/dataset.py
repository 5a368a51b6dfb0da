"""What a data set is once it is found on disk: named samples in four lists; and the list of its problems."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.errors import DataError

SHOWN = 20


class Faults:
    """What is wrong with a data set, one line each; the error names the first 20 and counts the rest.

    Example:

    >>> faults = Faults()
    >>> faults.raise_if_any("the data set `x` cannot be used")   # nothing was added: passes
    """

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Add one fault."""
        self._lines.append(line)

    @property
    def lines(self) -> tuple[str, ...]:
        """Every fault."""
        return tuple(self._lines)

    def raise_if_any(self, message: str, *, hint: str = "") -> None:
        """Raise a `DataError` that holds all faults, or return when there are none."""
        if not self._lines:
            return
        shown = self._lines[:SHOWN]
        if len(self._lines) > SHOWN:
            shown.append(f"and {len(self._lines) - SHOWN} more")
        raise DataError(message, faults=shown, hint=hint)


PARTS = ("labelled", "unlabelled", "val", "test")  # the lists of a data set


@dataclass(frozen=True)
class Sample:
    """One image and what belongs to it.

    Args:
        name: Unique within its data set, such as `0001TP_006690` or `aachen/aachen_000000_000019`.
        image: The image file.
        mask: The file of its class ids; None where there is none.
        sublabels: The file of its subclass ids, once subclasses were made.
    """

    name: str
    image: Path
    mask: Path | None = None
    sublabels: Path | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """Lists of samples and the meaning of their masks.

    Args:
        name: Name of the data set, for tables.
        classes: Class names by id.
        palette: `(classes, 3)` uint8, a colour for each class.
        labelled: Training samples, all with masks.
        unlabelled: Training samples whose masks are never used in training. Masks that exist are
            named all the same, since the Oracle, trained on everything, needs them.
        val, test: Samples with masks to measure on; `test` may be empty.
        ignore_index: Label of pixels without a class, in masks as `read_mask` gives them.
        id_map: `(values,)` int32, class id or `ignore_index` by mask value, -1 for a value that is not
            allowed; None where masks hold class ids already.
        colour_map: `(colours, 4)` int32, rows of red, green, blue and class id or `ignore_index`; None
            where masks hold no colours.
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

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def fingerprint(self) -> str:
        """Hash of the names in each list, 16 hexadecimal digits.

        Two figures are comparable only where this is the same: it names the split.
        """
        names = {part: [sample.name for sample in getattr(self, part)] for part in PARTS}
        return _hash(names)

    def contents(self, part: str) -> str:
        """Hash of what the masks of a list mean and of the size in bytes of each file, 16 hexadecimal digits.

        The same names with other images or corrected masks give another one, as a rule: what is compressed
        hardly keeps its size. A copy of the files elsewhere gives the same. Masks of unlabelled images, which
        nothing learns from, do not count.
        """
        maps = [None if found is None else found.tolist() for found in (self.id_map, self.colour_map)]
        masked = part != "unlabelled"
        files = [(_bytes(one.image), _bytes(one.mask) if masked else 0) for one in getattr(self, part)]
        return _hash([self.ignore_index, maps, files])


def _bytes(file: Path | None) -> int | None:
    return file.stat().st_size if file and file.exists() else None


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]

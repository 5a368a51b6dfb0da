"""Decoding and checking of sublabel files: the subclass of every pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from usrn_keras.data.files.raw_mask import read_raw
from usrn_keras.errors import DataError

IGNORED_SUBLABEL = -1
MAX_SUBLABELS = 65535  # ids of 16 bits without the largest, which means ignored

_NO_CLASS = -2  # equal to no label


def read_sublabels(path: Path | str) -> np.ndarray:
    """A sublabel file as subclass ids, `(height, width)` int32, -1 where a pixel is to be ignored.

    In the file, ignored pixels have the largest value: 255 with 8 bits, 65535 with 16 bits.
    """
    ids = read_raw(path).values
    if ids.ndim != 2:
        raise DataError(f"{path} holds colours, a sublabel file must hold one subclass id per pixel")
    ignored = ids == np.iinfo(ids.dtype).max
    ids = ids.astype(np.int32)
    ids[ignored] = IGNORED_SUBLABEL
    return ids


def check_sublabels(
    path: Path, sublabels: np.ndarray, labels: np.ndarray, parents: np.ndarray, ignore_index: int
) -> None:
    """Raise a `DataError` unless every sublabel is a subclass of the label of its pixel.

    Args:
        path: The sublabel file, for the message.
        sublabels: `(height, width)` int32, -1 where ignored.
        labels: `(height, width)` class ids.
        parents: `(subclasses,)` class of each subclass.
        ignore_index: The label of pixels without a class.
    """
    table = np.full(MAX_SUBLABELS + 1, _NO_CLASS, np.int32)
    table[: len(parents)] = parents
    table[IGNORED_SUBLABEL] = ignore_index  # the last entry
    wrong = np.count_nonzero(table[sublabels] != labels)
    if wrong:
        raise DataError(
            f"{path}: {wrong} of {labels.size} pixels hold no subclass (0 to {len(parents) - 1}) "
            "of their label",
            hint="The file is damaged, or the masks have changed since it was made: "
            "delete the folder 2-subclasses of the run and run the same command again.",
        )

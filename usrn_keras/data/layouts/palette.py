"""Colours of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from usrn_keras.data.faults import Faults
from usrn_keras.data.layouts.text import read_lines
from usrn_keras.errors import DataError


def voc_palette(num_classes: int) -> np.ndarray:
    """The PASCAL VOC colour map, `(num_classes, 3)` uint8: distinct colours for up to 2**24 classes.

    The bits of a class id, three by three, become the highest bits of red, green and blue.
    """
    ids = np.arange(num_classes)
    palette = np.zeros((num_classes, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return palette


def read_palette(path: Path, num_classes: int, faults: Faults) -> np.ndarray:
    """The colours in a text file with a line `RED GREEN BLUE` (0 to 255) for each class.

    Empty lines and lines that start with `#` are skipped. `voc_palette` takes the place of a wrong file.
    """
    try:
        lines = enumerate(read_lines(path), 1)
    except DataError as error:
        faults.add(error.message)
        return voc_palette(num_classes)
    numbered = [(number, line.split()) for number, line in lines if line and not line.startswith("#")]
    rows = [row for _, row in numbered]
    wrong = [number for number, row in numbered if not _is_colour(row)]
    for number in wrong:
        faults.add(f"{path}, line {number}: a colour is three whole numbers from 0 to 255, `RED GREEN BLUE`")
    if len(rows) != num_classes:
        faults.add(f"{path} has {len(rows)} colours for {num_classes} classes")
    if wrong or len(rows) != num_classes:
        return voc_palette(num_classes)
    return np.array([[int(value) for value in row] for row in rows], np.uint8)


def _is_colour(row: list[str]) -> bool:
    return len(row) == 3 and all(value.isascii() and value.isdigit() and int(value) <= 255 for value in row)

"""The meaning of mask values: class ids, values of a table, or colours; and the palettes of classes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.file_index import read_lines
from usrn_keras.errors import DataError
from usrn_keras.recipe.schema import DataSection

UNKNOWN = 65534  # unknown colour in the lookup table, above every class id
SHOWN = 10
_BLURRED = 50  # more unknown colours than this are due to interpolation or lossy compression


def map_colours(path: Path | str, colours: np.ndarray, colour_map: np.ndarray) -> np.ndarray:
    """Convert a mask in colours to class ids.

    Args:
        path: Path of the mask, for the message.
        colours: RGB colours `(height, width, 3)` uint8.
        colour_map: Rows of red, green, blue and class id, `(colours, 4)` int32.

    Returns:
        `(height, width)` uint8, or uint16 if an id requires it.

    Raises:
        DataError: Colours are not in the map; the message lists up to 10, the most frequent first.

    Example:

    >>> red_is_1 = np.array([[0, 0, 0, 0], [255, 0, 0, 1]], np.int32)
    >>> map_colours("mask.png", np.array([[[255, 0, 0], [0, 0, 0]]], np.uint8), red_is_1)
    array([[1, 0]], dtype=uint8)
    """
    packed = pack(colours)
    ids = _table(colour_map.astype(np.int32).tobytes())[packed]
    unknown = ids == UNKNOWN
    if unknown.any():
        raise _unknown_colours(path, packed[unknown], colour_map)
    return ids.astype(np.uint8 if colour_map[:, 3].max() < 256 else np.uint16)


def pack(colours: np.ndarray) -> np.ndarray:
    """Pack RGB colours `(..., 3)` uint8 to `RED * 65536 + GREEN * 256 + BLUE`, `(...)` uint32.

    Example:

    >>> pack(np.array([[255, 128, 0]], np.uint8))
    array([16744448], dtype=uint32)
    """
    # OpenCV adds a fourth byte many times faster than NumPy sums three channels.
    four = cv2.cvtColor(np.ascontiguousarray(colours).reshape(1, -1, 3), cv2.COLOR_RGB2BGRA)
    return four.view("<u4").reshape(colours.shape[:-1]) & 0xFFFFFF


def unpack(values: np.ndarray) -> np.ndarray:
    """Apply the inverse of `pack`, `(..., 3)` uint8."""
    values = np.asarray(values, np.int64)
    return np.stack([values >> 16, values >> 8 & 255, values & 255], axis=-1).astype(np.uint8)


def rgb_text(value: int) -> str:
    """Format a packed colour, such as `128 64 128`."""
    return f"{value >> 16} {value >> 8 & 255} {value & 255}"


@functools.lru_cache(maxsize=2)
def _table(rows: bytes) -> np.ndarray:
    """Build the table of class ids by packed colour: 32 MiB, of which a mask reads a few cache lines."""
    colour_map = np.frombuffer(rows, np.int32).reshape(-1, 4)
    table = np.full(2**24, UNKNOWN, np.uint16)
    table[pack(colour_map[:, :3].astype(np.uint8))] = colour_map[:, 3]
    return table


def _unknown_colours(path: Path | str, packed: np.ndarray, colour_map: np.ndarray) -> DataError:
    found, counts = np.unique(packed, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:SHOWN]
    named = ", ".join(f"{rgb_text(found[i])} ({counts[i]} pixels)" for i in order)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    allowed = ", ".join(f"{r} {g} {b} = {class_id}" for r, g, b, class_id in colour_map[: 3 * SHOWN])
    hint = (
        f"Allowed are {allowed}{', ...' if len(colour_map) > 3 * SHOWN else ''}: "
        "complete palette.txt (a line per class) or data.ignore_colours, or correct the mask."
    )
    if len(found) > _BLURRED:
        hint += " This many colours indicate an interpolated or JPEG-compressed mask: create the mask again."
    return DataError(f"{path} contains colours of no class: {named}{more}", hint=hint)


def voc_palette(num_classes: int) -> np.ndarray:
    """Build the PASCAL VOC colour map with distinct colours for up to 2**24 classes.

    Each group of three bits of a class id gives one bit of red, green and blue, the lowest group the highest
    bits.

    Args:
        num_classes: Number of classes.

    Returns:
        `(num_classes, 3)` uint8.
    """
    ids = np.arange(num_classes)
    palette = np.zeros((num_classes, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return palette


def read_palette(path: Path, num_classes: int, errors: ErrorList) -> np.ndarray:
    """Read a text file with a line `RED GREEN BLUE` (0 to 255) for each class.

    Empty lines and lines that start with `#` are skipped.

    Args:
        path: Path of the file.
        num_classes: Number of classes.
        errors: Receives the errors.

    Returns:
        `(num_classes, 3)` uint8; after an error the colours of `voc_palette`.
    """
    try:
        lines = enumerate(read_lines(path), 1)
    except DataError as error:
        errors.add(error.message)
        return voc_palette(num_classes)
    numbered = [(number, line.split()) for number, line in lines if line and not line.startswith("#")]
    rows = [row for _, row in numbered]
    wrong = [number for number, row in numbered if not _is_colour(row)]
    for number in wrong:
        errors.add(f"{path}, line {number}: a colour must be three integers from 0 to 255, `RED GREEN BLUE`")
    if len(rows) != num_classes:
        errors.add(f"{path} has {len(rows)} colours for {num_classes} classes")
    if wrong or len(rows) != num_classes:
        return voc_palette(num_classes)
    return np.array([[int(value) for value in row] for row in rows], np.uint8)


def _is_colour(row: list[str]) -> bool:
    return len(row) == 3 and all(value.isascii() and value.isdigit() and int(value) <= 255 for value in row)


MAX_CLASSES = 65534


@dataclass(frozen=True, eq=False)
class MaskValues:
    """The fields of `Dataset` that define the meaning of mask values."""

    ignore_index: int
    id_map: np.ndarray | None = None
    colour_map: np.ndarray | None = None


def internal_ignore_index(num_classes: int) -> int:
    """Label of pixels without a class in converted masks: 255 unless that is a class."""
    return 255 if num_classes <= 255 else 65535


def mask_values(data: DataSection, classes: tuple[str, ...], errors: ErrorList) -> MaskValues:
    """Derive the meaning of mask values from `data.mask_ids` and `data.ignore_index`."""
    if data.mask_ids and len(data.mask_ids) != len(classes):
        errors.add(
            f"data.mask_ids has {len(data.mask_ids)} values for {len(classes)} classes: set one for each"
        )
    if data.mask_ids:
        return _by_value(data.mask_ids, data.ignore_index, len(classes))
    if data.ignore_index < 0:
        return _by_value(range(len(classes)), data.ignore_index, len(classes))
    if data.ignore_index < len(classes):
        errors.add(
            f"data.ignore_index = {data.ignore_index} is the id of class `{classes[data.ignore_index]}`: "
            f"choose a value of at least {len(classes)}, -1 if every pixel has a class, or list the mask "
            "value of each class in data.mask_ids"
        )
    return MaskValues(data.ignore_index)


def colour_values(
    palette: np.ndarray, ignore_colours: list[list[int]], classes: tuple[str, ...], errors: ErrorList
) -> MaskValues:
    """Derive the meaning of masks in colours.

    Args:
        palette: Colour of each class, `(classes, 3)` uint8.
        ignore_colours: Colours of pixels without a class.
        classes: Class names.
        errors: Receives the errors.
    """
    ignore_index = internal_ignore_index(len(classes))
    owner: dict[tuple[int, ...], str] = {}
    for name, colour in zip(classes, palette.tolist(), strict=False):
        before = owner.setdefault(tuple(colour), name)
        if before != name:
            errors.add(
                f"the classes `{before}` and `{name}` have the same colour {_text(colour)} in palette.txt"
            )
    for colour in ignore_colours:
        if tuple(colour) in owner:
            errors.add(
                f"data.ignore_colours: {_text(colour)} is the colour of class `{owner[tuple(colour)]}`"
            )
    rows = [(*colour, class_id) for class_id, colour in enumerate(palette.tolist())]
    rows += [(*colour, ignore_index) for colour in ignore_colours if len(colour) == 3]
    return MaskValues(ignore_index, colour_map=np.array(rows, np.int32).reshape(-1, 4))


def _by_value(values: Sequence[int], ignored: int, num_classes: int) -> MaskValues:
    """Build a table of all possible mask values, so that no value equals `ignore_index` by accident."""
    ignore_index = internal_ignore_index(num_classes)
    fits_8_bits = max(ignore_index, ignored, *values, 0) < 256
    id_map = np.full(256 if fits_8_bits else 65536, -1, np.int32)
    if ignored >= 0:
        id_map[ignored] = ignore_index
    for class_id, value in enumerate(values[:num_classes]):
        id_map[value] = class_id
    return MaskValues(ignore_index, id_map)


def _text(colour: Sequence[int]) -> str:
    return " ".join(map(str, colour))

"""Read masks as class ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from usrn_keras.data.dataset import Sample
from usrn_keras.data.decoding.images import IMAGE_SUFFIXES
from usrn_keras.data.decoding.mask_files import RawMask, read_raw
from usrn_keras.data.mask_values import map_colours
from usrn_keras.data.sample_images import read_sample_image
from usrn_keras.errors import DataError

__all__ = [
    "MASK_SUFFIXES",
    "MaskRules",
    "RawMask",
    "Rules",
    "check_size",
    "read_mask",
    "read_raw",
    "read_sample",
]

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")
LOSSY_SUFFIXES = tuple(suffix for suffix in IMAGE_SUFFIXES if suffix not in MASK_SUFFIXES)


class MaskRules(Protocol):
    """The meaning of mask values. Every `Dataset` implements it."""

    num_classes: int | None
    ignore_index: int
    id_map: np.ndarray | None
    colour_map: np.ndarray | None
    mask_threshold: int | None


@dataclass(frozen=True, eq=False)
class Rules:
    """`MaskRules` without a data set.

    Args:
        num_classes: Number of classes; None skips the check of ids.
        ignore_index: Label of pixels without a class.
        id_map: Class id by mask value, -1 for a value that is not allowed, `(values,)`; None if masks contain
            class ids.
        colour_map: Rows of red, green, blue and class id, `(colours, 4)`; None if masks contain no colours.
        mask_threshold: Largest grey value of class 0 in masks of two classes; None for other masks.
    """

    num_classes: int | None = None
    ignore_index: int = 255
    id_map: np.ndarray | None = None
    colour_map: np.ndarray | None = None
    mask_threshold: int | None = None


def read_mask(path: Path | str, rules: MaskRules) -> np.ndarray:
    """Read a mask file as class ids.

    The values of a palette file are its indices, or with a `colour_map` its colours.

    Args:
        path: Path of a mask in a lossless format: PNG, BMP, TIFF or GIF; with a `mask_threshold` also of a
            JPEG or WebP.
        rules: Meaning of the values: a `Dataset` or `Rules`.

    Returns:
        `(height, width)` uint8 or uint16.

    Raises:
        DataError: The file is missing or damaged, contains colours instead of ids or ids instead of colours,
            or contains ids or colours that belong to no class.
    """
    if rules.mask_threshold is not None:
        return apply_threshold(path, read_raw(path, lossy=True), rules.mask_threshold)
    raw = read_raw(path)
    if rules.colour_map is not None:
        return map_colours(path, _colours(path, raw), rules.colour_map)
    ids = _ids(path, raw)
    if rules.id_map is None and rules.num_classes is None:
        return ids
    table = _class_by_value(rules, _values(ids))
    _validate_ids(path, ids, table, rules)
    if rules.id_map is None:
        return ids
    return _look_up(ids, table.astype(np.uint8 if rules.ignore_index < 256 else np.uint16))


COLOURED = 48  # difference of red, green and blue above which a pixel is not grey
MOST_COLOURED = 0.01  # share of the pixels


def apply_threshold(path: Path | str, raw: RawMask, threshold: int) -> np.ndarray:
    """Convert a black-and-white mask with values between, such as a JPEG, to class ids.

    Args:
        path: Path of the mask, for the message.
        raw: Values of the mask.
        threshold: Largest grey value of class 0.

    Returns:
        `(height, width)` uint8, 1 above the threshold and 0 at or below it.

    Raises:
        DataError: The mask contains colours.

    Example:

    >>> apply_threshold("a.jpg", RawMask(np.array([[3, 127, 250]], np.uint8), None, "L"), 127)
    array([[0, 0, 1]], dtype=uint8)
    """
    values = raw.values if raw.palette is None else _colours(path, raw)
    if values.ndim == 3:
        spread = values.max(axis=-1) - values.min(axis=-1)
        if np.count_nonzero(spread > COLOURED) > MOST_COLOURED * spread.size:
            raise DataError(
                f"{path} contains colours ({raw.mode}), but data.mask_threshold is for black-and-white masks",
                hint="Write the mask as PNG from its original source.",
            )
        values = cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)
    return (values > threshold).astype(np.uint8)


def read_sample(sample: Sample, rules: MaskRules) -> tuple[np.ndarray, np.ndarray]:
    """Read the image and the mask of a sample.

    Args:
        sample: Sample with a mask.
        rules: Meaning of the mask values: a `Dataset` or `Rules`.

    Returns:
        Image `(height, width, bands)` uint8 and class ids `(height, width)`.

    Raises:
        DataError: A file cannot be read, or the mask and the image differ in size.
    """
    if sample.mask is None:
        raise DataError(f"{sample.image} has no mask")
    image = read_sample_image(sample)
    mask = read_mask(sample.mask, rules)
    check_size(sample.image, image.shape[:2], sample.mask, mask.shape)
    return image, mask


def check_size(
    image_path: Path, image_size: tuple[int, int], mask_path: Path, mask_size: tuple[int, int]
) -> None:
    """Check that a mask has the height and width of its image.

    Args:
        image_path: Path of the image, for the message.
        image_size: Height and width of the image.
        mask_path: Path of the mask, for the message.
        mask_size: Height and width of the mask.

    Raises:
        DataError: The sizes differ.
    """
    if mask_size == image_size:
        return
    (height, width), (mask_height, mask_width) = image_size, mask_size
    swapped = (mask_height, mask_width) == (width, height)
    raise DataError(
        f"{mask_path} is {mask_width}x{mask_height} pixels, its image {image_path} is {width}x{height}",
        hint="The image may carry an EXIF rotation that the mask lacks: rotate the mask."
        if swapped
        else "A mask must have exactly the width and height of its image.",
    )


def _colours(path: Path | str, raw: RawMask) -> np.ndarray:
    """Get the colours of a mask, `(height, width, 3)` uint8."""
    if raw.values.ndim == 3:
        return raw.values
    if raw.palette is None:
        raise DataError(
            f"{path} contains grey values ({raw.mode}), but data.mask_format = 'colours' expects RGB colours",
            hint="Set data.mask_format = 'ids' if the grey values are class ids.",
        )
    table = np.zeros((256, 3), np.uint8)
    table[: len(raw.palette)] = raw.palette
    return table[raw.values]


def _ids(path: Path | str, raw: RawMask) -> np.ndarray:
    if raw.values.ndim == 3:
        raise DataError(
            f"{path} contains colours ({raw.mode}), but data.mask_format = 'ids' expects class ids",
            hint="Set data.mask_format = 'colours' and write the colour of each class to palette.txt, or "
            "convert the masks to palette or grey PNG whose values are the class ids.",
        )
    return raw.values


def _class_by_value(rules: MaskRules, values: int) -> np.ndarray:
    """Class id or `ignore_index` by mask value, `(values,)` int32; -1 for values that are not allowed."""
    table = np.full(values, -1, np.int32)
    if rules.ignore_index < values:
        table[rules.ignore_index] = rules.ignore_index
    known = np.arange(rules.num_classes) if rules.id_map is None else rules.id_map
    known = known[:values]
    table[: len(known)] = known
    return table


def _values(ids: np.ndarray) -> int:
    return int(np.iinfo(ids.dtype).max) + 1


def _look_up(ids: np.ndarray, table: np.ndarray) -> np.ndarray:
    # The lookup of OpenCV is many times faster than that of NumPy, but limited to 8 bits.
    return cv2.LUT(ids, table) if ids.dtype == np.uint8 else table[ids]


def _validate_ids(path: Path | str, ids: np.ndarray, table: np.ndarray, rules: MaskRules) -> None:
    wrong = _look_up(ids, (table < 0).astype(np.uint8))
    if not wrong.any():
        return
    outside = np.unique(ids[wrong != 0])
    named = ", ".join(map(str, outside[:10])) + (", ..." if len(outside) > 10 else "")
    if rules.id_map is None:
        known = f"the {rules.num_classes} classes"
        allowed = f"0 to {rules.num_classes - 1} and ignore_index {rules.ignore_index}"
    else:
        known = f"the {np.count_nonzero(rules.id_map >= 0)} ids of the data set"
        allowed = _ranges(np.flatnonzero(rules.id_map >= 0))
    raise DataError(
        f"{path} contains ids outside {known}: {named}",
        hint=f"Allowed are {allowed}; correct the mask, data.classes, data.mask_ids or data.ignore_index. "
        "`usrn data check` lists all such masks.",
    )


def _ranges(values: np.ndarray) -> str:
    """Format sorted values as ranges, such as `0 to 18, 255`."""
    starts = np.flatnonzero(np.diff(values, prepend=-2) > 1)
    runs = np.split(values, starts[1:])
    named = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return ", ".join(named[:20]) + (", ..." if len(named) > 20 else "")

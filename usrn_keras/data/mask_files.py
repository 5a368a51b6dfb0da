"""Read the raw values of mask files and of sublabel files.

OpenCV converts palette files to colours and stretches grey files of less than eight bits, so Pillow reads
these files.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from usrn_keras.data.decode import (
    JPEG_SIGNATURE,
    PILLOW_ERRORS,
    PNG_SIGNATURE,
    check_pixels,
    decode,
    open_with_pillow,
    read_bytes,
    unreadable_error,
)
from usrn_keras.errors import DataError

_GREY = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
# PNG files that OpenCV reads without changes, by bits and colour type: the mode and the flags.
_EXACT_PNG = {
    (8, 0): ("L", _GREY),
    (16, 0): ("I;16", _GREY),
    (8, 2): ("RGB", cv2.IMREAD_COLOR_RGB),
    (8, 6): ("RGBA", cv2.IMREAD_COLOR_RGB),
}
_PNG_GREY = 0


@dataclass(frozen=True, eq=False)
class RawMask:
    """The values of a mask file, without transparency, after its EXIF rotation.

    Args:
        values: Grey values or palette indices `(height, width)` uint8 or uint16, or RGB colours
            `(height, width, 3)` uint8.
        palette: Colours of the indices, `(colours, 3)` uint8; None without a palette.
        mode: Mode of the file in Pillow: `1`, `L`, `I;16`, `P`, `RGB`, `RGBA`, ...
    """

    values: np.ndarray
    palette: np.ndarray | None
    mode: str


def read_raw(path: Path | str) -> RawMask:
    """Read the raw values of a mask file: grey values of 1 to 16 bits, palette indices, or colours.

    Args:
        path: Path of a PNG, BMP, TIFF or GIF file.

    Raises:
        DataError: The file is missing or damaged, has a lossy format (JPEG, WebP), contains neither integers
            of 16 bits nor RGB colours, or has more than `MAX_PIXELS`.

    Example:

    >>> read_raw("mask.png").values.shape   # doctest: +SKIP
    (360, 480)
    """
    data = read_bytes(path)
    start = data[:26].tobytes()
    if start.startswith((JPEG_SIGNATURE, b"RIFF")):
        raise DataError(
            f"{path} is a JPEG or WebP file: these formats change the values of a mask",
            hint="Write the masks as PNG from their original source.",
        )
    if start.startswith(PNG_SIGNATURE) and len(start) == 26 and (start[24], start[25]) in _EXACT_PNG:
        mode, flags = _EXACT_PNG[start[24], start[25]]
        return RawMask(decode(path, data, flags), None, mode)
    return _read_with_pillow(path, data)


def _read_with_pillow(path: Path | str, data: np.ndarray) -> RawMask:
    opened = open_with_pillow(path, io.BytesIO(data))
    width, height = opened.size
    check_pixels(path, height, width)
    try:
        mask = ImageOps.exif_transpose(opened)
    except PILLOW_ERRORS as error:
        raise unreadable_error(path, error) from error
    if mask.mode in ("P", "PA"):
        palette = np.array(mask.getpalette("RGB"), np.uint8).reshape(-1, 3)
        return RawMask(np.asarray(mask.getchannel(0)), palette, opened.mode)
    return RawMask(_values(path, mask, data), None, opened.mode)


def _values(path: Path | str, mask: Image.Image, data: np.ndarray) -> np.ndarray:
    if mask.mode == "1":
        return np.asarray(mask).astype(np.uint8)
    if mask.mode == "L":
        return _undo_stretching(np.asarray(mask), data)
    if mask.mode in ("RGB", "RGBA", "RGBX"):
        return np.ascontiguousarray(np.asarray(mask)[..., :3])
    if mask.mode == "LA" and not _has_16_bits(data):
        return np.asarray(mask.getchannel(0))
    if mask.mode.startswith("I"):
        values = np.asarray(mask)
        if values.min() >= 0 and values.max() <= np.iinfo(np.uint16).max:
            return values.astype(np.uint16)
    raise DataError(
        f"{path} cannot be a mask: it has values of the mode {mask.mode}",
        hint="A mask has integers from 0 to 65535, palette indices, or RGB colours of 8 bits.",
    )


def _undo_stretching(ids: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Undo the stretching of grey PNG values of 2 or 4 bits to 0..255 by Pillow."""
    header = data[:26].tobytes()
    if header.startswith(PNG_SIGNATURE) and header[25] == _PNG_GREY:
        return ids // (255 // (2 ** header[24] - 1))
    return ids


def _has_16_bits(data: np.ndarray) -> bool:
    """Whether a PNG has 16 bits: Pillow reduces grey with transparency to its upper eight bits."""
    return data[:8].tobytes() == PNG_SIGNATURE and int(data[24]) == 16


IGNORED_SUBLABEL = -1
MAX_SUBLABELS = 65535  # number of ids of 16 bits without the largest, which means ignored

_NO_CLASS = -2  # differs from every label


def read_sublabels(path: Path | str) -> np.ndarray:
    """Read a sublabel file.

    Args:
        path: Path of the file, in which ignored pixels have the largest value: 255 with 8 bits, 65535 with
            16 bits.

    Returns:
        Subclass ids `(height, width)` int32, -1 where a pixel is ignored.

    Raises:
        DataError: The file cannot be read, or contains colours.
    """
    ids = read_raw(path).values
    if ids.ndim != 2:
        raise DataError(f"{path} contains colours; a sublabel file must have one subclass id per pixel")
    ignored = ids == np.iinfo(ids.dtype).max
    ids = ids.astype(np.int32)
    ids[ignored] = IGNORED_SUBLABEL
    return ids


def check_sublabels(
    path: Path, sublabels: np.ndarray, labels: np.ndarray, parents: np.ndarray, ignore_index: int
) -> None:
    """Check that every sublabel is a subclass of the label of its pixel.

    Args:
        path: Path of the sublabel file, for the message.
        sublabels: Subclass ids `(height, width)` int32, -1 where ignored.
        labels: Class ids `(height, width)`.
        parents: Class of each subclass, `(subclasses,)`.
        ignore_index: Label of pixels without a class.

    Raises:
        DataError: A sublabel does not belong to the label.
    """
    table = np.full(MAX_SUBLABELS + 1, _NO_CLASS, np.int32)
    table[: len(parents)] = parents
    table[IGNORED_SUBLABEL] = ignore_index  # the last entry
    wrong = np.count_nonzero(table[sublabels] != labels)
    if wrong:
        raise DataError(
            f"{path}: the value of {wrong} of {labels.size} pixels is not a subclass "
            f"(0 to {len(parents) - 1}) of their label",
            hint="The file is damaged, or the masks have changed since it was written: "
            "delete the folder 2-subclasses of the run and run the same command again.",
        )

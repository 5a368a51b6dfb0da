"""Read the raw values of mask files and of sublabel files.

OpenCV converts palette files to colours and stretches grey files of less than eight bits, so Pillow reads
these files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from usrn_keras.data.decoding.decode import decode, decode_with_pillow, read_bytes
from usrn_keras.data.decoding.file_facts import FileFacts, read_facts
from usrn_keras.data.decoding.jpeg_files import decode_jpeg, read_jpeg_header
from usrn_keras.data.decoding.orientation import turn
from usrn_keras.data.decoding.png_files import PNG_SIGNATURE, pixels_only
from usrn_keras.data.decoding.tiff_strips import check_strips
from usrn_keras.errors import DataError

LOSSY_FORMATS = ("JPEG", "WebP")
_GREY = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
# PNG files that OpenCV reads without changes, by bits and bands: the mode and the flags.
_EXACT_PNG = {
    (8, 1): ("L", _GREY),
    (16, 1): ("I;16", _GREY),
    (8, 3): ("RGB", cv2.IMREAD_COLOR_RGB),
    (8, 4): ("RGBA", cv2.IMREAD_COLOR_RGB),
}


@dataclass(frozen=True, eq=False)
class RawMask:
    """The values of a mask file, without transparency, after its orientation.

    Args:
        values: Grey values or palette indices `(height, width)` uint8 or uint16, or RGB colours
            `(height, width, 3)` uint8.
        palette: Colours of the indices, `(colours, 3)` uint8; None without a palette.
        mode: Mode of the file in Pillow: `1`, `L`, `I;16`, `P`, `RGB`, `RGBA`, ...
        lossy: Whether the compression has changed the values (JPEG, WebP).
    """

    values: np.ndarray
    palette: np.ndarray | None
    mode: str
    lossy: bool = False


def read_raw(path: Path | str, *, lossy: bool = False) -> RawMask:
    """Read the raw values of a mask file: grey values of 1 to 16 bits, palette indices, or colours.

    Args:
        path: Path of a PNG, BMP, TIFF or GIF file.
        lossy: Whether JPEG and WebP files are read as well, whose values are near those of the mask.

    Raises:
        DataError: The file is missing or damaged, has a lossy format (JPEG, WebP) without `lossy`, contains
            neither integers of 16 bits nor RGB colours, or has more than `MAX_PIXELS`.

    Example:

    >>> read_raw("mask.png").values.shape   # doctest: +SKIP
    (360, 480)
    """
    data = read_bytes(path)
    facts = read_facts(path, data)
    if facts.format in LOSSY_FORMATS:
        if not lossy:
            raise DataError(
                f"{path} is a JPEG or WebP file: these formats change the values of a mask",
                hint="Write the masks as PNG from their original source. For masks of two classes, black and "
                "white, data.mask_threshold = 127 reads them.",
            )
        return RawMask(turn(_read_lossy(path, data, facts), facts.turn), None, "RGB", lossy=True)
    if facts.format == "PNG":
        data = pixels_only(path, data)
    if facts.format == "TIFF":
        check_strips(path, data)
    if facts.format == "PNG" and not facts.palette and (facts.bits, facts.bands) in _EXACT_PNG:
        mode, flags = _EXACT_PNG[facts.bits, facts.bands]
        return RawMask(turn(decode(path, data, flags), facts.turn), None, mode)
    if facts.kind == "float" and facts.bands == 1:  # Pillow reads only some of them
        return RawMask(_whole_numbers(path, decode(path, data, cv2.IMREAD_UNCHANGED), facts), None, "F")
    return _read_with_pillow(path, data, facts)


def _read_lossy(path: Path | str, data: np.ndarray, facts: FileFacts) -> np.ndarray:
    if facts.format == "JPEG":
        return decode_jpeg(path, data, read_jpeg_header(path, data))
    return decode(path, data, cv2.IMREAD_COLOR_RGB)


def _read_with_pillow(path: Path | str, data: np.ndarray, facts: FileFacts) -> RawMask:
    mask = decode_with_pillow(path, data, facts.format)
    if mask.mode in ("P", "PA"):
        palette = np.array(mask.getpalette("RGB"), np.uint8).reshape(-1, 3)
        return RawMask(turn(np.asarray(mask.getchannel(0)), facts.turn), palette, mask.mode)
    return RawMask(turn(_values(path, mask, data, facts), facts.turn), None, mask.mode)


def _values(path: Path | str, mask: Image.Image, data: np.ndarray, facts: FileFacts) -> np.ndarray:
    if mask.mode == "1":
        return np.asarray(mask).astype(np.uint8)
    if mask.mode == "L":
        return _undo_stretching(np.asarray(mask), data, facts)
    if mask.mode in ("RGB", "RGBA", "RGBX"):
        return np.ascontiguousarray(np.asarray(mask)[..., :3])
    if mask.mode == "LA" and facts.bits != 16:  # Pillow reduces 16 bits to the upper eight
        return np.asarray(mask.getchannel(0))
    if mask.mode.startswith("I"):
        return _whole_numbers(path, np.asarray(mask), facts)
    raise _no_ids(path, facts)


def _whole_numbers(path: Path | str, values: np.ndarray, facts: FileFacts) -> np.ndarray:
    """Convert integers, or floating point with whole numbers, to uint16."""
    whole = values.dtype.kind in "iu" or (np.isfinite(values).all() and (values == np.floor(values)).all())
    if not whole or values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise _no_ids(path, facts)
    return values.astype(np.uint16)


def _no_ids(path: Path | str, facts: FileFacts) -> DataError:
    return DataError(
        f"{path} cannot be a mask: it is a {facts} whose values are no ids",
        hint="A mask has integers from 0 to 65535 (floating point only with whole numbers), palette indices, "
        "or RGB colours of 8 bits.",
    )


def _undo_stretching(ids: np.ndarray, data: np.ndarray, facts: FileFacts) -> np.ndarray:
    """Undo the stretching of grey PNG values of 2 or 4 bits to 0..255 by Pillow."""
    if data[:8].tobytes() == PNG_SIGNATURE:
        return ids // (255 // (2**facts.bits - 1))
    return ids


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

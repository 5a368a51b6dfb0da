"""What a mask file stores: raw values before anybody says what they mean, or the subclass of every pixel.

OpenCV turns palette files into colours and stretches grey files of less than eight bits. Pillow reads those.
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
    unreadable,
)
from usrn_keras.errors import DataError

_GREY = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
# PNG files that OpenCV reads unchanged, by bits and colour type: the mode and how to read it.
_EXACT_PNG = {
    (8, 0): ("L", _GREY),
    (16, 0): ("I;16", _GREY),
    (8, 2): ("RGB", cv2.IMREAD_COLOR_RGB),
    (8, 6): ("RGBA", cv2.IMREAD_COLOR_RGB),
}
_PNG_GREY = 0


@dataclass(frozen=True, eq=False)
class RawMask:
    """The values in a mask file, without transparency, after its EXIF rotation.

    Args:
        values: `(height, width)` uint8 or uint16 for grey values and palette indices, `(height, width, 3)`
            uint8 for RGB colours.
        palette: `(colours, 3)` uint8, the colours of the indices; None where there is no palette.
        mode: How the file stores them, in Pillow's words: `1`, `L`, `I;16`, `P`, `RGB`, `RGBA`, ...
    """

    values: np.ndarray
    palette: np.ndarray | None
    mode: str


def read_raw(path: Path | str) -> RawMask:
    """What a mask file stores: grey values of 1 to 16 bits, palette indices, or colours.

    Args:
        path: PNG, BMP, TIFF or GIF.

    Raises:
        DataError: the file is missing, damaged, of a kind that loses values (JPEG, WebP), holds neither
            whole numbers of 16 bits nor RGB, or has more than `MAX_PIXELS`.

    Example:

    >>> read_raw("mask.png").values.shape   # doctest: +SKIP
    (360, 480)
    """
    data = read_bytes(path)
    start = data[:26].tobytes()
    if start.startswith((JPEG_SIGNATURE, b"RIFF")):
        raise DataError(
            f"{path} is a JPEG or WebP file: these change the values of a mask",
            hint="Write the masks anew as PNG, from what the file was made of.",
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
        raise unreadable(path, error) from error
    if mask.mode in ("P", "PA"):
        palette = np.array(mask.getpalette("RGB"), np.uint8).reshape(-1, 3)
        return RawMask(np.asarray(mask.getchannel(0)), palette, opened.mode)
    return RawMask(_values(path, mask, data), None, opened.mode)


def _values(path: Path | str, mask: Image.Image, data: np.ndarray) -> np.ndarray:
    if mask.mode == "1":
        return np.asarray(mask).astype(np.uint8)
    if mask.mode == "L":
        return _unstretch(np.asarray(mask), data)
    if mask.mode in ("RGB", "RGBA", "RGBX"):
        return np.ascontiguousarray(np.asarray(mask)[..., :3])
    if mask.mode == "LA" and not _has_16_bits(data):
        return np.asarray(mask.getchannel(0))
    if mask.mode.startswith("I"):
        values = np.asarray(mask)
        if values.min() >= 0 and values.max() <= np.iinfo(np.uint16).max:
            return values.astype(np.uint16)
    raise DataError(
        f"{path} cannot be a mask: it holds values of the mode {mask.mode}",
        hint="A mask holds whole numbers from 0 to 65535, palette indices, or RGB colours of 8 bits.",
    )


def _unstretch(ids: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Undo Pillow's widening of grey PNG values of 2 or 4 bits to 0..255."""
    header = data[:26].tobytes()
    if header.startswith(PNG_SIGNATURE) and header[25] == _PNG_GREY:
        return ids // (255 // (2 ** header[24] - 1))
    return ids


def _has_16_bits(data: np.ndarray) -> bool:
    """Whether Pillow cut a grey PNG with transparency to its upper eight bits."""
    return data[:8].tobytes() == PNG_SIGNATURE and int(data[24]) == 16


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

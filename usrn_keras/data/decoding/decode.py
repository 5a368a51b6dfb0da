"""Decode the bytes of a file to an array, with a size limit and one type of error for all problems.

OpenCV decodes because it is the fastest. Pillow reads formats that OpenCV would change.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import BmpImagePlugin, GifImagePlugin, PngImagePlugin, TiffImagePlugin
from PIL.Image import DecompressionBombError, Image

from usrn_keras.data.decoding.decoder_messages import captured_messages, note_messages
from usrn_keras.data.decoding.unreadable import empty_error, unreadable_error
from usrn_keras.errors import DataError
from usrn_keras.memory_errors import ran_out_of_memory

MAX_PIXELS = 2**28  # 805 MB as RGB; a file of a few kilobytes may declare far more

# `Image.open` of Pillow accepts 40 formats, and warns at its own size limit.
_FORMATS = {
    "PNG": PngImagePlugin.PngImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
# Errors that Pillow raises for damaged files, depending on the format.
PILLOW_ERRORS = (
    *(OSError, SyntaxError, ValueError, KeyError, IndexError, TypeError, OverflowError, EOFError),
    *(AttributeError, NotImplementedError, ZeroDivisionError, struct.error, zlib.error),
    *(DecompressionBombError, Warning),  # for frames larger than declared; if warnings are errors
)

# OpenCV would log problems of damaged files that the error reports already. OpenCV 5 has moved the function.
_set_log_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel
_set_log_level(0)  # silent


class ImageSizeError(DataError):
    """An image has more pixels than are read."""


def read_bytes(path: Path | str) -> np.ndarray:
    """Read the bytes of a file, `(size,)` uint8.

    Raises:
        DataError: The file is missing, empty or not readable.
    """
    validate_regular_file(path)
    try:
        data = np.fromfile(path, np.uint8)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise unreadable_error(path, error) from error
    if not data.size:
        raise empty_error(path)
    return data


def validate_regular_file(path: Path | str) -> None:
    """Check that an existing path is a regular file: reading a named pipe, for example, would never end.

    Raises:
        DataError: The path exists and is not a regular file.
    """
    if not os.path.isfile(path) and os.path.exists(path):
        raise unreadable_error(path, "it is not a regular file")


def decode(path: Path | str, data: np.ndarray, flags: int) -> np.ndarray:
    """Decode the bytes of a file with OpenCV, without turning the pixels (except of TIFF).

    Args:
        path: Path of the file, for messages.
        data: Bytes of the file, `(size,)` uint8.
        flags: Flags of `cv2.imdecode`.

    Raises:
        DataError: The file is damaged or truncated.
    """
    try:
        array = cv2.imdecode(data, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        if ran_out_of_memory(error):
            raise
        raise unreadable_error(path, error.err) from error
    if array is None:
        raise unreadable_error(path)
    return array


def decode_with_pillow(path: Path | str, data: np.ndarray, format: str) -> Image:
    """Decode the first picture of a PNG, BMP, GIF or TIFF with Pillow.

    Args:
        path: Path of the file, for messages.
        data: Bytes of the file, `(size,)` uint8.
        format: Format of the file.

    Raises:
        DataError: The file is damaged or truncated.
    """
    listens = captured_messages() if format == "TIFF" else contextlib.nullcontext([])
    with listens as lines:  # libtiff writes to stderr
        try:
            image = _FORMATS[format](io.BytesIO(data))
            width, height = image.size
            check_pixels(path, height, width)
            image.load()
            failure = None
        except PILLOW_ERRORS as error:
            failure = error
    if failure is not None:
        raise unreadable_error(path, "; ".join(lines[:3]) or failure) from failure
    note_messages(lines)
    return image


def check_pixels(path: Path | str, height: int, width: int) -> None:
    """Check the size of an image before it is decoded.

    Raises:
        ImageSizeError: The image has more than `MAX_PIXELS`.
    """
    if height * width > MAX_PIXELS:
        raise ImageSizeError(
            f"{path} has {width}x{height} pixels according to its header; the limit is {MAX_PIXELS} pixels "
            "(2**28)",
            hint="Cut the image into tiles, or remove it from the lists.",
        )

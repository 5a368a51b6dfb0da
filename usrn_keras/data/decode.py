"""Decode the bytes of a file to an array, with a size limit and one type of error for all problems.

OpenCV decodes because it is the fastest. Pillow reads formats that OpenCV would change, and headers.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.Image import DecompressionBombError, Image

from usrn_keras.errors import DataError

MAX_PIXELS = 2**28  # 805 MB as RGB; a file of a few kilobytes may declare far more

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
# `Image.open` of Pillow accepts 40 formats, and warns at its own size limit.
_FORMATS = (
    (PNG_SIGNATURE, PngImagePlugin.PngImageFile),
    (JPEG_SIGNATURE, JpegImagePlugin.JpegImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"GIF8", GifImagePlugin.GifImageFile),
    (b"II*\0", TiffImagePlugin.TiffImageFile),
    (b"MM\0*", TiffImagePlugin.TiffImageFile),
    (b"II+\0", TiffImagePlugin.TiffImageFile),
    (b"MM\0+", TiffImagePlugin.TiffImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
)
# Errors that Pillow raises for damaged files, depending on the format.
PILLOW_ERRORS = (
    *(OSError, SyntaxError, ValueError, KeyError, IndexError, TypeError, OverflowError, EOFError),
    *(AttributeError, NotImplementedError, ZeroDivisionError, struct.error, zlib.error),
    *(DecompressionBombError, Warning),  # for frames larger than declared; if warnings are errors
)
_LAST_BYTES = ((JPEG_SIGNATURE, b"\xff\xd9"), (PNG_SIGNATURE, b"IEND\xaeB`\x82"))
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # segments that contain the size

# OpenCV would log problems of damaged files that the error reports already. OpenCV 5 has moved the function.
_set_log_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel
_set_log_level(0)  # silent


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
        raise _empty(path)
    return data


def validate_regular_file(path: Path | str) -> None:
    """Check that an existing path is a regular file: reading a named pipe, for example, would never end.

    Raises:
        DataError: The path exists and is not a regular file.
    """
    if not os.path.isfile(path) and os.path.exists(path):
        raise unreadable_error(path, "it is not a regular file")


def decode(path: Path | str, data: np.ndarray, flags: int) -> np.ndarray:
    """Decode the bytes of a file with OpenCV.

    Args:
        path: Path of the file, for messages.
        data: Bytes of the file, `(size,)` uint8.
        flags: Flags of `cv2.imdecode`.

    Raises:
        DataError: The file is not an image, damaged, truncated, or has more than `MAX_PIXELS`.
    """
    height, width = stored_size(path, data)
    check_pixels(path, height, width)
    _validate_end(path, data)
    try:
        array = cv2.imdecode(data, flags)
    except cv2.error as error:
        raise unreadable_error(path, error.err) from error
    if array is None:
        raise unreadable_error(path)
    return array


def open_with_pillow(path: Path | str, file: io.BufferedIOBase) -> Image:
    """Open a file with Pillow without decoding it."""
    start = file.read(8)
    file.seek(0)
    if not start:
        raise _empty(path)
    for signature, kind in _FORMATS:
        if start.startswith(signature):
            try:
                return kind(file)
            except PILLOW_ERRORS as error:
                raise unreadable_error(path, error) from error
    raise unreadable_error(path)


def stored_size(path: Path | str, data: np.ndarray) -> tuple[int, int]:
    """Read the height and width in the header of a file, before its EXIF rotation."""
    start = data[:24].tobytes()
    if start.startswith(PNG_SIGNATURE) and len(start) == 24:
        return int.from_bytes(start[20:]), int.from_bytes(start[16:20])
    if start.startswith(JPEG_SIGNATURE):
        return _jpeg_size(path, data)
    width, height = open_with_pillow(path, io.BytesIO(data)).size
    return height, width


def check_pixels(path: Path | str, height: int, width: int) -> None:
    """Check the size of an image before it is decoded.

    Raises:
        DataError: The image has more than `MAX_PIXELS`.
    """
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{path} has {width}x{height} pixels according to its header; the limit is {MAX_PIXELS} pixels "
            "(2**28)",
            hint="Cut the image into tiles, or remove it from the lists.",
        )


def unreadable_error(path: Path | str, reason: object = "") -> DataError:
    """Create the error for a file that cannot be decoded."""
    reason = f": {reason}" if reason else ""
    return DataError(
        f"{path} cannot be read as an image{reason}", hint="Copy the file again, or remove it from the lists."
    )


def _empty(path: Path | str) -> DataError:
    return DataError(f"{path} is empty", hint="Copy the file again, or remove it from the lists.")


def _jpeg_size(path: Path | str, data: np.ndarray) -> tuple[int, int]:
    frame = _jpeg_frame(path, data)
    height, width = data[frame + 5 : frame + 9].view(">u2")
    return int(height), int(width)


def _jpeg_frame(path: Path | str, data: np.ndarray) -> int:
    """Find the start of the frame, after comments, EXIF and tables."""
    view, position = memoryview(data), 2
    while position + 9 <= len(view):
        marker, length = view[position + 1], view[position + 2] << 8 | view[position + 3]
        if view[position] != 0xFF:
            break
        if marker in _JPEG_FRAMES:
            return position
        # A marker may be preceded by any number of fill bytes.
        position += 1 if marker == 0xFF else 2 + length
    raise unreadable_error(path, "it has no JPEG frame")


def _validate_end(path: Path | str, data: np.ndarray) -> None:
    """Check that a JPEG or PNG is not truncated: decoders fill the rest with grey, or write to stderr."""
    for signature, end in _LAST_BYTES:
        if data[: len(signature)].tobytes() != signature or data[-len(end) :].tobytes() == end:
            continue
        # Cameras and tools append data, so the end marker may not be the last bytes. A JPEG may contain the
        # end marker of its thumbnail before the frame.
        first = _jpeg_frame(path, data) if signature == JPEG_SIGNATURE else 0
        if end not in data[first:].tobytes():
            raise unreadable_error(path, "it is truncated, its end is missing")

"""From the bytes of a file to an array, with a limit on the size and one error for whatever is wrong.

OpenCV decodes, being the fastest. Pillow reads what OpenCV would change, and what only the header tells.
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

MAX_PIXELS = 2**28  # 805 MB as RGB; a file of a few kilobytes can hold far more

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
# Pillow's `Image.open` would take any of 40 formats, and has a limit of its own that warns.
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
# What Pillow raises for a damaged file, by format.
PILLOW_ERRORS = (
    *(OSError, SyntaxError, ValueError, KeyError, IndexError, TypeError, OverflowError, EOFError),
    *(AttributeError, NotImplementedError, ZeroDivisionError, struct.error, zlib.error),
    *(DecompressionBombError, Warning),  # of frames larger than the file says; where warnings are errors
)
_LAST_BYTES = ((JPEG_SIGNATURE, b"\xff\xd9"), (PNG_SIGNATURE, b"IEND\xaeB`\x82"))
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the segments that hold the size

cv2.utils.logging.setLogLevel(
    cv2.utils.logging.LOG_LEVEL_SILENT
)  # what OpenCV would log of a damaged file is in the error


def read_bytes(path: Path | str) -> np.ndarray:
    """The bytes of a file, `(size,)` uint8; a `DataError` where there are none."""
    refuse_special(path)
    try:
        data = np.fromfile(path, np.uint8)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise unreadable(path, error) from error
    if not data.size:
        raise _empty(path)
    return data


def refuse_special(path: Path | str) -> None:
    """Refuse what exists and is no file, such as a named pipe, whose reading would never end."""
    if not os.path.isfile(path) and os.path.exists(path):
        raise unreadable(path, "it is no file")


def decode(path: Path | str, data: np.ndarray, flags: int) -> np.ndarray:
    """What OpenCV makes of the bytes of a file; `flags` are those of `cv2.imdecode`.

    Raises:
        DataError: no image, a damaged one, one cut off, or one of more than `MAX_PIXELS`.
    """
    height, width = stored_size(path, data)
    check_pixels(path, height, width)
    _refuse_truncated(path, data)
    try:
        array = cv2.imdecode(data, flags)
    except cv2.error as error:
        raise unreadable(path, error.err) from error
    if array is None:
        raise unreadable(path)
    return array


def open_with_pillow(path: Path | str, file: io.BufferedIOBase) -> Image:
    """An opened file as Pillow sees it; nothing is decoded yet."""
    start = file.read(8)
    file.seek(0)
    if not start:
        raise _empty(path)
    for signature, kind in _FORMATS:
        if start.startswith(signature):
            try:
                return kind(file)
            except PILLOW_ERRORS as error:
                raise unreadable(path, error) from error
    raise unreadable(path)


def stored_size(path: Path | str, data: np.ndarray) -> tuple[int, int]:
    """Height and width that a file claims, before its EXIF rotation."""
    start = data[:24].tobytes()
    if start.startswith(PNG_SIGNATURE) and len(start) == 24:
        return int.from_bytes(start[20:]), int.from_bytes(start[16:20])
    if start.startswith(JPEG_SIGNATURE):
        return _jpeg_size(path, data)
    width, height = open_with_pillow(path, io.BytesIO(data)).size
    return height, width


def check_pixels(path: Path | str, height: int, width: int) -> None:
    """Refuse an image that would take absurd memory before any of it is decoded."""
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{path} says it is {width}x{height} pixels, the limit is {MAX_PIXELS} pixels (2**28)",
            hint="Cut it into tiles, or take it out of the lists.",
        )


def unreadable(path: Path | str, reason: object = "") -> DataError:
    """The error for a file that no decoder takes."""
    reason = f": {reason}" if reason else ""
    return DataError(
        f"{path} cannot be read as an image{reason}", hint="Copy the file again or take it out of the lists."
    )


def _empty(path: Path | str) -> DataError:
    return DataError(f"{path} is empty", hint="Copy the file again or take it out of the lists.")


def _jpeg_size(path: Path | str, data: np.ndarray) -> tuple[int, int]:
    frame = _jpeg_frame(path, data)
    height, width = data[frame + 5 : frame + 9].view(">u2")
    return int(height), int(width)


def _jpeg_frame(path: Path | str, data: np.ndarray) -> int:
    """Where the frame begins, behind comments, EXIF and tables."""
    view, position = memoryview(data), 2
    while position + 9 <= len(view):
        marker, length = view[position + 1], view[position + 2] << 8 | view[position + 3]
        if view[position] != 0xFF:
            break
        if marker in _JPEG_FRAMES:
            return position
        # A marker may be preceded by any number of fill bytes.
        position += 1 if marker == 0xFF else 2 + length
    raise unreadable(path, "it has no JPEG frame")


def _refuse_truncated(path: Path | str, data: np.ndarray) -> None:
    """Refuse a JPEG or PNG without its end: decoders fill the rest with grey, or write to stderr."""
    for signature, end in _LAST_BYTES:
        if data[: len(signature)].tobytes() != signature or data[-len(end) :].tobytes() == end:
            continue
        # Cameras and tools append their own data, so the end need not be the last bytes; before the frame
        # of a JPEG there may be the end of its thumbnail.
        first = _jpeg_frame(path, data) if signature == JPEG_SIGNATURE else 0
        if end not in data[first:].tobytes():
            raise unreadable(path, "it is truncated, its end is missing")

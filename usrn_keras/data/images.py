"""Decode images with their EXIF rotation, and read their size and rotation from the header."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from usrn_keras.data.decode import (
    JPEG_SIGNATURE,
    PILLOW_ERRORS,
    PNG_SIGNATURE,
    check_pixels,
    decode,
    open_with_pillow,
    read_bytes,
    stored_size,
    unreadable_error,
    validate_regular_file,
)
from usrn_keras.errors import DataError

UPRIGHT = 1
SIDEWAYS = (5, 6, 7, 8)  # orientations that swap height and width
_TAG = 0x0112


def orientation_of(image: Image.Image, file: BinaryIO) -> int:
    """Read the EXIF orientation of a file.

    Args:
        image: Image that Pillow opened from the file.
        file: Open file.

    Returns:
        Orientation 1 (upright) to 8; 1 if it is missing or damaged.
    """
    try:
        # For a PNG without EXIF before its pixels, Pillow would decode all pixels to read EXIF after them.
        trailing = image.format == "PNG" and "exif" not in image.info
        orientation = _trailing_orientation(file) if trailing else image.getexif().get(_TAG, UPRIGHT)
    except PILLOW_ERRORS:  # decoders ignore damaged EXIF too
        return UPRIGHT
    return orientation if orientation in range(1, 9) else UPRIGHT


def _trailing_orientation(file: BinaryIO) -> int:
    """Read the orientation from an EXIF chunk after the pixels of a PNG."""
    file.seek(len(PNG_SIGNATURE))
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if kind == b"eXIf":
            exif = Image.Exif()
            exif.load(file.read(length))
            return exif.get(_TAG, UPRIGHT)
        file.seek(length + 4, 1)  # the content and the checksum
    return UPRIGHT


IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


def read_image(path: Path | str, *, at_least: int = 0) -> np.ndarray:
    """Read an image file as RGB.

    Grey is converted to three equal channels, transparency is dropped, 16 bits are reduced to the upper
    eight, and the EXIF rotation is applied.

    Args:
        path: Path of a JPEG, PNG, BMP, TIFF or WebP file.
        at_least: Long side in pixels that is sufficient: the image may be reduced by 2, 4 or 8 if its long
            side stays at least this large and the factor divides both sides. A JPEG is decoded at the
            reduced size, other formats are averaged over areas. 0 reads the whole image.

    Returns:
        `(height, width, 3)` uint8.

    Raises:
        DataError: The file is missing, empty, damaged, truncated, not an image, or has more than
            `MAX_PIXELS`.
    """
    data = read_bytes(path)
    factor = _reduction(path, data, at_least) if at_least else 1
    if factor == 1:
        return decode(path, data, cv2.IMREAD_COLOR_RGB)
    if data[:3].tobytes() == JPEG_SIGNATURE:
        # The flags combine the factor of the reduction and the colour format.
        return decode(path, data, cv2.IMREAD_COLOR_RGB | _REDUCED[factor] & ~cv2.IMREAD_COLOR)
    image = decode(path, data, cv2.IMREAD_COLOR_RGB)
    height, width = (side // factor for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def image_size(path: Path | str) -> tuple[int, int]:
    """Read the height and width of `read_image(path)` from the header, without decoding the image.

    Args:
        path: Path of an image file.

    Raises:
        DataError: The file is missing, not an image, or has more than `MAX_PIXELS`.
    """
    validate_regular_file(path)
    try:
        with open(path, "rb") as file, open_with_pillow(path, file) as image:
            width, height = image.size
            check_pixels(path, height, width)
            # Pillow rotates the size of a TIFF itself.
            sideways = image.format != "TIFF" and orientation_of(image, file) in SIDEWAYS
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise unreadable_error(path, error) from error
    return (width, height) if sideways else (height, width)


def _reduction(path: Path | str, data: np.ndarray, at_least: int) -> int:
    height, width = stored_size(path, data)
    # A factor that does not divide a side would round it up, and the image would not match its mask.
    fitting = (factor for factor in (8, 4, 2) if height % factor == 0 and width % factor == 0)
    return next((factor for factor in fitting if max(height, width) >= factor * at_least), 1)

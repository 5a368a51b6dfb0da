"""Decoding of images, turned as their EXIF asks for; their size and rotation from the header alone."""

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
    refuse_special,
    stored_size,
    unreadable,
)
from usrn_keras.errors import DataError

UPRIGHT = 1
SIDEWAYS = (5, 6, 7, 8)  # orientations that exchange height and width
_TAG = 0x0112


def orientation_of(image: Image.Image, file: BinaryIO) -> int:
    """The EXIF orientation of a file, 1 (upright) to 8; 1 where it has none, or a damaged one.

    Args:
        image: What Pillow opened from the file.
        file: The file.
    """
    try:
        # Of a PNG without EXIF in front, Pillow would decode all pixels to look behind them.
        behind = image.format == "PNG" and "exif" not in image.info
        orientation = _behind_pixels(file) if behind else image.getexif().get(_TAG, UPRIGHT)
    except PILLOW_ERRORS:  # decoders pass over damaged EXIF too
        return UPRIGHT
    return orientation if orientation in range(1, 9) else UPRIGHT


def _behind_pixels(file: BinaryIO) -> int:
    file.seek(len(PNG_SIGNATURE))
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if kind == b"eXIf":
            exif = Image.Exif()
            exif.load(file.read(length))
            return exif.get(_TAG, UPRIGHT)
        file.seek(length + 4, 1)  # and the checksum
    return UPRIGHT


IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


def read_image(path: Path | str, *, at_least: int = 0) -> np.ndarray:
    """An image file as RGB, `(height, width, 3)` uint8.

    Grey becomes three equal channels, transparency is dropped, 16 bits are cut to the upper eight,
    and the rotation that EXIF asks for is carried out.

    Args:
        path: JPEG, PNG, BMP, TIFF or WebP.
        at_least: Above 0, the image may come reduced by 2, 4 or 8, as long as its long side keeps this
            many pixels and both sides can be divided: a JPEG never decodes the rest, of others areas are
            averaged. 0: the whole image.

    Raises:
        DataError: the file is missing, empty, damaged, cut off, no image, or has more than `MAX_PIXELS`.
    """
    data = read_bytes(path)
    factor = _reduction(path, data, at_least) if at_least else 1
    if factor == 1:
        return decode(path, data, cv2.IMREAD_COLOR_RGB)
    if data[:3].tobytes() == JPEG_SIGNATURE:
        # The bits of these flags say reduced by how much, and in colour.
        return decode(path, data, cv2.IMREAD_COLOR_RGB | _REDUCED[factor] & ~cv2.IMREAD_COLOR)
    image = decode(path, data, cv2.IMREAD_COLOR_RGB)
    height, width = (side // factor for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def image_size(path: Path | str) -> tuple[int, int]:
    """Height and width of `read_image(path)`, from the header alone: nothing is decoded.

    Raises:
        DataError: the file is missing, no image, or has more than `MAX_PIXELS`.
    """
    refuse_special(path)
    try:
        with open(path, "rb") as file, open_with_pillow(path, file) as image:
            width, height = image.size
            check_pixels(path, height, width)
            # Of a TIFF, Pillow has turned the size already.
            sideways = image.format != "TIFF" and orientation_of(image, file) in SIDEWAYS
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise unreadable(path, error) from error
    return (width, height) if sideways else (height, width)


def _reduction(path: Path | str, data: np.ndarray, at_least: int) -> int:
    height, width = stored_size(path, data)
    # A side that cannot be divided would be rounded up, and the image no longer lie upon its mask.
    fitting = (factor for factor in (8, 4, 2) if height % factor == 0 and width % factor == 0)
    return next((factor for factor in fitting if max(height, width) >= factor * at_least), 1)

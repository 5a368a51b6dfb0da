"""Decoding of images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from usrn_keras.data.files.decode import (
    JPEG_SIGNATURE,
    MAX_PIXELS,
    check_pixels,
    decode,
    open_with_pillow,
    read_bytes,
    refuse_special,
    stored_size,
    unreadable,
)
from usrn_keras.data.files.exif import SIDEWAYS, orientation_of
from usrn_keras.errors import DataError

__all__ = ["IMAGE_SUFFIXES", "MAX_PIXELS", "image_size", "read_image"]

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

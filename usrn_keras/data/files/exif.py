"""The rotation that a file's EXIF asks for, read without decoding its pixels."""

from __future__ import annotations

import struct
from typing import BinaryIO

from PIL import Image

from usrn_keras.data.files.decode import PILLOW_ERRORS, PNG_SIGNATURE

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

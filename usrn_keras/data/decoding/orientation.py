"""The orientation of an image: read from EXIF or XMP in one place, and applied to the decoded pixels.

No decoder turns images here: OpenCV, Pillow and others disagree on where they look for the orientation.
"""

from __future__ import annotations

import re
import struct

import cv2
import numpy as np

UPRIGHT = 1
SIDEWAYS = (5, 6, 7, 8)  # orientations that swap height and width
ORIENTATION_TAG = 0x0112
_EXIF_PREFIX = b"Exif\0\0"
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_WIDTHS = {1: "B", 3: "H", 4: "I"}  # types of numbers in EXIF: byte, short, long
_IN_XMP = re.compile(rb"tiff:Orientation\s*(?:=\s*[\"']|>)\s*(\d)")


def find_orientation(exif: bytes, xmp: bytes = b"") -> int:
    """Find the orientation in the metadata of a file.

    XMP is used where EXIF has no orientation, as in Pillow.

    Args:
        exif: EXIF block, with or without `Exif\\0\\0` before it; may be empty.
        xmp: XMP packet; may be empty.

    Returns:
        Orientation 1 (upright) to 8; 1 if it is missing, unknown or damaged.

    Example:

    >>> find_orientation(b"", b'<rdf:Description tiff:Orientation="6"/>')
    6
    """
    found = _in_exif(exif)
    if found is None:
        match = _IN_XMP.search(xmp)
        found = int(match[1]) if match else UPRIGHT
    return found if found in range(1, 9) else UPRIGHT


def turn(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror stored pixels so that they are upright.

    Args:
        array: Stored pixels, `(height, width)` or `(height, width, bands)`.
        orientation: Orientation 1 to 8 of EXIF.

    Returns:
        The pixels as they are shown, contiguous; with 5 to 8 `(width, height, ...)`.

    Example:

    >>> turn(np.array([[1, 2, 3]], np.uint8), 6).tolist()   # a quarter turn clockwise
    [[1], [2], [3]]
    """
    if orientation == UPRIGHT:
        return array
    if orientation in (5, 7):  # mirrored at a diagonal
        array = cv2.transpose(array)
        return array if orientation == 5 else cv2.rotate(array, cv2.ROTATE_180)
    if orientation in (2, 4):
        return cv2.flip(array, 1 if orientation == 2 else 0)
    turns = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
    return cv2.rotate(array, turns[orientation])


def _in_exif(exif: bytes) -> int | None:
    """Read the tag in the first directory of an EXIF block; None without it, or in a damaged block."""
    while exif.startswith(_EXIF_PREFIX):
        exif = exif[len(_EXIF_PREFIX) :]
    order = _BYTE_ORDERS.get(exif[:4])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", exif, place)
            if tag == ORIENTATION_TAG:
                return struct.unpack_from(f"{order}{_WIDTHS[kind]}", exif, place + 8)[0]
    except (struct.error, KeyError):
        return None
    return None

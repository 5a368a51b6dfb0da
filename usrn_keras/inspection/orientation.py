"""The rotation that EXIF asks for, and whether image and mask agree on it."""

from __future__ import annotations

from pathlib import Path

from usrn_keras.data.files.decode import open_with_pillow
from usrn_keras.data.files.exif import SIDEWAYS, orientation_of


def exif_orientation(path: Path) -> int:
    """The EXIF orientation of a readable file, 1 (upright) to 8; 1 where it has none that can be read."""
    with open(path, "rb") as file, open_with_pillow(path, file) as opened:
        return orientation_of(opened, file)


def turned_apart(image: Path, mask: Path) -> str:
    """How image and mask are turned, if EXIF turns them differently; else empty."""
    orientations = exif_orientation(image), exif_orientation(mask)
    if orientations[0] == orientations[1]:
        return ""
    return "EXIF orientation {} of the image, {} of the mask; 1 is upright".format(*orientations)


def perhaps_turned_apart(image: Path, mask: Path, size: tuple[int, int]) -> str:
    """The same for image and mask that are of one size all the same, where that proves nothing.

    A mask that was drawn on the turned image needs no EXIF. For a rotation by 90 degrees the size shows
    whether it was, unless it is square; for mirrored or upside-down images nothing does.
    """
    height, width = size
    if height != width and exif_orientation(image) in SIDEWAYS:
        return ""
    return turned_apart(image, mask)

"""The rotation that EXIF asks for, and whether image and mask agree on it."""

from __future__ import annotations

from pathlib import Path

from usrn_keras.data.files.decode import PILLOW_ERRORS, open_with_pillow

ORIENTATION_TAG = 0x0112
UPRIGHT = 1
TURNED_BY_90 = (5, 6, 7, 8)
# Of the others Pillow would have to decode the whole file to know.
OFTEN_TAGGED = (".jpg", ".jpeg", ".tif", ".tiff", ".webp")


def exif_orientation(path: Path) -> int:
    """The EXIF orientation of a readable file, 1 (upright) to 8; 1 where it has none that can be read."""
    try:
        with open(path, "rb") as file, open_with_pillow(path, file) as opened:
            orientation = opened.getexif().get(ORIENTATION_TAG, UPRIGHT)
    except PILLOW_ERRORS:  # damaged EXIF, which decoders pass over too
        return UPRIGHT
    return orientation if orientation in range(1, 9) else UPRIGHT


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
    if image.suffix.lower() not in OFTEN_TAGGED:
        return ""
    height, width = size
    if height != width and exif_orientation(image) in TURNED_BY_90:
        return ""
    return turned_apart(image, mask)

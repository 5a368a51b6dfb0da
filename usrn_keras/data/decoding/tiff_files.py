"""Read the tags of TIFF files that describe their pixels: size, bands, bits, type of the numbers, pages."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usrn_keras.data.decoding.orientation import ORIENTATION_TAG, UPRIGHT
from usrn_keras.data.decoding.unreadable import unreadable_error

# Byte order and whether the file is a BigTIFF, by the first bytes.
TIFF_SIGNATURES = {
    b"II*\0": ("<", False),
    b"MM\0*": (">", False),
    b"II+\0": ("<", True),
    b"MM\0+": (">", True),
}
_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q"}  # of numbers
_NUMPY = {1: "u1", 3: "u2", 4: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 16: "u8"}
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _BANDS, _FORMAT = 256, 257, 258, 262, 277, 339
_PALETTE, _CMYK = 3, 5
_EXTRA, _TRANSPARENCY = 338, (1, 2)  # what a band beyond the colours is
KINDS = {1: "unsigned", 2: "signed", 3: "float", 4: "unsigned", 5: "complex", 6: "complex"}
# Codes of the number of tags and of a position, and bytes of a tag, by whether the file is a BigTIFF.
_DIRECTORY = {False: ("H", 12, "I"), True: ("Q", 20, "Q")}
_MOST_TAGS, _MOST_PAGES = 4096, 10_000


@dataclass(frozen=True)
class TiffHeader:
    """The tags of the first page.

    Args:
        height, width: Stored size in pixels.
        bands: Number of bands.
        bits: Bits of a band.
        kind: Type of the numbers: `unsigned`, `signed`, `float` or `complex`.
        palette: Whether the numbers are indices of a palette.
        orientation: Orientation 1 to 8.
        pages: Number of pages.
        alpha: Whether the first band beyond the colours is transparency, or a fourth band the black of CMYK.
    """

    height: int
    width: int
    bands: int
    bits: int
    kind: str
    palette: bool
    orientation: int
    pages: int
    alpha: bool = False


def read_tiff_header(path: Path | str, data: np.ndarray) -> TiffHeader:
    """Read the tags of the first page, and count the pages.

    Raises:
        DataError: The tags are damaged, or the size is missing.
    """
    view = memoryview(data)
    order, big = TIFF_SIGNATURES[bytes(view[:4])]
    try:
        (start,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", view, 8 if big else 4)
        tags, after = _directory(view, start, order, big)
        height, width = tags[_HEIGHT], tags[_WIDTH]
    except (struct.error, KeyError) as error:
        raise unreadable_error(path, "its TIFF tags are damaged") from error
    orientation = tags.get(ORIENTATION_TAG, UPRIGHT)
    return TiffHeader(
        height=height,
        width=width,
        bands=tags.get(_BANDS, 1),
        bits=tags.get(_BITS, 1),
        kind=KINDS.get(tags.get(_FORMAT, 1), "unsigned"),
        palette=tags.get(_PHOTOMETRIC) == _PALETTE,
        orientation=orientation if orientation in range(1, 9) else UPRIGHT,
        pages=1 + _count_pages(view, after, order, big),
        alpha=tags.get(_EXTRA) in _TRANSPARENCY or tags.get(_PHOTOMETRIC) == _CMYK,
    )


def read_tag_numbers(data: np.ndarray) -> dict[int, np.ndarray]:
    """Read all numbers of each tag of the first page; tags that are damaged or hold no numbers are left out.

    Args:
        data: Bytes of the file, `(size,)` uint8.
    """
    view = memoryview(data)
    order, big = TIFF_SIGNATURES[bytes(view[:4])]
    count_code, entry, offset_code = _DIRECTORY[big]
    room = struct.calcsize(f"={offset_code}")
    found: dict[int, np.ndarray] = {}
    with contextlib.suppress(struct.error):  # what follows the last sound tag is left out
        (start,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", view, 8 if big else 4)
        (count,) = struct.unpack_from(f"{order}{count_code}", view, start)
        first = start + struct.calcsize(f"={count_code}")
        for place in range(first, first + entry * min(count, _MOST_TAGS), entry):
            tag, kind, number = struct.unpack_from(f"{order}HH{offset_code}", view, place)
            numbers = np.dtype(f"{order}{_NUMPY[kind]}") if kind in _NUMPY else None
            if numbers is None or not number or tag in found:
                continue
            at = place + entry - room
            if number * numbers.itemsize > room:
                (at,) = struct.unpack_from(f"{order}{offset_code}", view, at)
            if at + number * numbers.itemsize <= len(view):
                found[tag] = np.frombuffer(view, numbers, number, at)
    return found


def _directory(view: memoryview, start: int, order: str, big: bool) -> tuple[dict[int, int], int]:
    """Read the first number of each tag of a directory, and the position of the next directory."""
    count_code, entry, offset_code = _DIRECTORY[big]
    (count,) = struct.unpack_from(f"{order}{count_code}", view, start)
    position = start + struct.calcsize(f"={count_code}")
    tags: dict[int, int] = {}
    for place in range(position, position + entry * min(count, _MOST_TAGS), entry):
        tag, kind, number = struct.unpack_from(f"{order}HH{offset_code}", view, place)
        code = _TYPES.get(kind)
        if code is None or tag in tags:
            continue
        at = place + entry - struct.calcsize(f"={offset_code}")
        if number * struct.calcsize(f"={code}") > struct.calcsize(f"={offset_code}"):
            (at,) = struct.unpack_from(f"{order}{offset_code}", view, at)
        if number and at + struct.calcsize(f"={code}") <= len(view):
            (tags[tag],) = struct.unpack_from(f"{order}{code}", view, at)
    (after,) = struct.unpack_from(f"{order}{offset_code}", view, position + entry * count)
    return tags, after


def _count_pages(view: memoryview, start: int, order: str, big: bool) -> int:
    count_code, entry, offset_code = _DIRECTORY[big]
    seen: set[int] = set()
    while start and start not in seen and len(seen) < _MOST_PAGES:
        seen.add(start)
        try:  # the tags are skipped: a hostile file may have millions
            (count,) = struct.unpack_from(f"{order}{count_code}", view, start)
            after = start + struct.calcsize(f"={count_code}") + entry * count
            (start,) = struct.unpack_from(f"{order}{offset_code}", view, after)
        except struct.error:
            break
    return len(seen)

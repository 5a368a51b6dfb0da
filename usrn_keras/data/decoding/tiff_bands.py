"""Read chosen bands of TIFF files of any number of bands.

OpenCV reads no more than four bands, and converts colours. So its decoder, libtiff, is given the same
compressed data with other tags: those of one grey image for each plane, or, of interleaved bands, of a grey
image whose rows are the values of all bands.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from usrn_keras.data.decoding.decode import decode
from usrn_keras.data.decoding.tiff_files import TIFF_SIGNATURES
from usrn_keras.data.decoding.unreadable import unreadable_error
from usrn_keras.errors import DataError

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORDER = 256, 257, 258, 259, 262, 266
_STRIPS, _BANDS, _ROWS, _STRIP_BYTES, _PLANAR, _PREDICTOR = 273, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _FORMAT, _JPEG_TABLES = 322, 323, 324, 325, 339, 347
_KEPT = (_WIDTH, _HEIGHT, _COMPRESSION, _ORDER, _ROWS, _TILE_WIDTH, _TILE_HEIGHT, _FORMAT, _PREDICTOR)
_CODES = {1: "B", 2: "B", 3: "H", 4: "I", 7: "B", 16: "Q"}  # of the types of tags that are read
_GREY, _INTERLEAVED, _PLANES = 1, 1, 2
_NO_PREDICTOR, _DIFFERENCES = 1, 2
_JPEG = 7
# What they hold does not depend on the number of bands: LZW and deflate, which may have a predictor; none and
# PackBits, in which libtiff ignores it.
_PREDICTED = (5, 8, 32946)
_PLAIN = (1, 32773, *_PREDICTED)
_MOST_WIDTH, _MOST_VALUES = 2**20, 2**30  # of OpenCV

Tags = dict[int, tuple[int, tuple[int, ...]]]  # type and values of a tag by its number


def read_tiff_bands(path: Path | str, data: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """Read bands of the first page of a TIFF as they are stored, without its orientation.

    Args:
        path: Path of the file, for messages.
        data: Bytes of the file, `(size,)` uint8.
        numbers: Numbers of the bands, from 1, in the order of the result.

    Returns:
        `(height, width, bands)` uint8, uint16 or int16.

    Raises:
        DataError: The file is damaged or truncated, or its compression mixes the bands.
    """
    view = memoryview(data)
    order, big = TIFF_SIGNATURES[bytes(view[:4])]
    try:
        tags = _read_tags(view, order, big)
        height, width, bands = (_one(tags, tag) for tag in (_HEIGHT, _WIDTH, _BANDS))
        in_planes = bands > 1 and _one(tags, _PLANAR, _INTERLEAVED) == _PLANES
        _validate_parts(path, tags, len(view))
    except (struct.error, KeyError, IndexError) as error:
        raise unreadable_error(path, "its TIFF tags are damaged") from error
    _validate_compression(path, tags, in_planes=in_planes or bands == 1)
    if in_planes:
        places = [_place(tags, bands, number - 1) for number in numbers]
        planes = [_decode_grey(path, view, _plane(tags, place), order, big) for place in places]
        return _checked(path, np.stack(planes, axis=-1), (height, width, len(numbers)))
    if width * bands > _MOST_WIDTH or height * width * bands > _MOST_VALUES:
        raise DataError(
            f"{path} has {width}x{height} pixels of {bands} interleaved bands, more than are read at once",
            hint="Cut the image into tiles: `gdal_retile.py -ps 4096 4096 -targetDir tiles IN.tif`.",
        )
    rows = _decode_grey(path, view, _all_bands(tags, bands), order, big)
    values = _checked(path, rows, (height, width * bands)).reshape(height, width, bands)
    has_predictor = _one(tags, _PREDICTOR, _NO_PREDICTOR) == _DIFFERENCES
    if has_predictor and _one(tags, _COMPRESSION, 1) in _PREDICTED:
        values = _added_up(values, _one(tags, _TILE_WIDTH, width))
    return np.ascontiguousarray(values[..., [number - 1 for number in numbers]])


def _read_tags(view: memoryview, order: str, big: bool) -> Tags:
    """Read all values of the tags of the first page."""
    count_code, entry, offset_code = ("Q", 20, "Q") if big else ("H", 12, "I")
    (start,) = struct.unpack_from(f"{order}{offset_code}", view, 8 if big else 4)
    (count,) = struct.unpack_from(f"{order}{count_code}", view, start)
    position = start + struct.calcsize(f"={count_code}")
    tags: Tags = {}
    for place in range(position, position + entry * min(count, 4096), entry):
        tag, kind, number = struct.unpack_from(f"{order}HH{offset_code}", view, place)
        code = _CODES.get(kind)
        if code is None or tag in tags:
            continue
        at = place + entry - struct.calcsize(f"={offset_code}")
        if number * struct.calcsize(f"={code}") > struct.calcsize(f"={offset_code}"):
            (at,) = struct.unpack_from(f"{order}{offset_code}", view, at)
        if at + number * struct.calcsize(f"={code}") <= len(view):
            tags[tag] = kind, struct.unpack_from(f"{order}{number}{code}", view, at)
    return tags


def _one(tags: Tags, tag: int, default: int | None = None) -> int:
    if tag not in tags and default is not None:
        return default
    return tags[tag][1][0]


def _validate_parts(path: Path | str, tags: Tags, size: int) -> None:
    """Check that all compressed data are in the file: libtiff would read on in the tags that are appended."""
    places, lengths = (tags[tag][1] for tag in _part_tags(tags))
    if len(places) != len(lengths) or any(map(lambda at, n: at + n > size, places, lengths)):
        raise unreadable_error(path, "it is truncated, a part of its pixels is missing")


def _part_tags(tags: Tags) -> tuple[int, int]:
    return (_TILES, _TILE_BYTES) if _TILES in tags else (_STRIPS, _STRIP_BYTES)


def _validate_compression(path: Path | str, tags: Tags, *, in_planes: bool) -> None:
    compression, predictor = _one(tags, _COMPRESSION, 1), _one(tags, _PREDICTOR, _NO_PREDICTOR)
    readable = (*_PLAIN, _JPEG) if in_planes else _PLAIN
    if len(set(tags[_BITS][1])) > 1:
        raise DataError(f"{path} has bands of {tags[_BITS][1]} bits; bands of equal bits are read")
    if compression not in readable or predictor not in (_NO_PREDICTOR, _DIFFERENCES):
        raise DataError(
            f"{path} has the TIFF compression {compression} with predictor {predictor}, which is not read "
            "with data.bands; allowed are none, LZW, deflate and PackBits with predictor 1 or 2, and JPEG in "
            "planes",
            hint="Write it with another compression: `gdal_translate -co COMPRESS=DEFLATE IN.tif OUT.tif`.",
        )


def _place(tags: Tags, bands: int, index: int) -> slice:
    """Places of the parts of a plane in the lists of all parts."""
    count = len(tags[_part_tags(tags)[0]][1]) // bands
    return slice(index * count, (index + 1) * count)


def _plane(tags: Tags, place: slice) -> Tags:
    """Tags of a grey image of one plane."""
    parts = {tag: (tags[tag][0], tags[tag][1][place]) for tag in _part_tags(tags)}
    tables = {_JPEG_TABLES: tags[_JPEG_TABLES]} if _JPEG_TABLES in tags else {}
    return _grey(tags) | parts | tables


def _all_bands(tags: Tags, bands: int) -> Tags:
    """Tags of a grey image whose rows are the values of all bands; differences are not added up."""
    changed = _grey(tags)
    for tag in (_WIDTH, _TILE_WIDTH):
        if tag in changed:
            changed[tag] = 4, (changed[tag][1][0] * bands,)
    changed[_PREDICTOR] = 3, (_NO_PREDICTOR,)
    return changed | {tag: tags[tag] for tag in _part_tags(tags)}


def _grey(tags: Tags) -> Tags:
    same = {tag: (tags[tag][0], tags[tag][1][:1]) for tag in _KEPT if tag in tags}
    bits = {_BITS: (3, tags[_BITS][1][:1]), _BANDS: (3, (1,)), _PLANAR: (3, (_INTERLEAVED,))}
    return same | bits | {_PHOTOMETRIC: (3, (_GREY,))}


def _decode_grey(path: Path | str, view: memoryview, tags: Tags, order: str, big: bool) -> np.ndarray:
    """Decode the file with other tags, which are appended to it."""
    count_code, entry, offset_code = ("Q", 20, "Q") if big else ("H", 12, "I")
    room = struct.calcsize(f"={offset_code}")
    start = len(view) + len(view) % 2
    after = start + struct.calcsize(f"={count_code}") + entry * len(tags) + room
    entries, blocks = [struct.pack(f"{order}{count_code}", len(tags))], b""
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)
        if len(packed) > room:
            at, blocks = after + len(blocks), blocks + packed + bytes(len(packed) % 2)
            packed = struct.pack(f"{order}{offset_code}", at)
        entries.append(
            struct.pack(f"{order}HH{offset_code}", tag, kind, len(values)) + packed.ljust(room, b"\0")
        )
    pointer, at = struct.pack(f"{order}{offset_code}", start), 8 if big else 4
    parts = (view[:at], pointer, view[at + room :], bytes(len(view) % 2), *entries, bytes(room), blocks)
    changed = np.frombuffer(b"".join(parts), np.uint8)
    return decode(path, changed, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)


def _checked(path: Path | str, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if values.shape != shape:
        raise unreadable_error(path, f"its tags say the shape {shape}, it has {values.shape}")
    return values


def _added_up(values: np.ndarray, width: int) -> np.ndarray:
    """Undo horizontal differences, `(height, width, bands)`, which begin with each tile (TIFF 6.0, 14)."""
    starts = range(0, values.shape[1], width)
    parts = [np.cumsum(values[:, at : at + width], axis=1, dtype=values.dtype) for at in starts]
    return np.concatenate(parts, axis=1)

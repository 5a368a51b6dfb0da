"""Check the compressed strips or tiles of a TIFF, as far as their compression allows.

OpenCV leaves what it cannot decode as it is, without an error. Deflate has a checksum for each strip; JPEG
strips are decoded strictly; LZW and PackBits are decoded a second time by Pillow, which reports strips that
end early or have impossible codes. Uncompressed TIFFs have nothing to check.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import TiffImagePlugin

from usrn_keras.data.decoding.decoder_messages import captured_messages, note_messages
from usrn_keras.data.decoding.tiff_files import read_tag_numbers
from usrn_keras.data.decoding.unreadable import unreadable_error

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _BANDS, _JPEG_TABLES = 256, 257, 258, 259, 277, 347
_OFFSETS, _COUNTS = (273, 324), (279, 325)  # of strips, of tiles
_DEFLATE, _JPEG, _WITHOUT_CHECKS = (8, 32946), 7, (5, 32773)  # LZW and PackBits
# Compressions that OpenCV does not read.
_UNREAD = {34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 34887: "LERC", 34712: "JPEG 2000", 6: "old JPEG"}
_PART = 2**20  # bytes that are decompressed at a time
_SPARE = 2  # times the pixels of the image: tiles extend beyond its borders
# What libtiff says of a strip, or Pillow of a file that ends in one.
_STRIP_ERROR = re.compile(r"(LZW|PackBits)Decode|code not|[Cc]orrupt|truncated")
_DAMAGE = ("Corrupt JPEG data", "Premature end", "extraneous bytes", "Invalid", "Bogus", "Huffman")


def check_strips(path: Path | str, data: np.ndarray) -> None:
    """Check the strips or tiles of the first page.

    Args:
        path: Path of the file, for messages.
        data: Bytes of the file, `(size,)` uint8.

    Raises:
        DataError: A compressed strip is damaged.
    """
    tags = read_tag_numbers(data)
    compression = _first(tags, _COMPRESSION, 1)
    if compression in _DEFLATE:
        _check_deflate(path, data, tags)
    elif compression == _JPEG:
        _check_jpeg(path, data, tags)
    elif compression in _WITHOUT_CHECKS:
        _check_with_pillow(path, data)


def unread_compression(data: np.ndarray) -> str:
    """Name the compression of a TIFF if OpenCV does not read it; otherwise empty."""
    return _UNREAD.get(_first(read_tag_numbers(data), _COMPRESSION, 1), "")


def _first(tags: dict[int, np.ndarray], tag: int, default: int) -> int:
    return int(tags[tag][0]) if tag in tags else default


def _strips(
    path: Path | str, data: np.ndarray, tags: dict[int, np.ndarray]
) -> Iterator[tuple[str, memoryview]]:
    """Yield the name and the bytes of each strip or tile; none if the tags do not say where they are."""
    view = memoryview(data)
    for what, offsets, counts in zip(("strip", "tile"), _OFFSETS, _COUNTS, strict=True):
        if offsets not in tags or counts not in tags or len(tags[offsets]) != len(tags[counts]):
            continue
        places = zip(tags[offsets].tolist(), tags[counts].tolist(), strict=True)
        for number, (start, count) in enumerate(places, 1):
            if start + count > len(view):
                raise unreadable_error(path, f"it is truncated, {what} {number} is not complete")
            if count:  # an empty strip of a sparse file has no pixels
                yield f"{what} {number} of {len(tags[offsets])}", view[start : start + count]


def _pixels(tags: dict[int, np.ndarray]) -> int:
    return _first(tags, _WIDTH, 0) * _first(tags, _HEIGHT, 0)


def _check_deflate(path: Path | str, data: np.ndarray, tags: dict[int, np.ndarray]) -> None:
    # A hostile file of some KB may decompress to any size.
    left = _SPARE * _pixels(tags) * _first(tags, _BANDS, 1) * (_first(tags, _BITS, 1) + 7) // 8 + _PART
    for name, strip in _strips(path, data, tags):
        decoder, rest = zlib.decompressobj(), strip
        try:
            while not decoder.eof and left > 0:
                part = decoder.decompress(rest, _PART)
                rest, left = decoder.unconsumed_tail, left - len(part)
                if not part and not rest and not decoder.eof:
                    raise zlib.error("it ends early")
        except zlib.error as error:
            raise unreadable_error(path, f"it is damaged ({name}: {_reason(error)})") from error


def _check_jpeg(path: Path | str, data: np.ndarray, tags: dict[int, np.ndarray]) -> None:
    tables = tags.get(_JPEG_TABLES, np.array([], np.uint8)).astype(np.uint8).tobytes()
    left = _SPARE * _pixels(tags) + 2**16
    for name, strip in _strips(path, data, tags):
        content = tables[:-2] + bytes(strip[2:]) if len(tables) > 4 else bytes(strip)
        try:
            height, width, *_ = simplejpeg.decode_jpeg_header(content)
            if (left := left - height * width) < 0:
                return
            simplejpeg.decode_jpeg(content, "GRAY")
        except ValueError as error:  # it may also be a layout of the colours that is not supported
            if any(word in str(error) for word in _DAMAGE):
                raise unreadable_error(path, f"it is damaged ({name}: {_reason(error)})") from error


def _check_with_pillow(path: Path | str, data: np.ndarray) -> None:
    with captured_messages() as lines:
        try:
            image = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
        except Exception:  # a kind of pixels that Pillow does not know
            return
        try:
            image.load()
            error = None
        except (OSError, ValueError) as raised:
            error = raised
    said = "; ".join(lines[:3]) or str(error)
    if error is not None and _STRIP_ERROR.search(said):
        raise unreadable_error(path, f"it is damaged ({said})") from error
    note_messages(lines)  # Pillow may refuse what OpenCV reads


def _reason(error: Exception) -> str:
    return str(error).removeprefix("Corrupt JPEG data: ").rpartition("while decompressing data: ")[2]

"""Read the chunks of PNG files, check them, and leave out those that do not concern the pixels.

libpng writes a line to stderr about colour profiles and texts that it does not like; without these chunks it
has nothing to write about.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usrn_keras.data.decoding.unreadable import unreadable_error

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_XMP_KEY = b"XML:com.adobe.xmp\0"
_PROFILE_KEYS = (b"Raw profile type exif\0", b"Raw profile type APP1\0")  # as ImageMagick writes EXIF
GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6
_BANDS = {GREY: 1, COLOUR: 3, PALETTE: 1, GREY_ALPHA: 2, COLOUR_ALPHA: 4}
_MOST_METADATA = 2**24  # bytes after decompression


@dataclass(frozen=True)
class PngHeader:
    """What the chunks of a PNG say.

    Args:
        height, width: Stored size in pixels.
        bits: Bits of a band.
        colour: Colour type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
        exif, xmp: Metadata blocks, also from chunks after the pixels; may be empty.
        frames: Number of pictures of an animation.
    """

    height: int
    width: int
    bits: int
    colour: int
    exif: bytes
    xmp: bytes
    frames: int

    @property
    def bands(self) -> int:
        """Number of bands."""
        return _BANDS.get(self.colour, 0)


def read_png_header(path: Path | str, data: np.ndarray) -> PngHeader:
    """Read the chunks of a PNG, without its pixels.

    Raises:
        DataError: The file does not begin with a header.
    """
    view = memoryview(data)
    if len(view) < 29 or bytes(view[12:16]) != b"IHDR":
        raise unreadable_error(path, "it has no PNG header")
    width, height, bits, colour = struct.unpack_from(">IIBB", view, 16)
    found = {"exif": b"", "xmp": b""}
    frames = 1
    for kind, start, stop in _chunks(view):
        if kind == b"acTL" and stop - start == 8:
            frames = struct.unpack_from(">I", view, start)[0]
        key, content = _metadata(kind, bytes(view[start:stop])) if kind in _METADATA else ("", b"")
        if key and not found[key]:
            found[key] = content
    return PngHeader(height, width, bits, colour, found["exif"], found["xmp"], frames)


def pixels_only(path: Path | str, data: np.ndarray) -> np.ndarray:
    """Return the file with the chunks of the pixels alone, `(size,)` uint8, after checking their checksums.

    Raises:
        DataError: The file is truncated or damaged.
    """
    view, parts, kinds = memoryview(data), [PNG_SIGNATURE], set()
    for kind, start, stop in _chunks(view):
        if kind not in _KEPT:
            continue
        if stop + 4 > len(view):
            raise unreadable_error(path, "it is truncated, its end is missing")
        if zlib.crc32(view[start - 4 : stop]) != struct.unpack_from(">I", view, stop)[0]:
            raise unreadable_error(path, f"it is damaged (the checksum of a chunk {kind.decode()} differs)")
        kinds.add(kind)
        parts.append(view[start - 8 : stop + 4])
    if not {b"IDAT", b"IEND"} <= kinds:
        raise unreadable_error(path, "it is truncated, its end is missing")
    return np.frombuffer(b"".join(parts), np.uint8)


def _chunks(view: memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and stop of the content of each chunk; the last may end after the file."""
    position = len(PNG_SIGNATURE)
    while position + 8 <= len(view):
        length, kind = struct.unpack_from(">I4s", view, position)
        yield kind, position + 8, position + 8 + length
        if kind == b"IEND":
            return
        position += 12 + length


_METADATA = (b"eXIf", b"iTXt", b"zTXt", b"tEXt")


def _metadata(kind: bytes, content: bytes) -> tuple[str, bytes]:
    """Get a metadata block from a chunk: `exif` or `xmp`, and its bytes; empty for another text."""
    try:
        if kind == b"eXIf":
            return "exif", content
        if kind == b"iTXt" and content.startswith(_XMP_KEY):
            compressed, text = content[len(_XMP_KEY)], content[len(_XMP_KEY) + 2 :]
            text = text.split(b"\0", 2)[2]  # after the language and the translated keyword
            return "xmp", _inflate(text) if compressed else text
        if key := next((key for key in _PROFILE_KEYS if content.startswith(key)), b""):
            text = _inflate(content[len(key) + 1 :]) if kind == b"zTXt" else content[len(key) :]
            return "exif", bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except (IndexError, ValueError, zlib.error):  # a damaged text is no reason to refuse the pixels
        pass
    return "", b""


def _inflate(content: bytes) -> bytes:
    return zlib.decompressobj().decompress(content, _MOST_METADATA)

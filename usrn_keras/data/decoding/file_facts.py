"""Facts about an image or mask file, read from its header in one place for everything that reads the file."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usrn_keras.data.decoding.decode import check_pixels, read_bytes, validate_regular_file
from usrn_keras.data.decoding.jpeg_files import JPEG_SIGNATURE, read_jpeg_header
from usrn_keras.data.decoding.orientation import SIDEWAYS, UPRIGHT, find_orientation
from usrn_keras.data.decoding.png_files import (
    COLOUR_ALPHA,
    GREY_ALPHA,
    PALETTE,
    PNG_SIGNATURE,
    read_png_header,
)
from usrn_keras.data.decoding.tiff_files import TIFF_SIGNATURES, read_tiff_header
from usrn_keras.data.decoding.unreadable import (
    name_unread_format,
    unknown_format_error,
    unread_format_error,
    unreadable_error,
)

_START = 132  # bytes that identify every format


@dataclass(frozen=True)
class FileFacts:
    """What the header of an image or mask file says.

    Args:
        format: `JPEG`, `PNG`, `BMP`, `TIFF`, `WebP` or `GIF`.
        stored: Height and width as stored, before the orientation.
        orientation: Orientation 1 (upright) to 8, from EXIF, or from XMP where EXIF has none.
        bands: Number of bands, with transparency; 1 for a palette.
        bits: Bits of a band.
        kind: Type of the numbers: `unsigned`, `signed`, `float` or `complex`.
        palette: Whether the numbers are indices of a palette.
        frames: Number of pictures in the file; the first is read.
        warnings: Harmless peculiarities of the file, one sentence each.
        alpha: Whether a band is transparency, or the black of CMYK.
    """

    format: str
    stored: tuple[int, int]
    orientation: int = UPRIGHT
    bands: int = 3
    bits: int = 8
    kind: str = "unsigned"
    palette: bool = False
    frames: int = 1
    warnings: tuple[str, ...] = ()
    alpha: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as the image is shown: the size of the pixels that are read."""
        height, width = self.stored
        return (width, height) if self.orientation in SIDEWAYS else (height, width)

    @property
    def turn(self) -> int:
        """Orientation that remains to be applied: the decoders of TIFF apply its orientation themselves."""
        return UPRIGHT if self.format == "TIFF" else self.orientation

    def __str__(self) -> str:
        bits = f"{self.bits} bits" + {"unsigned": "", "float": " (floating point)"}.get(
            self.kind, f" ({self.kind})"
        )
        return f"{self.format} of {self.bands} band{'s' * (self.bands != 1)} of {bits}"


def read_facts(path: Path | str, data: np.ndarray | None = None) -> FileFacts:
    """Read the facts about a file from its header. Its pixels are not decoded.

    Args:
        path: Path of the file.
        data: Bytes of the file, `(size,)` uint8, if they are read already.

    Raises:
        DataError: The file is missing, empty, damaged, of a format that is not read, or has more than
            `MAX_PIXELS`.

    Example:

    >>> read_facts("photo.jpg").size   # doctest: +SKIP
    (480, 640)
    """
    data = _mapped(path) if data is None else data
    start = data[:_START].tobytes()
    read = next((read for signature, read in _READERS.items() if start.startswith(signature)), None)
    if read is None:
        if unread := name_unread_format(start):
            raise unread_format_error(path, unread)
        raise unknown_format_error(path)
    try:
        facts = read(path, data)
    except (struct.error, IndexError) as error:
        raise unreadable_error(path, "its header is damaged") from error
    height, width = facts.stored
    if not height or not width:
        raise unreadable_error(path, f"its header says {width}x{height} pixels")
    check_pixels(path, height, width)
    return facts


def _mapped(path: Path | str) -> np.ndarray:
    """Map a file to memory, so that only the parts with facts are read."""
    validate_regular_file(path)
    try:
        with open(path, "rb") as file:
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except (OSError, ValueError):  # a missing or empty file, or a file system that cannot map files
        return read_bytes(path)


def _jpeg(path: Path | str, data: np.ndarray) -> FileFacts:
    header = read_jpeg_header(path, data)
    stray = sum(stop - start for start, stop in header.stray)
    return FileFacts(
        "JPEG",
        (header.height, header.width),
        find_orientation(header.exif, header.xmp),
        header.components,
        header.bits,
        warnings=(f"{stray} bytes between its segments belong to none and are skipped",) * bool(stray),
    )


def _png(path: Path | str, data: np.ndarray) -> FileFacts:
    header = read_png_header(path, data)
    return FileFacts(
        "PNG",
        (header.height, header.width),
        find_orientation(header.exif, header.xmp),
        header.bands,
        header.bits,
        palette=header.colour == PALETTE,
        frames=header.frames,
        warnings=_frames(header.frames),
        alpha=header.colour in (GREY_ALPHA, COLOUR_ALPHA),
    )


def _tiff(path: Path | str, data: np.ndarray) -> FileFacts:
    header = read_tiff_header(path, data)
    return FileFacts(
        "TIFF",
        (header.height, header.width),
        header.orientation,
        header.bands,
        header.bits,
        header.kind,
        header.palette,
        header.pages,
        _frames(header.pages, "pages"),
        header.alpha,
    )


def _bmp(path: Path | str, data: np.ndarray) -> FileFacts:
    size, width, height = struct.unpack_from("<Iii", data, 14)
    (bits,) = struct.unpack_from("<H", data, 28)
    if size == 12:  # the header of OS/2
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    return FileFacts("BMP", (abs(height), width), bands=3 if bits > 8 else 1, palette=bits <= 8)


def _webp(path: Path | str, data: np.ndarray) -> FileFacts:
    if data[8:12].tobytes() != b"WEBP":
        raise unreadable_error(path)
    size, exif, xmp, frames, position = None, b"", b"", 0, 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : position + 8 + length]
        if kind == b"EXIF":
            exif = exif or body.tobytes()
        elif kind == b"XMP ":
            xmp = xmp or body.tobytes()
        elif kind == b"ANMF":
            frames += 1
        elif size is None and kind in _WEBP_SIZES:
            size = _WEBP_SIZES[kind](body[:10].tobytes())
        position += 8 + length + length % 2
    if size is None:
        raise unreadable_error(path, "it has no WebP picture")
    frames = max(1, frames)
    return FileFacts("WebP", size, find_orientation(exif, xmp), frames=frames, warnings=_frames(frames))


def _canvas(body: bytes) -> tuple[int, int]:
    return 1 + int.from_bytes(body[7:10], "little"), 1 + int.from_bytes(body[4:7], "little")


def _lossy(body: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", body, 6)
    return height & 0x3FFF, width & 0x3FFF


def _lossless(body: bytes) -> tuple[int, int]:
    (bits,) = struct.unpack_from("<I", body, 1)
    return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)


_WEBP_SIZES = {b"VP8X": _canvas, b"VP8 ": _lossy, b"VP8L": _lossless}


def _gif(path: Path | str, data: np.ndarray) -> FileFacts:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    frames = _count_gif_frames(memoryview(data), 13 + _table(flags))
    return FileFacts("GIF", (height, width), bands=1, palette=True, frames=frames, warnings=_frames(frames))


def _count_gif_frames(view: memoryview, position: int) -> int:
    """Count the pictures of a GIF, at least 1."""
    frames = 0
    while position + 1 < len(view) and view[position] in (0x21, 0x2C):
        if view[position] == 0x21:  # an extension
            position += 2
        else:
            frames += 1
            if position + 10 > len(view):
                break
            position += 11 + _table(view[position + 9])
        while position < len(view) and view[position]:
            position += 1 + view[position]
        position += 1
    return max(1, frames)


def _table(flags: int) -> int:
    """Bytes of a colour table."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _frames(count: int, what: str = "pictures") -> tuple[str, ...]:
    return (f"it has {count} {what}, of which the first is read",) if count > 1 else ()


_READERS = {
    PNG_SIGNATURE: _png,
    JPEG_SIGNATURE: _jpeg,
    b"BM": _bmp,
    b"GIF8": _gif,
    b"RIFF": _webp,
    **dict.fromkeys(TIFF_SIGNATURES, _tiff),
}
